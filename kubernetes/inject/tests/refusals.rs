//! Inputs that cannot be injected are refused with a reason, and nothing is written.

#![expect(clippy::unwrap_used, reason = "what cannot be read fails the test")]

use tidegate_kubernetes_inject::{Failure, Options, inject};

fn options() -> Options {
    let mut options = Options::default();
    options.settings.set("image", "registry.example/queue-proxy:0.1.0").unwrap();
    options
}

/// A pod whose specification is this, in flow style.
fn pod(spec: &str) -> String {
    format!("apiVersion: v1\nkind: Pod\nmetadata: {{name: p}}\nspec: {spec}\n")
}

/// A pod with one container that has a port, and this beside.
fn pod_with(of_container: &str, of_spec: &str) -> String {
    pod(&format!(
        "{{containers: [{{name: app, image: a, ports: [{{name: http, containerPort: 8080}}] \
         {of_container}}}] {of_spec}}}"
    ))
}

fn refusal(text: &str, options: &Options) -> String {
    match inject(text, options) {
        Err(failure @ Failure::Refused(_)) => failure.to_string(),
        other => panic!("{text}: {other:?}"),
    }
}

#[test]
fn each_reason_says_what_to_do() {
    let one = "{name: app, image: a, ports: [{containerPort: 8080}]}";
    let (one_port, other_port) = ("{containerPort: 1}", "{containerPort: 2, name: b}");
    let knative = "{name: queue-proxy, image: q}";
    let by_hand = "{name: tidegate-queue-proxy, image: q, restartPolicy: Always}";
    for (text, reason) in [
        (pod_with("", ", hostNetwork: true"), "hostNetwork"),
        (pod_with("", ", hostNetwork: yes"), "hostNetwork"),
        (pod_with("", ", nodeSelector: {kubernetes.io/os: windows}"), "Windows"),
        (pod_with("", ", os: {name: windows}"), "Windows"),
        (pod(&format!("{{containers: [{one}, {knative}]}}")), "docs/knative.md"),
        (pod_with("", &format!(", initContainers: [{by_hand}]")), "Take that container out"),
        (pod(&format!("{{containers: [{one}, {by_hand}]}}")), "Take that container out"),
        // Found by the fuzz target: what was changed in a container is noted under its name.
        (pod("{containers: [{ports: [{containerPort: 1}]}]}"), "needs a name of its own"),
        (pod(&format!("{{containers: [{one}, {one}]}}")), "needs a name of its own"),
        (pod("{containers: []}"), "no containers"),
        (pod("{}"), "no containers"),
        (pod("{containers: [{name: app, image: a}]}"), "declares no TCP port. Say which"),
        (
            pod("{containers: [{name: app, ports: [{containerPort: 53, protocol: UDP}]}]}"),
            "declares no TCP port",
        ),
        (
            pod(&format!("{{containers: [{{name: a, ports: [{one_port}, {other_port}]}}]}}")),
            "several TCP ports (1, 2 'b')",
        ),
        (
            pod(&format!("{{containers: [{one}, {{name: b, ports: [{{containerPort: 1}}]}}]}}")),
            "(app or b)? Say so with --container",
        ),
        (
            pod_with("", ", initContainers: [{name: b, ports: [{containerPort: 9091}]}]"),
            "'b' has port 9091, which the sidecar needs",
        ),
        (
            pod("{containers: [{name: app, ports: [{containerPort: 8012}]}]}"),
            "--set sidecar-port=N",
        ),
        (
            pod_with(", readinessProbe: {httpGet: {port: http, scheme: HTTPS}}", ""),
            "speaks TLS on port 8080",
        ),
        (
            pod_with(", livenessProbe: {httpGet: {port: 8080, scheme: https}}", ""),
            "speaks TLS on port 8080",
        ),
        (
            pod_with(", readinessProbe: {tcpSocket: {port: nowhere}}", ""),
            "names the port 'nowhere'",
        ),
        (
            "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: d}\nspec: {}\n".to_owned(),
            "no pod template, expected one at `spec.template`",
        ),
        (
            "kind: Pod\napiVersion: v1\nspec:\n  containers: 1\n  containers: 2\n".to_owned(),
            "line 5: the key stands twice",
        ),
        ("kind: Pod\napiVersion: v1\nspec: &a {containers: [*a]}\n".to_owned(), "alias"),
    ] {
        let found = refusal(&text, &options());
        assert!(found.contains(reason), "{text}: {found}");
    }
}

#[test]
fn annotations_are_read_as_strictly_as_flags() {
    for (annotation, reason) in [
        ("tidegate.dev/inject: maybe", "'maybe', expected enabled or disabled"),
        ("tidegate.dev/port: \"0\"", "'0', expected a port"),
        ("tidegate.dev/concurrency: many", "'many', expected a number, or auto"),
        ("tidegate.dev/request-timeout: 1.5s", "expected whole seconds"),
        ("tidegate.dev/memory-limit: lots", "expected a quantity"),
        ("tidegate.dev/controller: nowhere", "expected host:port"),
        ("tidegate.dev/secret: Not_A_Name", "expected a name"),
        ("tidegate.dev/container: other", "no container 'other', expected app"),
        ("tidegate.dev/admin-port: \"8012\"", "must differ, and 8012 is used twice"),
        ("tidegate.dev/injected: '{}'", "missing or unreadable"),
    ] {
        let text =
            pod_with("", "").replace("{name: p}", &format!("{{annotations: {{{annotation}}}}}"));
        let found = refusal(&text, &options());
        assert!(found.contains(reason), "{annotation}: {found}");
    }
}

#[test]
fn all_refusals_are_reported_at_once_with_their_lines() {
    let text = format!("{}---\n{}", pod("{}"), pod_with("", ", hostNetwork: true"));
    let Err(Failure::Refused(refused)) = inject(&text, &options()) else { panic!("{text}") };
    let lines: Vec<_> = refused.iter().map(|refused| (refused.line, &*refused.object)).collect();
    assert_eq!(lines, [(1, "Pod p"), (6, "Pod p")]);
}

#[test]
fn without_an_image_nothing_is_injected() {
    let found = refusal(&pod_with("", ""), &Options::default());
    assert!(found.contains("which image has the sidecar?"), "{found}");
}

#[test]
fn names_that_match_nothing_are_refused() {
    let mut options = options();
    options.services.push("web".to_owned());
    options.workloads.push("Rollout/web".to_owned());
    let found = refusal(&pod_with("", ""), &options);
    assert!(found.contains("--service web: the input has nothing of that name"), "{found}");
    assert!(found.contains("--workload Rollout/web: the input has nothing"), "{found}");
}

#[test]
fn a_service_that_selects_nothing_here_is_refused() {
    let mut options = options();
    options.services.push("web".to_owned());
    let service = "---\napiVersion: v1\nkind: Service\nmetadata: {name: web}\n\
                   spec: {selector: {app: other}, ports: [{port: 80}]}\n";
    let found = refusal(&format!("{}{service}", pod_with("", "")), &options);
    assert!(found.contains("selects no pod that is changed"), "{found}");
}

#[test]
fn text_that_cannot_be_parsed_is_reported_by_line_and_column() {
    for (text, line) in [
        ("a: [1, 2\n", 2),
        ("a: b\n c: d\n", 2),
        ("a: b: c\n", 1),
        ("a: \"open\n", 2),
        ("- a\nb\n", 2),
        ("a:\n\tb: 1\n", 2),
        ("a: *nothing\n", 1),
        ("{\"a\": 1,, }\n", 1),
    ] {
        match inject(text, &options()) {
            Err(Failure::Malformed(problem)) => {
                assert!(problem.line.abs_diff(line) <= 1, "{text:?}: {problem}");
                assert!(problem.column > 0 && !problem.problem.is_empty(), "{problem}");
            }
            other => panic!("{text:?}: {other:?}"),
        }
    }
}

/// Nesting, aliases and size are bounded; none of these may take long or much.
#[test]
fn hostile_inputs_are_refused() {
    let deep = format!("a: {}{}\n", "[".repeat(10_000), "]".repeat(10_000));
    let deep_json = format!("{}{}\n", "[".repeat(100_000), "]".repeat(100_000));
    let mut deep_block = String::new();
    for depth in 0..3_000 {
        deep_block += &format!("{}a:\n", " ".repeat(depth));
    }
    let mut bomb = String::from("kind: Pod\napiVersion: v1\nx0: &x0 [a, a, a, a, a, a, a, a, a]\n");
    for level in 1..12 {
        let one = format!("*x{},", level - 1).repeat(9);
        bomb += &format!("x{level}: &x{level} [{one}]\n");
    }
    let wide = "- a\n".repeat(1_100_000);
    let huge = "#".repeat(17 << 20);
    // Each of them is within a bound of its own.
    let bombs = bomb.replace("x11: ", "spec: ").repeat(3).replace("kind: Pod", "---\nkind: Pod");
    let many = pod("{}") + &format!("---\n{}", pod("{}")).repeat(6_000);
    for text in [deep, deep_json, deep_block, bomb, bombs, many, wide, huge] {
        assert!(inject(&text, &options()).is_err(), "{}…", &text[..40]);
    }
}

/// An alias bomb in an object that is none of ours costs nothing: it is not resolved.
#[test]
fn text_without_workloads_stays_as_it_is() {
    for text in ["", "\n\n", "# only a comment\n", "---\n---\n", "a: 1", "- 1\n- {a: }\n", "~\n"] {
        assert_eq!(inject(text, &options()).unwrap().text, text);
    }
}

/// The book's table of settings is the library's.
#[test]
fn the_book_lists_every_setting() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let page = std::fs::read_to_string(root.join("docs/inject.md")).unwrap();
    let rows: Vec<String> = tidegate_kubernetes_inject::settings::KEYS
        .iter()
        .map(|key| format!("| `{}` | {} |", key.name, key.meaning))
        .collect();
    let rows = rows.join("\n");
    assert!(page.contains(&format!("|---|---|\n{rows}\n\n")), "docs/inject.md needs:\n{rows}");
}

/// A list of pods in one line, as programs write it, takes no longer than one of many lines.
#[test]
fn one_long_line_of_json_works_as_many_lines() {
    let one = r#"{"apiVersion":"v1","kind":"Pod","spec":{"containers":[{"name":"a","ports":[{"#
        .to_owned()
        + r#""containerPort":80}]}]}}"#;
    let items = vec![one.as_str(); 3_000].join(",");
    let text = format!(r#"{{"apiVersion":"v1","kind":"List","items":[{items}]}}"#);
    let out = inject(&text, &options()).unwrap().text;
    assert_eq!(out.matches("\"tidegate-queue-proxy\"").count(), 3_000);
}

#[test]
fn a_scaler_says_which_of_its_fields_cannot_be_followed() {
    let scaler = "apiVersion: tidegate.dev/v1alpha1\nkind: TrafficScaler\nmetadata: {name: s}\n\
                  spec:\n  targetRef: {apiVersion: v1, kind: Pod, name: p}\n  \
                  sidecar: {queue: {timeout: soon}}\n";
    let text = format!("{}---\n{scaler}", pod_with("", ""));
    let refused = refusal(&text, &options());
    for word in ["TrafficScaler s", "spec.sidecar.queue.timeout", "'soon'", "such as 5s"] {
        assert!(refused.contains(word), "{word} is not in: {refused}");
    }
}
