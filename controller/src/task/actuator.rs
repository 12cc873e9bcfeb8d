//! Who carries out what is decided about instances.

use std::sync::Arc;

use crate::declaration::Launch;
use crate::event::StopMode;
use crate::identity::{InstanceName, RevisionId};
use crate::kept::KeptInstance;

/// Starts and stops instances, and reports how they end through
/// [`Handle::happened`](super::Handle::happened). It makes no choice of its own.
pub trait Actuator: Send {
    /// Starts an instance. Must not wait for it.
    fn start(&mut self, revision: RevisionId, instance: InstanceName, launch: Arc<Launch>);

    /// Takes over an instance that a run before has started. One that cannot lets it end.
    fn adopt(
        &mut self,
        of: RevisionId,
        instance: InstanceName,
        by: Arc<Launch>,
        kept: KeptInstance,
    ) {
        let _ = (of, instance, by, kept);
    }

    /// Stops an instance. Must not wait for it, and must accept one that has ended meanwhile.
    fn stop(&mut self, instance: &InstanceName, mode: StopMode);

    /// Lets the app of an instance stand still. Only asked for where [`Launch::idle_mode`] says so;
    /// one that cannot freeze lets it run.
    fn freeze(&mut self, instance: &InstanceName) {
        let _ = instance;
    }

    /// Lets it go on.
    fn thaw(&mut self, instance: &InstanceName) {
        let _ = instance;
    }
}

/// For controllers whose instances another system starts.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoActuator;

impl Actuator for NoActuator {
    fn start(&mut self, _: RevisionId, _: InstanceName, _: Arc<Launch>) {}

    fn stop(&mut self, _: &InstanceName, _: StopMode) {}
}
