//! What others have written: Knative's Services, and what a first file is made of.

use std::time::Duration;

use tidegate_services::init::{Found, draft};
use tidegate_services::{Concurrency, Ready, Rollout, Services};

const KNATIVE: &str = r#"apiVersion: serving.knative.dev/v1
kind: Service
metadata:
  name: hello
  annotations:
    serving.knative.dev/rollout-duration: "380s"
spec:
  template:
    metadata:
      annotations:
        autoscaling.knative.dev/min-scale: "1"
        autoscaling.knative.dev/target: "7"
        example.com/owner: me
    spec:
      containerConcurrency: 10
      timeoutSeconds: 60
      serviceAccountName: somebody
      containers:
        - image: ghcr.io/example/hello
          command: ["./hello"]
          args: ["--port", "$(PORT)", "--name=$(NAME)"]
          env:
            - name: NAME
              value: World
            - name: TOKEN
              valueFrom: { secretKeyRef: { name: t, key: t } }
          ports: [{ containerPort: 8080 }]
          readinessProbe:
            httpGet: { path: /healthz }
          resources: { limits: { memory: 128Mi, cpu: 500m }, requests: { cpu: 1 } }
---
apiVersion: v1
kind: ConfigMap
metadata: { name: other }
"#;

#[test]
fn a_readiness_command_of_knative_is_one_here() {
    let probe = "exec: { command: [sh, -c, \"check $(PORT) $(NAME)\"] }";
    let text = KNATIVE.replace("httpGet: { path: /healthz }", probe);
    let (services, _) = Services::parse_knative(&text).expect("it can be served");
    let expected = ["sh", "-c", "check {PORT} World"].map(str::to_owned);
    assert_eq!(services.services["hello"].template.ready, Ready::Exec(expected.into()));
}

#[test]
fn a_service_of_knative_is_read_as_far_as_this_machine_can_serve_it() {
    let (services, ignored) = Services::parse_knative(KNATIVE).expect("it can be served");
    let hello = &services.services["hello"];
    assert_eq!(hello.template.command, ["./hello", "--port", "{PORT}", "--name=World"]);
    assert_eq!(hello.template.concurrency, Concurrency::Limit(10));
    assert_eq!(hello.template.timeout, Duration::from_secs(60));
    assert_eq!(hello.template.ready, Ready::Http("/healthz".into()));
    assert_eq!(hello.template.variables["NAME"], "World");
    let limits = hello.template.limits;
    assert_eq!((limits.memory_bytes, limits.cpu_millis), (Some(128 << 20), Some(500)));
    assert_eq!(hello.scale.min, 1);
    assert_eq!(hello.scale.set, [("autoscaling.knative.dev/target".to_owned(), "7".to_owned())]);
    assert!(matches!(hello.rollout, Rollout::Shares(_)));
    let told: Vec<String> = ignored.iter().map(|it| format!("{}: {}", it.line, it.what)).collect();
    for what in [
        "the annotation example.com/owner",
        "the variable TOKEN: valueFrom",
        "spec.template.spec.serviceAccountName",
        "the container's image",
        "the container's resources.requests",
        "ports: the port of an instance is in $PORT",
        "ConfigMap is no Service of Knative",
    ] {
        assert!(told.iter().any(|line| line.contains(what)), "{what}: {told:#?}");
    }
    assert!(told.iter().any(|line| line.starts_with("13: the annotation")), "{told:#?}");
}

#[test]
fn what_cannot_be_served_is_told_with_its_place() {
    let image_only = KNATIVE.replace("          command: [\"./hello\"]\n", "");
    let wrong = Services::parse_knative(&image_only).expect_err("an image alone");
    assert!(wrong[0].to_string().starts_with("line 19, column"), "{}", wrong[0]);
    assert!(wrong[0].what.contains("an image cannot be run here"), "{}", wrong[0]);
    for (text, told) in [
        ("a: [", ""),
        ("kind: Pod", "there is no Service of serving.knative.dev"),
        ("apiVersion: serving.knative.dev/v1\nkind: Service\n", "`metadata.name` is missing"),
    ] {
        let wrong = Services::parse_knative(text).expect_err(text);
        assert!(wrong[0].what.contains(told), "{text}: {wrong:?}");
    }
}

#[test]
fn a_first_file_has_what_was_found_and_can_be_followed() {
    let procfile = "# a comment\nweb: gunicorn -b 127.0.0.1:$PORT app:app\nworker: python w.py\n";
    let compose = r#"
services:
  api:
    command: node server.js
    environment: { MODE: dev }
    ports: ["3000:3000"]
    depends_on: [db, cache]
  cache:
    command: ["memcached", "-p", "11211"]
  db:
    image: postgres:17
"#;
    let package = r#"{"name": "@shop/front", "scripts": {"start": "x", "build": "y"}}"#;
    let (text, names) = draft(Found {
        procfile: Some(procfile),
        compose: Some(compose),
        knative: Some(KNATIVE),
        package: Some(package),
    });
    assert_eq!(names, ["hello", "web", "worker", "api", "cache", "shop-front"]);
    let services = Services::parse(&text).unwrap_or_else(|wrong| panic!("{wrong:#?}\n{text}"));
    let listed: Vec<&str> = services.services.keys().map(String::as_str).collect();
    assert_eq!(listed, ["api", "cache", "hello", "shop-front", "web", "worker"]);
    let web = &services.services["web"].template.command;
    assert_eq!(web.join(" "), "gunicorn -b 127.0.0.1:{PORT} app:app");
    assert_eq!(services.services["api"].after, ["cache"]);
    assert!(text.contains("# [service.db]") && text.contains("postgres:17"), "{text}");
    let build = services.services["shop-front"].template.build.as_ref().expect("it has one");
    assert_eq!(build.command.join(" "), "npm run build");
}

#[test]
fn where_nothing_is_found_there_is_an_example() {
    let (text, names) = draft(Found::default());
    assert!(names.is_empty());
    assert!(Services::parse(&text).is_ok(), "{text}");
    // What cannot be read is as good as not there.
    let odd = Found {
        procfile: Some("\u{1b}[31m"),
        compose: Some("{"),
        knative: Some(":"),
        package: Some("["),
    };
    assert!(Services::parse(&draft(odd).0).is_ok());
}

/// The fuzzer found it: what others may write and a file may not was written down all the same, so
/// the first file that `tidegate init` made was refused by `tidegate check`.
#[test]
fn what_a_file_may_not_say_is_left_out_of_the_first_one() {
    let compose = r#"
services:
  web:
    command: serve
    working_dir: ""
    env_file: []
    environment: {"no name": a, GOOD: "two\nlines"}
    depends_on: [api]
  api:
    command: [a, ""]
    depends_on: [web]
  one:
    command: one
    depends_on: [two]
  two:
    command: two
    depends_on: [one]
"#;
    let found =
        Found { procfile: Some("empty:\nweb2: \t"), compose: Some(compose), ..Found::default() };
    let (text, names) = draft(found);
    let services = Services::parse(&text).unwrap_or_else(|wrong| panic!("{wrong:#?}\n{text}"));
    assert_eq!(names, ["web", "one", "two"], "{text}");
    assert_eq!(services.services.len(), 3);
    for said in [
        "# Its command is left out: expected text in quotes",
        "# Its directory is left out: expected text",
        "# It depends on two, which goes in a circle.",
    ] {
        assert!(text.contains(said), "no {said:?} in\n{text}");
    }
}
