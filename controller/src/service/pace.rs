//! How many reports a stream may send: one that sends more is read more slowly, and so waits for
//! itself, not for the others.

use std::time::Duration;

use tidegate_autoscaler::Timestamp;

use crate::report::Hello;

/// Reports that a stream may send in the long run, and at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Allowance {
    per_second: u32,
    at_once: u32,
}

/// A sidecar reports each second, and at most every tenth of one out of turn; what it remembers
/// when it connects is an hour at most. Five times as many in a second are let pass.
const OF_INSTANCE: Allowance = Allowance { per_second: 50, at_once: 8_000 };

/// An activator reports for each of up to 10,000 revisions, and remembers an hour of 64.
const OF_ACTIVATOR: Allowance = Allowance { per_second: 50_000, at_once: 300_000 };

/// The allowance of one stream, and what is left of it.
#[derive(Debug)]
pub(crate) struct Pace {
    allowance: Allowance,
    /// Thousandths of a report.
    left: u64,
    as_of: Timestamp,
}

const THOUSANDTHS: u64 = 1_000;

impl Pace {
    /// The pace of a stream that began with this hello at `now`.
    pub(crate) fn of(hello: &Hello, now: Timestamp) -> Self {
        let allowance = match hello {
            Hello::QueueProxy { .. } => OF_INSTANCE,
            Hello::Activator { .. } => OF_ACTIVATOR,
        };
        Self { allowance, left: u64::from(allowance.at_once) * THOUSANDTHS, as_of: now }
    }

    /// Takes `reports` that came at `now`. Gives for how long nothing more is to be read.
    pub(crate) fn take(&mut self, now: Timestamp, reports: usize) -> Option<Duration> {
        let Allowance { per_second, at_once } = self.allowance;
        let most = u64::from(at_once) * THOUSANDTHS;
        // A thousandth for each millisecond and report a second.
        let earned = now.millis_since(self.as_of).saturating_mul(per_second.into());
        self.as_of = now;
        self.left = self.left.saturating_add(earned).min(most);
        let taken = (reports as u64).saturating_mul(THOUSANDTHS);
        match self.left.checked_sub(taken) {
            Some(left) => {
                self.left = left;
                None
            }
            None => {
                // What is missing is earned while nothing is read.
                let missing = taken - self.left;
                self.left = 0;
                let pause_ms = missing.div_ceil(per_second.into());
                self.as_of = now.plus_millis(pause_ms);
                Some(Duration::from_millis(pause_ms))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::InstanceName;

    const NOW: Timestamp = Timestamp::from_secs(1_700_000_000);

    fn pace() -> Pace {
        let name = InstanceName::new("a").expect("valid");
        Pace { allowance: OF_INSTANCE, ..Pace::of(&activator(name), NOW) }
    }

    fn activator(name: InstanceName) -> Hello {
        Hello::Activator { name, max_waiting: 0, token: None }
    }

    #[test]
    fn what_reporters_send_of_themselves_never_waits() {
        let mut pace = pace();
        // An hour that is remembered, in messages of 500, and then ten reports a second.
        assert!((0..8).all(|_| pace.take(NOW, 450).is_none()));
        let later = |ms| NOW.plus_millis(ms);
        assert!((1..100_000).all(|tenth| pace.take(later(tenth * 100), 1).is_none()));
    }

    #[test]
    fn a_flood_comes_down_to_its_pace() {
        let mut pace = pace();
        let (mut now, mut taken) = (NOW, 0_u64);
        while now < NOW.plus_millis(600_000) {
            taken += 1;
            if let Some(pause) = pace.take(now, 1) {
                now = now.plus_millis(u64::try_from(pause.as_millis()).expect("short"));
            }
        }
        let most = u64::from(OF_INSTANCE.at_once) + 10 * 60 * u64::from(OF_INSTANCE.per_second);
        assert!(taken <= most + 1, "{taken} of {most}");
    }

    #[test]
    fn no_pause_is_endless() {
        let mut pace = pace();
        let pause = pace.take(NOW, 1_000_000).expect("far too many");
        assert!(pause <= Duration::from_secs(20_000), "{pause:?}");
        assert!(pace.take(NOW.plus_millis(1 << 40), 1).is_none());
    }
}
