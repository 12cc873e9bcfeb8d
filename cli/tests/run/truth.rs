//! A run said `0 failed` while clients got 502s: only failures of the activator itself were
//! counted, not responses that a sidecar made up. Clients got one of three reasons by chance, and
//! one that waited for an app that never started got no response at all. Clients that left while
//! their requests waited were counted nowhere.

use crate::running::{self, Running, get, get_text};

/// An app that holds every request, and says its process id.
const SLOW: &str = r#"echo "pid $$"; exec "$0" demo --app --service-time 600s --start-up 0ms"#;

#[test]
fn a_request_whose_app_died_gets_the_reason_and_is_counted() {
    let arguments = ["--listen", "0", "--json", "--", "sh", "-c", SLOW];
    let mut arguments: Vec<String> = arguments.map(str::to_owned).into();
    arguments.push(env!("CARGO_BIN_EXE_tidegate").to_owned());
    let mut run = Running::start_with_stderr(arguments);
    let pid = run.app_pid();
    run.wait_for("is ready");
    let address = run.address();
    let client = std::thread::spawn(move || get_text(&address));
    run.wait_for_request();
    running::kill(pid, "KILL");
    let response = client.join().expect("it ends").expect("a response");
    assert!(response.starts_with("HTTP/1.1 502 "), "{response}");
    assert!(response.ends_with("\r\n\r\nthe app died before it answered\n"), "{response}");
    run.signal("INT");
    assert_eq!(run.wait_for_exit(), Some(0));
    let output = run.output();
    let told = "failed 1 (502 app died: 1)";
    assert!(output.contains(told), "{output}");
    let summary = output.lines().find(|line| line.starts_with('{')).expect("a summary");
    let summary: serde_json::Value = serde_json::from_str(summary).expect("JSON");
    assert_eq!(summary["failed"], 1);
    assert_eq!(summary["failed_by_cause"][0]["cause"], "app died");
}

#[test]
fn clients_of_an_app_that_never_starts_get_the_reason() {
    let arguments = ["--listen", "0", "--initial", "0", "--", "sh", "-c", "exit 7"];
    let mut run = Running::start(arguments.map(str::to_owned).into());
    let response = get_text(&run.address()).expect("a response");
    assert!(response.starts_with("HTTP/1.1 503 "), "{response}");
    assert!(response.contains("\r\nRetry-After: "), "{response}");
    let reason = "sh never became ready in 3 attempts: the app ended (exit status: 7)\n";
    assert!(response.ends_with(reason), "{response}");
    assert_eq!(run.wait_for_exit(), Some(1));
    assert!(run.output().contains("failed 1 (503 never ready: 1)"), "{}", run.output());
}

#[test]
fn causes_are_shown_before_their_effects() {
    let mut run = Running::start(
        ["--listen", "0", "--initial", "0", "--window", "6s", "--idle", "1s"]
            .map(str::to_owned)
            .into_iter()
            .chain(crate::app())
            .collect(),
    );
    assert_eq!(get(&run.address()).expect("a response").status, 200);
    run.wait_for("sh-1 stopped");
    let output = run.output();
    let place = |text: &str| output.find(text).unwrap_or_else(|| panic!("no {text:?}: {output}"));
    assert!(place("0 -> 1 instance.") < place("sh-1 starts"));
    assert!(place("1 -> 0 instances.") < place("sh-1 drains"));
    run.signal("TERM");
    assert_eq!(run.wait_for_exit(), Some(0));
}

#[test]
fn clients_that_leave_before_an_instance_is_ready_are_counted() {
    let arguments = ["--listen", "0", "--json", "--initial", "0", "--", "sleep", "600"];
    let mut run = Running::start_with_stderr(arguments.map(str::to_owned).into());
    let client = running::ask(&run.address()).expect("it listens");
    run.wait_for("sleep-1 starts");
    drop(client);
    run.signal("INT");
    assert_eq!(run.wait_for_exit(), Some(0));
    let output = run.output();
    assert!(output.contains("1 request in "), "{output}");
    assert!(output.contains("failed 0  left by clients 1"), "{output}");
    let summary = output.lines().find(|line| line.starts_with('{')).expect("a summary");
    let summary: serde_json::Value = serde_json::from_str(summary).expect("JSON");
    assert_eq!((&summary["failed"], &summary["left"]), (&0.into(), &1.into()));
}
