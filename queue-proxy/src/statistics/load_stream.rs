//! The load of this instance for whoever listens: what is there now, as it changes.
//!
//! Knative's autoscaler asks for the average of the last second, once a second. Who has to know of
//! a burst when it begins listens at the same port instead.

use std::sync::Arc;

use bytes::Bytes;
use prost::Message;
use tidegate_proto::stats::v1::Stat;
use tokio::sync::watch;

use crate::gate::Levels;

/// Listeners at a time: the replicas of a controller, and those that replace them.
const LISTENERS_MAX: usize = 8;

/// Where the load is told, and heard. Cheap to clone.
#[derive(Debug, Clone)]
pub struct LoadStream {
    /// The newest message, behind its length.
    newest: Arc<watch::Sender<Bytes>>,
}

impl Default for LoadStream {
    fn default() -> Self {
        Self { newest: Arc::new(watch::Sender::new(message(&Stat::default()))) }
    }
}

impl LoadStream {
    /// Whether anybody listens.
    pub(super) fn is_heard(&self) -> bool {
        self.newest.receiver_count() > 0
    }

    /// Tells those who listen what is there, and `connections` that come past the gate.
    pub(super) fn tell(&self, levels: &Levels, connections: u32) {
        if !self.is_heard() {
            return;
        }
        self.newest.send_replace(message(&Stat {
            in_flight: levels.inside().saturating_add(connections),
            waiting: levels.waiting,
            limit: levels.limit.to_wire(),
            ..Stat::default()
        }));
    }

    /// Messages from now on, of which one that is not taken is replaced by the next; `None` when
    /// there are too many listeners.
    pub fn listen(&self) -> Option<watch::Receiver<Bytes>> {
        (self.newest.receiver_count() < LISTENERS_MAX).then(|| self.newest.subscribe())
    }
}

fn message(load: &Stat) -> Bytes {
    load.encode_length_delimited_to_vec().into()
}
