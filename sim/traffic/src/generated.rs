//! Generated traffic as [`Traffic`].

use std::path::Path;
use std::sync::Arc;

use tidegate_sim::arrival::{ArrivalSource, SourceError, Traffic};
use tidegate_sim::random::Streams;
use tidegate_sim::time::SimSpan;

use crate::error::TrafficError;
use crate::fitted::FittedArrivals;
use crate::generator::{Generator, Law};
use crate::input::sha256_of;
use crate::population::{Asked, Population, PopulationSource};
use crate::specification::Specification;
use crate::trace::{TraceFile, TraceOptions};

/// How the specification of a population begins.
const POPULATION: &str = "population:";

/// Arrivals of one specification, for one revision or for a population of them.
///
/// The specification is like `poisson:70`; [`super::GENERATORS`] lists them all. `fitted:PATH`
/// learns from a trace, `population:FUNCTIONS` makes many revisions. A name and an equals sign
/// before it (`web=poisson:70`) name the revision, or begin the names of all.
pub struct Generated {
    text: String,
    revision: String,
    made: Made,
    fitted_to: Option<String>,
    number: u64,
    until: SimSpan,
    seed: u64,
    rate_hint: Option<f64>,
}

/// What is made up.
enum Made {
    /// Arrivals of one revision.
    One(Law),
    /// Those of so many functions.
    Many(Box<Population>, u32),
}

impl Generated {
    /// Traffic of `spec` that ends after `until`. `number` tells apart several specifications that
    /// are played together, so that each has a random stream of its own.
    ///
    /// # Errors
    ///
    /// When the specification cannot be understood, or the trace to fit to cannot be read.
    pub fn new(spec: &str, number: u64, until: SimSpan, seed: u64) -> Result<Self, SourceError> {
        let (revision, text) = match spec.split_once('=') {
            // `gaps=` and the like come after the colon; a revision's name comes before it.
            Some((name, rest)) if !name.contains(':') => (name, rest),
            _ if spec.starts_with(POPULATION) => ("app", spec),
            _ => ("traffic", spec),
        };
        if revision.trim().is_empty() {
            let problem = "expected a name before the equals sign";
            return Err(TrafficError::specification(spec, problem).into());
        }
        let trace =
            |path: &Path| TraceFile::open(path, TraceOptions { seed, ..TraceOptions::default() });
        let (made, fitted_to) = if let Some(path) = text.strip_prefix("fitted:") {
            let file = trace(Path::new(path))?;
            (Made::One(FittedArrivals::learn(&file)?.law()), Some(file.sha256()))
        } else if let Some(rest) = text.strip_prefix(POPULATION) {
            let Asked { functions, choice, from } = Asked::parse(spec, rest)?;
            let (population, fitted_to) = match from {
                Some(path) => {
                    let file = trace(&path)?;
                    (Population::learn(&file)?, Some(file.sha256()))
                }
                None => (Population::measured(), None),
            };
            let chosen = population.choose(&choice, functions);
            let chosen = chosen.map_err(|problem| TrafficError::specification(spec, problem))?;
            (Made::Many(chosen.into(), functions), fitted_to)
        } else {
            (Made::One(Specification::parse(text)?.law), None)
        };
        let rate_hint = match &made {
            Made::One(Law::Curve(curve, _)) => curve.constant_rate(),
            Made::One(_) => None,
            Made::Many(population, count) => Some(population.mean_rate() * f64::from(*count)),
        };
        Ok(Generated {
            text: spec.to_owned(),
            revision: revision.to_owned(),
            made,
            fitted_to,
            number,
            until,
            seed,
            rate_hint,
        })
    }

    /// The same, ready to be merged or transformed.
    ///
    /// # Errors
    ///
    /// As [`Generated::new`].
    pub fn shared(
        spec: &str,
        number: u64,
        until: SimSpan,
        seed: u64,
    ) -> Result<Arc<dyn Traffic>, SourceError> {
        Ok(Arc::new(Generated::new(spec, number, until, seed)?))
    }
}

impl Traffic for Generated {
    fn open(&self) -> Result<Box<dyn ArrivalSource + Send>, SourceError> {
        self.open_seeded(self.seed)
    }

    fn open_seeded(&self, seed: u64) -> Result<Box<dyn ArrivalSource + Send>, SourceError> {
        let until_s =
            if self.until == SimSpan::FOREVER { f64::INFINITY } else { self.until.as_secs_f64() };
        let streams = Streams::new(seed);
        Ok(match &self.made {
            Made::One(law) => {
                let law = law.clone();
                Box::new(Generator::new(law, &self.revision, self.number, until_s, streams))
            }
            Made::Many(population, count) => {
                // Several populations that are played together are not the same one.
                let streams = Streams::new(streams.stream("population", self.number).bits());
                let prefix = &self.revision;
                Box::new(PopulationSource::new(population, *count, prefix, until_s, streams))
            }
        })
    }

    /// Hash of the specification, its end and the seed, since these define every arrival.
    fn sha256(&self) -> String {
        let fitted_to = self.fitted_to.as_deref().unwrap_or("");
        let until = self.until.as_nanos();
        sha256_of(&format!("{}\n{}\n{until}\n{}\n{fitted_to}", self.text, self.number, self.seed))
    }

    fn describe(&self) -> String {
        self.text.clone()
    }

    fn len_hint(&self) -> Option<u64> {
        let seconds = (self.until != SimSpan::FOREVER).then(|| self.until.as_secs_f64())?;
        self.rate_hint.map(|rate| (rate * seconds) as u64)
    }
}
