use clap::Parser as _;
use tidegate_exporter::message::Format;

use super::*;

#[derive(Debug, clap::Parser)]
struct Cli {
    #[command(flatten)]
    push: PushArgs,
}

fn typed(arguments: &[&str]) -> PushArgs {
    Cli::try_parse_from(["role"].iter().chain(arguments)).expect("it can be typed").push
}

fn settings(
    arguments: &[&str],
    variables: &'static [(&'static str, &'static str)],
) -> Result<Option<Settings>, PushError> {
    typed(arguments).settings_in("tidegate-activator", Some("a-1"), &Variables::fixed(variables))
}

fn error(arguments: &[&str], variables: &'static [(&'static str, &'static str)]) -> String {
    settings(arguments, variables).expect_err("it cannot be used").to_string()
}

#[test]
fn nothing_is_pushed_unless_somebody_asks() {
    assert!(settings(&[], &[]).expect("nothing is wrong").is_none());
    let asked = &[("OTEL_EXPORTER_OTLP_ENDPOINT", "http://c:4318")];
    assert!(settings(&["--metrics-push", "none"], asked).expect("nothing is wrong").is_none());
    let protocol = &[("OTEL_EXPORTER_OTLP_PROTOCOL", "http/json")];
    assert!(settings(&[], protocol).expect("nothing is wrong").is_none());
    assert!(error(&["--metrics-push-folder", "/x"], &[]).contains("without --metrics-push"));
}

#[test]
fn variables_of_open_telemetry_stand_in_for_flags() {
    let variables = &[
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://other:1"),
        ("OTEL_EXPORTER_OTLP_METRICS_ENDPOINT", "http://c:4317"),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc"),
        ("OTEL_METRIC_EXPORT_INTERVAL", "15000"),
        ("OTEL_EXPORTER_OTLP_HEADERS", "authorization=Bearer%20s3cret"),
        ("OTEL_RESOURCE_ATTRIBUTES", "service.name=x, site=berlin,service.instance.id=i"),
        ("OTEL_SERVICE_NAME", "front"),
    ];
    let mut found = settings(&[], variables).expect("usable").expect("a push");
    assert_eq!((found.protocol, &found.endpoint[..]), (Protocol::OtlpGrpc, "http://c:4317"));
    assert_eq!(found.interval, Duration::from_secs(15));
    assert_eq!((&found.identity.service[..], &found.identity.instance[..]), ("front", "i"));
    assert_eq!(found.identity.labels, [("site".to_owned(), "berlin".to_owned())]);
    assert_eq!(found.headers.now().0["authorization"], "Bearer s3cret");
    assert!(!format!("{found:?}").contains("s3cret"));
    let flags = ["--metrics-push", "http://m/write", "--metrics-push-protocol", "remote-write"];
    let mut found = settings(&flags, variables).expect("usable").expect("a push");
    assert_eq!(found.protocol.format(), Format::RemoteWrite);
    // A token for the collector is none of the Prometheus that was named instead.
    assert!(found.headers.now().0.is_empty() && found.identity.labels.is_empty());
}

#[test]
fn what_cannot_be_used_is_named_without_its_secrets() {
    for url in ["https://user:s3cret@host/", "http://", "ftp://host", "http://a b"] {
        let message = error(&["--metrics-push", url], &[]);
        assert!(message.contains("--metrics-push") && !message.contains("s3cret"), "{message}");
    }
    const ENDPOINT: (&str, &str) = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://c:4318");
    const BAD: [&[(&str, &str)]; 4] = [
        &[ENDPOINT, ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/json")],
        &[ENDPOINT, ("OTEL_METRIC_EXPORT_INTERVAL", "1")],
        &[ENDPOINT, ("OTEL_RESOURCE_ATTRIBUTES", "site")],
        &[ENDPOINT, ("OTEL_EXPORTER_OTLP_HEADERS", "s3cret")],
    ];
    for variable in BAD {
        let message = error(&[], variable);
        assert!(message.contains(variable[1].0) && !message.contains("s3cret"), "{message}");
    }
    let message = error(&["--metrics-push", "https://h", "--metrics-push-ca", "/no/ca"], &[]);
    assert!(message.contains("/no/ca"), "{message}");
}

#[test]
fn rules_are_refused_with_file_line_and_column() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("rules.toml");
    std::fs::write(&path, "[[rule]]\nkepe = \"*\"\n").expect("writable");
    let typed =
        ["--metrics-push", "http://h", "--metrics-push-rules", path.to_str().expect("text")];
    let message = error(&typed, &[]);
    assert!(message.contains("rules.toml: line 2, column 1: rule 1: unknown key"), "{message}");
    assert!(message.contains("did you mean"), "{message}");
}

#[test]
fn flags_are_checked_as_they_are_typed() {
    for bad in [
        ["--metrics-push-interval", "10ms"],
        ["--metrics-push-batch", "2h"],
        ["--metrics-push-backlog", "1Ki"],
        ["--metrics-push-backlog-age", "90d"],
        ["--metrics-push-label", "site"],
        ["--metrics-push-label", "job=x"],
        ["--metrics-push-label", "1=x"],
        ["--metrics-push-protocol", "http"],
    ] {
        let parsed = Cli::try_parse_from(["role"].iter().chain(&bad));
        assert!(parsed.is_err(), "{bad:?}");
    }
    let good = ["--metrics-push-label", "site=berlin", "--metrics-push-label", "k8s.cluster=a"];
    assert_eq!(typed(&good).labels.len(), 2);
}

#[test]
fn what_is_shown_of_a_url_is_its_host() {
    for url in ["https://h:1/api?key=s3cret", "https://h:1", "https://h:1?key=s3cret"] {
        assert_eq!(shown(url), "https://h:1");
    }
}
