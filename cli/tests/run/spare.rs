//! Before an app began it was moved into a control group, which takes longer than all else that is
//! added to a cold start. Now a launcher stands ready in one, and becomes the app.

use crate::running::{self, Running, group_of};
use crate::watchman::GUARD;

/// An app that has no more processes than one, and is called by its own name.
const APP: [&str; 3] = ["demo", "--app", "--start-up=0ms"];

/// A run whose first instance is there, with the launcher that stands ready; `None` where this
/// machine lets us have no groups, and so none stands ready.
fn run(more: &[&str]) -> Option<(Running, u32)> {
    let settings = [&["--listen", "0", "--name", "web"], more].concat();
    let arguments = [&settings[..], &["--", env!("CARGO_BIN_EXE_tidegate")], &APP].concat();
    let arguments = arguments.into_iter().map(str::to_owned).collect();
    let variables = [("TIDEGATE_SECRET", "a-secret-of-elsewhere-0123456789")];
    let mut run = Running::start_with(arguments, &variables);
    run.wait_for("web-1 is ready");
    let are_grouped = run.descendants().into_iter().any(|pid| group_of(pid).is_some());
    if !are_grouped {
        assert!(run.ready_launchers().is_empty());
        return None;
    }
    let launcher = run.ready_launcher();
    Some((run, launcher))
}

fn entries(pid: u32, what: &str) -> Vec<String> {
    let bytes = std::fs::read(format!("/proc/{pid}/{what}")).unwrap_or_default();
    let entries = bytes.split(|byte| *byte == 0).filter(|entry| !entry.is_empty());
    entries.map(|entry| String::from_utf8_lossy(entry).into_owned()).collect()
}

/// What an app has been given besides its arguments: which pipes are open, the names of its
/// variables, and what a process inherits.
fn surroundings(pid: u32) -> Vec<String> {
    let read =
        |what: &str| std::fs::read_to_string(format!("/proc/{pid}/{what}")).expect("it is there");
    let link = |what: &str| std::fs::read_link(format!("/proc/{pid}/{what}")).expect("it is there");
    let inherited = ["Umask:", "Uid:", "Gid:", "Groups:", "SigBlk:", "SigIgn:"];
    let status = read("status");
    let status = status.lines().filter(|line| inherited.iter().any(|name| line.starts_with(name)));
    let limits = read("limits");
    let files = std::fs::read_dir(format!("/proc/{pid}/fd")).expect("it runs").flatten();
    let pipes = files.filter(|file| {
        let open = std::fs::read_link(file.path()).unwrap_or_default();
        open.to_string_lossy().starts_with("pipe:")
    });
    let pipes = pipes.map(|file| format!("pipe {}", file.file_name().to_string_lossy()));
    let variables = entries(pid, "environ");
    let names = variables.iter().filter_map(|entry| Some(entry.split_once('=')?.0.to_owned()));
    let all = status.chain(limits.lines()).map(str::to_owned).chain(pipes).chain(names);
    let mut all: Vec<String> = all.chain([link("cwd").display().to_string()]).collect();
    all.sort();
    all
}

/// The app of an instance.
fn app_of(run: &Running, instance: &str) -> u32 {
    let is_app = |pid: &u32| {
        let its = entries(*pid, "environ");
        its.contains(&format!("TIDEGATE_INSTANCE={instance}"))
            && its.iter().any(|entry| entry.starts_with("PORT="))
    };
    run.descendants().into_iter().find(is_app).expect("it runs")
}

/// Short windows, so that the first instance ends soon, and the next one starts from zero.
const FROM_ZERO: [&str; 4] = ["--window", "6s", "--idle", "1s"];

#[test]
fn the_launcher_that_stands_ready_becomes_the_next_app_and_nothing_tells_it_from_another() {
    let Some((mut run, launcher)) = run(&FROM_ZERO) else { return };
    let ready = entries(launcher, "environ");
    assert!(!ready.iter().any(|entry| entry.contains("SECRET")), "{ready:?}");
    let of_first = surroundings(app_of(&run, "web-1"));
    run.wait_for("web-1 stopped");
    let group = group_of(launcher).expect("it is in one");
    assert_eq!(running::get(&run.address()).expect("an answer").status, 200);
    let app = app_of(&run, "web-2");
    assert_eq!((app, group_of(app).as_ref()), (launcher, Some(&group)));
    assert_eq!(entries(app, "cmdline"), [&[env!("CARGO_BIN_EXE_tidegate")], &APP[..]].concat());
    assert_eq!(running::name_of(app), "tidegate");
    assert_eq!(surroundings(app), of_first);
    // Its group goes with it, and another launcher stands ready.
    assert_ne!(run.ready_launcher(), launcher);
    run.wait_for("web-2 stopped");
    running::wait_until("its group has gone", || !group.exists());
    run.signal("INT");
    assert_eq!(run.wait_for_exit(), Some(0));
    assert!(run.output().contains(" 1 request in "), "{}", run.output());
    assert!(run.ready_launchers().is_empty());
    assert!(!group.parent().expect("that of the run").exists());
}

#[test]
fn a_launcher_that_stands_ready_ends_with_its_run_and_takes_its_group_along() {
    for guard_too in [false, true] {
        let Some((mut run, launcher)) = run(&[]) else { return };
        let group = group_of(launcher).expect("it is in one");
        let mut killed = vec![run.pid()];
        killed.extend(guard_too.then(|| run.child_called(GUARD)));
        running::kill_all(&killed, "KILL");
        run.wait_for_exit();
        running::wait_until("it has ended", || !running::is_alive(launcher));
        let of_run = group.parent().expect("that of the run");
        running::wait_until("no group is left", || !of_run.exists());
    }
}

#[test]
fn a_launcher_that_is_killed_is_replaced_and_a_held_one_goes_with_its_run() {
    let Some((mut run, launcher)) = run(&FROM_ZERO) else { return };
    let group = group_of(launcher).expect("it is in one");
    running::kill(launcher, "KILL");
    running::wait_until("another one stands ready", || {
        run.ready_launchers().into_iter().any(|pid| pid != launcher)
    });
    assert!(!group.exists());
    let held = run.ready_launcher();
    running::kill(held, "STOP");
    run.signal("KILL");
    run.wait_for_exit();
    running::wait_until("it has ended", || !running::is_alive(held));
}
