//! Distributions of durations: service times, start-up delays, think times, gaps.
//!
//! Written as text, `NAME:PARAMETERS`, where each parameter is a time as
//! [`tidegate_words::time`] reads it:
//!
//! | text | law |
//! |---|---|
//! | `const:100ms` | always the same |
//! | `exp:100ms` | exponential with this mean |
//! | `uniform:50ms,150ms` | uniform between the two |
//! | `normal:100ms,20ms` | normal with mean and standard deviation, cut at zero |
//! | `lognormal:3.24s,7.10s` | log-normal whose own mean and standard deviation are these |
//! | `weibull:1.25s,3.66s` | Weibull whose own mean and standard deviation are these |
//! | `empirical:FILE` | each of the durations in the file, one per line, equally likely |

use std::fmt;
use std::sync::Arc;

use tidegate_words::{NotATime, did_you_mean, excerpt, list, parse_seconds};

use crate::random::Stream;
use crate::time::SimSpan;

/// A law by which durations are drawn.
#[derive(Debug, Clone, PartialEq)]
pub enum Distribution {
    /// Always this long.
    Constant(SimSpan),
    /// Exponential.
    Exponential {
        /// Mean, seconds.
        mean_s: f64,
    },
    /// Uniform.
    Uniform {
        /// Shortest, seconds.
        low_s: f64,
        /// Longest, seconds.
        high_s: f64,
    },
    /// Normal, draws below zero become zero.
    Normal {
        /// Mean before cutting, seconds.
        mean_s: f64,
        /// Standard deviation before cutting, seconds.
        sd_s: f64,
    },
    /// Log-normal.
    LogNormal {
        /// Mean of the durations themselves, seconds.
        mean_s: f64,
        /// Standard deviation of the durations themselves, seconds.
        sd_s: f64,
        /// Mean of the logarithm, from the two above.
        mu: f64,
        /// Standard deviation of the logarithm, from the two above.
        sigma: f64,
    },
    /// Weibull.
    Weibull {
        /// Mean, seconds.
        mean_s: f64,
        /// Standard deviation, seconds.
        sd_s: f64,
        /// Shape, found from the two above.
        shape: f64,
        /// Scale in seconds, found from the two above.
        scale_s: f64,
    },
    /// One of the observed durations, each equally likely.
    Empirical(Arc<Empirical>),
    /// Uniform between neighbouring percentiles, as published traces give them.
    Percentiles(Arc<Percentiles>),
}

/// Observed durations and where they came from.
#[derive(Debug, Clone, PartialEq)]
pub struct Empirical {
    /// Where they came from, for the settings of a result.
    pub label: String,
    /// The durations; never empty.
    samples: Vec<SimSpan>,
}

/// A distribution known at some percentiles only.
#[derive(Debug, Clone, PartialEq)]
pub struct Percentiles {
    /// (share in [0, 1], duration in seconds), both never falling, from share 0 to share 1.
    points: Vec<(f64, f64)>,
}

/// Why a text is not a distribution.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DistributionError {
    /// No such law.
    #[error("unknown distribution `{found}`, expected {known}{hint}", known = known())]
    Unknown {
        /// What was written, cut.
        found: String,
        /// What was most likely meant, with its leading separator; may be empty.
        hint: String,
    },
    /// Too few or too many parameters.
    #[error("distribution `{text}` needs {expected}")]
    Parameters {
        /// What was written.
        text: String,
        /// What was expected.
        expected: &'static str,
    },
    /// A parameter is no time.
    #[error("distribution `{text}`: {problem}, found '{found}'")]
    Time {
        /// What was written, cut.
        text: String,
        /// The parameter, cut.
        found: String,
        /// What is wrong with it.
        problem: NotATime,
    },
    /// A parameter is out of its range.
    #[error("distribution `{text}`: {problem}")]
    Range {
        /// What was written.
        text: String,
        /// What is wrong.
        problem: &'static str,
    },
    /// A file of observed durations could not be used.
    #[error("empirical distribution {file}: {problem}")]
    File {
        /// The file.
        file: String,
        /// What is wrong, with the line where there is one.
        problem: String,
    },
}

/// Every law with its parameters, for help and for errors.
pub const LAWS: [&str; 7] = [
    "const:TIME",
    "exp:MEAN",
    "uniform:LEAST,MOST",
    "normal:MEAN,SD",
    "lognormal:MEAN,SD",
    "weibull:MEAN,SD",
    "empirical:FILE",
];

/// Reads a file of observed durations; given by the caller, because the engine does no I/O.
pub type ReadFile<'a> = &'a dyn Fn(&str) -> std::io::Result<String>;

impl Distribution {
    /// Always `span`.
    pub const fn constant(span: SimSpan) -> Self {
        Distribution::Constant(span)
    }

    /// Exponential with mean `mean_s` seconds.
    pub const fn exponential(mean_s: f64) -> Self {
        Distribution::Exponential { mean_s }
    }

    /// Log-normal whose durations have mean `mean_s` and standard deviation `sd_s` seconds.
    pub fn log_normal(mean_s: f64, sd_s: f64) -> Self {
        if mean_s <= 0.0 {
            return Distribution::Constant(SimSpan::ZERO);
        }
        let ratio = sd_s / mean_s;
        let sigma_squared = libm::log1p(ratio * ratio);
        let mu = libm::log(mean_s) - sigma_squared / 2.0;
        Distribution::LogNormal { mean_s, sd_s, mu, sigma: libm::sqrt(sigma_squared) }
    }

    /// Weibull whose durations have mean `mean_s` and standard deviation `sd_s` seconds.
    pub fn weibull(mean_s: f64, sd_s: f64) -> Self {
        if mean_s <= 0.0 || sd_s <= 0.0 {
            return Distribution::Constant(SimSpan::from_secs_f64(mean_s));
        }
        let wanted = (sd_s / mean_s) * (sd_s / mean_s);
        // The squared coefficient of variation falls as the shape grows; bisection is exact enough.
        let (mut low, mut high) = (0.05_f64, 100.0_f64);
        for _ in 0..200 {
            let shape = libm::sqrt(low * high);
            let first = libm::tgamma(1.0 + 1.0 / shape);
            let second = libm::tgamma(1.0 + 2.0 / shape);
            if second / (first * first) - 1.0 > wanted { low = shape } else { high = shape }
        }
        let shape = libm::sqrt(low * high);
        let scale_s = mean_s / libm::tgamma(1.0 + 1.0 / shape);
        Distribution::Weibull { mean_s, sd_s, shape, scale_s }
    }

    /// Each of `samples` equally likely; `None` when there are none.
    pub fn empirical(label: &str, samples: Vec<SimSpan>) -> Option<Self> {
        (!samples.is_empty())
            .then(|| Distribution::Empirical(Arc::new(Empirical { label: label.into(), samples })))
    }

    /// Uniform between neighbouring `points` of (share in [0, 1], seconds). Points are sorted,
    /// values made never to fall, and the ends extended to shares 0 and 1; `None` when there are
    /// none.
    pub fn percentiles(mut points: Vec<(f64, f64)>) -> Option<Self> {
        points.retain(|(share, value)| share.is_finite() && value.is_finite());
        points.sort_by(|a, b| a.0.total_cmp(&b.0));
        let (first, last) = (*points.first()?, *points.last()?);
        if first.0 > 0.0 {
            points.insert(0, (0.0, first.1));
        }
        if last.0 < 1.0 {
            points.push((1.0, last.1));
        }
        let mut floor = 0.0_f64;
        for (share, value) in &mut points {
            *share = share.clamp(0.0, 1.0);
            floor = floor.max(*value);
            *value = floor;
        }
        Some(Distribution::Percentiles(Arc::new(Percentiles { points })))
    }

    /// Reads the text form; `read` fetches the file of `empirical:FILE`.
    pub fn parse(text: &str, read: ReadFile<'_>) -> Result<Self, DistributionError> {
        let (name, parameters) = text.split_once(':').unwrap_or((text, ""));
        if name == "empirical" {
            return parse_empirical(parameters, read);
        }
        let expected = match name {
            "const" | "exp" => "one duration, as in const:100ms or exp:100ms",
            "uniform" => "two durations, as in uniform:50ms,150ms",
            "normal" | "lognormal" | "weibull" => "a mean and a standard deviation, as in 1s,200ms",
            _ => return Err(unknown(text, name)),
        };
        let wrong = || DistributionError::Parameters { text: excerpt(text), expected };
        let parameters: Vec<&str> = parameters.split(',').collect();
        if parameters.len() > 2 || parameters.iter().all(|one| one.trim().is_empty()) {
            return Err(wrong());
        }
        let time = |found: &&str| {
            parse_seconds(found).map_err(|problem| DistributionError::Time {
                text: excerpt(text),
                found: excerpt(found),
                problem,
            })
        };
        let values = parameters.iter().map(time).collect::<Result<Vec<_>, _>>()?;
        let range = |problem| DistributionError::Range { text: excerpt(text), problem };
        match (name, values.as_slice()) {
            ("const", &[value]) => Ok(Distribution::Constant(SimSpan::from_secs_f64(value))),
            ("exp", &[mean_s]) => Ok(Distribution::Exponential { mean_s }),
            ("uniform", &[low_s, high_s]) if low_s <= high_s => {
                Ok(Distribution::Uniform { low_s, high_s })
            }
            ("uniform", &[_, _]) => Err(range("the first bound must not exceed the second")),
            ("normal", &[mean_s, sd_s]) => Ok(Distribution::Normal { mean_s, sd_s }),
            ("lognormal", &[mean_s, sd_s]) if mean_s > 0.0 => {
                Ok(Distribution::log_normal(mean_s, sd_s))
            }
            ("weibull", &[mean_s, sd_s]) if mean_s > 0.0 => Ok(Distribution::weibull(mean_s, sd_s)),
            ("lognormal" | "weibull", &[_, _]) => Err(range("the mean must be above zero")),
            _ => Err(wrong()),
        }
    }

    /// The same law with parameters of four significant figures, more than any recording supports;
    /// for people who copy it by hand.
    #[must_use]
    pub fn rounded(&self) -> Self {
        let round = |value: f64| format!("{value:.3e}").parse().unwrap_or(value);
        match self {
            Distribution::Constant(span) => {
                Distribution::Constant(SimSpan::from_secs_f64(round(span.as_secs_f64())))
            }
            Distribution::Exponential { mean_s } => {
                Distribution::Exponential { mean_s: round(*mean_s) }
            }
            Distribution::Uniform { low_s, high_s } => {
                Distribution::Uniform { low_s: round(*low_s), high_s: round(*high_s) }
            }
            Distribution::Normal { mean_s, sd_s } => {
                Distribution::Normal { mean_s: round(*mean_s), sd_s: round(*sd_s) }
            }
            Distribution::LogNormal { mean_s, sd_s, .. } => {
                Distribution::log_normal(round(*mean_s), round(*sd_s))
            }
            Distribution::Weibull { mean_s, sd_s, .. } => {
                Distribution::weibull(round(*mean_s), round(*sd_s))
            }
            Distribution::Empirical(_) | Distribution::Percentiles(_) => self.clone(),
        }
    }

    /// Draws one duration.
    pub fn sample(&self, stream: &mut Stream) -> SimSpan {
        let seconds = match self {
            Distribution::Constant(span) => return *span,
            Distribution::Exponential { mean_s } => mean_s * stream.exponential(),
            Distribution::Uniform { low_s, high_s } => low_s + (high_s - low_s) * stream.unit(),
            Distribution::Normal { mean_s, sd_s } => mean_s + sd_s * stream.normal(),
            Distribution::LogNormal { mu, sigma, .. } => libm::exp(mu + sigma * stream.normal()),
            Distribution::Weibull { shape, scale_s, .. } => {
                scale_s * libm::pow(stream.exponential(), 1.0 / shape)
            }
            Distribution::Empirical(empirical) => {
                let index = stream.below(empirical.samples.len() as u64) as usize;
                return empirical.samples.get(index).copied().unwrap_or_default();
            }
            Distribution::Percentiles(percentiles) => percentiles.at(stream.unit()),
        };
        SimSpan::from_secs_f64(seconds)
    }

    /// Mean in seconds (of the uncut law for `normal`).
    pub fn mean_s(&self) -> f64 {
        match self {
            Distribution::Constant(span) => span.as_secs_f64(),
            Distribution::Exponential { mean_s }
            | Distribution::Normal { mean_s, .. }
            | Distribution::LogNormal { mean_s, .. }
            | Distribution::Weibull { mean_s, .. } => *mean_s,
            Distribution::Uniform { low_s, high_s } => (low_s + high_s) / 2.0,
            Distribution::Empirical(empirical) => {
                let sum: f64 = empirical.samples.iter().map(|span| span.as_secs_f64()).sum();
                sum / empirical.samples.len() as f64
            }
            Distribution::Percentiles(percentiles) => percentiles.mean_s(),
        }
    }
}

/// The names of all laws, as a sentence lists them.
fn known() -> String {
    list(LAWS.iter().map(|law| law.trim_end_matches(|c| c != ':')))
}

/// The error for an unknown law. A bare time most likely stands for a constant, so the hint names
/// that.
fn unknown(text: &str, name: &str) -> DistributionError {
    let hint = match parse_seconds(text) {
        Ok(_) => format!("; for a time that is always the same write const:{}", excerpt(text)),
        Err(_) => did_you_mean(name, LAWS.iter().filter_map(|law| law.split(':').next())),
    };
    DistributionError::Unknown { found: excerpt(text), hint }
}

fn parse_empirical(file: &str, read: ReadFile<'_>) -> Result<Distribution, DistributionError> {
    let problem = |problem| DistributionError::File { file: file.to_owned(), problem };
    let text = read(file).map_err(|error| problem(error.to_string()))?;
    let mut samples = Vec::new();
    for (number, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let seconds = parse_seconds(line).map_err(|error| {
            problem(format!("line {}: {error}, found '{}'", number + 1, excerpt(line)))
        })?;
        samples.push(SimSpan::from_secs_f64(seconds));
    }
    Distribution::empirical(file, samples)
        .ok_or_else(|| problem("holds no durations, expected one per line".to_owned()))
}

impl fmt::Display for Distribution {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Distribution::Constant(span) => write!(f, "const:{}s", span.as_secs_f64()),
            Distribution::Exponential { mean_s } => write!(f, "exp:{mean_s}s"),
            Distribution::Uniform { low_s, high_s } => write!(f, "uniform:{low_s}s,{high_s}s"),
            Distribution::Normal { mean_s, sd_s } => write!(f, "normal:{mean_s}s,{sd_s}s"),
            Distribution::LogNormal { mean_s, sd_s, .. } => {
                write!(f, "lognormal:{mean_s}s,{sd_s}s")
            }
            Distribution::Weibull { mean_s, sd_s, .. } => write!(f, "weibull:{mean_s}s,{sd_s}s"),
            Distribution::Empirical(empirical) => write!(f, "empirical:{}", empirical.label),
            Distribution::Percentiles(_) => f.write_str("percentiles"),
        }
    }
}

impl Empirical {
    /// The observed durations in the order they were given.
    pub fn samples(&self) -> &[SimSpan] {
        &self.samples
    }
}

impl Percentiles {
    /// The quantile at `share` (0 to 1), seconds.
    pub fn at(&self, share: f64) -> f64 {
        let after = self.points.partition_point(|point| point.0 <= share);
        match (self.points.get(after.wrapping_sub(1)), self.points.get(after)) {
            (Some(left), Some(right)) if right.0 > left.0 => {
                left.1 + (right.1 - left.1) * (share - left.0) / (right.0 - left.0)
            }
            (Some(point), _) | (None, Some(point)) => point.1,
            (None, None) => 0.0,
        }
    }

    fn mean_s(&self) -> f64 {
        let pairs = self.points.iter().zip(self.points.iter().skip(1));
        pairs.map(|(left, right)| (right.0 - left.0) * (left.1 + right.1) / 2.0).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Streams;

    fn no_files(_: &str) -> std::io::Result<String> {
        Err(std::io::Error::from(std::io::ErrorKind::NotFound))
    }

    fn check(text: &str, mean_s: f64, sd_s: f64) {
        let law = Distribution::parse(text, &no_files).expect(text);
        let mut stream = Streams::new(1).stream(text, 0);
        let count = 400_000;
        let (mut sum, mut squares) = (0.0, 0.0);
        for _ in 0..count {
            let value = law.sample(&mut stream).as_secs_f64();
            sum += value;
            squares += value * value;
        }
        let mean = sum / f64::from(count);
        let sd = (squares / f64::from(count) - mean * mean).max(0.0).sqrt();
        assert!((mean - mean_s).abs() <= 0.02 * mean_s, "{text}: mean {mean}, expected {mean_s}");
        assert!((sd - sd_s).abs() <= 0.05 * sd_s + 1e-5, "{text}: sd {sd}, expected {sd_s}");
        assert!((law.mean_s() - mean_s).abs() <= 1e-9 * mean_s, "{text}: {}", law.mean_s());
    }

    #[test]
    fn draws_have_the_moments_that_were_asked_for() {
        check("const:100ms", 0.1, 0.0);
        check("exp:100ms", 0.1, 0.1);
        check("uniform:50ms,150ms", 0.1, 0.1 / 12.0_f64.sqrt());
        check("normal:1,100ms", 1.0, 0.1);
        check("lognormal:100ms,50ms", 0.1, 0.05);
        check("weibull:1s,500ms", 1.0, 0.5);
    }

    #[test]
    fn percentiles_interpolate_and_never_fall() {
        let law = Distribution::percentiles(vec![(0.5, 2.0), (0.0, 1.0), (1.0, 1.5)]);
        let Some(Distribution::Percentiles(points)) = law else { panic!("not percentiles") };
        assert_eq!(points.at(0.25), 1.5);
        assert_eq!(points.at(0.5), 2.0);
        assert_eq!(points.at(1.0), 2.0);
    }

    #[test]
    fn errors_say_what_was_expected() {
        let error = |text: &str| match Distribution::parse(text, &no_files) {
            Err(error) => error.to_string(),
            Ok(law) => panic!("{text} was read as {law}"),
        };
        assert!(error("gamma:1s").contains("expected const:"));
        assert!(error("gama:1s").contains("expected const:"));
        assert!(error("expp:1s").contains("did you mean `exp`?"));
        assert!(error("2s").contains("write const:2s"));
        assert!(error("exp:fast").contains("expected a time such as 5s"));
        assert!(error("exp:fast").contains("found 'fast'"));
        assert!(error("exp:-1s").contains("not below zero"));
        assert!(error("exp:1s,2s").contains("one duration"));
        assert!(error("uniform:2s,1s").contains("must not exceed"));
        assert!(error("empirical:/no/such/file").contains("/no/such/file"));
    }

    #[test]
    fn observed_durations_are_read_one_per_line() {
        let read = |_: &str| Ok("# measured\n10ms\n\n0.02\n".to_owned());
        let law = Distribution::parse("empirical:x", &read).expect("reads");
        assert!((law.mean_s() - 0.015).abs() < 1e-12);
        let bad = |_: &str| Ok("10ms\nten\n".to_owned());
        let error = Distribution::parse("empirical:x", &bad).expect_err("refuses").to_string();
        assert!(error.contains("line 2"), "{error}");
    }
}
