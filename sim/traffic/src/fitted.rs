//! A generator fitted to given traffic: the same rate over time and the same irregularity, but
//! other arrivals for every seed.
//!
//! The rate is a staircase of bins with enough arrivals in each to estimate it. Seen on a clock
//! that runs with that rate, gaps have mean one; their coefficient of variation is what remains,
//! and a renewal process with that variation, run through the staircase, is the fitted traffic.

use tidegate_sim::arrival::{SourceError, Traffic};

use crate::curve::{After, Curve};
use crate::generator::{Gaps, Law};

/// Steps of the fitted staircase at most: minutes of a day.
const BINS_MAX: usize = 1_440;

/// Arrivals a bin should have on average, so that its rate is known to a tenth and fitting the
/// rate does not swallow the irregularity of gaps.
const ARRIVALS_PER_BIN: u64 = 100;

/// What was learnt from traffic.
#[derive(Debug, Clone, PartialEq)]
pub struct FittedArrivals {
    /// Length of a bin, seconds.
    pub bin_s: f64,
    /// Mean rate in each bin, per second.
    pub rates: Vec<f64>,
    /// Coefficient of variation of gaps on the clock of the rate.
    pub variation: f64,
    /// Arrivals that were seen.
    pub arrivals: u64,
}

/// Counts in bins that double whenever they would become too many.
struct Bins {
    width_ns: u64,
    counts: Vec<u64>,
}

impl FittedArrivals {
    /// Learns from `traffic`, which is read twice, with the help of all its revisions together.
    ///
    /// # Errors
    ///
    /// What reading the traffic reports; or that it has fewer than two arrivals.
    pub fn learn(traffic: &dyn Traffic) -> Result<Self, SourceError> {
        let mut bins = Bins { width_ns: 1_000_000, counts: Vec::new() };
        let mut source = traffic.open()?;
        while let Some(arrival) = source.next() {
            bins.add(arrival?.at.as_nanos());
        }
        let arrivals: u64 = bins.counts.iter().sum();
        if arrivals < 2 {
            let text = format!("{}: expected at least two arrivals to fit", traffic.describe());
            return Err(text.into());
        }
        while bins.counts.len() > 1 && arrivals < ARRIVALS_PER_BIN * bins.counts.len() as u64 {
            bins.double();
        }
        let bin_s = bins.width_ns as f64 / 1e9;
        let rates: Vec<f64> = bins.counts.iter().map(|count| *count as f64 / bin_s).collect();
        let variation = variation(traffic, bin_s, &rates)?;
        Ok(FittedArrivals { bin_s, rates, variation, arrivals })
    }

    /// The generator's law.
    pub(crate) fn law(&self) -> Law {
        let steps: Vec<(f64, f64)> = self.rates.iter().map(|rate| (self.bin_s, *rate)).collect();
        Law::Curve(Curve::steps(&steps, After::End), Gaps::of_variation(self.variation))
    }
}

impl Bins {
    fn add(&mut self, at_ns: u64) {
        while at_ns / self.width_ns >= BINS_MAX as u64 {
            self.double();
        }
        let bin = (at_ns / self.width_ns) as usize;
        if self.counts.len() <= bin {
            self.counts.resize(bin + 1, 0);
        }
        self.counts[bin] += 1;
    }

    fn double(&mut self) {
        self.width_ns = self.width_ns.saturating_mul(2);
        self.counts = self.counts.chunks(2).map(|pair| pair.iter().sum()).collect();
    }
}

/// Coefficient of variation of gaps on the clock that the rates drive.
fn variation(traffic: &dyn Traffic, bin_s: f64, rates: &[f64]) -> Result<f64, SourceError> {
    let mut before = Vec::with_capacity(rates.len());
    let mut sum = 0.0;
    for rate in rates {
        before.push(sum);
        sum += rate * bin_s;
    }
    let clock = |at_s: f64| {
        let bin = ((at_s / bin_s) as usize).min(rates.len() - 1);
        before[bin] + rates[bin] * (at_s - bin as f64 * bin_s)
    };
    let mut source = traffic.open()?;
    let (mut last, mut count, mut total, mut squares) = (None, 0.0_f64, 0.0, 0.0);
    while let Some(arrival) = source.next() {
        let now = clock(arrival?.at.as_secs_f64());
        if let Some(last) = last {
            let gap: f64 = now - last;
            count += 1.0;
            total += gap;
            squares += gap * gap;
        }
        last = Some(now);
    }
    let mean = total / count.max(1.0);
    if mean <= 0.0 {
        return Ok(0.0);
    }
    let variance = (squares / count - mean * mean).max(0.0);
    Ok(libm::sqrt(variance) / mean)
}
