//! Instances as processes on this machine: an app, and a queue-proxy in front of it.
//!
//! Each instance is one task, which starts both processes, each in a process group of its own,
//! watches them, and ends both on a stop order or when either ends. Every process that is started
//! carries a tag in its environment, so that everything an app leaves behind is found and ended
//! too, and nothing else.
//!
//! In reading order: [`ports`] finds free ports, `instance` is the life of one instance, `output`
//! is what it writes and [`log`] where that is kept, `listening` diagnoses why it is not ready,
//! [`process_tag`] finds processes by their tag, `control_group` those that cleared it, [`sweep()`]
//! kills both, and [`parent_death`] and [`reaper`] do so when the controller dies.

mod control_group;
mod instance;
mod listening;
pub mod log;
mod output;
mod output_stream;
pub mod parent_death;
pub mod ports;
pub mod process_tag;
pub mod reaper;
mod sweep;

use std::collections::HashMap;
use std::ffi::OsString;
use std::sync::Arc;

use tidegate_trust::Secret;
use tokio::sync::{mpsc, watch};

use crate::declaration::Launch;
use crate::event::StopMode;
use crate::identity::{InstanceName, RevisionId};
use crate::task::{Actuator, Handle};

pub use log::LogFolder;
pub use output::{OutputLine, Written};
pub use output_stream::OutputStream;
pub use ports::Ports;
pub use process_tag::RunId;
pub use reaper::Reaper;
pub use sweep::sweep;

/// How processes are started on this machine.
#[derive(Debug)]
pub struct ProcessConfig {
    /// Program and arguments of the queue-proxy, which calls [`parent_death::follow_parent`].
    pub sidecar: Vec<OsString>,
    /// Program and arguments of what calls [`parent_death::run_tied`] with the parent and the
    /// command that are added as its last arguments. Apps are started without when it is empty.
    pub launcher: Vec<OsString>,
    /// Where the controller listens, `host:port`, for the queue-proxies to report to.
    pub controller: String,
    /// The secret that queue-proxies present to it. Apps never receive it.
    pub secret: Option<Secret>,
    /// The tag of everything that is started.
    pub run: RunId,
    /// Where the lines go that apps write. Lines that do not fit are dropped and counted.
    pub output: Option<mpsc::Sender<OutputLine>>,
    /// Where all of them are kept.
    pub logs: Option<LogFolder>,
}

/// Starts and stops instances as processes. Must be used within a tokio runtime.
pub struct ProcessActuator {
    shared: Arc<ActuatorState>,
    orders: HashMap<InstanceName, watch::Sender<Order>>,
}

/// What the tasks of all instances share.
struct ActuatorState {
    config: ProcessConfig,
    ports: Ports,
    starter: parent_death::Starter,
    handle: Handle,
}

/// What an instance is to do. A later order is stricter than those before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Order {
    Run,
    Drain,
    Terminate,
    Kill,
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
        let shared = Arc::new(ActuatorState { config, ports, starter, handle });
        Self { shared, orders: HashMap::new() }
    }
}

impl Actuator for ProcessActuator {
    fn start(&mut self, revision: RevisionId, instance: InstanceName, launch: Arc<Launch>) {
        self.orders.retain(|_, order| !order.is_closed());
        let (order, orders) = watch::channel(Order::Run);
        self.orders.insert(instance.clone(), order);
        let shared = Arc::clone(&self.shared);
        tokio::spawn(instance::live(shared, revision, instance, launch, orders));
    }

    fn stop(&mut self, instance: &InstanceName, mode: StopMode) {
        let Some(orders) = self.orders.get(instance) else { return };
        orders.send_if_modified(|order| {
            let wanted = (*order).max(Order::from(mode));
            std::mem::replace(order, wanted) != wanted
        });
    }
}
