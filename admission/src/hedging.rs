//! When a request is sent to a second instance because the first takes long, and how many are.
//!
//! Whoever begins to respond first serves the client. One slow instance among many then costs its
//! requests little more than the wait before the second is asked; but each second request is work
//! that nobody asked for, so there is a budget, and where everything is slow it is used up and
//! nothing more is added.

use core::time::Duration;

use crate::retry_budget::RetryBudget;

/// Whether requests are sent to a second instance, and when.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HedgeSettings {
    /// How many of the requests at most, in thousandths; none by default.
    pub permille: u16,
    /// After how long.
    pub after: HedgeAfter,
}

impl Default for HedgeSettings {
    fn default() -> Self {
        Self { permille: 0, after: HedgeAfter::Measured }
    }
}

/// After how long a second instance is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HedgeAfter {
    /// When 95 of a hundred recent ones had begun to be answered.
    Measured,
    /// When the response has not begun for so long.
    Time(Duration),
}

/// The hedges of one revision.
#[derive(Debug, Clone)]
pub struct Hedging {
    after: HedgeAfter,
    budget: RetryBudget,
    latencies: Latencies,
}

impl Hedging {
    /// Before any request. `None` where none is ever sent twice.
    pub fn new(settings: HedgeSettings) -> Option<Self> {
        (settings.permille > 0).then(|| Self {
            after: settings.after,
            budget: RetryBudget::new(settings.permille),
            latencies: Latencies::default(),
        })
    }

    /// A request arrived that may be hedged.
    pub fn arrived(&mut self) {
        self.budget.arrived();
    }

    /// After how long a request that is sent now is sent to a second instance; `None` while that is
    /// not known yet.
    pub fn delay(&self) -> Option<Duration> {
        match self.after {
            HedgeAfter::Time(after) => Some(after),
            HedgeAfter::Measured => self.latencies.high().map(|high| high.max(DELAY_MIN)),
        }
    }

    /// A response began so long after its request was sent.
    pub fn answered(&mut self, after: Duration) {
        self.latencies.add(after);
    }

    /// Takes a hedge from the budget. False if none is left.
    #[must_use = "without one the request must not be sent again"]
    pub const fn take(&mut self) -> bool {
        self.budget.take()
    }

    /// There was no place for the one that was taken.
    pub const fn put_back(&mut self) {
        self.budget.put_back();
    }
}

/// Below this a measured delay is the scheduler's noise, and no instance's slowness.
const DELAY_MIN: Duration = Duration::from_millis(1);

/// How many responses are needed before something is said of them: of fewer, five in a hundred are
/// hardly any.
const KNOWN_MIN: u32 = 100;

/// Old responses count half when there are so many: what is said is of the last thousand or two.
const KEPT_MAX: u32 = 2_048;

/// Each doubling of time is divided into so many steps: a delay is at most a quarter too long.
const STEPS: usize = 4;

/// Doublings, from 64 µs on: up to more than an hour.
const DOUBLINGS: usize = 26;

/// The shortest time that is told from a shorter one, in microseconds.
const FIRST_US: u64 = 64;

/// How long recent responses took to begin: counts of logarithmic steps.
#[derive(Debug, Clone)]
struct Latencies {
    counts: [u16; STEPS * DOUBLINGS],
    total: u32,
}

impl Default for Latencies {
    fn default() -> Self {
        Self { counts: [0; STEPS * DOUBLINGS], total: 0 }
    }
}

impl Latencies {
    fn add(&mut self, latency: Duration) {
        if self.total >= KEPT_MAX {
            self.counts.iter_mut().for_each(|count| *count /= 2);
            self.total = self.counts.iter().map(|count| u32::from(*count)).sum();
        }
        self.counts[step_of(latency)] += 1;
        self.total += 1;
    }

    /// The time that 95 of a hundred stayed below; `None` of too few.
    fn high(&self) -> Option<Duration> {
        if self.total < KNOWN_MIN {
            return None;
        }
        let mut above = self.total / 20;
        for (step, count) in self.counts.iter().enumerate().rev() {
            let count = u32::from(*count);
            if count > above {
                return Some(end_of(step));
            }
            above -= count;
        }
        None
    }
}

fn step_of(latency: Duration) -> usize {
    let us = u64::try_from(latency.as_micros()).unwrap_or(u64::MAX).max(FIRST_US);
    let doubling = (us / FIRST_US).ilog2();
    // The two bits below the highest one are the step within the doubling.
    let within = (us >> (doubling + FIRST_US.ilog2() - STEPS.ilog2())) as usize % STEPS;
    (doubling as usize * STEPS + within).min(STEPS * DOUBLINGS - 1)
}

fn end_of(step: usize) -> Duration {
    let first = FIRST_US << (step / STEPS);
    Duration::from_micros(first + first / STEPS as u64 * (step % STEPS + 1) as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn measured(permille: u16) -> Hedging {
        Hedging::new(HedgeSettings { permille, after: HedgeAfter::Measured }).expect("a budget")
    }

    #[test]
    fn steps_lie_beside_each_other_and_hold_what_is_theirs() {
        for us in [0, 1, 63, 64, 79, 80, 127, 128, 1_000, 65_537, 3_600_000_000] {
            let latency = Duration::from_micros(us);
            let (step, end) = (step_of(latency), end_of(step_of(latency)));
            assert!(latency < end, "{us}");
            let begin = if step == 0 { Duration::ZERO } else { end_of(step - 1) };
            assert!(begin <= latency, "{us}: {begin:?}");
            assert!(end <= latency * 5 / 4 + Duration::from_micros(80), "{us}: {end:?}");
        }
        assert_eq!(step_of(Duration::MAX), STEPS * DOUBLINGS - 1);
    }

    #[test]
    fn the_delay_is_what_nearly_all_stay_below() {
        let mut hedging = measured(100);
        assert_eq!(hedging.delay(), None);
        for nth in 0..1_000 {
            let ms = if nth % 25 == 0 { 500 } else { 10 };
            hedging.answered(Duration::from_millis(ms));
        }
        let delay = hedging.delay().expect("there were enough");
        assert!(delay > Duration::from_millis(10) && delay < Duration::from_millis(13));
        (0..20_000).for_each(|_| hedging.answered(Duration::from_millis(100)));
        assert!(hedging.delay() > Some(Duration::from_millis(100)), "the past is forgotten");
        (0..20_000).for_each(|_| hedging.answered(Duration::ZERO));
        assert_eq!(hedging.delay(), Some(DELAY_MIN));
    }

    #[test]
    fn a_time_that_is_set_needs_no_measure() {
        let after = HedgeAfter::Time(Duration::from_millis(30));
        let hedging = Hedging::new(HedgeSettings { permille: 50, after }).expect("a budget");
        assert_eq!(hedging.delay(), Some(Duration::from_millis(30)));
        assert!(Hedging::new(HedgeSettings::default()).is_none());
    }

    #[test]
    fn hedges_are_a_share_and_one_without_a_place_costs_nothing() {
        let mut hedging = measured(100);
        let mut taken = 0;
        for _ in 0..10_000 {
            hedging.arrived();
            taken += u32::from(hedging.take());
            if hedging.take() {
                hedging.put_back();
            }
        }
        assert!((1_000..=1_020).contains(&taken), "{taken}");
    }
}
