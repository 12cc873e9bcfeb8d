//! A run and its guard that were killed in one call left what the apps had started: the processes
//! that an app starts are not tied to the run by the kernel, and the guard was the only one to look
//! for them. Now each queue-proxy ends what its own app has started.

use crate::running;
use crate::watchman::{GUARD, run, wait_until_gone};

#[test]
fn with_the_guard_killed_in_the_same_call_the_queue_proxies_end_what_apps_have_started() {
    let (_folder, mut run, started) = run();
    let guard = run.child_called(GUARD);
    running::kill_all(&[run.pid(), guard], "KILL");
    run.wait_for_exit();
    wait_until_gone(&started);
}
