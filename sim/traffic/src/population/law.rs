//! The law of a population: which functions it has, and the part of it that is asked for.

use tidegate_sim::random::Stream;

/// Most functions of one population: each takes 130 bytes before it is ever called.
pub(crate) const FUNCTIONS_MAX: u32 = 10_000_000;
/// Most calls a second, on average of one function and of all together: beyond it time between two
/// calls is lost to rounding.
const MEAN_RATE_MAX: f64 = 1_000.0;
const TOTAL_RATE_MAX: f64 = 1e9;

/// Hours of a day.
pub(super) const HOURS: usize = 24;
/// The hour in which the daily wave is highest: business hours, as published of the data set.
const PEAK_HOUR: f64 = 14.0;

/// A law of functions.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Population {
    /// Share of the functions that a clock calls.
    pub(crate) periodic_share: f64,
    /// Their periods, calls each time, and how many have them.
    pub(crate) periods: Vec<Period>,
    /// Logarithms of the rates of the others, per second, at equal steps of probability.
    pub(crate) rates: Vec<f64>,
    /// How irregular they are, by rate, in rising order.
    pub(crate) classes: Vec<Class>,
    /// Functions of an app, on average.
    pub(crate) functions_per_app: f64,
    /// Share of the functions beside the first one of an app that are called whenever that one is.
    pub(crate) together: f64,
    /// Height of the daily wave, as a share of the mean.
    pub(crate) wave: f64,
}

/// What a clock does.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Period {
    pub(crate) seconds: f64,
    pub(crate) calls: u32,
    pub(crate) weight: f64,
}

/// How irregular functions of like rates are.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Class {
    /// The lowest logarithm of a rate in it.
    pub(crate) from: f64,
    /// Logarithms of the variance over the mean of counts in long intervals, at equal steps of
    /// probability.
    pub(crate) dispersions: Vec<f64>,
    /// Logarithms of the rates per second at which clusters end, likewise.
    pub(crate) relaxations: Vec<f64>,
}

/// What of a population is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(crate) struct Choice {
    /// Calls a second of a function on average; the clocks of all run faster or slower for it.
    pub(crate) mean_rate: Option<f64>,
    /// Functions called more often a second are left out.
    pub(crate) most_rate: Option<f64>,
    /// Functions of an app, on average.
    pub(crate) functions_per_app: Option<f64>,
    /// Share of them that are called together.
    pub(crate) together: Option<f64>,
}

impl Population {
    /// The part of it that is asked for, of so many functions; an error in words when nothing is
    /// left of it, or too much.
    pub(crate) fn choose(mut self, choice: &Choice, functions: u32) -> Result<Population, String> {
        if let Some(per_app) = choice.functions_per_app {
            self.functions_per_app = per_app;
        }
        if let Some(together) = choice.together {
            self.together = together;
        }
        if let Some(most) = choice.most_rate {
            self.leave_out_above(most)?;
        }
        if let Some(wanted) = choice.mean_rate {
            let faster = wanted / self.mean_rate();
            self.periods.iter_mut().for_each(|period| period.seconds /= faster);
            let shift = libm::log(faster);
            self.rates.iter_mut().for_each(|rate| *rate += shift);
            for class in &mut self.classes {
                class.from += shift;
                class.relaxations.iter_mut().for_each(|rate| *rate += shift);
            }
        }
        let mean = self.mean_rate();
        if mean > MEAN_RATE_MAX || mean * f64::from(functions) > TOTAL_RATE_MAX {
            return Err(format!(
                "each function would be called {mean:.0} times a second on average; expected at \
                 most {MEAN_RATE_MAX}, and {TOTAL_RATE_MAX:.0} for all together"
            ));
        }
        Ok(self)
    }

    /// Calls a second of a function, on average.
    pub(crate) fn mean_rate(&self) -> f64 {
        let weights: f64 = self.periods.iter().map(|period| period.weight).sum();
        let by_clock: f64 = self.periods.iter().map(|period| period.weight * period.rate()).sum();
        // The mean between two points of a straight line of logarithms.
        let between = |pair: &[f64]| {
            let (low, high) = (libm::exp(pair[0]), libm::exp(pair[1]));
            if pair[1] - pair[0] < 1e-9 { low } else { (high - low) / (pair[1] - pair[0]) }
        };
        let steps = self.rates.len().saturating_sub(1).max(1) as f64;
        let others: f64 = self.rates.windows(2).map(between).sum::<f64>() / steps;
        let by_clock = if weights > 0.0 { by_clock / weights } else { 0.0 };
        self.periodic_share * by_clock + (1.0 - self.periodic_share) * others
    }

    fn leave_out_above(&mut self, most: f64) -> Result<(), String> {
        let before: f64 = self.periods.iter().map(|period| period.weight).sum();
        self.periods.retain(|period| period.rate() <= most * (1.0 + 1e-9));
        let after: f64 = self.periods.iter().map(|period| period.weight).sum();
        let most = libm::log(most);
        let steps = self.rates.len() - 1;
        let kept = share_below(&self.rates, most);
        let clocks = if before > 0.0 { self.periodic_share * after / before } else { 0.0 };
        let others = (1.0 - self.periodic_share) * kept;
        if clocks + others <= 0.0 {
            return Err("no function is called as seldom as that".to_owned());
        }
        self.periodic_share = clocks / (clocks + others);
        if kept > 0.0 {
            let point = |step: usize| at_share(&self.rates, kept * step as f64 / steps as f64);
            self.rates = (0..=steps).map(point).collect();
        }
        Ok(())
    }

    /// The class of a rate.
    pub(super) fn class_of(&self, ln_rate: f64) -> Option<&Class> {
        self.classes.iter().rev().find(|class| class.from <= ln_rate).or(self.classes.first())
    }

    /// The rate in each hour of a day beside that of the whole day.
    pub(super) fn day(&self) -> [f64; HOURS] {
        std::array::from_fn(|hour| {
            let turn = (hour as f64 + 0.5 - PEAK_HOUR) / HOURS as f64;
            1.0 + self.wave * libm::cos(turn * std::f64::consts::TAU)
        })
    }
}

impl Period {
    /// Calls a second.
    fn rate(&self) -> f64 {
        f64::from(self.calls) / self.seconds
    }
}

/// The value of points at equal steps of probability at a share from 0 to 1.
pub(super) fn at_share(points: &[f64], share: f64) -> f64 {
    let place = share.clamp(0.0, 1.0) * points.len().saturating_sub(1) as f64;
    let below = place as usize;
    let low = points.get(below).copied().unwrap_or(0.0);
    let high = points.get(below + 1).copied().unwrap_or(low);
    low + (high - low) * (place - below as f64)
}

/// The share below a value: the inverse of [`at_share`].
fn share_below(points: &[f64], value: f64) -> f64 {
    let above = points.iter().position(|point| *point > value).unwrap_or(points.len());
    let steps = points.len().saturating_sub(1).max(1) as f64;
    match (above.checked_sub(1).and_then(|below| points.get(below)), points.get(above)) {
        (Some(low), Some(high)) => ((above - 1) as f64 + (value - low) / (high - low)) / steps,
        (None, _) => 0.0,
        (_, None) => 1.0,
    }
}

/// One of several by weight.
pub(super) fn weighted<'a>(periods: &'a [Period], stream: &mut Stream) -> Option<&'a Period> {
    let whole: f64 = periods.iter().map(|period| period.weight).sum();
    let mut rest = stream.unit() * whole;
    let chosen = periods.iter().find(|period| {
        rest -= period.weight;
        rest < 0.0
    });
    chosen.or(periods.last())
}
