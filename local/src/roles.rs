//! The processes beside an app: its queue-proxy, the launcher that ties it to us, and the reaper.
//!
//! They are one program in several roles, chosen by its first argument: the program that starts the
//! service, or another one that calls [`play`] as well, such as `tidegate`.

use std::ffi::{OsStr, OsString};
use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use tidegate_controller::process::launcher::{self, Unused};
use tidegate_controller::process::process_tag::PARENT_VARIABLE;
use tidegate_controller::process::reaper::{self, Ending};
use tidegate_controller::process::{RunId, parent_death};

use crate::keep;

/// The sidecar. It is a role of a service only if the environment names a parent to follow;
/// otherwise it is the command that users type.
const QUEUE_PROXY: &str = "queue-proxy";

/// The reaper and the launcher. Without our name, because `pkill -f tidegate` matches command lines
/// too, and these two have to outlive it.
const REAPER: &str = "tg-watchman";
const LAUNCH: &str = launcher::NAME;

/// Exit code for a program that cannot be started, as shells have it.
const EXIT_NOT_STARTED: u8 = 127;

/// The program that plays the roles of a service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RoleProgram {
    /// The running program: its `main` begins with [`play`].
    Ourselves,
    /// Another program whose `main` begins with [`play`], such as `tidegate`.
    Other(PathBuf),
}

/// The command lines of the roles.
#[derive(Debug)]
pub(crate) struct Commands {
    pub(crate) queue_proxy: Vec<OsString>,
    pub(crate) reaper: Vec<OsString>,
    pub(crate) launch: Vec<OsString>,
}

impl RoleProgram {
    /// The command lines; the reaper is told where it stands what is kept, if anything is.
    pub(crate) fn commands(&self, kept: Option<&Path>) -> io::Result<Commands> {
        let program = match self {
            Self::Ourselves => std::env::current_exe()?,
            Self::Other(path) => path.clone(),
        };
        let command = |role: &str| vec![program.clone().into_os_string(), role.into()];
        Ok(Commands {
            queue_proxy: command(QUEUE_PROXY),
            reaper: command(REAPER).into_iter().chain(kept.map(Into::into)).collect(),
            launch: command(LAUNCH),
        })
    }
}

/// Plays the role that this process was started for, and returns its exit code; `None` in a process
/// that no service started for a role.
///
/// Call it first in `main`, before there is another thread.
#[must_use]
pub fn play() -> Option<ExitCode> {
    let mut arguments = std::env::args_os().skip(1);
    let role = arguments.next()?;
    let code = match role.to_str()? {
        QUEUE_PROXY if std::env::var_os(PARENT_VARIABLE).is_some() => queue_proxy(),
        REAPER => reap(arguments.next(), arguments.next()),
        LAUNCH => launch(arguments),
        _ => return None,
    };
    Some(code)
}

fn queue_proxy() -> ExitCode {
    match parent_death::follow_parent() {
        Ok(()) => tidegate_queue_proxy::run(None),
        Err(error) => failed(format_args!("cannot follow the process that started it: {error}")),
    }
}

/// Waits for the end of a run and ends what it left: at once, or where there is a folder for it
/// when nobody has taken it over in time.
fn reap(first: Option<OsString>, second: Option<OsString>) -> ExitCode {
    let (folder, run) = match second {
        Some(run) => (first, Some(run)),
        None => (None, first),
    };
    reaper::take_name();
    // A failure to ignore SIGHUP makes a weaker reaper, which is still better than none.
    let _deaf = reaper::outlive_hangups();
    let Some(run) = run.and_then(|run| RunId::parse(run.to_str()?)) else {
        return failed(format_args!("the reaper needs the id of a run"));
    };
    match folder {
        None => drop(reaper::reap_after(&run, &mut io::stdin().lock())),
        Some(folder) => {
            if reaper::wait_for_end(&mut io::stdin().lock()) == Ending::Died {
                keep::guard(&run, Path::new(&folder), keep::KEPT_FOR);
            }
        }
    }
    ExitCode::SUCCESS
}

/// Becomes an app that ends with its parent: the one of the arguments, or one that is named later.
fn launch(mut arguments: impl Iterator<Item = OsString>) -> ExitCode {
    let Some(tie) = arguments.next() else { return stand_ready() };
    let command: Vec<OsString> = arguments.collect();
    let (Some(tie), Some(program)) = (tie.to_str(), command.first()) else {
        return failed(format_args!("expected a process id and a command"));
    };
    not_started(program, &parent_death::run_tied(tie, &command))
}

fn stand_ready() -> ExitCode {
    match launcher::stand_ready() {
        Unused::Dismissed => ExitCode::SUCCESS,
        Unused::NotReady(error) => failed(format_args!("cannot stand ready: {error}")),
        Unused::NotStarted(program, error) => not_started(&program, &error),
    }
}

fn not_started(program: &OsStr, error: &io::Error) -> ExitCode {
    eprintln!("{} cannot be started: {error}", program.to_string_lossy());
    ExitCode::from(EXIT_NOT_STARTED)
}

/// Reports on standard error, which is the role's log.
fn failed(why: std::fmt::Arguments<'_>) -> ExitCode {
    eprintln!("{why}");
    ExitCode::FAILURE
}
