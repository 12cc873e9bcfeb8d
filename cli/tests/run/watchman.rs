//! `kill -9` of everything called tidegate left the app, its port and its children: the guard had
//! the name of what it guarded, nobody replaced a guard that was killed alone, and nothing else
//! stood between a dead run and its apps. Now the guard is called something else and is replaced,
//! the kernel ends the apps when the run ends, and each queue-proxy ends what its app has started.

use std::path::PathBuf;

use crate::running::{self, Running};

/// Name of a guard's process.
pub(crate) const GUARD: &str = "tg-watchman";

/// A run of two instances of an app that is called neither like us nor like the guard, each with a
/// child that has left its process group.
pub(crate) fn run() -> (tempfile::TempDir, Running, Vec<u32>) {
    let folder = tempfile::tempdir().expect("a folder");
    let app: PathBuf = folder.path().join("sample-app");
    std::fs::copy(env!("CARGO_BIN_EXE_tidegate"), &app).expect("a copy");
    let script = r#"setsid sleep 600 & exec "$0" demo --app --service-time 1ms --start-up 0ms"#;
    let app = app.to_str().expect("text");
    let arguments = ["--listen", "0", "--min", "2", "--", "sh", "-c", script, app];
    let mut run = Running::start(arguments.map(str::to_owned).into());
    run.wait_for("sh-1 is ready");
    run.wait_for("sh-2 is ready");
    let started = run.descendants();
    assert!(started.len() >= 6, "two apps, their children and their queue-proxies: {started:?}");
    (folder, run, started)
}

pub(crate) fn wait_until_gone(pids: &[u32]) {
    running::wait_until("all of them are gone", || pids.iter().all(|pid| !running::is_alive(*pid)));
}

#[test]
fn killing_everything_of_our_name_leaves_nothing() {
    let (_folder, mut run, started) = run();
    let ours = started.iter().copied().filter(|pid| running::name_of(*pid) == "tidegate");
    let ours: Vec<u32> = ours.chain([run.pid()]).collect();
    assert_eq!(ours.len(), 3, "the run and two queue-proxies");
    for pid in ours {
        running::kill(pid, "KILL");
    }
    run.wait_for_exit();
    wait_until_gone(&started);
}

#[test]
fn a_guard_that_is_killed_alone_is_replaced_and_the_next_one_does_its_duty() {
    let (_folder, mut run, started) = run();
    let first = run.child_called(GUARD);
    running::kill(first, "KILL");
    running::wait_until("another guard is posted", || {
        run.children_called(GUARD).iter().any(|pid| *pid != first && running::is_alive(*pid))
    });
    run.signal("KILL");
    run.wait_for_exit();
    wait_until_gone(&started);
}

#[test]
fn the_command_line_of_a_guard_does_not_name_us() {
    let (_folder, mut run, _) = run();
    let guard = run.child_called(GUARD);
    let line = std::fs::read(format!("/proc/{guard}/cmdline")).expect("it runs");
    let line = String::from_utf8_lossy(&line).into_owned();
    for name in ["tidegate", "queue-proxy", "guard", "sample-app"] {
        assert!(!line.contains(name), "{line}");
    }
    run.signal("INT");
    assert_eq!(run.wait_for_exit(), Some(0));
    running::wait_until("the guard leaves", || !running::is_alive(guard));
}

#[test]
fn a_guard_that_was_held_does_its_duty_when_it_is_let_go() {
    let (_folder, mut run, started) = run();
    let guard = run.child_called(GUARD);
    running::kill(guard, "STOP");
    run.signal("KILL");
    run.wait_for_exit();
    running::kill(guard, "CONT");
    // The kernel hangs up on a stopped process whose parent dies, which ended the guard too early.
    running::wait_until("the guard has done its duty", || !running::is_alive(guard));
    wait_until_gone(&started);
}
