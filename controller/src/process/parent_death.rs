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
#[cfg(target_os = "linux")]
use crate::identity::InstanceName;

/// Exit code of a sidecar whose run died: as if it had been killed with it.
#[cfg(target_os = "linux")]
const EXIT_ORPHANED: i32 = 128 + 9;

/// Processes that may wait to be started. More than an actuator ever starts at once only makes
/// the caller wait.
const DEPTH: usize = 64;

/// Starts processes from one thread, which ends when this is dropped.
#[derive(Debug)]
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
    let Some(parent) = std::env::var_os(PARENT_VARIABLE) else { return Ok(()) };
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
/// had.
fn enter_group() {
    #[cfg(target_os = "linux")]
    if let (Some(run), Some(instance)) = (variable(RUN_VARIABLE), variable(INSTANCE_VARIABLE))
        && let (Some(run), Ok(instance)) = (RunId::parse(&run), InstanceName::new(&instance))
    {
        // Without a group, what the app starts is found by its tag.
        let _ = control_group::enter(Scope::Instance(&run, &instance));
    }
}

/// Ties this process to `parent` and becomes `command`. Returns only when that fails, with why.
pub fn run_tied(parent: u32, command: &[OsString]) -> io::Error {
    let Some((program, arguments)) = command.split_first() else {
        return io::ErrorKind::InvalidInput.into();
    };
    enter_group();
    match tie_to(parent) {
        Ok(()) => std::process::Command::new(program).args(arguments).exec(),
        Err(error) => error,
    }
}
