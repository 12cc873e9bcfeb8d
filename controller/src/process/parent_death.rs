//! Processes that the kernel ends when the one that started them ends, whatever the cause.
//!
//! Linux can send a process a signal when its parent dies, but only the process itself can request
//! that, and an app does not. So an app is started through [`run_tied`]: this program ties itself
//! to its parent and then becomes the app, which stays tied. The kernel watches the *thread* that
//! started a process, so all are started by one thread that lives for as long as any of them is
//! wanted.
//!
//! Limits: the kernel ends the process that requested it and not its children, and it drops the
//! request when a program with privileges of its own (set-user-ID, capabilities) is executed. So
//! each sidecar watches its parent as well, by [`follow_parent`], and when that ends it kills every
//! process with the tag of its instance: even if the reaper is killed in the same instant, there is
//! still one watcher for each instance.

use std::ffi::OsString;
use std::io;
#[cfg(target_os = "linux")]
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt;

use tokio::process::{Child, Command};
use tokio::sync::{mpsc, oneshot};

#[cfg(target_os = "linux")]
use super::control_group;
use super::process_tag::PARENT_VARIABLE;
#[cfg(target_os = "linux")]
use super::process_tag::{INSTANCE_VARIABLE, RUN_VARIABLE, RunId, Scope};
#[cfg(target_os = "linux")]
use super::sweep::sweep;
use crate::declaration::{Limits, UserIds};
#[cfg(target_os = "linux")]
use crate::identity::InstanceName;

/// In the place of a parent, for what may outlive it.
const NOBODY: &str = "nobody";

/// Exit code of a sidecar whose run died: as if it had been killed with it.
#[cfg(target_os = "linux")]
const EXIT_ORPHANED: i32 = 128 + 9;

/// Processes that may wait to be started. More than an actuator ever starts at once only makes
/// the caller wait.
const DEPTH: usize = 64;

/// Starts processes from one thread, which ends when all of these are dropped.
#[derive(Debug, Clone)]
pub(super) struct Starter {
    orders: mpsc::Sender<Order>,
}

#[derive(Debug)]
struct Order {
    command: Command,
    /// A child whose receiver was dropped is killed.
    started: oneshot::Sender<io::Result<Child>>,
}

impl Starter {
    /// Must be called within a tokio runtime, which will reap the children.
    pub(super) fn new() -> Self {
        let (orders, mut received) = mpsc::channel::<Order>(DEPTH);
        let runtime = tokio::runtime::Handle::current();
        let starting = move || {
            let _entered = runtime.enter();
            while let Some(Order { mut command, started }) = received.blocking_recv() {
                drop(started.send(command.kill_on_drop(true).spawn()));
            }
        };
        // Without the thread every start fails with a message of its own.
        if let Err(error) = std::thread::Builder::new().name("starter".into()).spawn(starting) {
            tracing::error!(%error, "the thread that starts processes cannot be had");
        }
        Self { orders }
    }

    /// Starts a process. Cancel safe: a process whose caller was cancelled is killed.
    ///
    /// # Errors
    ///
    /// When it cannot be started.
    pub(super) async fn start(&self, command: Command) -> io::Result<Child> {
        let (started, answer) = oneshot::channel();
        let gone = || io::Error::other("the thread that starts processes has ended");
        self.orders.send(Order { command, started }).await.map_err(|_| gone())?;
        answer.await.map_err(|_| gone())?
    }
}

/// Has the kernel kill this process when `parent` ends. Does nothing on systems without such a
/// request.
///
/// # Errors
///
/// When `parent` has ended already, or the kernel refuses.
pub fn tie_to(parent: u32) -> io::Result<()> {
    #[cfg(target_os = "linux")]
    {
        use rustix::process::{Signal, set_parent_process_death_signal};
        set_parent_process_death_signal(Some(Signal::KILL))?;
        // The parent may have ended before the request, and no signal is sent for that.
        check_parent(parent)?;
    }
    Ok(())
}

/// Checks that `parent` is still there: an orphan has another one.
#[cfg(target_os = "linux")]
fn check_parent(parent: u32) -> io::Result<()> {
    let now = rustix::process::getppid().map(|pid| u32::try_from(pid.as_raw_pid()));
    match now == Some(Ok(parent)) {
        true => Ok(()),
        false => Err(io::Error::other("the parent of this process has ended")),
    }
}

/// Makes this process end with the parent that [`PARENT_VARIABLE`] names, if any, and take along
/// everything that carries the tag of its instance.
///
/// # Errors
///
/// When that parent has ended already, or the variable is no process id.
pub fn follow_parent() -> io::Result<()> {
    let parent = std::env::var_os(PARENT_VARIABLE).filter(|parent| parent != NOBODY);
    let Some(parent) = parent else { return Ok(()) };
    let parent = parent.to_str().and_then(|parent| parent.parse().ok());
    let parent =
        parent.ok_or_else(|| io::Error::other(format!("{PARENT_VARIABLE} is no process id")))?;
    #[cfg(target_os = "linux")]
    if let (Some(run), Some(instance)) = (variable(RUN_VARIABLE), variable(INSTANCE_VARIABLE))
        && let (Some(run), Ok(instance)) = (RunId::parse(&run), InstanceName::new(&instance))
        && let Ok(ending) = open_process(parent)
    {
        // Before the check: a parent that ends after it is seen by the descriptor.
        check_parent(parent)?;
        let watching = move || {
            if wait_for_end(&ending).is_ok() {
                sweep(Scope::Instance(&run, &instance));
            }
            std::process::exit(EXIT_ORPHANED);
        };
        std::thread::Builder::new().name("parent".into()).spawn(watching)?;
        return Ok(());
    }
    tie_to(parent)
}

/// A descriptor that becomes readable when a process ends. Linux has them from 5.3 on.
#[cfg(target_os = "linux")]
fn open_process(pid: u32) -> io::Result<OwnedFd> {
    use rustix::process::{Pid, PidfdFlags, pidfd_open};
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw);
    Ok(pidfd_open(pid.ok_or(io::ErrorKind::InvalidInput)?, PidfdFlags::empty())?)
}

#[cfg(target_os = "linux")]
fn wait_for_end(process: &OwnedFd) -> io::Result<()> {
    use rustix::event::{PollFd, PollFlags, poll};
    loop {
        match poll(&mut [PollFd::new(process, PollFlags::IN)], None) {
            Err(rustix::io::Errno::INTR) => {}
            answer => return Ok(answer.map(drop)?),
        }
    }
}

#[cfg(target_os = "linux")]
fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

/// Enters the control group of the instance that this process is tagged with, where that can be
/// had, and gives it these limits.
fn enter_group(limits: Limits) -> io::Result<()> {
    #[cfg(target_os = "linux")]
    if let (Some(run), Some(instance)) = (variable(RUN_VARIABLE), variable(INSTANCE_VARIABLE))
        && let (Some(run), Ok(instance)) = (RunId::parse(&run), InstanceName::new(&instance))
    {
        let entered = control_group::enter(Scope::Instance(&run, &instance), limits);
        // Without a group, what the app starts is found by its tag; limits it would not have.
        return if limits == Limits::default() { Ok(()) } else { entered };
    }
    match limits == Limits::default() {
        true => Ok(()),
        false => Err(io::Error::other("limits need the tag of an instance, and Linux")),
    }
}

/// The parent that a process is to end with, if any, as it is told.
pub(super) fn named(parent: Option<u32>) -> String {
    parent.map_or_else(|| NOBODY.to_owned(), |parent| parent.to_string())
}

/// What [`run_tied`] is told: the parent, if it is to end with one, who is to run the app, and what
/// it may use.
pub(super) fn tie(parent: Option<u32>, user: Option<&UserIds>, limits: Limits) -> String {
    let mut tie = named(parent);
    if let Some(UserIds { user, group, groups }) = user {
        let groups: Vec<String> = groups.iter().map(u32::to_string).collect();
        tie.push_str(&format!(" user={user}:{group}:{}", groups.join(",")));
    }
    let Limits { memory_bytes, cpu_millis, processes } = limits;
    let limits = [
        ("memory", memory_bytes),
        ("cpu", cpu_millis.map(u64::from)),
        ("processes", processes.map(u64::from)),
    ];
    for (name, limit) in limits {
        if let Some(limit) = limit {
            tie.push_str(&format!(" {name}={limit}"));
        }
    }
    tie
}

/// Reads what [`tie`] wrote.
fn read_tie(text: &str) -> Option<(Option<u32>, Option<UserIds>, Limits)> {
    let mut words = text.split(' ');
    let parent = match words.next()? {
        NOBODY => None,
        parent => Some(parent.parse().ok()?),
    };
    let (mut user, mut limits) = (None, Limits::default());
    for word in words {
        match word.split_once('=')? {
            ("user", ids) => user = Some(read_user(ids)?),
            ("memory", bytes) => limits.memory_bytes = Some(bytes.parse().ok()?),
            ("cpu", millis) => limits.cpu_millis = Some(millis.parse().ok()?),
            ("processes", count) => limits.processes = Some(count.parse().ok()?),
            _ => return None,
        }
    }
    Some((parent, user, limits))
}

fn read_user(text: &str) -> Option<UserIds> {
    let mut fields = text.split(':');
    let (user, group) = (fields.next()?.parse().ok()?, fields.next()?.parse().ok()?);
    let groups = fields.next()?.split(',').filter(|group| !group.is_empty());
    let groups = groups.map(str::parse).collect::<Result<_, _>>().ok()?;
    Some(UserIds { user, group, groups })
}

/// Becomes another user for good. Only a process with one thread may call it.
fn become_user(user: &UserIds) -> io::Result<()> {
    #[cfg(target_os = "linux")]
    {
        use rustix::process::{Gid, Uid};
        use rustix::thread::{set_thread_groups, set_thread_res_gid, set_thread_res_uid};
        let groups: Vec<Gid> = user.groups.iter().map(|group| Gid::from_raw(*group)).collect();
        let (uid, gid) = (Uid::from_raw(user.user), Gid::from_raw(user.group));
        set_thread_groups(&groups)?;
        set_thread_res_gid(gid, gid, gid)?;
        Ok(set_thread_res_uid(uid, uid, uid)?)
    }
    #[cfg(not(target_os = "linux"))]
    Err(io::Error::other(format!("user {}: not on this system", user.user)))
}

/// Ties this process to the parent that `tie` names and becomes `command`, as the user that it
/// names. Returns only when that fails, with why. Only a process with one thread may call it.
pub fn run_tied(tie: &str, command: &[OsString]) -> io::Error {
    let Some((program, arguments)) = command.split_first() else {
        return io::ErrorKind::InvalidInput.into();
    };
    let mut app = std::process::Command::new(program);
    app.args(arguments);
    become_tied(tie, enter_group, app)
}

/// The same, with limits that are set by `limit`.
pub(super) fn become_tied(
    tie: &str,
    limit: impl FnOnce(Limits) -> io::Result<()>,
    mut app: std::process::Command,
) -> io::Error {
    let Some((parent, user, limits)) = read_tie(tie) else {
        return io::Error::other("expected the id of a process, and perhaps a user and limits");
    };
    if let Err(error) = limit(limits) {
        return error;
    }
    // Whoever becomes another user loses the tie: it comes last.
    let become_user = user.as_ref().map_or(Ok(()), become_user);
    let tied = become_user.and_then(|()| parent.map_or(Ok(()), tie_to));
    match tied {
        Ok(()) => app.exec(),
        Err(error) => error,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_launcher_is_told_reads_back() {
        let limits =
            Limits { memory_bytes: Some(1 << 29), cpu_millis: Some(500), processes: Some(100) };
        for (user, limits) in [
            (None, Limits::default()),
            (None, limits),
            (Some(UserIds { user: 33, group: 33, groups: vec![33, 100] }), limits),
            (Some(UserIds { user: 1, group: 2, groups: Vec::new() }), Limits::default()),
        ] {
            for parent in [Some(7), None] {
                let told = tie(parent, user.as_ref(), limits);
                assert_eq!(read_tie(&told), Some((parent, user.clone(), limits)));
            }
        }
        for other in ["", "x", "1 2", "1 user=2", "1 user=2:3", "1 user=2:3:x", "1 memory=-1"] {
            assert_eq!(read_tie(other), None, "{other}");
        }
    }
}
