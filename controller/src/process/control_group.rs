//! Control groups: what an app has started and what has left its process group and cleared its
//! environment is still in the group that its app was started in.
//!
//! Each instance gets a group of its own within that of the run, where the kernel has control
//! groups of version 2 and lets this user make them: as root, and in sessions that systemd has
//! delegated. Elsewhere processes are found by their tag alone. No group is given a controller or a
//! limit.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use rustix::process::Pid;

use super::process_tag::Scope;

/// Kills every process of a group and of the groups within it. Linux has it from 5.14 on.
const KILL_FILE: &str = "cgroup.kill";

/// The processes of a group. Writing 0 moves the writer into it.
const PROCESSES_FILE: &str = "cgroup.procs";

/// Makes the group of `of` and moves this process into it, before it becomes an app.
///
/// # Errors
/// When there are no such groups, or this user may not make them. Nothing is left behind.
pub(super) fn enter(of: Scope<'_>) -> io::Result<()> {
    let group = path(of).ok_or(io::ErrorKind::Unsupported)?;
    fs::create_dir_all(&group)?;
    let entered = match group.join(KILL_FILE).exists() {
        true => fs::write(group.join(PROCESSES_FILE), "0"),
        false => Err(io::ErrorKind::Unsupported.into()),
    };
    if entered.is_err() {
        remove(of);
    }
    entered
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
    let mounts = fs::read_to_string("/proc/self/mounts").ok()?;
    let mount = mounts.lines().find_map(|line| {
        let mut fields = line.split(' ').skip(1);
        let (place, kind) = (fields.next()?, fields.next()?);
        (kind == "cgroup2").then(|| PathBuf::from(place))
    })?;
    let own = fs::read_to_string("/proc/self/cgroup").ok()?;
    let own = own.lines().find_map(|line| line.strip_prefix("0::/"))?;
    Some(below(&mount.join(own), of))
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
