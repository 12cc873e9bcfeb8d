//! Processes are identified by a tag in their environment, which their children inherit.

use std::ffi::OsStr;
use std::fmt;
use std::fs;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::io;

use rustix::process::Pid;
use tidegate_knative::environment::TIDEGATE_INSTANCE;

use crate::identity::InstanceName;

/// The variable that names the run a process belongs to.
pub const RUN_VARIABLE: &str = "TIDEGATE_RUN";

/// The variable that names the instance a process belongs to.
pub const INSTANCE_VARIABLE: &str = TIDEGATE_INSTANCE;

/// The variable with the id of the process whose end also ends a sidecar and its app.
pub const PARENT_VARIABLE: &str = "TIDEGATE_PARENT";

/// One run of a controller on this machine; no two are the same.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunId(String);

impl RunId {
    /// A new one.
    #[must_use]
    pub fn random() -> Self {
        let part = || RandomState::new().build_hasher().finish();
        Self(format!("{:016x}{:016x}", part(), part()))
    }

    /// Reads one back.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let is_ours = text.len() == 32 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        is_ours.then(|| Self(text.to_owned()))
    }
}

impl fmt::Display for RunId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl AsRef<OsStr> for RunId {
    fn as_ref(&self) -> &OsStr {
        OsStr::new(&self.0)
    }
}

/// The processes that a tag covers.
#[derive(Debug, Clone, Copy)]
pub enum Scope<'a> {
    /// Everything of a run.
    Run(&'a RunId),
    /// What belongs to one instance of a run.
    Instance(&'a RunId, &'a InstanceName),
}

impl Scope<'_> {
    fn marks(&self, environment: &[u8]) -> bool {
        let has = |name, wanted: &str| value(environment, name) == Some(wanted.as_bytes());
        match self {
            Scope::Run(run) => has(RUN_VARIABLE, &run.0),
            Scope::Instance(run, instance) => {
                has(RUN_VARIABLE, &run.0) && has(INSTANCE_VARIABLE, instance.as_str())
            }
        }
    }
}

/// The processes that carry the tag, this one left out, and those last that watch over others: a
/// killer that is itself killed half-way leaves the watchers to finish. Reads `/proc`, so it finds
/// nothing on systems without it.
#[must_use]
pub fn find(of: Scope<'_>) -> Vec<Pid> {
    let (mut found, mut watchers) = (Vec::new(), Vec::new());
    for pid in others() {
        // A process that ended meanwhile, or is of another user, cannot be read.
        match environment(pid).unwrap_or_default() {
            environment if !of.marks(&environment) => {}
            environment if value(&environment, PARENT_VARIABLE).is_some() => watchers.push(pid),
            _ => found.push(pid),
        }
    }
    found.extend(watchers);
    found
}

/// Whether a process is just becoming another program. For a moment it then shows the environment
/// of this one, which started it, and for another moment none, whatever it has. One that has none
/// at all looks the same.
#[must_use]
pub fn is_one_between_programs() -> bool {
    let ours = fs::read("/proc/self/environ").unwrap_or_default();
    others().any(|pid| {
        // What has ended, and what is the kernel's, has no program.
        environment(pid).is_ok_and(|shown| shown.is_empty() || shown == ours)
            && fs::read_link(format!("/proc/{}/exe", pid.as_raw_nonzero())).is_ok()
    })
}

/// All processes but this one.
fn others() -> impl Iterator<Item = Pid> {
    let ourselves = rustix::process::getpid();
    let entries = fs::read_dir("/proc").into_iter().flatten();
    entries.filter_map(move |entry| {
        let number = entry.ok()?.file_name().to_str()?.parse().ok()?;
        Pid::from_raw(number).filter(|pid| *pid != ourselves)
    })
}

fn environment(pid: Pid) -> io::Result<Vec<u8>> {
    fs::read(format!("/proc/{}/environ", pid.as_raw_nonzero()))
}

/// The value of a variable in an environment as `/proc` has it.
fn value<'a>(environment: &'a [u8], name: &str) -> Option<&'a [u8]> {
    environment
        .split(|byte| *byte == 0)
        .find_map(|entry| entry.strip_prefix(name.as_bytes())?.strip_prefix(b"="))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_whole_entries_count() {
        let run = RunId::random();
        let name = InstanceName::new("web-1").expect("valid");
        let environment = |text: String| text.replace(' ', "\0").into_bytes();
        let tagged = environment(format!("A=b TIDEGATE_RUN={run} TIDEGATE_INSTANCE=web-1 "));
        assert!(Scope::Run(&run).marks(&tagged));
        assert!(Scope::Instance(&run, &name).marks(&tagged));
        let others = [
            format!("XTIDEGATE_RUN={run}"),
            format!("TIDEGATE_RUN={run}0"),
            format!("TIDEGATE_RUN={}", RunId::random()),
            format!("NOTE=TIDEGATE_RUN={run}"),
        ];
        for other in others {
            assert!(!Scope::Run(&run).marks(&environment(other.clone())), "{other}");
        }
        let neighbour = environment(format!("TIDEGATE_RUN={run} TIDEGATE_INSTANCE=web-12"));
        assert!(!Scope::Instance(&run, &name).marks(&neighbour));
    }

    #[test]
    fn ids_are_read_back() {
        let run = RunId::random();
        assert_eq!(RunId::parse(&run.to_string()), Some(run));
        assert_eq!(RunId::parse("x"), None);
    }
}
