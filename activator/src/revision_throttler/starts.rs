//! What a throttler and its instances say of how instances came up.

use std::net::IpAddr;

use tidegate_relay::Address;
use tidegate_reporter::{InstanceStart, Starts};
use tidegate_timeline::Timeline;
use tokio::time::Instant;

use super::cold_starts::{ColdStart, Told};
use super::{Instance, RevisionThrottler};

impl RevisionThrottler {
    /// Replaces what is known of the starts of instances.
    pub fn set_starts(&self, starts: Starts) {
        let mut known = self.cold_starts.lock();
        known.told.retain(|instance| starts.contains_key(instance));
        known.starts = starts;
    }

    /// The cold starts since the last call: the first of each instance.
    pub fn take_cold_starts(&self) -> Vec<ColdStart> {
        std::mem::take(&mut self.cold_starts.lock().untold)
    }

    /// The instance that takes requests at this address, whatever the port, and how it came up.
    pub(crate) fn start_at(&self, host: IpAddr) -> Option<(String, Option<InstanceStart>)> {
        let backends = self.state.lock().backends();
        let is_there = |address: &Address| matches!(address, Address::Tcp(at) if at.ip() == host);
        let found = backends.iter().find(|backend| is_there(backend.upstream.address()))?;
        let start = self.cold_starts.lock().starts.get(&*found.name).copied();
        Some((found.name.to_string(), start))
    }

    /// A request, or a connection, that was seen at `seen` was cold.
    pub(crate) fn note_cold_start(&self, seen: Instant, instance: &str, timeline: Timeline) {
        let revision = format!("{}/{}", self.revision.namespace, self.revision.name);
        match self.cold_starts.lock().note(seen, instance, timeline) {
            Told::First => tracing::info!(revision, instance, "{timeline}"),
            Told::Before => tracing::debug!(revision, instance, "{timeline}"),
        }
    }
}

impl Instance {
    /// How it came up, if the controller told of that a short while ago.
    pub(crate) fn start(&self) -> Option<InstanceStart> {
        self.throttler.cold_starts.lock().starts.get(self.name()).copied()
    }

    /// The host of its address, if that has one.
    pub(crate) fn host(&self) -> Option<IpAddr> {
        match self.upstream().address() {
            Address::Tcp(address) => Some(address.ip()),
            _ => None,
        }
    }

    /// A request to it that was seen at `seen` was cold.
    pub(crate) fn note_cold_start(&self, seen: Instant, timeline: Timeline) {
        self.throttler.note_cold_start(seen, self.name(), timeline);
    }
}
