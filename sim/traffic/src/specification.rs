//! Generators as people type them: `poisson:70`, `step:10,50,60s`, `mmpp:100,10,10s,30s`.
//!
//! A specification is a name, a colon and arguments separated by commas. Rates are per second, or
//! with `/s`, `/m`, `/h` behind them; times are those of [`tidegate_words::time`]. An
//! argument `gaps=…` makes gaps more or less regular than a Poisson process: `const`, `exp`,
//! `cv2.5`, `pareto1.5` or `weibull0.7`.

use tidegate_words::{did_you_mean, excerpt, list, parse_seconds};

use crate::curve::{After, Curve, Piece};
use crate::error::TrafficError;
use crate::generator::{Gaps, Law};

/// Straight pieces that stand for one period of a sine: its area is then right to 0.02 %.
const SINE_PIECES: u32 = 96;

/// Longest sensible list of `times:`, so that a typing mistake does not fill the memory.
const TIMES_MAX: usize = 1 << 20;

/// Shortest time that means anything, seconds: a tick of the simulated clock.
const TIME_MIN_S: f64 = 1e-9;

/// Shortest mean time of a state of `mmpp:`, seconds. States that take turns faster than requests
/// come cannot be told from a plain Poisson process, and each turn costs a step.
const TURN_MIN_S: f64 = 1e-3;

/// Largest coefficient of variation: beyond it the law's rare branch is lost to rounding.
const VARIATION_MAX: f64 = 1e6;

/// Smallest shape of a Pareto law: below it gaps of the mean are so rare that a run sees only the
/// many that are nearly nothing, and time stands still.
const PARETO_SHAPE_MIN: f64 = 1.001;

/// Smallest shape of a Weibull law, for the same reason.
const WEIBULL_SHAPE_MIN: f64 = 0.1;

/// Every specification with its arguments, for help and for errors.
pub const GENERATORS: [(&str, &str); 14] = [
    ("poisson", "RATE"),
    ("constant", "RATE"),
    ("renewal", "RATE,CV"),
    ("pareto", "RATE,SHAPE"),
    ("weibull", "RATE,SHAPE"),
    ("mmpp", "RATE,RATE,TIME,TIME"),
    ("diurnal", "MEAN,AMPLITUDE,PERIOD[,PHASE]"),
    ("step", "RATE,RATE,AT[,RATE,AT...]"),
    ("ramp", "FROM,TO,TIME[,HOLD]"),
    ("spike", "BASE,PEAK,AT,LENGTH"),
    ("onoff", "RATE,ON,OFF"),
    ("timer", "PERIOD[,PHASE]"),
    ("burst", "COUNT[,PERIOD[,PHASE]]"),
    ("times", "TIME,TIME,..."),
];

/// A parsed specification: the law, and the text it came from.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Specification {
    pub(crate) text: String,
    pub(crate) law: Law,
}

struct Arguments<'a> {
    spec: &'a str,
    usage: String,
    values: Vec<&'a str>,
    gaps: Option<Gaps>,
}

impl Specification {
    pub(crate) fn parse(spec: &str) -> Result<Self, TrafficError> {
        let (name, rest) = spec.split_once(':').unwrap_or((spec, ""));
        let Some((name, usage)) = GENERATORS.iter().find(|(known, _)| *known == name) else {
            let names = || GENERATORS.iter().map(|(name, _)| *name);
            let near = did_you_mean(name, names());
            let (known, found) = (list(names()), excerpt(name));
            let problem = format!("expected {known}, found '{found}'{near}");
            return Err(TrafficError::specification(spec, problem));
        };
        let mut arguments =
            Arguments { spec, usage: format!("{name}:{usage}"), values: Vec::new(), gaps: None };
        for value in rest.split(',').map(str::trim).filter(|value| !value.is_empty()) {
            match value.strip_prefix("gaps=") {
                Some(gaps) => arguments.gaps = Some(arguments.law_of_gaps(gaps)?),
                None => arguments.values.push(value),
            }
        }
        let law = arguments.law(name)?;
        if arguments.gaps.is_some() && !matches!(law, Law::Curve(..)) {
            return Err(arguments.error(format!("'{name}' takes no gaps=")));
        }
        Ok(Specification { text: spec.to_owned(), law })
    }
}

/// A rate per second as it is typed, not negative; `None` if it is none.
pub(crate) fn rate_of(text: &str) -> Option<f64> {
    let (number, seconds) = match text.split_once('/') {
        Some((number, "s")) => (number, 1.0),
        Some((number, "m" | "min")) => (number, 60.0),
        Some((number, "h")) => (number, 3_600.0),
        Some((number, "d")) => (number, 86_400.0),
        Some(_) => ("", 1.0),
        None => (text, 1.0),
    };
    let rate = number.parse::<f64>().ok().map(|number| number / seconds);
    rate.filter(|rate| (0.0..=1e9).contains(rate))
}

impl Arguments<'_> {
    fn error(&self, problem: impl std::fmt::Display) -> TrafficError {
        let problem = format!("expected {}: {problem}", self.usage);
        TrafficError::specification(self.spec, problem)
    }

    fn law(&self, name: &str) -> Result<Law, TrafficError> {
        let curve = |curve| Ok(Law::Curve(curve, self.gaps.unwrap_or(Gaps::Exponential)));
        match name {
            "poisson" => {
                self.count(1..=1)?;
                curve(Curve::constant(self.positive_rate(0)?))
            }
            "constant" => {
                self.count(1..=1)?;
                Ok(Law::Curve(Curve::constant(self.positive_rate(0)?), Gaps::Constant))
            }
            "renewal" | "pareto" | "weibull" => self.renewal(name),
            "mmpp" => {
                self.count(4..=4)?;
                let rates = [self.rate(0)?, self.rate(1)?];
                if rates == [0.0, 0.0] {
                    return Err(self.error("one of the two rates must be above 0"));
                }
                let means_s = [self.positive(2)?, self.positive(3)?];
                if means_s.iter().any(|mean_s| *mean_s < TURN_MIN_S) {
                    return Err(self.error("the two times must be at least 1ms"));
                }
                Ok(Law::Modulated { rates, means_s })
            }
            "diurnal" => curve(self.diurnal()?),
            "step" => curve(self.steps()?),
            "ramp" => curve(self.ramp()?),
            "spike" => {
                self.count(4..=4)?;
                let (base, peak) = (self.rate(0)?, self.rate(1)?);
                let steps = [(self.positive(2)?, base), (self.positive(3)?, peak), (1.0, base)];
                curve(Curve::steps(&steps, After::Hold))
            }
            "onoff" => {
                self.count(3..=3)?;
                let steps = [(self.positive(1)?, self.rate(0)?), (self.positive(2)?, 0.0)];
                curve(Curve::steps(&steps, After::Repeat))
            }
            _ => self.exact(name),
        }
    }

    fn renewal(&self, name: &str) -> Result<Law, TrafficError> {
        self.count(2..=2)?;
        let value = self.number(1)?;
        let gaps = match name {
            "renewal" if (0.0..=VARIATION_MAX).contains(&value) => Gaps::of_variation(value),
            "pareto" if value >= PARETO_SHAPE_MIN => Gaps::Pareto { shape: value },
            "weibull" if value >= WEIBULL_SHAPE_MIN => Gaps::weibull(value),
            "pareto" => {
                return Err(self.error("the shape must be above 1 for a mean to exist: from 1.001"));
            }
            "weibull" => return Err(self.error("the shape must be at least 0.1")),
            _ => return Err(self.error("the variation must be from 0 to a million")),
        };
        Ok(Law::Curve(Curve::constant(self.positive_rate(0)?), gaps))
    }

    /// Laws that are not random.
    fn exact(&self, name: &str) -> Result<Law, TrafficError> {
        match name {
            "timer" => {
                self.count(1..=2)?;
                let phase_s = if self.values.len() > 1 { self.time(1)? } else { 0.0 };
                Ok(Law::Timer { period_s: self.positive(0)?, phase_s })
            }
            "burst" => {
                self.count(1..=3)?;
                let count = self.values[0].parse().map_err(|_| {
                    self.error(format!(
                        "expected a whole number, found '{}'",
                        excerpt(self.values[0])
                    ))
                })?;
                let period_s = (self.values.len() > 1).then(|| self.positive(1)).transpose()?;
                let phase_s = if self.values.len() > 2 { self.time(2)? } else { 0.0 };
                if count == 0 {
                    return Err(self.error("the count must be above 0"));
                }
                Ok(Law::Burst { count, period_s, phase_s })
            }
            _ => {
                self.count(1..=TIMES_MAX)?;
                let times: Result<Vec<f64>, TrafficError> =
                    (0..self.values.len()).map(|index| self.time(index)).collect();
                let times = times?;
                if times.windows(2).any(|pair| pair[0] > pair[1]) {
                    return Err(self.error("times must not fall"));
                }
                Ok(Law::Times(times))
            }
        }
    }

    fn diurnal(&self) -> Result<Curve, TrafficError> {
        self.count(3..=4)?;
        let (mean, amplitude, period_s) =
            (self.positive_rate(0)?, self.number(1)?, self.positive(2)?);
        if !(0.0..=1.0).contains(&amplitude) {
            return Err(self.error("the amplitude is a share of the mean, from 0 to 1"));
        }
        let phase_s = if self.values.len() > 3 { self.time(3)? } else { 0.0 };
        let rate = |step: u32| {
            let turn = f64::from(step) / f64::from(SINE_PIECES) + phase_s / period_s;
            mean * (1.0 + amplitude * libm::sin(turn * std::f64::consts::TAU)).max(0.0)
        };
        let length_s = period_s / f64::from(SINE_PIECES);
        let piece = |step| Piece { length_s, from: rate(step), to: rate(step + 1) };
        Ok(Curve::new((0..SINE_PIECES).map(piece).collect(), After::Repeat))
    }

    /// A rate, then pairs of a new rate and when it begins.
    fn steps(&self) -> Result<Curve, TrafficError> {
        if self.values.len() < 3 || self.values.len().is_multiple_of(2) {
            return Err(self.error(format!("found {} arguments", self.values.len())));
        }
        let (mut steps, mut rate, mut at) = (Vec::new(), self.rate(0)?, 0.0);
        for pair in (1..self.values.len()).step_by(2) {
            let next = self.time(pair + 1)?;
            if next <= at {
                return Err(self.error("each step must begin after the one before it"));
            }
            steps.push((next - at, rate));
            (rate, at) = (self.rate(pair)?, next);
        }
        steps.push((1.0, rate));
        Ok(Curve::steps(&steps, After::Hold))
    }

    fn ramp(&self) -> Result<Curve, TrafficError> {
        self.count(3..=4)?;
        let (from, to) = (self.rate(0)?, self.rate(1)?);
        let mut pieces = vec![Piece { length_s: self.positive(2)?, from, to }];
        let mut after = After::Hold;
        if self.values.len() > 3 {
            pieces.push(Piece { length_s: self.positive(3)?, from: to, to });
            after = After::End;
        }
        Ok(Curve::new(pieces, after))
    }

    fn law_of_gaps(&self, text: &str) -> Result<Gaps, TrafficError> {
        let number = |prefix: &str| text.strip_prefix(prefix).and_then(|n| n.parse::<f64>().ok());
        let finite = |prefix, least: f64| number(prefix).filter(|n| (least..=f64::MAX).contains(n));
        match text {
            "const" => return Ok(Gaps::Constant),
            "exp" => return Ok(Gaps::Exponential),
            _ => {}
        }
        if let Some(cv) = number("cv").filter(|cv| (0.0..=VARIATION_MAX).contains(cv)) {
            Ok(Gaps::of_variation(cv))
        } else if let Some(shape) = finite("pareto", PARETO_SHAPE_MIN) {
            Ok(Gaps::Pareto { shape })
        } else if let Some(shape) = finite("weibull", WEIBULL_SHAPE_MIN) {
            Ok(Gaps::weibull(shape))
        } else {
            let expected =
                "gaps= takes const, exp, cvX, paretoX (from 1.001) or weibullX (from 0.1)";
            Err(self.error(format!("{expected}, found '{}'", excerpt(text))))
        }
    }

    fn count(&self, range: std::ops::RangeInclusive<usize>) -> Result<(), TrafficError> {
        if range.contains(&self.values.len()) {
            return Ok(());
        }
        Err(self.error(format!("found {} arguments", self.values.len())))
    }

    fn number(&self, index: usize) -> Result<f64, TrafficError> {
        let text = self.values[index];
        let number = text.parse::<f64>().ok().filter(|number| number.is_finite());
        number.ok_or_else(|| self.error(format!("expected a number, found '{}'", excerpt(text))))
    }

    /// A rate per second, not negative.
    fn rate(&self, index: usize) -> Result<f64, TrafficError> {
        let text = self.values[index];
        rate_of(text).ok_or_else(|| {
            self.error(format!("expected a rate such as 70, 5/m or 2/h, found '{}'", excerpt(text)))
        })
    }

    fn positive_rate(&self, index: usize) -> Result<f64, TrafficError> {
        let rate = self.rate(index)?;
        if rate > 0.0 { Ok(rate) } else { Err(self.error("the rate must be above 0")) }
    }

    /// A time in seconds, not negative.
    fn time(&self, index: usize) -> Result<f64, TrafficError> {
        let text = self.values[index];
        parse_seconds(text)
            .map_err(|problem| self.error(format!("{problem}, found '{}'", excerpt(text))))
    }

    fn positive(&self, index: usize) -> Result<f64, TrafficError> {
        let time = self.time(index)?;
        if time >= TIME_MIN_S {
            Ok(time)
        } else {
            Err(self.error("the time must be above 0, at least 1ns"))
        }
    }
}
