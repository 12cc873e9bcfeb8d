//! Instances as processes on this machine: an app, and a queue-proxy in front of it.
//!
//! Each instance is one task, which starts both processes, each in a process group of its own,
//! watches them, and ends both on a stop order or when either ends. Every process that is started
//! carries a tag in its environment, so that everything an app leaves behind is found and ended
//! too, and nothing else.
//!
//! In reading order: [`ports`] finds free ports, `instance` is the life of one instance, `pair` its
//! two processes, `commands` theirs, `launch_order` says which app a process is to become, a new
//! one or the one that `spare` keeps ready, which is a [`launcher`]; `handle` is one of the two
//! processes, [`keep_folder`] what is known of those that may outlive us, `proof` is what a
//! queue-proxy cannot see of its readiness, with `line_pattern`, `output` is what it writes,
//! [`log`] and [`line_memory`] (of [`ring`]s) where that is kept, `listening` diagnoses why it is
//! not ready, [`process_tag`] finds processes by their tag, `control_group` those that cleared it,
//! [`sweep()`] kills both, and [`parent_death`] and [`reaper`] do so when the controller dies.

mod commands;
mod control_group;
mod handle;
mod instance;
pub mod keep_folder;
mod launch_order;
pub mod launcher;
pub mod line_memory;
mod line_pattern;
mod listening;
pub mod log;
mod output;
mod output_stream;
mod pair;
pub mod parent_death;
pub mod ports;
pub mod process_tag;
mod proof;
pub mod reaper;
pub mod ring;
mod spare;
mod sweep;

use std::collections::HashMap;
use std::ffi::OsString;
use std::sync::Arc;

use parking_lot::Mutex;
use tidegate_trust::Secret;
use tokio::sync::{mpsc, watch};

use crate::declaration::Launch;
use crate::event::StopMode;
use crate::identity::{InstanceName, RevisionId};
use crate::instance::Proof;
use crate::kept::KeptInstance;
use crate::task::{Actuator, Handle};

pub use control_group::prepare as prepare_limits;
pub use keep_folder::KeepFolder;
pub use line_memory::LineMemory;
pub use log::LogFolder;
pub use output::{OutputLine, Written};
pub use output_stream::OutputStream;
pub use ports::Ports;
pub use process_tag::RunId;
pub use reaper::Reaper;
pub use spare::Spare;
pub use sweep::sweep;

/// How processes are started on this machine.
#[derive(Debug)]
pub struct ProcessConfig {
    /// Program and arguments of the queue-proxy, which calls [`parent_death::follow_parent`].
    pub sidecar: Vec<OsString>,
    /// Program and arguments of what calls [`parent_death::run_tied`] with the tie and the
    /// command that are added as its last arguments, and [`launcher::stand_ready`] when none are.
    /// Apps are started without when it is empty.
    pub launcher: Vec<OsString>,
    /// Where the controller listens, `host:port`, for the queue-proxies to report to.
    pub controller: String,
    /// The secret that queue-proxies present to it. Apps never receive it.
    pub secret: Option<Secret>,
    /// The tag of everything that is started.
    pub run: RunId,
    /// Where the lines go that apps write. Lines that do not fit are dropped and counted.
    pub output: Option<mpsc::Sender<OutputLine>>,
    /// Where the last of them are kept, for readers who come later.
    pub memory: LineMemory,
    /// Where all of them are kept.
    pub logs: Option<LogFolder>,
    /// Where it is written down what another run needs to take the instances over, which then
    /// outlive this process; otherwise they end with it.
    pub keep: Option<KeepFolder>,
}

/// Starts and stops instances as processes. Must be used within a tokio runtime.
pub struct ProcessActuator {
    shared: Arc<ActuatorState>,
    wishes: HashMap<InstanceName, watch::Sender<Wish>>,
}

/// What the tasks of all instances share.
struct ActuatorState {
    config: ProcessConfig,
    ports: Ports,
    starter: parent_death::Starter,
    spare: Spare,
    handle: Handle,
    /// What is written down of instances that may outlive this process.
    kept: Mutex<HashMap<InstanceName, KeptInstance>>,
}

impl ActuatorState {
    /// Writes down what there is to know of an instance, where instances are kept. One that cannot
    /// be written down cannot be taken over, and serves all the same.
    fn note(&self, name: &InstanceName, kept: KeptInstance) {
        let Some(keep) = &self.config.keep else { return };
        if let Err(error) = keep.write(&kept) {
            tracing::warn!(%error, instance = %name, "it cannot be taken over by another run");
        }
        self.kept.lock().insert(name.clone(), kept);
    }

    /// Writes down whether an instance is ready, as far as its queue-proxy cannot see that.
    fn note_proof(&self, name: &InstanceName, proof: Proof) {
        let known = self.kept.lock().get(name).cloned();
        if let Some(kept) = known {
            self.note(name, KeptInstance { is_proved: proof == Proof::Given, ..kept });
        }
    }

    /// Nothing is left of an instance.
    fn forget(&self, name: &InstanceName) {
        if let Some(keep) = &self.config.keep {
            keep.forget(name.as_str());
            self.kept.lock().remove(name);
        }
    }
}

/// What an instance is to do. A later order is stricter than those before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Order {
    Run,
    Drain,
    Terminate,
    Kill,
}

/// Whether an app is given time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Motion {
    Runs,
    StandsStill,
}

/// What is wanted of an instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Wish {
    order: Order,
    motion: Motion,
}

impl From<StopMode> for Order {
    fn from(mode: StopMode) -> Self {
        match mode {
            StopMode::Drain => Self::Drain,
            StopMode::Terminate => Self::Terminate,
            StopMode::Kill => Self::Kill,
        }
    }
}

impl ProcessActuator {
    /// An actuator that reports to the controller behind `handle`. Must be called within a tokio
    /// runtime.
    #[must_use]
    pub fn new(config: ProcessConfig, handle: Handle) -> Self {
        let (ports, starter) = (Ports::new(), parent_death::Starter::new());
        let spare = Spare::new(&config.launcher, &config.run, starter.clone());
        let kept = Mutex::default();
        let shared = Arc::new(ActuatorState { config, ports, starter, spare, handle, kept });
        Self { shared, wishes: HashMap::new() }
    }

    /// The launcher that stands ready, to be dismissed at the end: it is a process of the run too.
    #[must_use]
    pub fn spare(&self) -> Spare {
        self.shared.spare.clone()
    }

    /// Begins the life of an instance that is to run.
    fn begin(
        &mut self,
        (revision, instance): (RevisionId, InstanceName),
        launch: Arc<Launch>,
        origin: instance::Origin,
    ) {
        self.wishes.retain(|_, wish| !wish.is_closed());
        let (wish, wishes) = watch::channel(Wish { order: Order::Run, motion: Motion::Runs });
        self.wishes.insert(instance.clone(), wish);
        let shared = Arc::clone(&self.shared);
        tokio::spawn(instance::live(shared, (revision, instance), launch, origin, wishes));
    }

    /// Has an instance learn of what is wanted of it now, if that is something else.
    fn wish(&self, instance: &InstanceName, change: impl FnOnce(Wish) -> Wish) {
        let Some(wishes) = self.wishes.get(instance) else { return };
        wishes.send_if_modified(|wish| {
            let wanted = change(*wish);
            std::mem::replace(wish, wanted) != wanted
        });
    }
}

impl Actuator for ProcessActuator {
    fn start(&mut self, revision: RevisionId, instance: InstanceName, launch: Arc<Launch>) {
        self.begin((revision, instance), launch, instance::Origin::New);
    }

    fn adopt(
        &mut self,
        of: RevisionId,
        instance: InstanceName,
        by: Arc<Launch>,
        kept: KeptInstance,
    ) {
        self.begin((of, instance), by, instance::Origin::Kept(kept));
    }

    fn stop(&mut self, instance: &InstanceName, mode: StopMode) {
        self.wish(instance, |wish| Wish { order: wish.order.max(Order::from(mode)), ..wish });
    }

    fn freeze(&mut self, instance: &InstanceName) {
        self.wish(instance, |wish| Wish { motion: Motion::StandsStill, ..wish });
    }

    fn thaw(&mut self, instance: &InstanceName) {
        self.wish(instance, |wish| Wish { motion: Motion::Runs, ..wish });
    }
}
