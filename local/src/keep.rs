//! What outlives a run that is killed, and how another run takes it over, or ends it.
//!
//! Each run has a folder of its own in the runtime directory, named for what it serves, and a lock
//! beside it that the system gives back however the run ends. In the folder stands what another run
//! has to know: the run's mark and secrets, where it listened, its services and their instances.
//! Whoever gets the lock takes over what is there, if it was asked to, and otherwise ends it. What
//! nobody takes over is ended by the watchman of the run that was killed.

use std::collections::BTreeMap;
use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use tidegate_controller::process::keep_folder::{read_record, write_record};
use tidegate_controller::process::process_tag::Scope;
use tidegate_controller::process::{KeepFolder, RunId, sweep};
use tidegate_controller::{Declaration, InstanceName, KeptInstance, KeptProcess};
use tidegate_services::{Service, Template};
use tidegate_trust::Secret;
use tokio::sync::oneshot;

use crate::presence;

/// How long what a killed run has left waits for another run: a service manager needs seconds, a
/// person a little longer.
pub const KEPT_FOR: Duration = Duration::from_secs(60);

/// Time between two looks of a watchman for another run.
const OWNER_LOOK_PERIOD: Duration = Duration::from_millis(100);

/// The file with what is known of a run.
const RECORD: &str = "run";

/// The version of that file: what another one has written is ended, not taken over.
const VERSION: u32 = 1;

/// Longest file that is read: 500 services with what they say.
const RECORD_BYTES_MAX: u64 = 64 << 20;

/// What becomes of instances when their run is killed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Outliving {
    /// They end.
    #[default]
    No,
    /// They stay for a minute, and the next run takes them over.
    UntilAdopted,
}

/// What is known of a run.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Record {
    version: u32,
    /// The machine's start, which processes do not outlive.
    boot: String,
    owner: KeptProcess,
    run: String,
    pairing: String,
    secret: String,
    controller: SocketAddr,
    front_door: SocketAddr,
    services: BTreeMap<String, KeptService>,
}

/// How a service of several stood.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct KeptService {
    /// What its file said.
    pub(crate) wanted: Service,
    /// The number of its newest revision.
    pub(crate) number: u32,
    /// The revision that requests went to, and what its instances are.
    pub(crate) current: Option<(String, Template)>,
    pub(crate) was_ready: bool,
}

/// The right to serve something, and what a run before has left of it.
#[derive(Debug)]
pub struct Estate {
    _lock: File,
    folder: PathBuf,
    outliving: Outliving,
    left: Option<Record>,
}

/// What a run is given that takes over from another one.
#[derive(Debug)]
pub(crate) struct Inheritance {
    pub(crate) run: RunId,
    pub(crate) pairing: RunId,
    pub(crate) secret: Secret,
    pub(crate) controller: SocketAddr,
    pub(crate) services: BTreeMap<String, KeptService>,
    instances: Vec<KeptInstance>,
}

/// What has to be known of a run that begins.
pub(crate) struct Begun<'a> {
    pub(crate) run: &'a RunId,
    pub(crate) pairing: &'a RunId,
    pub(crate) secret: &'a Secret,
    pub(crate) controller: SocketAddr,
    pub(crate) front_door: SocketAddr,
}

/// What a run keeps up to date for the next one.
#[derive(Debug)]
pub(crate) struct Keeper {
    estate: Estate,
    record: Record,
    /// Instances of the run before that were not taken over so far.
    rest: Vec<KeptInstance>,
}

impl Estate {
    /// The right to serve what is called so, if no other process has it.
    ///
    /// # Errors
    ///
    /// When the runtime directory cannot be used.
    pub fn take(called: &str, outliving: Outliving) -> io::Result<Option<Self>> {
        let (file, folder) = open(called)?;
        match file.try_lock() {
            Ok(()) => Ok(Some(Self::of(file, folder, outliving))),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }

    /// What a run before has left that nobody serves any more, if there is something: to be ended.
    ///
    /// # Errors
    ///
    /// As for [`Estate::take`].
    pub fn take_left(called: &str) -> io::Result<Option<Self>> {
        match folder_of(called)?.join(RECORD).exists() {
            true => Self::take(called, Outliving::No),
            false => Ok(None),
        }
    }

    /// Waits until the process that has this right ends. Cancel safe, but for a thread that goes on
    /// waiting until this process ends.
    ///
    /// # Errors
    ///
    /// As for [`Estate::take`].
    pub async fn take_in_turn(called: &str, outliving: Outliving) -> io::Result<Self> {
        let (file, folder) = open(called)?;
        let (sender, locked) = oneshot::channel();
        std::thread::Builder::new().name("standby".to_owned()).spawn(move || {
            let locked = file.lock().map(|()| file);
            // Nobody waits any more: the lock is given back with the file.
            drop(sender.send(locked));
        })?;
        let file = locked.await.map_err(io::Error::other)??;
        Ok(Self::of(file, folder, outliving))
    }

    fn of(lock: File, folder: PathBuf, outliving: Outliving) -> Self {
        let left = read(&folder);
        Self { _lock: lock, folder, outliving, left }
    }

    /// Where clients connected to the run before, if it is to be taken over.
    #[must_use]
    pub fn front_door(&self) -> Option<SocketAddr> {
        self.adoptable().map(|left| left.front_door)
    }

    fn adoptable(&self) -> Option<&Record> {
        self.left.as_ref().filter(|left| self.outlives() && left.version == VERSION)
    }

    /// Whether instances are to outlive this run.
    pub(crate) fn outlives(&self) -> bool {
        self.outliving == Outliving::UntilAdopted
    }

    /// The folder of the instances, where they are to outlive this run.
    pub(crate) fn keep_folder(&self) -> Option<KeepFolder> {
        self.outlives().then(|| KeepFolder::new(&self.folder))
    }

    /// The folder, for a watchman.
    pub(crate) fn folder(&self) -> Option<&Path> {
        self.outlives().then_some(&self.folder)
    }

    /// What is to be taken over; what is not is ended, and its number is given.
    pub(crate) fn settle(&mut self) -> (Option<Inheritance>, usize) {
        let adoptable = self.adoptable().is_some();
        let Some(left) = self.left.take() else { return (None, 0) };
        let keep = KeepFolder::new(&self.folder);
        let instances = keep.instances();
        let inheritance = Inheritance::of(left.clone(), instances).filter(|_| adoptable);
        let ended = match (&inheritance, RunId::parse(&left.run)) {
            (None, Some(run)) => sweep(Scope::Run(&run)),
            _ => 0,
        };
        if inheritance.is_none() {
            empty(&self.folder);
        }
        (inheritance, ended)
    }

    /// Keeps what has to be known of a run from now on.
    ///
    /// # Errors
    ///
    /// When it cannot be written down: then nothing can be taken over.
    pub(crate) fn keep(
        self,
        begun: &Begun<'_>,
        inheritance: Option<Inheritance>,
    ) -> io::Result<Keeper> {
        let pid = i32::try_from(std::process::id()).unwrap_or(0);
        let owner = KeptProcess::of(pid);
        let owner = owner.ok_or_else(|| io::Error::other("there is no /proc with processes"))?;
        let (rest, services) =
            inheritance.map(|of| (of.instances, of.services)).unwrap_or_default();
        let record = Record {
            version: VERSION,
            boot: boot(),
            owner,
            run: begun.run.to_string(),
            pairing: begun.pairing.to_string(),
            secret: begun.secret.reveal().to_owned(),
            controller: begun.controller,
            front_door: begun.front_door,
            services,
        };
        let keeper = Keeper { estate: self, record, rest };
        keeper.write()?;
        Ok(keeper)
    }
}

impl Inheritance {
    fn of(left: Record, instances: Vec<KeptInstance>) -> Option<Self> {
        Some(Self {
            run: RunId::parse(&left.run)?,
            pairing: RunId::parse(&left.pairing)?,
            secret: Secret::new(&left.secret, "the run before").ok()?,
            controller: left.controller,
            services: left.services,
            instances,
        })
    }
}

impl Keeper {
    /// Instances of a revision that can be taken over as they are, and the number of the next one.
    /// What cannot is ended before.
    pub(crate) fn inherited(&mut self, declaration: &Declaration) -> (Vec<KeptInstance>, u64) {
        let revision = declaration.id.to_string();
        let digest = declaration.launch.as_ref().map(|launch| launch.digest());
        let its: Vec<KeptInstance> =
            self.rest.extract_if(.., |kept| kept.revision == revision).collect();
        let next = its.iter().filter_map(|kept| number(&kept.instance)).max().unwrap_or(0) + 1;
        let is_as_it_was = |kept: &KeptInstance| {
            Some(kept.launch) == digest && kept.app.is_alive() && kept.sidecar.is_alive()
        };
        let (kept, others): (Vec<_>, Vec<_>) = its.into_iter().partition(is_as_it_was);
        for other in others {
            self.end(&other);
        }
        (kept, next)
    }

    /// Ends what was not taken over, and gives how many instances that were.
    pub(crate) fn end_rest(&mut self) -> usize {
        let rest = std::mem::take(&mut self.rest);
        for kept in &rest {
            self.end(kept);
        }
        rest.len()
    }

    fn end(&self, kept: &KeptInstance) {
        if let (Some(run), Ok(name)) =
            (RunId::parse(&self.record.run), InstanceName::new(&kept.instance))
        {
            sweep(Scope::Instance(&run, &name));
        }
        KeepFolder::new(&self.estate.folder).forget(&kept.instance);
    }

    /// Writes down how the services stand, if that has changed.
    pub(crate) fn note(&mut self, services: BTreeMap<String, KeptService>) -> io::Result<()> {
        if self.record.services == services {
            return Ok(());
        }
        self.record.services = services;
        self.write()
    }

    fn write(&self) -> io::Result<()> {
        write_record(&self.estate.folder.join(RECORD), &self.record)
    }

    /// The run has ended in order: nothing is left for another one.
    pub(crate) fn close(self) {
        empty(&self.estate.folder);
    }
}

/// Ends what carries the mark of `run`, which was killed, unless another run takes it over within
/// `kept_for`.
pub(crate) fn guard(run: &RunId, folder: &Path, kept_for: Duration) {
    let until = Instant::now() + kept_for;
    while Instant::now() < until {
        match read(folder) {
            Some(record) if record.run == run.to_string() && !record.owner.is_alive() => {}
            // Somebody has it, or there is nothing left.
            _ => return,
        }
        std::thread::sleep(OWNER_LOOK_PERIOD);
    }
    let Ok(lock) = open_lock(&folder.with_extension("lock")) else { return };
    // From here on nobody takes over what is about to end.
    if lock.try_lock().is_ok() {
        sweep(Scope::Run(run));
        empty(folder);
    }
}

/// The number of an instance, which stands at its end.
fn number(instance: &str) -> Option<u64> {
    instance.rsplit_once('-')?.1.parse().ok()
}

/// The lock on what is called so, and its folder, which is made.
fn open(called: &str) -> io::Result<(File, PathBuf)> {
    let folder = folder_of(called)?;
    let file = open_lock(&folder.with_extension("lock"))?;
    match DirBuilder::new().mode(0o700).create(&folder) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
        Ok(()) | Err(_) => Ok((file, folder)),
    }
}

fn folder_of(called: &str) -> io::Result<PathBuf> {
    let mut hasher = DefaultHasher::new();
    called.hash(&mut hasher);
    Ok(presence::private_folder()?.join(format!("kept-{:016x}", hasher.finish())))
}

/// The file is never removed: a lock on one that was would be a lock on nothing.
fn open_lock(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(path)
}

/// What is known of a run on this machine since it was started.
fn read(folder: &Path) -> Option<Record> {
    let record: Record = read_record(&folder.join(RECORD), RECORD_BYTES_MAX)?;
    (record.boot == boot()).then_some(record)
}

/// Removes what is in a folder.
fn empty(folder: &Path) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        // What cannot be removed is overwritten by the next run.
        let _ = fs::remove_file(entry.path());
    }
}

/// A name of the time since the machine was started; none where the kernel gives none.
fn boot() -> String {
    fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default().trim().to_owned()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use tidegate_controller::process::process_tag::{RUN_VARIABLE, find};

    use super::*;

    /// Between two looks for the mark of what was started.
    const MARK_LOOK_PERIOD: Duration = Duration::from_millis(1);

    /// A run, and a process that carries its mark.
    fn left(owner: KeptProcess) -> (tempfile::TempDir, RunId, std::process::Child) {
        let place = tempfile::tempdir().expect("a folder");
        let run = RunId::random();
        let anywhere = SocketAddr::from(([127, 0, 0, 1], 1));
        let record = Record {
            version: VERSION,
            boot: boot(),
            owner,
            run: run.to_string(),
            pairing: RunId::random().to_string(),
            secret: "0123456789abcdef".into(),
            controller: anywhere,
            front_door: anywhere,
            services: BTreeMap::new(),
        };
        let folder = place.path().join("kept-1");
        fs::create_dir(&folder).expect("made");
        fs::write(folder.join(RECORD), serde_json::to_vec(&record).expect("JSON"))
            .expect("written");
        let mut sleep = std::process::Command::new("sleep");
        let child = sleep.arg("600").env(RUN_VARIABLE, &run).spawn().expect("sleep is everywhere");
        // It shows its mark once it is the other program, a moment after it was started.
        while find(Scope::Run(&run)).is_empty() {
            std::thread::sleep(MARK_LOOK_PERIOD);
        }
        (place, run, child)
    }

    fn ourselves() -> KeptProcess {
        KeptProcess::of(i32::try_from(std::process::id()).expect("a process")).expect("it runs")
    }

    #[test]
    fn what_nobody_takes_over_in_time_is_ended() {
        let gone = KeptProcess { started_ticks: 0, ..ourselves() };
        let (place, run, mut child) = left(gone);
        let folder = place.path().join("kept-1");
        guard(&run, &folder, Duration::ZERO);
        assert!(!child.wait().expect("it was ours").success());
        assert!(read(&folder).is_none(), "nothing is left to be taken over");
    }

    #[test]
    fn what_somebody_has_taken_over_is_left_alone() {
        let (place, run, mut child) = left(ourselves());
        let folder = place.path().join("kept-1");
        guard(&run, &folder, KEPT_FOR);
        assert!(child.try_wait().expect("it is ours").is_none());
        // Who is about to take it over has the lock before its name stands in the file.
        let gone = KeptProcess { started_ticks: 0, ..ourselves() };
        let (other, other_run, mut other_child) = left(gone);
        let folder = other.path().join("kept-1");
        let lock = open_lock(&folder.with_extension("lock")).expect("made");
        lock.try_lock().expect("it is free");
        guard(&other_run, &folder, Duration::ZERO);
        for child in [&mut child, &mut other_child] {
            assert!(child.try_wait().expect("it is ours").is_none());
            child.kill().expect("it still runs");
            child.wait().expect("it was ours");
        }
    }

    #[test]
    fn a_run_before_the_machine_was_started_is_none() {
        let (place, _, mut child) = left(ourselves());
        let folder = place.path().join("kept-1");
        assert!(read(&folder).is_some());
        let text = fs::read_to_string(folder.join(RECORD)).expect("there");
        fs::write(folder.join(RECORD), text.replace(&boot(), "another")).expect("written");
        assert!(read(&folder).is_none() || boot().is_empty());
        child.kill().expect("it still runs");
        child.wait().expect("it was ours");
    }

    #[test]
    fn what_is_kept_is_its_users_alone_and_goes_with_a_run_in_order() {
        let place = tempfile::tempdir().expect("a folder");
        let (folder, lock) = (place.path().join("kept-1"), place.path().join("kept-1.lock"));
        DirBuilder::new().mode(0o700).create(&folder).expect("made");
        let lock = open_lock(&lock).expect("made");
        let estate = Estate::of(lock, folder.clone(), Outliving::UntilAdopted);
        let anywhere = SocketAddr::from(([127, 0, 0, 1], 1));
        let (run, pairing) = (RunId::random(), RunId::random());
        let secret = Secret::random().expect("randomness");
        let begun = Begun {
            run: &run,
            pairing: &pairing,
            secret: &secret,
            controller: anywhere,
            front_door: anywhere,
        };
        let keeper = estate.keep(&begun, None).expect("kept");
        let mode = |path: &Path| fs::metadata(path).expect("there").permissions().mode() & 0o777;
        let record = folder.join(RECORD);
        assert_eq!([&record, &folder.with_extension("lock")].map(|path| mode(path)), [0o600; 2]);
        assert!(fs::read_to_string(&record).expect("text").contains(secret.reveal()));
        keeper.close();
        assert_eq!(fs::read_dir(&folder).expect("there").count(), 0, "nothing is left");
    }

    #[test]
    fn instances_are_numbered_at_their_end() {
        assert_eq!(number("web-00002-17"), Some(17));
        assert_eq!(number("web"), None);
    }
}
