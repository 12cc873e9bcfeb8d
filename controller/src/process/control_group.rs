//! Control groups: what an app has started and what has left its process group and cleared its
//! environment is still in the group that its app was started in.
//!
//! Each instance gets a group of its own within that of the run, where the kernel has control
//! groups of version 2 and lets this user make them: as root, and in sessions that systemd has
//! delegated. Elsewhere processes are found by their tag alone. No group is given a controller or a
//! limit, unless [`prepare`] was asked for it: a group that limits those within it may have no
//! process of its own, so this process then moves into one beside them.
//!
//! To move into a group takes a process as long as the kernel needs to see every processor pause,
//! about ten milliseconds. So a launcher may move into one ahead of need: a group that is named for
//! the launcher, as groups cannot be renamed, and labelled with the instance once that is known.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use rustix::fs::{XattrFlags, getxattr, setxattr};
use rustix::process::Pid;

use super::process_tag::{RunId, Scope};
use crate::declaration::Limits;
use crate::identity::InstanceName;

/// Kills every process of a group and of the groups within it. Linux has it from 5.14 on.
const KILL_FILE: &str = "cgroup.kill";

/// The processes of a group. Writing 0 moves the writer into it.
const PROCESSES_FILE: &str = "cgroup.procs";

/// The controllers that a group offers to those within it, and which of them do something there.
const OFFERED_FILE: &str = "cgroup.controllers";
const ENABLED_FILE: &str = "cgroup.subtree_control";

/// The controllers of memory, processors and processes.
const CONTROLLERS: [&str; 3] = ["memory", "cpu", "pids"];

/// The group that this process moves into, so that the one around it has no process of its own.
const OURS: &str = "tidegate-self";

/// What the names of groups begin with in which a launcher stands ready. No name of an instance has
/// such a character, as none of a revision has.
const READY_PREFIX: char = '+';

/// The attribute of such a group that names the instance it has become that of.
const LABEL: &str = "user.tidegate.instance";

/// Longest such name that is read: that of a folder, which a group is elsewhere, is no longer.
const LABEL_BYTES_MAX: usize = 255;

/// The period in which a group may use its share of processors, in microseconds: the kernel's own.
const CPU_PERIOD_US: u64 = 100_000;

/// Makes limits of instances possible. What this process starts later counts on it.
///
/// # Errors
///
/// Why they are not: there are no such groups, no controllers, or others are in the group that this
/// process is in.
pub fn prepare() -> io::Result<()> {
    let around = own().ok_or_else(|| io::Error::other("there are no control groups, version 2"))?;
    prepare_within(&around)
}

fn prepare_within(around: &Path) -> io::Result<()> {
    let offered = fs::read_to_string(around.join(OFFERED_FILE)).unwrap_or_default();
    let is_offered = |name: &&str| offered.split_whitespace().any(|offered| offered == *name);
    if let Some(missing) = CONTROLLERS.iter().find(|name| !is_offered(name)) {
        let what = format!("the controller of {missing} is not for the group {}", around.display());
        return Err(io::Error::other(what));
    }
    let ours = around.join(OURS);
    fs::create_dir_all(&ours)?;
    move_into(&ours)?;
    enable(around).map_err(|error| {
        let what = format!("the group {} has other processes: {error}", around.display());
        io::Error::other(what)
    })
}

/// Has the controllers limit the groups within this one.
fn enable(group: &Path) -> io::Result<()> {
    let all = CONTROLLERS.map(|name| format!("+{name}")).join(" ");
    fs::write(group.join(ENABLED_FILE), all)
}

/// Makes the group of `of` with these limits and moves this process into it, before it becomes an
/// app.
///
/// # Errors
/// When there are no such groups, or this user may not make them. Nothing is left behind.
pub(super) fn enter(of: Scope<'_>, limits: Limits) -> io::Result<()> {
    let group = path(of).ok_or(io::ErrorKind::Unsupported)?;
    fs::create_dir_all(&group)?;
    let entered = check_kill(&group).and_then(|()| limit(&group, limits));
    let entered = entered.and_then(|()| move_into(&group));
    if entered.is_err() {
        remove(of);
    }
    entered
}

/// Whether there may be groups: only where there are is it worth while to stand ready in one.
pub(super) fn may_be_had() -> bool {
    own().is_some()
}

/// The group in which this process, a launcher, stands ready.
#[derive(Debug)]
pub(super) struct ReadyGroup {
    group: PathBuf,
    /// Where this process was before.
    before: PathBuf,
}

impl ReadyGroup {
    /// Makes it, and moves this process into it.
    ///
    /// # Errors
    /// When there are no such groups, or this user may not make them. Nothing is left behind.
    pub(super) fn enter(run: &RunId) -> io::Result<Self> {
        let (around, before) = own().zip(current()).ok_or(io::ErrorKind::Unsupported)?;
        let run = below(&around, Scope::Run(run));
        let this = Self { group: run.join(ready_name(std::process::id())), before };
        let entered = this.make(&around, &run).and_then(|()| move_into(&this.group));
        if entered.is_err() {
            remove_ready(&this.group);
        }
        entered.map(|()| this)
    }

    /// Makes the group, and has those of the run limited where that was prepared: done later, it
    /// would take what is in them as long as a move.
    fn make(&self, around: &Path, run: &Path) -> io::Result<()> {
        fs::create_dir_all(run)?;
        let enabled = fs::read_to_string(around.join(ENABLED_FILE)).unwrap_or_default();
        if CONTROLLERS.iter().all(|name| enabled.split_whitespace().any(|known| known == *name)) {
            enable(run)?;
        }
        // One that is there already is that of an instance whose launcher had this number.
        fs::create_dir(&self.group)?;
        check_kill(&self.group)?;
        // Known now, that it cannot be labelled costs no app its launcher.
        label(&self.group, "")
    }

    /// Gives it limits, before this process becomes an app.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub(super) fn limit(&self, limits: Limits) -> io::Result<()> {
        limit(&self.group, limits)
    }

    /// Moves this process back to where it was, and removes the group.
    pub(super) fn leave(self) {
        if move_into(&self.before).is_ok() {
            remove_ready(&self.group);
        }
    }
}

/// The group in which a launcher of this number stands ready.
pub(super) fn of_launcher(run: &RunId, pid: u32) -> Option<PathBuf> {
    Some(below(&own()?, Scope::Run(run)).join(ready_name(pid)))
}

fn ready_name(pid: u32) -> String {
    format!("{READY_PREFIX}{pid}")
}

/// Makes the group of a launcher that of an instance.
///
/// # Errors
/// When the kernel refuses: then it cannot be found.
pub(super) fn label(group: &Path, instance: &str) -> io::Result<()> {
    Ok(setxattr(group, LABEL, instance.as_bytes(), XattrFlags::empty())?)
}

/// Removes the group of a launcher that has ended, and that of the run if nothing else is in it.
pub(super) fn remove_ready(group: &Path) {
    // What another one is in stays.
    let _ = fs::remove_dir(group);
    let _ = group.parent().map(fs::remove_dir);
}

/// Without this file a group is of no use to us.
fn check_kill(group: &Path) -> io::Result<()> {
    match group.join(KILL_FILE).exists() {
        true => Ok(()),
        false => Err(io::ErrorKind::Unsupported.into()),
    }
}

/// Moves this process into a group.
fn move_into(group: &Path) -> io::Result<()> {
    fs::write(group.join(PROCESSES_FILE), "0")
}

/// Gives a group its limits, where there are any.
fn limit(group: &Path, limits: Limits) -> io::Result<()> {
    if limits == Limits::default() {
        return Ok(());
    }
    if let Some(around) = group.parent() {
        enable(around)?;
    }
    let Limits { memory_bytes, cpu_millis, processes } = limits;
    let quota =
        |millis: u32| format!("{} {CPU_PERIOD_US}", u64::from(millis) * CPU_PERIOD_US / 1_000);
    for (file, limit) in [
        ("memory.max", memory_bytes.map(|bytes| bytes.to_string())),
        ("cpu.max", cpu_millis.map(quota)),
        ("pids.max", processes.map(|count| count.to_string())),
    ] {
        if let Some(limit) = limit {
            fs::write(group.join(file), limit)?;
        }
    }
    Ok(())
}

/// Kills everything in the group of `of`, and gives what was in it.
pub(super) fn kill(of: Scope<'_>) -> Vec<Pid> {
    let Some(group) = path(of).filter(|group| group.is_dir()) else { return Vec::new() };
    let members = groups(&group).iter().flat_map(|group| processes(group)).collect();
    // What cannot be killed this way may still carry the tag.
    let _ = fs::write(group.join(KILL_FILE), "1");
    members
}

/// Removes the group of `of`, once nothing is in it.
pub(super) fn remove(of: Scope<'_>) {
    let Some(group) = path(of) else { return };
    for group in groups(&group).iter().rev() {
        // One with a process in it stays, and so do those around it.
        let _ = fs::remove_dir(group);
    }
    if matches!(of, Scope::Instance(..))
        && let Some(run) = group.parent()
    {
        // The last instance of a run takes the run's own along.
        let _ = fs::remove_dir(run);
    }
}

/// Where the group of `of` is, below that of this process: the run, its reaper and its
/// queue-proxies are in one, so all of them agree.
fn path(of: Scope<'_>) -> Option<PathBuf> {
    let named = below(&own()?, of);
    let labelled = match of {
        Scope::Instance(_, instance) if !named.is_dir() => labelled(named.parent()?, instance),
        Scope::Instance(..) | Scope::Run(_) => None,
    };
    Some(labelled.unwrap_or(named))
}

/// The group of a run that carries the label of an instance.
fn labelled(run: &Path, instance: &InstanceName) -> Option<PathBuf> {
    let mut groups = fs::read_dir(run).ok()?.flatten().map(|entry| entry.path());
    groups.find(|group| {
        let mut label = [0; LABEL_BYTES_MAX];
        let length = getxattr(group, LABEL, &mut label);
        length.is_ok_and(|length| label[..length] == *instance.as_str().as_bytes())
    })
}

/// The group of this process, or the one around it where it has moved aside.
fn own() -> Option<PathBuf> {
    let (mount, own) = place()?;
    Some(mount.join(around(&own)))
}

/// The group that this process is in.
fn current() -> Option<PathBuf> {
    let (mount, own) = place()?;
    Some(mount.join(own))
}

/// Where groups are, and the one of this process within.
fn place() -> Option<(PathBuf, String)> {
    let mounts = fs::read_to_string("/proc/self/mounts").ok()?;
    let mount = mounts.lines().find_map(|line| {
        let mut fields = line.split(' ').skip(1);
        let (place, kind) = (fields.next()?, fields.next()?);
        (kind == "cgroup2").then(|| PathBuf::from(place))
    })?;
    let own = fs::read_to_string("/proc/self/cgroup").ok()?;
    let own = own.lines().find_map(|line| line.strip_prefix("0::/"))?;
    Some((mount, own.to_owned()))
}

fn around(own: &str) -> &str {
    match own.rsplit_once('/') {
        Some((around, OURS)) => around,
        _ if own == OURS => "",
        _ => own,
    }
}

fn below(own: &Path, of: Scope<'_>) -> PathBuf {
    let (run, instance) = match of {
        Scope::Run(run) => (run, None),
        Scope::Instance(run, instance) => (run, Some(instance)),
    };
    let run = own.join(format!("tidegate-{run}"));
    // A name may have a slash in it, a folder may not.
    instance.map_or_else(|| run.clone(), |name| run.join(name.as_str().replace('/', "_")))
}

/// A group and those directly within it, the outer one first.
fn groups(group: &Path) -> Vec<PathBuf> {
    let within = fs::read_dir(group).into_iter().flatten().flatten();
    let within = within.map(|entry| entry.path()).filter(|path| path.is_dir());
    std::iter::once(group.to_owned()).chain(within).collect()
}

fn processes(group: &Path) -> Vec<Pid> {
    let listed = fs::read_to_string(group.join(PROCESSES_FILE)).unwrap_or_default();
    listed.lines().filter_map(|line| Pid::from_raw(line.parse().ok()?)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_moved_aside_still_finds_the_group_around() {
        for (own, found) in [
            ("user.slice/tidegate.service", "user.slice/tidegate.service"),
            ("user.slice/tidegate.service/tidegate-self", "user.slice/tidegate.service"),
            ("tidegate-self", ""),
            ("", ""),
            ("not-tidegate-self", "not-tidegate-self"),
        ] {
            assert_eq!(around(own), found, "{own}");
        }
    }

    /// Files in the place of a kernel's: what is written is what it would be told.
    #[test]
    fn a_group_is_given_its_limits_and_the_one_around_it_its_controllers() {
        let folder = tempfile::tempdir().expect("a folder");
        let (run, group) = (folder.path().join("run"), folder.path().join("run/web-1"));
        fs::create_dir_all(&group).expect("made");
        let read = |file: &Path| fs::read_to_string(file).unwrap_or_default();
        limit(&group, Limits::default()).expect("nothing to do");
        assert!(!run.join(ENABLED_FILE).exists());
        let limits = Limits { memory_bytes: Some(512), cpu_millis: Some(1_500), processes: None };
        limit(&group, limits).expect("written");
        assert_eq!(read(&run.join(ENABLED_FILE)), "+memory +cpu +pids");
        assert_eq!(read(&group.join("memory.max")), "512");
        assert_eq!(read(&group.join("cpu.max")), "150000 100000");
        assert!(!group.join("pids.max").exists());
    }

    #[test]
    fn without_controllers_it_is_said_which_one_is_missing_and_nothing_is_moved() {
        let folder = tempfile::tempdir().expect("a folder");
        fs::write(folder.path().join(OFFERED_FILE), "cpu memory\n").expect("written");
        let why = prepare_within(folder.path()).expect_err("one is missing").to_string();
        assert!(why.starts_with("the controller of pids is not for the group"), "{why}");
        assert!(!folder.path().join(OURS).exists());
        fs::write(folder.path().join(OFFERED_FILE), "cpu memory pids\n").expect("written");
        prepare_within(folder.path()).expect("all are there");
        let moved = fs::read_to_string(folder.path().join(OURS).join(PROCESSES_FILE));
        assert_eq!(moved.expect("written"), "0");
    }
}
