//! `--idle-mode freeze`: what is not needed stands still, and is the same process when it is needed
//! again.

use crate::Desk;
use crate::running::{get, kill, wait_until};

/// What the kernel says of a process: `T` is one that stands still.
fn state(pid: u32) -> char {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit(") ").next().and_then(|rest| rest.chars().next()).unwrap_or('?')
}

#[test]
fn an_idle_instance_stands_still_and_the_next_request_wakes_it() {
    let desk = Desk::new();
    let arguments = ["--idle-mode", "freeze", "--window", "6s", "--idle", "1s"];
    let mut web = desk.run("web", &arguments);
    let pid = web.app_pid();
    for round in 1..=3 {
        wait_until("it stands still", || state(pid) == 'T');
        assert_eq!(desk.service("web")["frozen"], 1, "round {round}");
        assert_eq!(get(&web.address()).expect("a response").status, 200);
        assert_ne!(state(pid), 'T');
    }
    let events = desk.printed(&["events"]);
    assert!(events.contains("web-1 is woken") && !events.contains("web-2"), "{events}");
    wait_until("it stands still", || state(pid) == 'T');
    web.signal("INT");
    assert_eq!(web.wait_for_exit(), Some(0), "{}", web.output());
    assert!(web.descendants().is_empty(), "it ended in order");
}

#[test]
fn what_stands_still_ends_with_a_run_that_is_killed() {
    let desk = Desk::new();
    let arguments = ["--idle-mode", "freeze", "--window", "6s", "--idle", "1s"];
    let mut web = desk.run("web", &arguments);
    let pid = web.app_pid();
    wait_until("it stands still", || state(pid) == 'T');
    kill(web.pid(), "KILL");
    web.wait_for_exit();
    wait_until("it is gone", || !crate::running::is_alive(pid));
}
