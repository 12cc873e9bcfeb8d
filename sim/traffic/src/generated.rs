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
use crate::specification::Specification;
use crate::trace::{TraceFile, TraceOptions};

/// Arrivals of one specification, for one revision.
///
/// The specification is like `poisson:70`; [`super::GENERATORS`] lists them all. `fitted:PATH`
/// learns from a trace. A name and an equals sign before it (`web=poisson:70`) name the revision.
pub struct Generated {
    text: String,
    revision: String,
    law: Law,
    fitted_to: Option<String>,
    number: u64,
    until: SimSpan,
    seed: u64,
    rate_hint: Option<f64>,
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
            _ => ("traffic", spec),
        };
        if revision.trim().is_empty() {
            let problem = "expected a name before the equals sign";
            return Err(TrafficError::specification(spec, problem).into());
        }
        let (law, fitted_to) = match text.strip_prefix("fitted:") {
            Some(path) => {
                let options = TraceOptions { seed, ..TraceOptions::default() };
                let file = TraceFile::open(Path::new(path), options)?;
                (FittedArrivals::learn(&file)?.law(), Some(file.sha256()))
            }
            None => (Specification::parse(text)?.law, None),
        };
        let rate_hint = match &law {
            Law::Curve(curve, _) => curve.constant_rate(),
            _ => None,
        };
        Ok(Generated {
            text: spec.to_owned(),
            revision: revision.to_owned(),
            law,
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
        let until_s =
            if self.until == SimSpan::FOREVER { f64::INFINITY } else { self.until.as_secs_f64() };
        let streams = Streams::new(self.seed);
        let law = self.law.clone();
        Ok(Box::new(Generator::new(law, &self.revision, self.number, until_s, streams)))
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
