//! Models from recordings: which law do these durations follow, and what is this traffic like?

pub mod starts;

use serde::{Deserialize, Serialize};

use crate::arrival::{SourceError, Traffic};
use crate::distribution::Distribution;
use crate::random::Streams;
use crate::time::SimSpan;

/// Durations kept to fit a law to; beyond it a random sample of this size stands for all.
pub const MAX_SAMPLES: usize = 200_000;

/// A law fitted to durations.
#[derive(Debug, Clone)]
pub struct DurationFit {
    /// Number of durations.
    pub count: u64,
    /// Their mean, seconds.
    pub mean_s: f64,
    /// Their standard deviation, seconds.
    pub sd_s: f64,
    /// All laws tried, nearest first.
    pub candidates: Vec<Candidate>,
    /// The durations themselves as a law: the best that any fit could reach.
    pub empirical: Distribution,
}

/// A law and how far it is from what was observed.
#[derive(Debug, Clone)]
pub struct Candidate {
    /// The law, by moments or, where that is better, by quantiles.
    pub law: Distribution,
    /// Largest difference of the distribution functions (Kolmogorov-Smirnov), 0 to 1.
    pub distance: f64,
}

/// What traffic is like.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct TrafficFit {
    /// Arrivals.
    pub requests: u64,
    /// From the first arrival to the last, seconds.
    pub seconds: f64,
    /// Arrivals per second.
    pub rate: f64,
    /// Coefficient of variation of the gaps between arrivals ([`Moments::variation`]).
    pub gap_variation: f64,
    /// Variance over mean of the counts in whole seconds: 1 for a Poisson process.
    pub dispersion: f64,
    /// Most arrivals within a whole second.
    pub peak_in_a_second: u64,
    /// Share of whole seconds without an arrival.
    pub quiet_share: f64,
    /// A generator that comes near, as a specification such as `poisson:70`.
    pub generator: String,
}

/// Fits laws to durations; `None` when there are none.
pub fn durations(samples: &[SimSpan]) -> Option<DurationFit> {
    let mut sorted: Vec<f64> = samples.iter().map(|span| span.as_secs_f64()).collect();
    sorted.sort_by(f64::total_cmp);
    let (&first, &last) = (sorted.first()?, sorted.last()?);
    let n = sorted.len() as f64;
    let mean_s = sorted.iter().sum::<f64>() / n;
    let sd_s = (sorted.iter().map(|x| (x - mean_s) * (x - mean_s)).sum::<f64>() / n).sqrt();
    let mut laws = vec![
        Distribution::Constant(SimSpan::from_secs_f64(mean_s)),
        Distribution::Exponential { mean_s },
        Distribution::Uniform { low_s: first, high_s: last },
        Distribution::Normal { mean_s, sd_s },
        Distribution::log_normal(mean_s, sd_s),
        Distribution::weibull(mean_s, sd_s),
    ];
    laws.extend(log_normal_by_likelihood(&sorted));
    let mut candidates: Vec<Candidate> = laws
        .into_iter()
        .filter_map(|law| distance(&law, &sorted).map(|distance| Candidate { law, distance }))
        .collect();
    candidates.sort_by(|a, b| a.distance.total_cmp(&b.distance));
    let empirical = Distribution::empirical("recorded", samples.to_vec())?;
    Some(DurationFit { count: samples.len() as u64, mean_s, sd_s, candidates, empirical })
}

/// The log-normal law of greatest likelihood, which a few huge values cannot pull as they pull the
/// moments.
fn log_normal_by_likelihood(sorted: &[f64]) -> Option<Distribution> {
    if sorted.first().is_none_or(|first| *first <= 0.0) {
        return None;
    }
    let n = sorted.len() as f64;
    let mu = sorted.iter().map(|x| libm::log(*x)).sum::<f64>() / n;
    let square = |x: &f64| (libm::log(*x) - mu) * (libm::log(*x) - mu);
    let sigma_squared = sorted.iter().map(square).sum::<f64>() / n;
    let mean_s = libm::exp(mu + sigma_squared / 2.0);
    let sd_s = mean_s * libm::sqrt(libm::expm1(sigma_squared));
    (mean_s.is_finite() && sd_s.is_finite()).then(|| Distribution::log_normal(mean_s, sd_s))
}

/// Largest difference between a law's distribution function and that of `sorted`.
fn distance(law: &Distribution, sorted: &[f64]) -> Option<f64> {
    let n = sorted.len() as f64;
    let mut worst = 0.0_f64;
    let mut index = 0;
    while index < sorted.len() {
        // Equal values are one step of the observed function.
        let value = sorted[index];
        let end = index + sorted[index..].partition_point(|x| *x <= value);
        let at = cumulative(law, value)?;
        let below = if matches!(law, Distribution::Constant(_)) && at > 0.0 { 0.0 } else { at };
        worst = worst.max((below - index as f64 / n).abs()).max((at - end as f64 / n).abs());
        index = end;
    }
    Some(worst)
}

/// The share of draws that do not exceed `x` seconds; `None` for laws that are not fitted.
fn cumulative(law: &Distribution, x: f64) -> Option<f64> {
    Some(match law {
        Distribution::Constant(span) => f64::from(u8::from(x >= span.as_secs_f64())),
        Distribution::Exponential { mean_s } => -libm::expm1(-x / mean_s.max(f64::MIN_POSITIVE)),
        Distribution::Uniform { low_s, high_s } => {
            if x >= *high_s {
                1.0
            } else {
                ((x - low_s) / (high_s - low_s)).clamp(0.0, 1.0)
            }
        }
        Distribution::Normal { mean_s, sd_s } => {
            normal_below((x - mean_s) / sd_s.max(f64::MIN_POSITIVE))
        }
        Distribution::LogNormal { mu, sigma, .. } => {
            if x <= 0.0 {
                0.0
            } else {
                normal_below((libm::log(x) - mu) / sigma.max(f64::MIN_POSITIVE))
            }
        }
        Distribution::Weibull { shape, scale_s, .. } => {
            -libm::expm1(-libm::pow(x / scale_s, *shape))
        }
        Distribution::Empirical(_) | Distribution::Percentiles(_) => return None,
    })
}

fn normal_below(z: f64) -> f64 {
    0.5 * libm::erfc(-z / std::f64::consts::SQRT_2)
}

/// Reads all of `traffic`: what it is like, and the service times it brings (a random sample of at
/// most [`MAX_SAMPLES`]).
///
/// # Errors
///
/// When the traffic cannot be read.
pub fn traffic(traffic: &dyn Traffic) -> Result<(TrafficFit, Vec<SimSpan>), SourceError> {
    let mut source = traffic.open()?;
    let mut gaps = Moments::default();
    let mut seconds = Seconds::default();
    let mut sample = Reservoir::new();
    let (mut first, mut last) = (None, 0);
    while let Some(arrival) = source.next() {
        let arrival = arrival?;
        let at = arrival.at.as_nanos();
        match first {
            None => first = Some(at),
            Some(_) => gaps.add((at - last) as f64 / 1e9),
        }
        last = at;
        seconds.add(at / 1_000_000_000);
        if let Some(service) = arrival.service {
            sample.add(service);
        }
    }
    let span = (last - first.unwrap_or(0)) as f64 / 1e9;
    seconds.finish();
    let counts = &seconds.counts;
    let requests = gaps.count + u64::from(first.is_some());
    let rate = if span > 0.0 { gaps.count as f64 / span } else { 0.0 };
    let gap_variation = gaps.variation();
    let fit = TrafficFit {
        requests,
        seconds: span,
        rate,
        gap_variation,
        dispersion: if counts.mean > 0.0 { counts.sd().powi(2) / counts.mean } else { 0.0 },
        peak_in_a_second: seconds.peak,
        quiet_share: seconds.quiet as f64 / counts.count.max(1) as f64,
        generator: generator(rate, gap_variation),
    };
    Ok((fit, sample.kept))
}

/// The nearest generator of independent gaps.
fn generator(rate: f64, gap_variation: f64) -> String {
    let rate = libm::round(rate * 1e6) / 1e6;
    match gap_variation {
        v if v < 0.05 => format!("constant:{rate}"),
        v if (0.9..1.1).contains(&v) => format!("poisson:{rate}"),
        v => format!("renewal:{rate},{}", libm::round(v * 1e3) / 1e3),
    }
}

/// Running mean and variance (Welford).
#[derive(Debug, Clone, Default)]
pub struct Moments {
    count: u64,
    mean: f64,
    squares: f64,
}

impl Moments {
    /// Adds one value.
    pub fn add(&mut self, x: f64) {
        self.add_times(x, 1);
    }

    /// Coefficient of variation: standard deviation over mean. Of the gaps between arrivals 0 is
    /// clockwork and 1 a Poisson process. 0 as well when the mean is 0 or nothing was added.
    pub fn variation(&self) -> f64 {
        if self.mean > 0.0 { self.sd() / self.mean } else { 0.0 }
    }

    /// Adds `x` so many times.
    fn add_times(&mut self, x: f64, times: u64) {
        if times == 0 {
            return;
        }
        let (before, times_f) = (self.count as f64, times as f64);
        self.count += times;
        let off = x - self.mean;
        self.mean += off * times_f / self.count as f64;
        self.squares += off * off * before * times_f / self.count as f64;
    }

    fn sd(&self) -> f64 {
        if self.count == 0 { 0.0 } else { (self.squares / self.count as f64).sqrt() }
    }
}

/// Counts in whole seconds, quiet ones included.
#[derive(Debug, Default)]
struct Seconds {
    current: Option<(u64, u64)>,
    counts: Moments,
    peak: u64,
    quiet: u64,
}

impl Seconds {
    fn add(&mut self, second: u64) {
        match &mut self.current {
            Some((now, count)) if *now == second => *count += 1,
            Some((now, count)) => {
                let quiet = second - *now - 1;
                self.peak = self.peak.max(*count);
                self.counts.add(*count as f64);
                self.counts.add_times(0.0, quiet);
                self.quiet += quiet;
                (*now, *count) = (second, 1);
            }
            None => self.current = Some((second, 1)),
        }
    }

    fn finish(&mut self) {
        if let Some((_, count)) = self.current.take() {
            self.peak = self.peak.max(count);
            self.counts.add(count as f64);
        }
    }
}

/// A random sample of bounded size from any number of durations.
struct Reservoir {
    kept: Vec<SimSpan>,
    seen: u64,
    stream: crate::random::Stream,
}

impl Reservoir {
    fn new() -> Self {
        Reservoir { kept: Vec::new(), seen: 0, stream: Streams::new(0).stream("reservoir", 0) }
    }

    fn add(&mut self, span: SimSpan) {
        self.seen += 1;
        if self.kept.len() < MAX_SAMPLES {
            self.kept.push(span);
        } else if let Some(slot) = self.kept.get_mut(self.stream.below(self.seen) as usize) {
            *slot = span;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: &str) {
        let law = Distribution::parse(text, &|_| unreachable!()).expect(text);
        let mut stream = Streams::new(5).stream(text, 0);
        let samples: Vec<SimSpan> = (0..20_000).map(|_| law.sample(&mut stream)).collect();
        let fit = durations(&samples).expect("has samples");
        let best = fit.candidates.first().expect("has candidates");
        let name = best.law.to_string();
        assert!(name.starts_with(expected), "{text} was fitted as {name}");
        assert!(best.distance < 0.02, "{text}: {}", best.distance);
        assert!((best.law.mean_s() / law.mean_s() - 1.0).abs() < 0.05, "{text}: {name}");
    }

    #[test]
    fn the_law_that_made_the_durations_is_found() {
        check("const:100ms", "const");
        check("uniform:50ms,150ms", "uniform");
        check("normal:1s,100ms", "normal");
        check("lognormal:1s,2s", "lognormal");
        check("weibull:1s,3s", "weibull");
    }
}
