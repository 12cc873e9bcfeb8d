//! The demo's traffic: phases of different intensity, drawn into arrivals by a seed.

use std::time::Duration;

use tidegate_sim::{Stream, Streams};

/// A stretch of traffic whose rate goes in a straight line from one figure to another.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Phase {
    pub(crate) name: &'static str,
    /// Part of the whole run, in (0, 1].
    pub(crate) share: f64,
    /// Requests per second at its beginning and at its end.
    pub(crate) rates: (f64, f64),
}

const fn phase(name: &'static str, share: f64, from: f64, to: f64) -> Phase {
    Phase { name, share, rates: (from, to) }
}

/// From zero, a burst, a ramp, a spike, and silence for long enough to see it all go away.
pub(crate) const PLAN: [Phase; 7] = [
    phase("silence", 0.03, 0.0, 0.0),
    phase("burst", 0.04, 50.0, 50.0),
    phase("trickle", 0.13, 5.0, 5.0),
    phase("ramp", 0.30, 5.0, 60.0),
    phase("spike", 0.05, 110.0, 110.0),
    phase("ebb", 0.15, 30.0, 2.0),
    phase("silence", 0.30, 0.0, 0.0),
];

/// Requests to be sent, each at its time after the start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Schedule {
    pub(crate) arrivals: Vec<Duration>,
    pub(crate) length: Duration,
}

impl Schedule {
    /// Draws the plan's arrivals over `length`: a Poisson process whose rate follows the phases.
    /// The same seed draws the same arrivals on any machine.
    pub(crate) fn draw(plan: &[Phase], length: Duration, seed: u64) -> Self {
        let mut stream = Streams::new(seed).stream("demo traffic", 0);
        let mut arrivals = Vec::new();
        let mut begin = 0.0;
        for phase in plan {
            let end = begin + phase.share * length.as_secs_f64();
            draw_phase(phase, (begin, end), &mut stream, &mut arrivals);
            begin = end;
        }
        Self { arrivals, length }
    }

    /// The phase in force at a time after the start.
    pub(crate) fn phase_at(&self, plan: &[Phase], at: Duration) -> &'static str {
        let mut left = at.as_secs_f64() / self.length.as_secs_f64().max(f64::MIN_POSITIVE);
        for phase in plan {
            left -= phase.share;
            if left < 0.0 {
                return phase.name;
            }
        }
        "silence"
    }
}

/// Thinning: candidates at the highest rate, each kept with the probability that the rate of its
/// moment has of the highest.
fn draw_phase(phase: &Phase, span: (f64, f64), stream: &mut Stream, into: &mut Vec<Duration>) {
    let (from, to) = phase.rates;
    let highest = from.max(to);
    if highest <= 0.0 {
        return;
    }
    let mut at = span.0;
    loop {
        at += stream.exponential() / highest;
        if at >= span.1 {
            return;
        }
        let progress = (at - span.0) / (span.1 - span.0);
        let rate = from + (to - from) * progress;
        if stream.unit() * highest < rate {
            into.push(Duration::from_secs_f64(at));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_draws_the_same_arrivals_in_order() {
        let length = Duration::from_secs(60);
        let one = Schedule::draw(&PLAN, length, 1);
        assert_eq!(one, Schedule::draw(&PLAN, length, 1));
        assert_ne!(one, Schedule::draw(&PLAN, length, 2));
        assert!(one.arrivals.is_sorted());
        assert!(one.arrivals.iter().all(|at| *at < length));
    }

    #[test]
    fn the_pages_say_how_many_requests_there_are() {
        let drawn = Schedule::draw(&PLAN, Duration::from_secs(60), 1).arrivals.len();
        let (readme, page) =
            (include_str!("../../../README.md"), include_str!("../../../docs/demo.md"));
        let shown = |text: &str| {
            let (_, block) = text.split_once("```text\nrequests").expect("what the demo prints");
            let (block, _) = block.split_once("\n```").expect("its end");
            block.lines().map(str::to_owned).collect::<Vec<_>>()
        };
        let (readme, page) = (shown(readme), shown(page));
        assert!(page[0].contains(&format!(" {drawn} sent, 0 lost")), "{}", page[0]);
        // The README shows the same run, without what only the page explains.
        assert!(readme.iter().all(|line| page.contains(line)), "{readme:#?}");
    }

    #[test]
    fn the_phases_fill_the_run_and_say_how_much_traffic_there_is() {
        let share: f64 = PLAN.iter().map(|phase| phase.share).sum();
        assert!((share - 1.0).abs() < 1e-9);
        let mean = |phase: &Phase| phase.share * 60.0 * (phase.rates.0 + phase.rates.1) / 2.0;
        let expected: f64 = PLAN.iter().map(mean).sum();
        let drawn = Schedule::draw(&PLAN, Duration::from_secs(60), 7).arrivals.len() as f64;
        assert!((drawn - expected).abs() < 4.0 * expected.sqrt(), "{drawn} for {expected}");
    }

    #[test]
    fn each_moment_belongs_to_a_phase() {
        let schedule = Schedule::draw(&PLAN, Duration::from_secs(100), 1);
        let names = [0, 5, 10, 30, 51, 60, 80, 200]
            .map(|second| schedule.phase_at(&PLAN, Duration::from_secs(second)));
        let expected =
            ["silence", "burst", "trickle", "ramp", "spike", "ebb", "silence", "silence"];
        assert_eq!(names, expected);
    }
}
