//! Everything that leaves the process beside responses: metrics, the request log, the recording.

use crate::environment::{Environment, ProcessEnvironment, keys};
use crate::metrics::{DepthGauge, Metrics, Service};
use crate::record::Recorder;
use crate::request_log::RequestLogger;
use crate::settings::observability::MetricsExport;
use crate::settings::{Concurrency, Settings};
use crate::sink::{Sink, SinkFlush};

use super::StartError;

/// Idle connections to the app that are kept when no limit says how many can be in use, as in
/// Knative.
const IDLE_CONNECTIONS: usize = 1000;

/// What is open.
pub(super) struct Outputs {
    pub(super) metrics: Option<Metrics>,
    pub(super) log: Option<RequestLogger>,
    pub(super) recorder: Option<Recorder>,
    flushes: Vec<SinkFlush>,
}

// === impl Outputs ===

impl Outputs {
    /// Opens what the settings ask for.
    pub(super) fn open(settings: &Settings) -> Result<Self, StartError> {
        let mut flushes = Vec::new();
        let identity = &settings.identity;
        let log = match &settings.observability.request_log {
            Some(log) => {
                let (sink, flush) = Sink::start("request-log", std::io::stdout())?;
                flushes.push(flush);
                let template = log.template.clone();
                Some(RequestLogger::new(template, log.probes, identity.clone(), sink))
            }
            None => None,
        };
        let recorder = match &settings.record {
            Some(path) => {
                let instance =
                    settings.report.as_ref().map_or(&identity.pod, |report| &report.instance);
                let opened = Recorder::open(path, &identity.revision, instance);
                let (recorder, flush) =
                    opened.map_err(|source| StartError::Record { path: path.clone(), source })?;
                flushes.push(flush);
                Some(recorder)
            }
            None => None,
        };
        Ok(Self { metrics: metrics(settings)?, log, recorder, flushes })
    }

    /// Writes what is left, within bounds.
    pub(super) fn finish(self) {
        for flush in self.flushes {
            flush.finish();
        }
    }
}

fn metrics(settings: &Settings) -> Result<Option<Metrics>, StartError> {
    match settings.observability.metrics {
        MetricsExport::Prometheus { .. } => {}
        MetricsExport::None | MetricsExport::Otlp(_) => return Ok(None),
    }
    let depth = match settings.admission.concurrency {
        Concurrency::Unlimited => DepthGauge::Absent,
        Concurrency::Fixed(_) | Concurrency::Adaptive { .. } => DepthGauge::Shown,
    };
    let service = service(settings, &ProcessEnvironment);
    Ok(Some(Metrics::new(&settings.identity, &service, settings.app.port(), depth)?))
}

/// Names by OpenTelemetry's order of preference.
fn service(settings: &Settings, environment: &impl Environment) -> Service {
    let identity = &settings.identity;
    let first = |candidates: &[Option<String>]| {
        let mut named = candidates.iter().flatten().filter(|name| !name.is_empty());
        named.next().cloned().unwrap_or_default()
    };
    let instance = first(&[environment.get(keys::POD_NAME), environment.get(keys::HOSTNAME)]);
    let name = first(&[
        environment.get(keys::OTEL_SERVICE_NAME),
        Some(identity.service.clone()),
        Some(identity.configuration.clone()),
        Some(identity.revision.clone()),
        Some(instance.clone()),
    ]);
    Service { name, instance }
}

/// As many idle connections as requests can be in flight.
pub(super) fn idle_connections(settings: &Settings) -> usize {
    match settings.admission.concurrency {
        Concurrency::Fixed(limit) => {
            usize::try_from(limit).unwrap_or(IDLE_CONNECTIONS).min(IDLE_CONNECTIONS)
        }
        Concurrency::Unlimited | Concurrency::Adaptive { .. } => IDLE_CONNECTIONS,
    }
}
