//! Every alert that is shipped has a test of when it fires and when it does not, which Prometheus'
//! own tool runs.

#![expect(clippy::unwrap_used, reason = "what cannot be read fails the test")]

use std::collections::BTreeSet;
use std::process::Command;

use xtask::sources::workspace_root;

const RULES: &str = "kubernetes/observe/alerts.yaml";
const TESTS: &str = "kubernetes/observe/alerts_test.yaml";

/// What stands behind `key` in the lines of a file.
fn values(path: &str, key: &str) -> Vec<String> {
    let text = std::fs::read_to_string(workspace_root().join(path)).unwrap();
    let lines = text.lines().filter_map(|line| line.trim().strip_prefix(key));
    lines.map(|value| value.trim().to_owned()).collect()
}

#[test]
fn every_alert_has_a_test_of_both_cases() {
    let rules: BTreeSet<String> = values(RULES, "- alert:").into_iter().collect();
    let tested = values(TESTS, "- alertname:");
    assert!(rules.len() > 10, "{rules:?}");
    assert_eq!(rules, tested.iter().cloned().collect(), "alerts, and those that are tested");
    for rule in &rules {
        let times = tested.iter().filter(|name| *name == rule).count();
        assert!(times >= 2, "{rule} has no test of when it does not fire, or of when it does");
    }
    let (quiet, loud) = (values(TESTS, "exp_alerts: []"), values(TESTS, "- exp_labels:"));
    assert!(quiet.len() >= rules.len() && loud.len() >= rules.len());
}

/// Prometheus is not needed to work on Tidegate: without its tool this says so, and passes.
#[test]
fn alerts_fire_when_they_should() {
    let root = workspace_root();
    let folder = root.join(TESTS);
    let folder = folder.parent().unwrap();
    let promtool = std::env::var_os("PROMTOOL").unwrap_or_else(|| "promtool".into());
    for arguments in [["check", "rules", "alerts.yaml"], ["test", "rules", "alerts_test.yaml"]] {
        let ran = Command::new(&promtool).args(arguments).current_dir(folder).output();
        let Ok(ran) = ran else {
            println!("skipped: there is no promtool (Debian's package prometheus has it)");
            return;
        };
        let said = [ran.stdout, ran.stderr].concat();
        assert!(ran.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&said));
    }
}
