//! What a process is told that is to become an app: in its arguments, or by a line on its input
//! where it has stood ready for that.

use std::ffi::OsString;
use std::io::{self, Read};
use std::path::Path;
use std::process::Command;

use serde::{Deserialize, Serialize};

/// Longest line of an order: as much as a pipe holds, so that whoever writes one waits for no
/// reader. What is longer, as with variables of many kilobytes, is told in arguments.
const ORDER_BYTES_MAX: usize = 64 << 10;

/// How much of a line is read at a time: most are no longer.
const PIECE_BYTES: usize = 4 << 10;

/// What to become, and with which surroundings.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct LaunchOrder {
    /// The parent, the user and the limits, as [`tie`](super::parent_death::tie) writes them.
    pub(super) tie: String,
    /// Program and arguments.
    pub(super) command: Vec<OsString>,
    /// What is other than in the environment of whoever launches; `None` is taken out of it.
    pub(super) environment: Vec<(OsString, Option<OsString>)>,
    /// Where it runs, if not where whoever launches does.
    pub(super) directory: Option<OsString>,
    /// Pipes with names for input, output and errors, in the place of those that are there.
    pub(super) pipes: Option<[OsString; 3]>,
}

impl LaunchOrder {
    /// A process that becomes this app through a launcher, if there is one.
    pub(super) fn new_process(&self, launcher: &[OsString]) -> Command {
        let tie = (!launcher.is_empty()).then(|| OsString::from(&self.tie));
        self.run(launcher.iter().cloned().chain(tie).chain(self.command.iter().cloned()))
    }

    /// What this process is to become.
    pub(super) fn app(&self) -> Command {
        self.run(self.command.iter().cloned())
    }

    fn run(&self, mut words: impl Iterator<Item = OsString>) -> Command {
        let mut command = Command::new(words.next().unwrap_or_default());
        command.args(words);
        for (name, value) in &self.environment {
            match value {
                Some(value) => command.env(name, value),
                None => command.env_remove(name),
            };
        }
        if let Some(directory) = &self.directory {
            command.current_dir(directory);
        }
        command
    }

    /// Whether a process that is there can be told. That there is no such folder is noticed sooner
    /// by whoever starts a new one.
    pub(super) fn can_be_told(&self) -> bool {
        let is_there = self.directory.as_ref().is_none_or(|folder| Path::new(folder).is_dir());
        is_there && self.to_line().is_some()
    }

    /// The line that says it; `None` when it is too long for one.
    pub(super) fn to_line(&self) -> Option<Vec<u8>> {
        let mut line = serde_json::to_vec(self).ok()?;
        line.push(b'\n');
        (line.len() <= ORDER_BYTES_MAX).then_some(line)
    }

    /// Waits for such a line, behind which nothing may follow; `None` when the input ends before.
    ///
    /// # Errors
    ///
    /// When it cannot be read, or says something else.
    pub(super) fn read(from: &mut impl Read) -> io::Result<Option<Self>> {
        let (mut line, mut piece) = (Vec::new(), [0; PIECE_BYTES]);
        while !line.ends_with(b"\n") {
            match from.read(&mut piece) {
                Ok(0) => return Ok(None),
                Ok(count) => line.extend_from_slice(&piece[..count]),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
            if line.len() > ORDER_BYTES_MAX {
                return Err(io::Error::other("an order is too long"));
            }
        }
        Ok(Some(serde_json::from_slice(&line)?))
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::ffi::OsStringExt;

    use super::*;

    fn order() -> LaunchOrder {
        LaunchOrder {
            tie: "7 memory=512".into(),
            // No text, and what would end a line.
            command: vec!["app".into(), OsString::from_vec(vec![0xff, b'\n', b' '])],
            environment: vec![("PORT".into(), Some("1".into())), ("SECRET".into(), None)],
            directory: Some("/tmp".into()),
            pipes: Some(["in", "out", "err"].map(OsString::from)),
        }
    }

    #[test]
    fn an_order_reads_back_as_one_line() {
        let line = order().to_line().expect("short");
        assert_eq!(line.iter().filter(|byte| **byte == b'\n').count(), 1);
        assert_eq!(LaunchOrder::read(&mut &line[..]).expect("an order"), Some(order()));
        let half = &line[..line.len() / 2];
        assert_eq!(LaunchOrder::read(&mut &*half).expect("an end"), None);
        assert!(LaunchOrder::read(&mut &b"{}\n"[..]).is_err());
    }

    #[test]
    fn what_is_too_long_for_a_line_is_neither_said_nor_read() {
        let command = vec!["x".repeat(ORDER_BYTES_MAX).into()];
        assert_eq!(LaunchOrder { command, ..order() }.to_line(), None);
        assert!(LaunchOrder::read(&mut io::repeat(b'x')).is_err());
    }

    #[test]
    fn a_launcher_is_told_the_tie_and_an_app_is_not() {
        let words = |command: Command| {
            let words = [command.get_program()].into_iter().chain(command.get_args());
            words.map(OsString::from).collect::<Vec<_>>()
        };
        let order = LaunchOrder { command: vec!["app".into(), "-v".into()], ..order() };
        assert_eq!(words(order.app()), ["app", "-v"]);
        assert_eq!(words(order.new_process(&[])), ["app", "-v"]);
        let launcher = ["tidegate".into(), "launch".into()];
        let told = ["tidegate", "launch", "7 memory=512", "app", "-v"];
        assert_eq!(words(order.new_process(&launcher)), told);
        let environment = [("PORT".as_ref(), Some("1".as_ref())), ("SECRET".as_ref(), None)];
        assert!(order.app().get_envs().eq(environment));
    }
}
