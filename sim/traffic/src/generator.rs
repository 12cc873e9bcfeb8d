//! Arrivals made up from a law: a rate over time, and how irregular the gaps are.

use tidegate_sim::arrival::{Arrival, ArrivalSource, RevisionIndex, RevisionNames, SourceError};
use tidegate_sim::random::{Stream, Streams};
use tidegate_sim::time::SimTime;

use crate::curve::{Cursor, Curve};

/// How gaps between arrivals vary around their mean.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Gaps {
    /// Not at all.
    Constant,
    /// Exponentially: a Poisson process.
    Exponential,
    /// Two exponential laws with balanced means, to reach a coefficient of variation above one.
    Hyper { cv: f64 },
    /// A sum of exponential gaps, to reach a coefficient of variation below one.
    Erlang { stages: u32 },
    /// A Pareto law with this shape (above one): rare gaps are enormous.
    Pareto { shape: f64 },
    /// A Weibull law with this shape; below one, bursts and pauses.
    Weibull { shape: f64, mean: f64 },
}

/// What a generator makes.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Law {
    /// Gaps of a mean of one, stretched by the rate of a curve.
    Curve(Curve, Gaps),
    /// Two Poisson rates that take turns, each for an exponential time of these means in seconds.
    Modulated { rates: [f64; 2], means_s: [f64; 2] },
    /// So many at once at a time in seconds, again every period.
    Burst { count: u64, period_s: Option<f64>, phase_s: f64 },
    /// One every so many seconds, beginning at a phase.
    Timer { period_s: f64, phase_s: f64 },
    /// Exactly at these seconds, which do not fall.
    Times(Vec<f64>),
}

/// Arrivals of one law for one revision.
pub(crate) struct Generator {
    state: State,
    stream: Stream,
    names: RevisionNames,
    /// Arrivals stop here, seconds.
    until_s: f64,
}

enum State {
    /// The commonest case, kept apart because it is drawn a hundred million times.
    Poisson {
        mean_s: f64,
        now_s: f64,
    },
    Curve {
        cursor: Cursor,
        gaps: Gaps,
    },
    Modulated {
        rates: [f64; 2],
        means_s: [f64; 2],
        state: usize,
        now_s: f64,
        turn_s: f64,
    },
    Burst {
        count: u64,
        made: u64,
        period_s: Option<f64>,
        now_s: f64,
    },
    Timer {
        period_s: f64,
        phase_s: f64,
        made: u64,
    },
    Times(std::vec::IntoIter<f64>),
}

impl Gaps {
    /// The law whose gaps have this coefficient of variation.
    pub(crate) fn of_variation(cv: f64) -> Self {
        if (cv - 1.0).abs() < 0.02 {
            Gaps::Exponential
        } else if cv > 1.0 {
            Gaps::Hyper { cv }
        } else if cv < 0.05 {
            Gaps::Constant
        } else {
            // An Erlang law of k stages has a coefficient of variation of one over the root of k.
            Gaps::Erlang { stages: ((1.0 / (cv * cv)) + 0.5) as u32 }
        }
    }

    pub(crate) fn weibull(shape: f64) -> Self {
        Gaps::Weibull { shape, mean: libm::tgamma(1.0 + 1.0 / shape) }
    }

    /// One gap of a law with mean one.
    fn draw(self, stream: &mut Stream) -> f64 {
        match self {
            Gaps::Constant => 1.0,
            Gaps::Exponential => stream.exponential(),
            Gaps::Hyper { cv } => {
                let square = cv * cv;
                let share = 0.5 * (1.0 + libm::sqrt((square - 1.0) / (square + 1.0)));
                let fast = stream.unit() < share;
                let rate = 2.0 * if fast { share } else { 1.0 - share };
                stream.exponential() / rate
            }
            Gaps::Erlang { stages } => {
                let sum: f64 = (0..stages.max(1)).map(|_| stream.exponential()).sum();
                sum / f64::from(stages.max(1))
            }
            Gaps::Pareto { shape } => {
                let scale = (shape - 1.0) / shape;
                scale * libm::exp(stream.exponential() / shape)
            }
            Gaps::Weibull { shape, mean } => libm::pow(stream.exponential(), 1.0 / shape) / mean,
        }
    }
}

impl Generator {
    /// Arrivals of `law` for `revision`, from the stream of number `index`.
    pub(crate) fn new(
        law: Law,
        revision: &str,
        index: u64,
        until_s: f64,
        streams: Streams,
    ) -> Self {
        let mut stream = streams.stream("arrivals", index);
        let state = match law {
            Law::Curve(curve, Gaps::Exponential) if curve.constant_rate().is_some() => {
                let rate = curve.constant_rate().unwrap_or(1.0);
                State::Poisson { mean_s: 1.0 / rate, now_s: 0.0 }
            }
            Law::Curve(curve, gaps) => State::Curve { cursor: curve.start(), gaps },
            Law::Modulated { rates, means_s } => {
                let turn_s = stream.exponential() * means_s[0];
                State::Modulated { rates, means_s, state: 0, now_s: 0.0, turn_s }
            }
            Law::Burst { count, period_s, phase_s } => {
                State::Burst { count, made: 0, period_s, now_s: phase_s }
            }
            Law::Timer { period_s, phase_s } => State::Timer { period_s, phase_s, made: 0 },
            Law::Times(times) => State::Times(times.into_iter()),
        };
        Generator { state, stream, names: RevisionNames::one(revision), until_s }
    }

    fn next_s(&mut self) -> Option<f64> {
        let (stream, until_s) = (&mut self.stream, self.until_s);
        match &mut self.state {
            State::Poisson { mean_s, now_s } => {
                *now_s += stream.exponential() * *mean_s;
                Some(*now_s)
            }
            State::Curve { cursor, gaps } => cursor.advance(gaps.draw(stream)),
            State::Modulated { rates, means_s, state, now_s, turn_s } => {
                loop {
                    // The law has no memory, so what was drawn before a turn may be thrown away.
                    let gap = if rates[*state] > 0.0 {
                        stream.exponential() / rates[*state]
                    } else {
                        f64::INFINITY
                    };
                    if *now_s + gap <= *turn_s {
                        *now_s += gap;
                        return Some(*now_s);
                    }
                    // Rates may be so low that no arrival comes before the end.
                    if *turn_s >= until_s {
                        return None;
                    }
                    *now_s = *turn_s;
                    *state = 1 - *state;
                    *turn_s += stream.exponential() * means_s[*state];
                }
            }
            State::Burst { count, made, period_s, now_s } => {
                if *made == *count {
                    *now_s += (*period_s)?;
                    *made = 0;
                }
                *made += 1;
                Some(*now_s)
            }
            State::Timer { period_s, phase_s, made } => {
                let at = *phase_s + *period_s * *made as f64;
                *made += 1;
                Some(at)
            }
            State::Times(times) => times.next(),
        }
    }
}

impl ArrivalSource for Generator {
    fn next(&mut self) -> Option<Result<Arrival, SourceError>> {
        let at_s = self.next_s()?;
        if at_s >= self.until_s {
            // A law may go on after its end was asked for; times never come back below it.
            self.state = State::Times(Vec::new().into_iter());
            return None;
        }
        let at = SimTime::from_secs_f64(at_s);
        Some(Ok(Arrival { at, service: None, revision: RevisionIndex(0) }))
    }

    fn names(&self) -> &RevisionNames {
        &self.names
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn variation(gaps: Gaps) -> (f64, f64) {
        let mut stream = Streams::new(5).stream("gaps", 0);
        let count = 400_000;
        let (mut sum, mut square) = (0.0, 0.0);
        for _ in 0..count {
            let gap = gaps.draw(&mut stream);
            sum += gap;
            square += gap * gap;
        }
        let mean = sum / f64::from(count);
        (mean, libm::sqrt(square / f64::from(count) - mean * mean) / mean)
    }

    #[test]
    fn gaps_have_mean_one_and_the_variation_asked_for() {
        for (cv, tolerance) in [(0.0, 0.001), (0.5, 0.01), (1.0, 0.02), (3.0, 0.1)] {
            let (mean, found) = variation(Gaps::of_variation(cv));
            assert!((mean - 1.0).abs() < 0.02, "cv {cv}: mean {mean}");
            assert!((found - cv).abs() < tolerance, "cv {cv}: found {found}");
        }
        for gaps in [Gaps::Pareto { shape: 2.5 }, Gaps::weibull(0.7)] {
            let (mean, _) = variation(gaps);
            assert!((mean - 1.0).abs() < 0.02, "{gaps:?}: mean {mean}");
        }
    }

    #[test]
    fn modulated_rates_average_out() {
        let law = Law::Modulated { rates: [100.0, 10.0], means_s: [10.0, 30.0] };
        let mut source = Generator::new(law, "a", 0, 100_000.0, Streams::new(1));
        let mut count = 0_u64;
        while source.next().is_some() {
            count += 1;
        }
        // (100·10 + 10·30) / 40 = 32.5 a second.
        let rate = count as f64 / 100_000.0;
        assert!((rate / 32.5 - 1.0).abs() < 0.05, "{rate}");
    }

    #[test]
    fn bursts_and_timers_are_exact() {
        let at = |law| {
            let mut source = Generator::new(law, "a", 0, 100.0, Streams::new(1));
            let mut times = Vec::new();
            while let Some(Ok(arrival)) = source.next() {
                times.push(arrival.at.as_secs_f64());
            }
            times
        };
        let burst = Law::Burst { count: 2, period_s: Some(60.0), phase_s: 5.0 };
        assert_eq!(at(burst), [5.0, 5.0, 65.0, 65.0]);
        assert_eq!(at(Law::Timer { period_s: 40.0, phase_s: 1.0 }), [1.0, 41.0, 81.0]);
        assert_eq!(at(Law::Times(vec![0.5, 0.5, 99.0, 200.0])), [0.5, 0.5, 99.0]);
    }
}
