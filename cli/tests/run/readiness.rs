//! An app that listens elsewhere than it should was waited for three times a minute, in silence,
//! and then said to have written nothing. Now it is examined after two seconds, and the output says
//! where the app listens instead.

use crate::running::Running;

#[test]
fn the_address_of_an_app_that_listens_elsewhere_is_shown() {
    let fixed = tidegate_reserved_port::reserve().expect("a port");
    let script =
        format!(r#"PORT={} exec "$0" demo --app --service-time 1ms --start-up 0ms"#, fixed.port());
    let ours = env!("CARGO_BIN_EXE_tidegate");
    let arguments = ["--listen", "0", "--", "sh", "-c", &script, ours];
    let mut run = Running::start(arguments.map(str::to_owned).into());
    run.wait_for("sh-1 is not ready after ");
    run.wait_for(&format!("refuses connections; it listens on 127.0.0.1:{}, not on", fixed.port()));
    run.wait_for(": use {PORT} or $PORT");
    run.signal("INT");
    assert_eq!(run.wait_for_exit(), Some(0));
}

#[test]
fn the_last_probe_is_part_of_the_reason() {
    let arguments = ["--listen", "0", "--start-timeout", "3s", "--", "sleep", "600"];
    let mut run = Running::start(arguments.map(str::to_owned).into());
    assert_eq!(run.wait_for_exit(), Some(1));
    let output = run.output();
    let reason = "did not become ready within 3 s: 127.0.0.1:";
    assert!(output.contains(reason), "{output}");
    assert!(output.contains("it does not listen on any port so far"), "{output}");
}

#[test]
fn an_unexpected_response_of_the_path_is_shown() {
    // The sample app answers every path, so it is asked for by a method of its own: a port that
    // speaks no HTTP is our own controller's, which knows HTTP/2 alone.
    let ours = env!("CARGO_BIN_EXE_tidegate");
    let script = r#"exec "$0" controller --listen 127.0.0.1:$PORT"#;
    let arguments = ["--listen", "0", "--ready", "/healthz", "--", "sh", "-c", script, ours];
    let mut run = Running::start(arguments.map(str::to_owned).into());
    run.wait_for("GET http://127.0.0.1:");
    run.wait_for("/healthz was not answered");
    run.signal("INT");
    assert_eq!(run.wait_for_exit(), Some(0));
}
