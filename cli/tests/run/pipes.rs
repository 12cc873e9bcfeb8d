//! An app here has a pipe where it has a terminal in its user's shell. Its input was `/dev/null`,
//! so servers that leave when their input ends left; its output was shown as far as there was
//! room, and nothing said what was missing; and an app that failed was shown six times.

use crate::running::Running;

const APP: &str = r#"exec "$0" demo --app --service-time 1ms --start-up 0ms"#;

fn start(flags: &[&str], script: &str) -> Running {
    let flags = flags.iter().map(|flag| (*flag).to_owned());
    let app = ["--", "sh", "-c", script, env!("CARGO_BIN_EXE_tidegate")].map(str::to_owned);
    Running::start(["--listen".into(), "0".into()].into_iter().chain(flags).chain(app).collect())
}

#[test]
fn input_stays_open_while_the_instance_is_wanted() {
    let leaves = format!("(cat; echo input\\ ended) & {APP}");
    // In the background a shell gives `/dev/null`, unless it is redirected.
    let leaves = leaves.replacen("(cat;", "exec 3<&0; (cat <&3;", 1);
    let mut run = start(&[], &leaves);
    run.wait_for("is ready");
    assert!(!run.output().contains("input ended"), "{}", run.output());
    run.signal("INT");
    assert_eq!(run.wait_for_exit(), Some(0));
}

#[test]
fn lines_that_are_shown_and_lines_left_out_are_all_lines_and_the_log_has_each() {
    const WRITTEN: usize = 60_000;
    let folder = tempfile::tempdir().expect("a folder");
    let logs = folder.path().join("logs");
    let burst = format!(
        "i=0; while [ $i -lt 600 ]; do i=$((i+1)); echo \"{}\"; done; {APP}",
        ["line"; WRITTEN / 600].join("\n")
    );
    let mut run = start(&["--log-dir", logs.to_str().expect("text")], &burst);
    run.wait_for("is ready");
    run.signal("INT");
    assert_eq!(run.wait_for_exit(), Some(0));
    let output = run.output();
    let written = output.lines().filter_map(|line| line.split_once(" sh-1 | "));
    let shown = written.filter(|(_, text)| !text.starts_with("… ")).count();
    let left_out: usize = output
        .lines()
        .filter_map(|line| line.split_once("… ")?.1.split(' ').next()?.parse::<usize>().ok())
        .sum();
    let log = std::fs::read_to_string(logs.join("sh-1.log")).expect("it was written");
    // Any line can be among those left out, the last one as well.
    let all = log.lines().count();
    assert_eq!(shown + left_out, all, "{shown} shown, {left_out} left out");
    assert_eq!(log.lines().filter(|line| *line == "line").count(), WRITTEN);
}

#[test]
fn what_every_attempt_writes_is_shown_once_and_at_the_end() {
    let mut run = start(&[], "echo it went boom >&2; exit 3");
    assert_eq!(run.wait_for_exit(), Some(1));
    let output = run.output();
    assert_eq!(output.matches("it went boom").count() - 1, 2, "once in the command: {output}");
    assert_eq!(output.matches("wrote the same").count(), 2, "{output}");
}

#[test]
fn an_app_that_ignores_sigterm_is_reported_and_given_the_time_that_was_set() {
    let mut run =
        start(&["--stop-timeout", "3s"], &format!("trap '' TERM; {APP} & wait; sleep 600"));
    run.wait_for("is ready");
    run.signal("INT");
    assert_eq!(run.wait_for_exit(), Some(0));
    assert!(run.output().contains("sh-1 ignores SIGTERM, killing it in 1 s"), "{}", run.output());
}
