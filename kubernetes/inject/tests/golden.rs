//! Inputs and expected outputs as files: `tests/golden/NAME` and `NAME.out` beside it.
//!
//! `UPDATE=1 cargo test -p tidegate-kubernetes-inject` rewrites the outputs; review them.

#![expect(clippy::unwrap_used, reason = "what cannot be read fails the test")]

use std::path::{Path, PathBuf};

use tidegate_kubernetes_inject::{Action, Options, Outcome, inject};

fn inputs() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    let mut paths: Vec<_> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension != "out"))
        .collect();
    paths.sort();
    paths
}

/// The options in the first line of a file, such as `# options: service web`.
fn options(text: &str) -> Options {
    let mut options = Options::default();
    options.settings.set("image", "registry.example/queue-proxy:0.1.0").unwrap();
    let line = text.lines().next().and_then(|line| line.strip_prefix("# options: "));
    for option in line.into_iter().flat_map(|line| line.split("; ")) {
        match option.split_once(' ').unwrap() {
            ("service", name) => options.services.push(name.to_owned()),
            ("workload", name) => options.workloads.push(name.to_owned()),
            ("set", pair) => {
                let (key, value) = pair.split_once('=').unwrap();
                options.settings.set(key, value).unwrap();
            }
            (key, value) => options.settings.set(key, value).unwrap(),
        }
    }
    options
}

#[test]
fn every_input_gives_its_expected_output() {
    for path in inputs() {
        let text = std::fs::read_to_string(&path).unwrap();
        let Outcome { text: found, notes } = inject(&text, &options(&text)).unwrap();
        let found = format!("{}\n{found}", notes.join("\n"));
        let expected = path.with_added_extension("out");
        if std::env::var_os("UPDATE").is_some() {
            std::fs::write(&expected, &found).unwrap();
        }
        let wanted = std::fs::read_to_string(&expected).unwrap();
        assert!(
            found == wanted,
            "{} differs; UPDATE=1 writes it anew:\n{found}",
            expected.display()
        );
    }
}

#[test]
fn injecting_twice_changes_nothing_more() {
    for path in inputs() {
        let text = std::fs::read_to_string(&path).unwrap();
        let once = inject(&text, &options(&text)).unwrap().text;
        let twice = inject(&once, &options(&text)).unwrap();
        assert_eq!(once, twice.text, "{}", path.display());
        assert!(twice.notes.iter().all(|note| !note.contains("injected")), "{:?}", twice.notes);
    }
}

/// Removing the sidecar restores the objects; without one it changes nothing.
#[test]
fn removing_the_sidecar_restores_the_input() {
    for name in [
        "list.json",
        "service.yaml",
        "deployment.yaml",
        "mesh.yaml",
        "stateful.yaml",
        "credentials.yaml",
    ] {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name);
        let text = std::fs::read_to_string(path).unwrap();
        let options = options(&text);
        let remove = Options { action: Action::Remove, ..options.clone() };
        let injected = inject(&text, &options).unwrap().text;
        let out = inject(&injected, &remove).unwrap().text;
        assert!(!out.contains("tidegate-queue-proxy"), "{name}: {out}");
        assert!(!out.contains("tidegate.dev/injected"), "{name}: {out}");
        // The same again: by what comes of it when it is injected once more.
        assert_eq!(inject(&out, &options).unwrap().notes, inject(&text, &options).unwrap().notes);
        if name == "list.json" {
            let value = |text: &str| serde_json::from_str::<serde_json::Value>(text).unwrap();
            assert_eq!(value(&out)["items"][0]["spec"], value(&text)["items"][0]["spec"]);
        }
        assert_eq!(inject(&out, &remove).unwrap().text, out, "{name}");
    }
}

/// Other settings, or another version, begin again from the pod as it was.
#[test]
fn a_sidecar_of_other_settings_is_replaced() {
    for path in inputs().into_iter().filter(|path| path.ends_with("list.json")) {
        let text = std::fs::read_to_string(&path).unwrap();
        let mut others = options(&text);
        for (key, value) in [
            ("cpu-limit", "1"),
            ("metrics-port", "off"),
            ("sidecar-port", "9000"),
            ("concurrency", "auto"),
        ] {
            others.settings.set(key, value).unwrap();
        }
        let otherwise = inject(&text, &others).unwrap().text;
        let older = otherwise.replace(r#"\"version\":\"0"#, r#"\"version\":\"00"#);
        assert_ne!(older, otherwise);
        let anew = inject(&older, &options(&text)).unwrap().text;
        let at_once = inject(&text, &options(&text)).unwrap().text;
        let value = |text: &str| serde_json::from_str::<serde_json::Value>(text).unwrap();
        assert_eq!(value(&anew), value(&at_once), "{}", path.display());
    }
}

/// All other text is still there, line by line: comments, odd spacing, line ends.
#[test]
fn no_other_text_is_changed() {
    for name in ["deployment.yaml", "crlf.yaml", "mesh.yaml", "jobs.yaml"] {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name);
        let text = std::fs::read_to_string(path).unwrap();
        let out = inject(&text, &options(&text)).unwrap().text;
        let mut left = out.split_inclusive('\n');
        let moved = ["readinessProbe", "healthz", "port: http", "periodSeconds", "- name: http"];
        let moved = |line: &str| {
            moved.iter().any(|word| line.contains(word))
                || ["httpGet:", "failureThreshold: 2", "containerPort: 8080", "excludeInbound"]
                    .iter()
                    .any(|word| line.contains(word))
        };
        for line in text.split_inclusive('\n').filter(|line| !moved(line)) {
            assert!(left.any(|found| found == line), "{name} has lost {line:?}");
        }
    }
}
