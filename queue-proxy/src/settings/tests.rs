use std::collections::BTreeMap;

use super::observability::{MetricsExport, TracingExport};
use super::*;

fn environment(changes: &[(&str, &str)]) -> BTreeMap<String, String> {
    let mut map: BTreeMap<String, String> = [
        (keys::CONTAINER_CONCURRENCY, "0"),
        (keys::QUEUE_SERVING_PORT, "8012"),
        (keys::QUEUE_SERVING_TLS_PORT, "8112"),
        (keys::USER_PORT, "8080"),
        (keys::REVISION_TIMEOUT_SECONDS, "300"),
        (keys::SERVING_LOGGING_CONFIG, ""),
        (keys::SERVING_LOGGING_LEVEL, ""),
        (keys::SERVING_NAMESPACE, "default"),
        (keys::SERVING_CONFIGURATION, "web"),
        (keys::SERVING_REVISION, "web-00001"),
        (keys::SERVING_POD, "web-00001-abc"),
        (keys::SERVING_POD_IP, "10.0.0.9"),
    ]
    .into_iter()
    .map(|(key, value)| (key.to_owned(), value.to_owned()))
    .collect();
    for (key, value) in changes {
        map.insert((*key).to_owned(), (*value).to_owned());
    }
    map
}

fn settings(changes: &[(&str, &str)]) -> Settings {
    Settings::from_environment(&environment(changes)).unwrap()
}

fn rejected(changes: &[(&str, &str)]) -> Vec<String> {
    let problems = Settings::from_environment(&environment(changes)).unwrap_err();
    problems.into_iter().map(|problem| problem.key).collect()
}

#[test]
fn each_missing_required_variable_is_named() {
    for key in [
        keys::CONTAINER_CONCURRENCY,
        keys::QUEUE_SERVING_PORT,
        keys::QUEUE_SERVING_TLS_PORT,
        keys::USER_PORT,
        keys::REVISION_TIMEOUT_SECONDS,
        keys::SERVING_LOGGING_CONFIG,
        keys::SERVING_LOGGING_LEVEL,
        keys::SERVING_NAMESPACE,
        keys::SERVING_CONFIGURATION,
        keys::SERVING_REVISION,
        keys::SERVING_POD,
        keys::SERVING_POD_IP,
    ] {
        let mut environment = environment(&[]);
        environment.remove(key);
        let problems = Settings::from_environment(&environment).unwrap_err();
        assert_eq!(problems.len(), 1, "{key}");
        let line = problems[0].to_string();
        assert_eq!(line, format!("{key}: required, but not set"));
    }
}

#[test]
fn all_problems_are_shown_at_once() {
    let changes = [(keys::CONTAINER_CONCURRENCY, "abc"), (keys::ENABLE_HTTP_FULL_DUPLEX, "yes")];
    assert_eq!(rejected(&changes), [keys::CONTAINER_CONCURRENCY, keys::ENABLE_HTTP_FULL_DUPLEX]);
}

#[test]
fn concurrency_parses_as_in_go() {
    for (text, expected) in [
        ("-1", Concurrency::Unlimited),
        ("0", Concurrency::Unlimited),
        ("0x10", Concurrency::Fixed(16)),
        ("2147483647", Concurrency::Fixed(2_147_483_647)),
        ("99999999999", Concurrency::Fixed(u32::MAX)),
    ] {
        let settings = settings(&[(keys::CONTAINER_CONCURRENCY, text)]);
        assert_eq!(settings.admission.concurrency, expected, "{text}");
    }
    assert_eq!(rejected(&[(keys::CONTAINER_CONCURRENCY, "")]), [keys::CONTAINER_CONCURRENCY]);
}

#[test]
fn a_timeout_of_zero_is_none() {
    let timeouts = settings(&[
        (keys::REVISION_TIMEOUT_SECONDS, "0"),
        (keys::REVISION_IDLE_TIMEOUT_SECONDS, ""),
        (keys::REVISION_RESPONSE_START_TIMEOUT_SECONDS, "7"),
    ])
    .timeouts;
    assert_eq!(timeouts.overall, None);
    assert_eq!(timeouts.idle, None);
    assert_eq!(timeouts.response_start, Some(Duration::from_secs(7)));
}

#[test]
fn ports_that_knative_fixes_can_be_changed_or_disabled() {
    let listeners = settings(&[
        (keys::QUEUE_SERVING_PORT, ""),
        (keys::TIDEGATE_ADMIN_PORT, "off"),
        (keys::TIDEGATE_STATS_PORT, "0"),
        (keys::TIDEGATE_LISTEN_HOST, "127.0.0.1"),
    ])
    .listeners;
    assert_eq!(listeners.main, 0);
    assert_eq!(listeners.admin, Port::Off);
    assert_eq!(listeners.stats, Port::At(0));
    assert_eq!(listeners.metrics, Port::At(9091));
    assert_eq!(listeners.host, Some(IpAddr::from([127, 0, 0, 1])));
}

#[test]
fn invalid_readiness_probes_prevent_the_start() {
    for (probe, several) in [("{", ""), ("[]", ""), ("{}", "true"), ("null", ""), ("[null]", "1")] {
        let changes = [
            (keys::SERVING_READINESS_PROBE, probe),
            (keys::ENABLE_MULTI_CONTAINER_PROBES, several),
        ];
        assert_eq!(rejected(&changes), [keys::SERVING_READINESS_PROBE], "{probe}");
    }
    settings(&[(keys::SERVING_READINESS_PROBE, "[]"), (keys::ENABLE_MULTI_CONTAINER_PROBES, "1")]);
}

#[test]
fn invalid_observability_prevents_the_start() {
    for config in [
        "{",
        "[1]",
        r#"{"requestMetrics":{"protocol":"statsd"}}"#,
        r#"{"requestMetrics":{"protocol":""}}"#,
        r#"{"requestMetrics":{"protocol":"prometheus","endpoint":"http://x"}}"#,
        r#"{"tracing":{"protocol":"zipkin"}}"#,
    ] {
        let changes = [(keys::OBSERVABILITY_CONFIG, config)];
        assert_eq!(rejected(&changes), [keys::OBSERVABILITY_CONFIG], "{config}");
    }
}

#[test]
fn observability_is_merged_over_defaults() {
    let observability = settings(&[(
        keys::OBSERVABILITY_CONFIG,
        r#"{"requestMetrics":{"protocol":"prometheus","endpoint":":9095"},
            "tracing":{"protocol":"stdout"},"metrics":{"protocol":"anything"},
            "enableRequestLog":true,"unknown":null}"#,
    )])
    .observability;
    assert_eq!(observability.metrics, MetricsExport::Prometheus { host: None, port: Some(9095) });
    assert_eq!(observability.tracing, TracingExport::Stdout);
    assert!(observability.request_log.is_some());

    let bad = r#"{"enableRequestLog":true,"requestLogTemplate":"{{range .X}}"}"#;
    let observability = settings(&[(keys::OBSERVABILITY_CONFIG, bad)]).observability;
    assert!(observability.request_log.is_none());
    assert!(observability.request_log_complaint.is_some_and(|text| text.contains("range")));

    let empty = r#"{"enableRequestLog":true,"requestLogTemplate":""}"#;
    let observability = settings(&[(keys::OBSERVABILITY_CONFIG, empty)]).observability;
    assert!(observability.request_log.is_none() && observability.request_log_complaint.is_none());
}

#[test]
fn every_variable_is_documented() {
    let docs = include_str!("../../../docs/queue-proxy.md");
    for key in keys::ALL.iter().map(|variable| variable.name) {
        assert!(docs.contains(&format!("`{key}`")), "docs/queue-proxy.md does not mention {key}");
    }
}
