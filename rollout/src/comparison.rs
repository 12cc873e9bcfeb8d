//! Whether something happens more often in the new revision than in the stable one: a test that may
//! be asked after every report.
//!
//! In each period both revisions had requests, and some of these had an *event* (they failed, or
//! were slow). If the new revision is no worse, then each event belongs to it with at most its
//! share of the requests, however often events happen just then: a dependency that fails for both
//! does not speak against either. The evidence is a likelihood ratio: how much better the events'
//! places are explained by events that are `r` times as frequent in the new revision, as a mean
//! over several `r`. Given how many events and requests there were, that is a nonnegative
//! supermartingale while the new revision is no worse: the conditional distribution is
//! hypergeometric, the ratio is a convex function of the new revision's events, and for those the
//! binomial distribution that it is made of only gives more (Hoeffding 1963, theorem 4). So by
//! Ville's inequality the chance that it *ever* reaches `1/a` is at most `a`, whenever and however
//! often one looks: an always-valid test, also known as an e-process or a mixture sequential
//! probability ratio test.
//!
//! It takes requests for independent of each other. Where failures come in clusters, each cluster
//! counts for too much: what a pod fails that is killed is a burst, and may return a revision.
//!
//! A revision may be well for an hour and fail then. So the evidence is counted from several
//! moments, [`START_EVERY_MS`] apart, the `j`-th of them with the weight `1/(j(j+1))`; these are
//! one in all, and the bound holds for their sum.

/// How many times as frequent the events of a new revision may be that is worse. From a little
/// worse to a revision that fails where the stable one never does.
const RATIOS: [f64; 7] = [1.5, 2.0, 3.0, 5.0, 10.0, 30.0, 100.0];

/// Time between two moments from which evidence is counted.
pub(crate) const START_EVERY_MS: i64 = 10_000;

/// Moments from which evidence is counted at a time. Beyond it, those go that lie densest for
/// their age: dropping some only makes the test more careful.
const RUNS_MAX: usize = 24;

/// What happened in a period, or in several.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    /// Requests of the stable revision.
    pub stable_requests: u64,
    /// Those of them with an event.
    pub stable_events: u64,
    /// Requests of the new revision.
    pub new_requests: u64,
    /// Those of them with an event.
    pub new_events: u64,
}

impl Counts {
    pub(crate) fn add(&mut self, other: &Counts) {
        let Counts { stable_requests, stable_events, new_requests, new_events } = other;
        self.stable_requests = self.stable_requests.saturating_add(*stable_requests);
        self.stable_events = self.stable_events.saturating_add(*stable_events);
        self.new_requests = self.new_requests.saturating_add(*new_requests);
        self.new_events = self.new_events.saturating_add(*new_events);
    }

    /// The stable revision's share of requests with an event, 0 to 1.
    #[must_use]
    pub fn stable_ratio(&self) -> f64 {
        ratio(self.stable_events, self.stable_requests)
    }

    /// The new revision's share of requests with an event, 0 to 1.
    #[must_use]
    pub fn new_ratio(&self) -> f64 {
        ratio(self.new_events, self.new_requests)
    }
}

fn ratio(part: u64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 / whole as f64 }
}

/// One kind of event in both revisions.
#[derive(Debug, Clone, Default)]
pub(crate) struct Comparison {
    runs: Vec<Run>,
    /// Moments from which evidence was ever counted.
    started: u32,
}

/// Evidence from one moment on.
#[derive(Debug, Clone)]
struct Run {
    since_ms: i64,
    weight_ln: f64,
    /// The logarithm of the likelihood ratio for each of [`RATIOS`].
    ratios_ln: [f64; RATIOS.len()],
    counts: Counts,
}

/// Evidence that the new revision is worse.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Evidence {
    /// The natural logarithm of how strong it is. A new revision that is no worse ever reaches `x`
    /// with a chance of at most `exp(-x)`.
    pub(crate) strength_ln: f64,
    /// The moment from which it is strongest.
    pub(crate) since_ms: i64,
    /// What happened since then.
    pub(crate) counts: Counts,
}

impl Comparison {
    /// Something happened from `from_ms` on.
    pub(crate) fn observe(&mut self, from_ms: i64, counts: &Counts) {
        let newest = self.runs.last().map(|run| run.since_ms);
        if newest.is_none_or(|newest| from_ms.saturating_sub(newest) >= START_EVERY_MS) {
            self.start(from_ms);
        }
        let steps = RATIOS.map(|ratio| step_ln(ratio, counts));
        for run in &mut self.runs {
            run.counts.add(counts);
            for (sum, step) in run.ratios_ln.iter_mut().zip(steps) {
                *sum += step;
            }
        }
    }

    fn start(&mut self, since_ms: i64) {
        self.started = self.started.saturating_add(1);
        let number = f64::from(self.started);
        self.runs.push(Run {
            since_ms,
            weight_ln: -libm::log(number * (number + 1.0)),
            ratios_ln: [0.0; RATIOS.len()],
            counts: Counts::default(),
        });
        if self.runs.len() > RUNS_MAX {
            self.runs.remove(densest(&self.runs, since_ms));
        }
    }

    /// The evidence so far; `None` before anything was observed.
    pub(crate) fn evidence(&self) -> Option<Evidence> {
        let parts = self.runs.iter().map(|run| run.weight_ln + mean_ln(&run.ratios_ln));
        let parts: Vec<f64> = parts.collect();
        let (best, run) = parts.iter().zip(&self.runs).max_by(|(a, _), (b, _)| a.total_cmp(b))?;
        let sum: f64 = parts.iter().map(|part| libm::exp(part - best)).sum();
        let strength_ln = best + libm::log(sum);
        Some(Evidence { strength_ln, since_ms: run.since_ms, counts: run.counts })
    }
}

/// How much more likely, as a logarithm, the places of a period's events are if they are `ratio`
/// times as frequent in the new revision.
fn step_ln(ratio: f64, counts: &Counts) -> f64 {
    let (stable, new) = (counts.stable_requests as f64, counts.new_requests as f64);
    if stable == 0.0 || new == 0.0 {
        // All events are where all requests were: that says nothing.
        return 0.0;
    }
    let new_events = counts.new_events.min(counts.new_requests) as f64;
    let stable_events = counts.stable_events.min(counts.stable_requests) as f64;
    let all_events = new_events + stable_events;
    new_events * libm::log(ratio) + all_events * libm::log((stable + new) / (stable + ratio * new))
}

/// The logarithm of the mean of numbers whose logarithms these are.
pub(crate) fn mean_ln(all_ln: &[f64]) -> f64 {
    let best = all_ln.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    if !best.is_finite() {
        return best;
    }
    let sum: f64 = all_ln.iter().map(|one| libm::exp(one - best)).sum();
    best + libm::log(sum / all_ln.len() as f64)
}

/// Which run is missed least: not the first or the last, and where its neighbours lie closest, for
/// how long ago that is.
fn densest(runs: &[Run], now_ms: i64) -> usize {
    let gap = |index: usize| {
        let (before, after) = (runs[index - 1].since_ms, runs[index + 1].since_ms);
        after.saturating_sub(before) as f64 / (now_ms.saturating_sub(before).max(1)) as f64
    };
    let inner = 1..runs.len() - 1;
    inner.min_by(|one, other| gap(*one).total_cmp(&gap(*other))).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A second with 90 requests of the stable revision and 10 of the new one.
    fn second(stable_events: u64, new_events: u64) -> Counts {
        Counts { stable_requests: 90, stable_events, new_requests: 10, new_events }
    }

    fn strength(comparison: &Comparison) -> f64 {
        comparison.evidence().expect("something was observed").strength_ln
    }

    #[test]
    fn events_in_proportion_are_no_evidence() {
        let mut comparison = Comparison::default();
        for at in 0..1_000 {
            comparison.observe(at * 1_000, &second(9, 1));
        }
        assert!(strength(&comparison) < 0.0, "{}", strength(&comparison));
    }

    #[test]
    fn five_failures_where_the_stable_revision_has_none_are_enough() {
        let mut comparison = Comparison::default();
        comparison.observe(0, &second(0, 5));
        // ln 1000 = 6.9.
        assert!(strength(&comparison) > 6.9, "{}", strength(&comparison));
        let mut fewer = Comparison::default();
        fewer.observe(0, &second(0, 3));
        assert!(strength(&fewer) < 6.9, "{}", strength(&fewer));
    }

    #[test]
    fn a_revision_that_fails_after_hours_is_found_out_nearly_as_soon() {
        let mut comparison = Comparison::default();
        for at in 0..7_200 {
            comparison
                .observe(at * 1_000, &second(u64::from(at % 2 == 0), u64::from(at % 20 == 0)));
        }
        assert!(comparison.runs.len() <= RUNS_MAX);
        let mut seconds = 0;
        while strength(&comparison) < 6.9 {
            comparison.observe((7_200 + seconds) * 1_000, &second(0, 2));
            seconds += 1;
        }
        assert!(seconds <= 15, "it took {seconds} s");
        let evidence = comparison.evidence().expect("something was observed");
        assert!(evidence.since_ms >= 7_180_000, "it is counted from {}", evidence.since_ms);
    }

    #[test]
    fn a_period_without_one_of_the_two_says_nothing() {
        let mut comparison = Comparison::default();
        let alone = Counts { new_requests: 50, new_events: 50, ..Counts::default() };
        comparison.observe(0, &alone);
        comparison.observe(1_000, &Counts { stable_requests: 9, ..Counts::default() });
        assert!(strength(&comparison) <= 0.0);
        // More events than requests are taken for as many.
        let odd = Counts { new_events: u64::MAX, ..second(0, 0) };
        comparison.observe(2_000, &odd);
        assert!(strength(&comparison).is_finite());
    }

    #[test]
    fn old_moments_thin_out_and_the_first_stays() {
        let mut comparison = Comparison::default();
        for at in 0..10_000 {
            comparison.observe(at * START_EVERY_MS, &second(0, 0));
        }
        let since: Vec<i64> = comparison.runs.iter().map(|run| run.since_ms).collect();
        assert_eq!(since.len(), RUNS_MAX);
        assert_eq!((since[0], since[RUNS_MAX - 1]), (0, 9_999 * START_EVERY_MS));
        let last_minute = since.iter().filter(|at| **at >= 9_993 * START_EVERY_MS).count();
        assert!(last_minute >= 2, "{since:?}");
    }
}
