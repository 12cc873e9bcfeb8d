//! A population learnt from a trace of several functions.
//!
//! Everything is learnt from counts per minute, which is what public traces have. Of each function:
//! whether a clock calls it, its rate, and how far its counts vary over one minute and over an
//! hour. Two such numbers say how long its clusters are and how many calls they have.

use tidegate_sim::arrival::{SourceError, Traffic};

use super::law::{Class, Period, Population, at_share};
use crate::portrait::{FunctionPortrait, MINUTE_S, Portrait};

/// Points of the law of rates: the tail of a few hundred functions has no more.
const RATE_POINTS: usize = 33;
/// Points of each law of irregularity, and classes of rates that have one each.
const CLASS_POINTS: usize = 9;
const CLASSES: usize = 5;
/// Calls that a function needs for its variation to be told from chance.
const CALLS_MIN: u64 = 5;
/// From this dispersion on calls come in clusters.
const CLUSTERED: f64 = 1.05;
/// Range of the logarithm of how many clusters end in a minute: from a week to a second.
const RELAXATION_RANGE: (f64, f64) = (-9.2, 4.1);
/// Steps of a bisection of that range: closer than any trace can tell.
const BISECTIONS: usize = 50;
/// The least dispersion that is told from none: counts are whole numbers.
const DISPERSION_MIN: f64 = 1e-3;

impl Population {
    /// Learns from `traffic`, which is read once.
    pub(crate) fn learn(traffic: &dyn Traffic) -> Result<Population, SourceError> {
        let portrait = Portrait::of(traffic)?;
        Population::from_portrait(&portrait)
            .map_err(|problem| format!("{}: {problem}", traffic.describe()).into())
    }

    /// The population that a portrait shows; an error in words when it shows too little.
    pub(crate) fn from_portrait(portrait: &Portrait) -> Result<Population, String> {
        let functions = &portrait.functions;
        let span_s = portrait.minutes as f64 * MINUTE_S;
        let mut periods = Vec::new();
        let mut others: Vec<&FunctionPortrait> = Vec::new();
        for function in functions {
            match function.clock {
                Some((seconds, calls)) => periods.push(Period { seconds, calls, weight: 1.0 }),
                None => others.push(function),
            }
        }
        if functions.len() < CLASSES * 2 || others.is_empty() {
            return Err(format!(
                "expected at least {} functions, some of them not called by a clock, found {}",
                CLASSES * 2,
                functions.len()
            ));
        }
        let rate = |one: &FunctionPortrait| libm::log(one.calls as f64 / span_s);
        let mut rates: Vec<f64> = others.iter().map(|one| rate(one)).collect();
        rates.sort_by(f64::total_cmp);
        let mut known: Vec<&FunctionPortrait> =
            others.iter().filter(|one| one.calls >= CALLS_MIN).copied().collect();
        if known.is_empty() {
            known.clone_from(&others);
        }
        known.sort_by_key(|one| one.calls);
        let size = known.len().div_ceil(CLASSES);
        let classes = known.chunks(size).map(|chunk| class(rate(chunk[0]), chunk)).collect();
        Ok(Population {
            periodic_share: periods.len() as f64 / functions.len() as f64,
            periods,
            rates: points(&rates, RATE_POINTS),
            classes,
            functions_per_app: functions.len() as f64 / portrait.apps.max(1) as f64,
            together: portrait.together.unwrap_or(0.0).clamp(0.0, 1.0),
            // A day has to be seen whole before its wave can be told from a trend.
            wave: 0.0,
        })
    }
}

/// How irregular functions of like rates are.
fn class(from: f64, functions: &[&FunctionPortrait]) -> Class {
    let mut dispersions = Vec::new();
    let mut relaxations = Vec::new();
    for function in functions {
        let [minute, _, hour] = function.dispersions;
        let (dispersion, relaxation) = irregularity(minute, hour);
        dispersions.push(libm::log(dispersion.max(DISPERSION_MIN)));
        relaxations.extend(relaxation);
    }
    dispersions.sort_by(f64::total_cmp);
    relaxations.sort_by(f64::total_cmp);
    if relaxations.is_empty() {
        relaxations.push(libm::log(1.0 / MINUTE_S));
    }
    Class {
        from,
        dispersions: points(&dispersions, CLASS_POINTS),
        relaxations: points(&relaxations, CLASS_POINTS),
    }
}

/// The dispersion of counts in intervals without end, and the logarithm of the rate per second at
/// which it is approached, from that of minutes and of hours.
fn irregularity(minute: f64, hour: f64) -> (f64, Option<f64>) {
    let (low, high) = RELAXATION_RANGE;
    let at = |ln_per_minute: f64, excess: f64| {
        let relaxation = libm::exp(ln_per_minute);
        (1.0 + excess / approached(relaxation), Some(ln_per_minute - libm::log(MINUTE_S)))
    };
    if hour > CLUSTERED && hour > minute {
        let excess = (minute - 1.0).max(DISPERSION_MIN);
        let wanted = (hour - 1.0) / excess;
        let (mut low, mut high) = (low, high);
        for _ in 0..BISECTIONS {
            let middle = (low + high) / 2.0;
            let relaxation = libm::exp(middle);
            if approached(60.0 * relaxation) / approached(relaxation) > wanted {
                low = middle;
            } else {
                high = middle;
            }
        }
        return at((low + high) / 2.0, excess);
    }
    if minute > CLUSTERED {
        return at(high, (minute - 1.0).max(hour - 1.0));
    }
    (minute.min(hour), None)
}

/// The share of the final excess that counts have in an interval, by its length in units of the
/// time in which clusters end.
fn approached(length: f64) -> f64 {
    if length < 1e-6 { length / 2.0 } else { 1.0 + libm::expm1(-length) / length }
}

/// `count` points of a law at equal steps of probability, from sorted values.
fn points(sorted: &[f64], count: usize) -> Vec<f64> {
    let steps = count.saturating_sub(1).max(1) as f64;
    (0..count).map(|step| at_share(sorted, step as f64 / steps)).collect()
}
