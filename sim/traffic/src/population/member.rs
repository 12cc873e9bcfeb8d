//! One function of a population: a renewal process.
//!
//! Gaps between the calls of a cluster are short and those between clusters long, both exponential:
//! two numbers beside the rate, which are those that can be measured, how far counts vary in long
//! intervals and how long an interval must be for that. A clock has a period and a phase. What is
//! more regular than chance and no clock has gaps that vary little.

use tidegate_sim::random::{Stream, Streams};

use super::law::{Class, HOURS, Population, at_share, weighted};

/// Variance over mean up to which gaps are drawn uniformly around their mean: there the shortest is
/// zero.
const UNIFORM_MAX: f64 = 1.0 / 3.0;
/// From this far above 1 on counts are clustered; below it they are as good as a Poisson process.
const CLUSTERED: f64 = 0.02;
/// Seconds between the calls of functions that are called together: one calls the next.
const HAND_OVER_S: f64 = 0.1;
/// Seconds of an hour.
const HOUR_S: f64 = 3_600.0;

/// Gaps between calls.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Gaps {
    /// So many calls each time.
    Clock { period_s: f64, calls: u32 },
    /// Short ones with a probability, else long ones; the means of both.
    Clustered { short: f64, short_s: f64, long_s: f64 },
    /// Around a mean, by at most this share of it.
    Even { mean_s: f64, spread: f64 },
    /// The sum of two exponential ones.
    Calm { mean_s: f64 },
}

/// A function that is being called.
#[derive(Debug, Clone)]
pub(crate) struct Member {
    gaps: Gaps,
    stream: Stream,
    /// The next call, seconds.
    next_s: f64,
    /// Calls at that time that are left, of a clock.
    left: u32,
    /// It lags so far behind the one that calls it.
    lag_s: f64,
}

impl Gaps {
    /// Gaps of a renewal process of clusters: counts in long intervals have a variance of
    /// `dispersion` times their mean, and approach it at the rate `relaxation`.
    pub(super) fn of(rate: f64, dispersion: f64, relaxation: f64) -> Gaps {
        let mean_s = 1.0 / rate;
        if dispersion > 1.0 + CLUSTERED {
            // The density of calls after a call falls from `after` to the rate.
            let after = rate + (dispersion - 1.0) * relaxation / 2.0;
            let sum = after + relaxation;
            let root = libm::sqrt((sum * sum - 4.0 * rate * relaxation).max(0.0));
            let fast = (sum + root) / 2.0;
            let slow = rate * relaxation / fast;
            let short = ((after - slow) / (fast - slow)).clamp(0.0, 1.0);
            return Gaps::Clustered { short, short_s: 1.0 / fast, long_s: 1.0 / slow };
        }
        if dispersion <= UNIFORM_MAX {
            return Gaps::Even { mean_s, spread: libm::sqrt(3.0 * dispersion.max(0.0)) };
        }
        if dispersion < 0.75 {
            return Gaps::Calm { mean_s };
        }
        Gaps::Clustered { short: 1.0, short_s: mean_s, long_s: mean_s }
    }

    fn draw(self, stream: &mut Stream) -> f64 {
        match self {
            Gaps::Clock { period_s, .. } => period_s,
            Gaps::Clustered { short, short_s, long_s } => {
                let is_short = stream.unit() < short;
                stream.exponential() * if is_short { short_s } else { long_s }
            }
            Gaps::Even { mean_s, spread } => mean_s * (1.0 + spread * (2.0 * stream.unit() - 1.0)),
            Gaps::Calm { mean_s } => mean_s * (stream.exponential() + stream.exponential()) / 2.0,
        }
    }

    /// The time to the first call of a process that has always been going on.
    fn first(self, stream: &mut Stream) -> f64 {
        match self {
            Gaps::Clock { period_s, .. } => period_s * stream.unit(),
            Gaps::Clustered { short, short_s, long_s } => {
                // A moment lies in a long gap as often as such gaps take time.
                let (in_short, in_long) = (short * short_s, (1.0 - short) * long_s);
                let is_short = stream.unit() * (in_short + in_long) < in_short;
                stream.exponential() * if is_short { short_s } else { long_s }
            }
            Gaps::Even { .. } | Gaps::Calm { .. } => stream.unit() * self.draw(stream),
        }
    }
}

impl Population {
    /// Function number `place` of app number `app`.
    pub(crate) fn member(&self, app: u64, place: u32, streams: Streams) -> Member {
        let number = (app << 16) | u64::from(place);
        let mut own = streams.stream("function", number);
        let follows = place > 0 && own.unit() < self.together;
        // What is called together with another function is that one, a little later.
        let leader = if follows { app << 16 } else { number };
        let mut stream = streams.stream("population", leader);
        let gaps = self.gaps(&mut stream);
        let lag_s = if follows { HAND_OVER_S * f64::from(place) } else { 0.0 };
        let mut member = Member { gaps, stream, next_s: 0.0, left: 0, lag_s };
        let first_s = member.gaps.first(&mut member.stream);
        member.begin(first_s, &self.day());
        member
    }

    fn gaps(&self, stream: &mut Stream) -> Gaps {
        if stream.unit() < self.periodic_share
            && let Some(period) = weighted(&self.periods, stream)
        {
            return Gaps::Clock { period_s: period.seconds, calls: period.calls };
        }
        let ln_rate = at_share(&self.rates, stream.unit());
        let rate = libm::exp(ln_rate);
        let Some(class) = self.class_of(ln_rate) else { return Gaps::of(rate, 1.0, 1.0) };
        let Class { dispersions, relaxations, .. } = class;
        let dispersion = libm::exp(at_share(dispersions, stream.unit()));
        let relaxation = libm::exp(at_share(relaxations, stream.unit()));
        Gaps::of(rate, dispersion, relaxation)
    }
}

impl Member {
    /// The next call, seconds.
    pub(super) fn next_s(&self) -> f64 {
        self.next_s + self.lag_s
    }

    /// Goes on to the call after the next one.
    pub(super) fn advance(&mut self, day: &[f64; HOURS]) {
        if self.left > 0 {
            self.left -= 1;
            return;
        }
        let gap_s = self.gaps.draw(&mut self.stream);
        self.begin(gap_s, day);
    }

    fn begin(&mut self, gap_s: f64, day: &[f64; HOURS]) {
        if let Gaps::Clock { calls, .. } = self.gaps {
            self.left = calls.saturating_sub(1);
            self.next_s += gap_s;
        } else {
            self.next_s = after(self.next_s, gap_s, day);
        }
    }
}

/// The time at which `gap_s` has passed since `now_s` on a clock that runs with the rate of the
/// day.
fn after(now_s: f64, mut gap_s: f64, day: &[f64; HOURS]) -> f64 {
    // Whole days first: each has as many seconds on either clock.
    let day_s = HOUR_S * HOURS as f64;
    let days = libm::floor(gap_s / day_s);
    gap_s -= days * day_s;
    let mut now_s = now_s + days * day_s;
    loop {
        let hour = libm::floor(now_s / HOUR_S);
        let rate = day[hour as usize % HOURS].max(1e-6);
        let end_s = (hour + 1.0) * HOUR_S;
        let whole = (end_s - now_s) * rate;
        if gap_s < whole {
            return now_s + gap_s / rate;
        }
        gap_s -= whole;
        now_s = end_s;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Variance over mean of counts in intervals of so many seconds.
    fn dispersion(gaps: Gaps, interval_s: f64, intervals: usize) -> (f64, f64) {
        let mut stream = Streams::new(9).stream("test", 0);
        let mut counts = vec![0.0_f64; intervals];
        let mut now = gaps.first(&mut stream);
        while let Some(count) = counts.get_mut((now / interval_s) as usize) {
            *count += 1.0;
            now += gaps.draw(&mut stream);
        }
        let mean = counts.iter().sum::<f64>() / intervals as f64;
        let square = counts.iter().map(|count| (count - mean).powi(2)).sum::<f64>();
        (mean / interval_s, square / intervals as f64 / mean)
    }

    #[test]
    fn counts_vary_as_asked_for_over_any_interval() {
        for (rate, far, relaxation) in [(0.1, 9.0, 0.05), (2.0, 30.0, 0.01), (0.01, 3.0, 0.2)] {
            let gaps = Gaps::of(rate, far, relaxation);
            for interval_s in [60.0, 600.0, 6_000.0] {
                let (found_rate, found) = dispersion(gaps, interval_s, 20_000);
                let x = relaxation * interval_s;
                let expected = 1.0 + (far - 1.0) * (1.0 - (1.0 - libm::exp(-x)) / x);
                assert!((found_rate / rate - 1.0).abs() < 0.05, "{found_rate} for {rate}");
                assert!((found / expected - 1.0).abs() < 0.1, "{found} for {expected}");
            }
        }
        for even in [0.05, 0.5, 1.0] {
            let (_, found) = dispersion(Gaps::of(0.1, even, 1.0), 6_000.0, 20_000);
            assert!((found - even).abs() < 0.1, "{found} for {even}");
        }
    }

    #[test]
    fn a_day_has_as_many_calls_with_a_wave_as_without() {
        let population = Population { wave: 0.6, ..Population::measured() };
        let day = population.day();
        assert!((day.iter().sum::<f64>() / HOURS as f64 - 1.0).abs() < 1e-9);
        for (gap_s, from_s) in [(86_400.0, 1_000.0), (200_000.0, 50_000.0)] {
            let there = after(from_s, gap_s, &day);
            let whole_days = libm::floor(gap_s / 86_400.0) * 86_400.0;
            assert!(there >= from_s + whole_days, "{there}");
        }
        assert_eq!(after(0.0, 86_400.0, &day), 86_400.0);
    }
}
