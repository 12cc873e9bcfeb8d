//! A process that had left its process group, and cleared its environment, carried no tag any more
//! and outlived its run. Where control groups can be had it is in its instance's.

use crate::running::{self, Running, group_of};

/// Starts a process that nothing but its group tells from others, and writes down which.
const APP: &str = r#"
    setsid env -i PATH="$PATH" sh -c 'echo $$ > "$0.new"; mv "$0.new" "$0"; exec sleep 600' "$1" &
    exec "$0" demo --app --service-time 1ms --start-up 0ms"#;

fn run() -> (tempfile::TempDir, Running, u32) {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("pid");
    let path = file.to_str().expect("text");
    let ours = env!("CARGO_BIN_EXE_tidegate");
    let arguments = ["--listen", "0", "--", "sh", "-c", APP, ours, path];
    let mut run = Running::start(arguments.map(str::to_owned).into());
    run.wait_for("is ready");
    running::wait_until("the process has begun", || file.exists());
    let pid = std::fs::read_to_string(&file).expect("readable").trim().parse();
    (folder, run, pid.expect("a number"))
}

#[test]
fn what_carries_no_tag_ends_with_its_instance_and_leaves_no_group() {
    let (_folder, mut run, pid) = run();
    // Where this machine lets us make no groups such a process cannot be found.
    let grouped = group_of(pid).is_some();
    run.signal("INT");
    assert_eq!(run.wait_for_exit(), Some(0));
    if grouped {
        running::wait_until("it is gone", || !running::is_alive(pid));
    } else {
        running::kill(pid, "KILL");
    }
}

#[test]
fn what_carries_no_tag_ends_with_a_run_that_was_killed() {
    let (_folder, mut run, pid) = run();
    // Where this machine lets us make no groups such a process cannot be found.
    let grouped = group_of(pid).is_some();
    run.signal("KILL");
    run.wait_for_exit();
    if grouped {
        running::wait_until("it is gone", || !running::is_alive(pid));
    } else {
        running::kill(pid, "KILL");
    }
}
