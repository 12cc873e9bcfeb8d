//! How long an instance may take to accept a connection before the request goes to another.
//!
//! Learned as TCP learns when to send again (RFC 6298): the smoothed time of the connections that
//! were made, and four times how much it varies. One estimate serves a revision, whose instances
//! share a network, so that an instance without a connection yet has one as well.

use std::time::Duration;

/// Before anything was learned: well above a round trip within one cluster, and too short for a
/// client to notice once.
const INITIAL: Duration = Duration::from_millis(200);
/// At least this: what Knative tries first. A scheduler that is busy for a moment is no failure.
const FLOOR: Duration = Duration::from_millis(50);
/// At most this: by then the kernel sends its first packet again, and it was lost.
const CEILING: Duration = Duration::from_secs(1);
/// At most this at the only instance: one lost packet is sent again by then.
const CEILING_ALONE: Duration = Duration::from_secs(3);

/// The smoothed connect time of one revision.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct ConnectBudget {
    smoothed: Option<Smoothed>,
}

#[derive(Debug, Clone, Copy)]
struct Smoothed {
    time: Duration,
    variation: Duration,
}

impl ConnectBudget {
    /// A connection was made in `took`.
    pub(super) fn learn(&mut self, took: Duration) {
        self.smoothed = Some(match self.smoothed {
            None => Smoothed { time: took, variation: took / 2 },
            Some(Smoothed { time, variation }) => Smoothed {
                variation: (variation * 3 + time.abs_diff(took)) / 4,
                time: (time * 7 + took) / 8,
            },
        });
    }

    /// The budget while other instances may take the request.
    pub(super) fn among_others(&self) -> Duration {
        self.smoothed.map_or(INITIAL, |smoothed| {
            (smoothed.time + smoothed.variation * 4).clamp(FLOOR, CEILING)
        })
    }

    /// The budget at the only instance there is, after so many failures in a row: it doubles each
    /// time, so that connecting over a network that has become slow still succeeds.
    pub(super) fn alone(&self, failures: u32) -> Duration {
        let doubled = self.among_others().saturating_mul(1 << failures.min(8));
        doubled.min(CEILING_ALONE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn learned(times: impl IntoIterator<Item = u64>) -> ConnectBudget {
        let mut budget = ConnectBudget::default();
        times.into_iter().for_each(|millis| budget.learn(Duration::from_millis(millis)));
        budget
    }

    #[test]
    fn the_budget_follows_connect_times_within_its_bounds() {
        assert_eq!(learned([]).among_others(), INITIAL);
        assert_eq!(learned([0; 20]).among_others(), FLOOR);
        let steady = learned([100; 50]).among_others();
        assert!((100..110).contains(&steady.as_millis()), "{steady:?}");
        assert_eq!(learned([5_000; 5]).among_others(), CEILING);
    }

    #[test]
    fn the_budget_covers_near_and_far_instances() {
        let mixed = learned([1, 60].into_iter().cycle().take(100)).among_others();
        assert!(mixed > Duration::from_millis(120), "{mixed:?}");
    }

    #[test]
    fn one_slow_connection_is_forgotten() {
        let mut budget = learned([1; 20]);
        budget.learn(Duration::from_millis(900));
        assert!(budget.among_others() > Duration::from_millis(500));
        (0..30).for_each(|_| budget.learn(Duration::from_millis(1)));
        assert!(budget.among_others() < Duration::from_millis(100), "{:?}", budget.among_others());
    }

    #[test]
    fn the_budget_of_the_only_instance_doubles_up_to_its_ceiling() {
        let budget = learned([0; 20]);
        assert_eq!(budget.alone(0), FLOOR);
        assert_eq!(budget.alone(2), FLOOR * 4);
        assert_eq!(budget.alone(u32::MAX), CEILING_ALONE);
    }
}
