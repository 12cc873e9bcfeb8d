//! A launcher that stands ready: this process, in a control group of its own, before it is known
//! which app it becomes.
//!
//! It says that it is ready with one byte on its output, and waits for an order on its input. At
//! the end of that it leaves, and takes its group along: whoever started it has ended, or has no
//! use for it. What it is told besides its run, it is told by that order.

use std::ffi::OsString;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::process::Command;

use super::control_group::ReadyGroup;
use super::launch_order::LaunchOrder;
use super::parent_death::become_tied;
use super::process_tag::{RUN_VARIABLE, RunId};
use super::reaper;

/// The name of a launcher's process for as long as it stands ready, and the word for its role:
/// like the reaper's, without the program's name in it.
pub const NAME: &str = "tg-launch";

/// What is said by a launcher that stands ready.
pub(super) const READY: u8 = b'r';

/// Why a launcher ends that has not become an app.
#[derive(Debug)]
pub enum Unused {
    /// Nobody has any use for it.
    Dismissed,
    /// It cannot stand ready.
    NotReady(io::Error),
    /// This program cannot be started.
    NotStarted(OsString, io::Error),
}

/// Stands ready until this process becomes an app. Returns only when it does not. Only a process
/// with one thread may call it.
pub fn stand_ready() -> Unused {
    let run = std::env::var(RUN_VARIABLE).ok().and_then(|run| RunId::parse(&run));
    let entered = run.ok_or_else(|| io::Error::other(format!("{RUN_VARIABLE} names no run")));
    let group = match entered.and_then(|run| ReadyGroup::enter(&run)) {
        Ok(group) => group,
        Err(error) => return Unused::NotReady(error),
    };
    reaper::name_process(NAME);
    let order = say_ready().and_then(|()| LaunchOrder::read(&mut io::stdin().lock()));
    match order {
        Ok(Some(order)) => {
            let error = launch(&group, &order);
            Unused::NotStarted(order.command.into_iter().next().unwrap_or_default(), error)
        }
        Ok(None) => {
            group.leave();
            Unused::Dismissed
        }
        Err(error) => {
            group.leave();
            Unused::NotReady(error)
        }
    }
}

fn say_ready() -> io::Result<()> {
    let mut output = io::stdout().lock();
    output.write_all(&[READY])?;
    output.flush()
}

/// Becomes the app. Returns only when that fails, with why.
fn launch(group: &ReadyGroup, order: &LaunchOrder) -> io::Error {
    match with_pipes(order) {
        Ok(command) => become_tied(&order.tie, |limits| group.limit(limits), command),
        Err(error) => error,
    }
}

fn with_pipes(order: &LaunchOrder) -> io::Result<Command> {
    let mut command = order.app();
    if let Some([input, output, errors]) = &order.pipes {
        command.stdin(open(input)?).stdout(open(output)?).stderr(open(errors)?);
    }
    Ok(command)
}

/// Both ends of a pipe: an app that may outlive its readers holds them itself.
fn open(pipe: &OsString) -> io::Result<File> {
    OpenOptions::new().read(true).write(true).open(pipe)
}
