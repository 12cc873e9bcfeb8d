//! Which ports of activators are tried, and when again.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use tidegate_autoscaler::Timestamp;

/// Connections to activators that are tried at a time.
pub const CHECKS_MAX: usize = 64;

/// Time between two attempts to connect to a port without a listener.
pub const CHECK_AGAIN_MS: u64 = 1_000;

/// Time between two looks at all ports that are to be tried, while nothing has changed: where no
/// activator listens these are as many as Services, and each attempt ends with an event.
const LOOK_AGAIN_MS: u64 = 50;

/// A port of an activator.
type Port = (IpAddr, u16);

/// The attempts that are under way, and those that were made a short time ago.
#[derive(Debug, Default)]
pub(super) struct Checks {
    under_way: BTreeSet<Port>,
    again: BTreeMap<Port, Timestamp>,
    /// When to look at all ports again; `None` while there is nothing to wait for.
    due: Option<Timestamp>,
}

impl Checks {
    /// An attempt has ended.
    pub(super) fn ended(&mut self, now: Timestamp, port: Port) {
        self.under_way.remove(&port);
        let again = now.plus_millis(CHECK_AGAIN_MS);
        self.again.insert(port, again);
        self.due = Some(self.due.map_or(again, |due| due.min(again)));
    }

    /// When ports are to be looked at, although none has come.
    pub(super) fn due(&self) -> Option<Timestamp> {
        self.due
    }

    /// The attempts to begin, of all `ports` that are to be tried.
    pub(super) fn begin(&mut self, now: Timestamp, ports: impl Iterator<Item = Port>) -> Vec<Port> {
        self.again.retain(|_, at| *at > now);
        let mut begun = Vec::new();
        let mut due = self.again.values().copied().min();
        for port in ports {
            if self.under_way.len() >= CHECKS_MAX {
                due = Some(now);
                break;
            }
            if !self.again.contains_key(&port) && self.under_way.insert(port) {
                begun.push(port);
            }
        }
        self.due = due.map(|due| due.max(now.plus_millis(LOOK_AGAIN_MS)));
        begun
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_secs(1_800_000_000);

    fn ports(count: u16) -> impl Iterator<Item = Port> {
        let address = IpAddr::from([10, 0, 0, 1]);
        (0..count).map(move |n| (address, 20_000 + n))
    }

    #[test]
    fn a_port_without_a_listener_is_tried_again_after_a_while() {
        let mut checks = Checks::default();
        assert_eq!(checks.begin(NOW, ports(1)).len(), 1);
        // It is tried once at a time.
        assert_eq!(checks.begin(NOW, ports(1)), []);
        let ended = NOW.plus_millis(3);
        ports(1).for_each(|port| checks.ended(ended, port));
        let again = ended.plus_millis(CHECK_AGAIN_MS);
        assert_eq!(checks.due(), Some(again));
        assert_eq!(checks.begin(ended, ports(1)), []);
        assert_eq!(checks.begin(again, ports(1)).len(), 1);
    }

    /// What a look costs is proportional to the ports, and how often there is one is not.
    #[test]
    fn while_thousands_do_not_listen_each_answer_is_no_look_at_all_of_them() {
        const PORTS: u16 = 3_000;
        let (mut checks, mut now) = (Checks::default(), NOW);
        let (mut looked_at, mut tried) = (0_usize, 0_usize);
        let mut under_way = checks.begin(now, ports(PORTS).inspect(|_| looked_at += 1));
        let end = NOW.plus_millis(10_000);
        while now < end {
            // Each of them is answered within a millisecond, by an event of its own.
            now = now.plus_millis(1);
            for port in std::mem::take(&mut under_way) {
                tried += 1;
                checks.ended(now, port);
                if checks.due().is_some_and(|due| due <= now) {
                    let all = ports(PORTS).inspect(|_| looked_at += 1);
                    under_way.extend(checks.begin(now, all));
                }
            }
            if checks.due().is_some_and(|due| due <= now) {
                under_way.extend(checks.begin(now, ports(PORTS).inspect(|_| looked_at += 1)));
            }
        }
        assert!(tried >= 2 * usize::from(PORTS), "{tried} attempts in ten seconds");
        let looks = looked_at / usize::from(PORTS);
        assert!(looks <= 200, "{looks} looks at all of them for {tried} attempts");
    }
}
