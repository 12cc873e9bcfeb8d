//! Requests that would wait long at this instance, handed on to an activator, which knows of all
//! instances.
//!
//! A Service leads a burst to the instances that are there, however full they are, while new ones
//! begin. The controller names ports of activators that belong to this revision; once as many
//! requests wait as may run, those that come besides go there and to whichever instance has room
//! first. Without such a port, or where none can be reached, they wait here as ever.
//!
//! A request that an activator has sent is never handed on, so that none goes in circles.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tidegate_relay::{Address, ConnectPatience, Upstream, UpstreamSettings};
use tidegate_reporter::OverflowAddresses;
use tokio::sync::watch;

use crate::gate::Levels;

/// Time for a connection to an activator. Waiting here is the other choice, and costs no
/// connection, so a slow one is not waited for.
pub(crate) const CONNECT: ConnectPatience = ConnectPatience::Once(Duration::from_millis(250));

/// Activators that are tried for one request.
pub(crate) const ATTEMPTS_MAX: usize = 2;

/// The activators that take this revision's requests. A data thread has one of its own, since
/// connections belong to the event loop that opened them.
pub struct Overflow {
    known: Mutex<Known>,
}

struct Known {
    named: watch::Receiver<OverflowAddresses>,
    upstreams: Vec<Arc<Upstream>>,
    next: usize,
}

impl Overflow {
    /// The activators that `named` has, now and later.
    #[must_use]
    pub fn new(mut named: watch::Receiver<OverflowAddresses>) -> Self {
        named.mark_changed();
        Self { known: Mutex::new(Known { named, upstreams: Vec::new(), next: 0 }) }
    }

    /// Whether there is an activator to hand requests on to.
    #[must_use]
    pub fn is_named(&self) -> bool {
        !self.known.lock().named.borrow().is_empty()
    }

    /// The next activator in turn; `None` where none is named.
    #[must_use]
    pub fn next(&self) -> Option<Arc<Upstream>> {
        let mut known = self.known.lock();
        if known.named.has_changed().unwrap_or(false) {
            known.adopt();
        }
        let upstream = known.upstreams.get(known.next).cloned();
        known.next = (known.next + 1).checked_rem(known.upstreams.len()).unwrap_or(0);
        upstream
    }

    /// Closes connections that have been idle for too long.
    pub fn close_expired(&self) {
        for upstream in &self.known.lock().upstreams {
            upstream.close_expired();
        }
    }
}

impl Known {
    /// Takes over what is named, and keeps the connections to what was named before.
    fn adopt(&mut self) {
        let before = std::mem::take(&mut self.upstreams);
        let addresses: Vec<Address> = self
            .named
            .borrow_and_update()
            .iter()
            // What is no address was named by a newer controller, or by none of ours.
            .filter_map(|address| address.parse::<SocketAddr>().ok().map(Address::Tcp))
            .collect();
        self.upstreams = addresses
            .into_iter()
            .map(|address| {
                let kept = before.iter().find(|upstream| *upstream.address() == address).cloned();
                kept.unwrap_or_else(|| {
                    Arc::new(Upstream::new(address, UpstreamSettings::default()))
                })
            })
            .collect();
        self.next = 0;
    }
}

/// Whether a request that just joined the queue is to be handed on: as many wait as may run, so
/// that it would wait for longer than the requests take that run now.
#[must_use]
pub fn is_due(levels: Levels) -> bool {
    levels.limit.count().is_some_and(|limit| levels.waiting > limit.get())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(addresses: &[&str]) -> OverflowAddresses {
        addresses.iter().map(|address| (*address).to_owned()).collect()
    }

    fn port(overflow: &Overflow) -> Option<String> {
        overflow.next().map(|upstream| upstream.address().to_string())
    }

    #[test]
    fn activators_take_turns_and_what_is_no_address_is_left_out() {
        let (names, seen) = watch::channel(OverflowAddresses::new());
        let overflow = Overflow::new(seen);
        assert_eq!(port(&overflow), None);
        names.send_replace(named(&["10.0.0.1:20000", "activator", "[fd00::2]:20000"]));
        let turns: Vec<_> = (0..3).filter_map(|_| port(&overflow)).collect();
        assert_eq!(turns, ["10.0.0.1:20000", "[fd00::2]:20000", "10.0.0.1:20000"]);
        names.send_replace(OverflowAddresses::new());
        assert_eq!(port(&overflow), None);
    }

    #[test]
    fn connections_to_an_activator_that_stays_are_kept() {
        let (names, seen) = watch::channel(named(&["10.0.0.1:20000"]));
        let overflow = Overflow::new(seen);
        let before = overflow.next().expect("one is named");
        names.send_replace(named(&["10.0.0.2:20000", "10.0.0.1:20000"]));
        assert!(!Arc::ptr_eq(&before, &overflow.next().expect("the new one")));
        assert!(Arc::ptr_eq(&before, &overflow.next().expect("the one that stays")));
    }
}
