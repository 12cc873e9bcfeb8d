//! Everything that leaves the process beside responses: metrics, the request log, the recording.

use std::path::Path;
use std::pin::Pin;
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::environment::{Environment, ProcessEnvironment, keys};
use crate::gate::Gate;
use crate::metrics::{DepthGauge, Metrics, Service};
use crate::nonblocking_writer::{NonBlockingWriter, WriterGuard};
use crate::otlp::{self, MetricsPusher};
use crate::record::{Recorded, Recorder};
use crate::request_log::RequestLogger;
use crate::settings::observability::{MetricsExport, TracingExport};
use crate::settings::{Concurrency, Settings};
use crate::trace::span::Resource;
use crate::trace::{Exporter, Queue, Tracer};

use super::StartError;

/// Idle connections to the app that are kept when no limit bounds how many are in use, as in
/// Knative.
const IDLE_CONNECTIONS: usize = 1000;

/// What is open.
pub(super) struct Telemetry {
    pub(super) metrics: Option<Metrics>,
    pub(super) log: Option<RequestLogger>,
    pub(super) recorder: Option<Recorder>,
    pub(super) tracer: Option<Tracer>,
    flushes: Vec<WriterGuard>,
    pushes: Vec<Push>,
}

/// Begins to record into `path`.
fn record(settings: &Settings, path: &Path) -> Result<(Recorder, WriterGuard), StartError> {
    let identity = &settings.identity;
    let instance = settings.report.as_ref().map_or(&identity.pod, |report| &report.instance);
    let revision = match identity.namespace.as_str() {
        "" => identity.revision.clone(),
        namespace => format!("{namespace}/{}", identity.revision),
    };
    let (concurrency, adaptive) = match settings.admission.concurrency {
        Concurrency::Unlimited => (0, false),
        Concurrency::Fixed(limit) => (limit, false),
        Concurrency::Adaptive { .. } => (0, true),
    };
    let of = Recorded { revision: &revision, instance, concurrency, adaptive };
    let opened = Recorder::open(path, of);
    opened.map_err(|source| StartError::Record { path: path.to_owned(), source })
}

/// A task that pushes to a collector.
struct Push {
    end: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

/// Time that the last pushes have, as in Knative.
const LAST_PUSHES_TIMEOUT: Duration = Duration::from_secs(10);

impl Telemetry {
    /// Opens what the settings ask for.
    pub(super) fn open(settings: &Settings) -> Result<Self, StartError> {
        let mut flushes = Vec::new();
        let identity = &settings.identity;
        // One writer for all that goes to standard output, so that lines stay whole.
        let stdout = match (&settings.observability.request_log, &settings.observability.tracing) {
            (None, TracingExport::None | TracingExport::Otlp(_)) => None,
            (Some(_), _) | (_, TracingExport::Stdout) => {
                let (writer, flush) = NonBlockingWriter::start("stdout", std::io::stdout())?;
                flushes.push(flush);
                Some(writer)
            }
        };
        let log = match (&settings.observability.request_log, &stdout) {
            (Some(log), Some(writer)) => {
                let query = settings.observability.query.clone();
                Some(RequestLogger::new(log.clone(), query, identity.clone(), writer.clone()))
            }
            _ => None,
        };
        let mut pushes = Vec::new();
        let tracer = tracer(settings, stdout, &mut pushes)?;
        let recorder = match &settings.record {
            Some(path) => {
                let (recorder, flush) = record(settings, path)?;
                flushes.push(flush);
                Some(recorder)
            }
            None => None,
        };
        Ok(Self { metrics: metrics(settings), log, recorder, tracer, flushes, pushes })
    }

    /// Begins to push metrics, when they are to be pushed.
    pub(super) fn push_metrics(
        &mut self,
        settings: &Settings,
        gate: &Gate,
    ) -> Result<(), StartError> {
        if let (MetricsExport::Otlp(otlp), Some(metrics)) =
            (&settings.observability.metrics, self.metrics.clone())
        {
            let pusher = MetricsPusher::new(otlp, resource(settings))?;
            let gate = gate.clone();
            let counted = metrics.clone();
            let gather = move || metrics.gather(gate.levels());
            let failed = move || counted.push_failed();
            self.pushes.push(Push::spawn(|end| pusher.run(gather, failed, end)));
        }
        Ok(())
    }

    /// Writes and pushes what is left, within bounds.
    pub(super) async fn finish(self) {
        let pushes: Vec<JoinHandle<()>> = self.pushes.into_iter().map(Push::end).collect();
        let all = async {
            for push in pushes {
                let _ = push.await;
            }
        };
        let _ = tokio::time::timeout(LAST_PUSHES_TIMEOUT, all).await;
        for flush in self.flushes {
            flush.finish();
        }
    }
}

impl Push {
    fn spawn<F: Future<Output = ()> + Send + 'static>(task: impl FnOnce(Ended) -> F) -> Self {
        let (end, ended) = oneshot::channel();
        let ended: Ended = Box::pin(async {
            let _ = ended.await;
        });
        Self { end, task: tokio::spawn(task(ended)) }
    }

    fn end(self) -> JoinHandle<()> {
        drop(self.end);
        self.task
    }
}

/// Resolves when the process ends.
type Ended = Pin<Box<dyn Future<Output = ()> + Send>>;

fn tracer(
    settings: &Settings,
    stdout: Option<NonBlockingWriter>,
    pushes: &mut Vec<Push>,
) -> Result<Option<Tracer>, StartError> {
    let exporter = match (&settings.observability.tracing, stdout) {
        (TracingExport::Stdout, Some(writer)) => Exporter::Stdout(writer, resource(settings)),
        (TracingExport::Otlp(otlp), _) => {
            let (queue, pusher) = otlp::spans(otlp, resource(settings))?;
            pushes.push(Push::spawn(|end| pusher.run(end)));
            Exporter::Otlp(queue)
        }
        _ => return Ok(None),
    };
    let queue = match settings.admission.concurrency {
        Concurrency::Unlimited => Queue::Absent,
        Concurrency::Fixed(_) | Concurrency::Adaptive { .. } => Queue::Present,
    };
    let sampler = settings.observability.sampler;
    let query = settings.observability.query.clone();
    Ok(Some(Tracer::new(sampler, exporter, queue, settings.app_port, query)))
}

/// The attributes of this process in traces, as in Knative.
fn resource(settings: &Settings) -> Resource {
    let identity = &settings.identity;
    let service = service(settings, &ProcessEnvironment);
    Resource {
        attributes: [
            ("container.name", "queue-proxy".to_owned()),
            ("k8s.namespace.name", identity.namespace.clone()),
            ("k8s.pod.name", service.instance.clone()),
            ("kn.configuration.name", identity.configuration.clone()),
            ("kn.revision.name", identity.revision.clone()),
            ("kn.service.name", identity.service.clone()),
            ("service.instance.id", service.instance),
            ("service.name", service.name),
            ("service.version", env!("CARGO_PKG_VERSION").to_owned()),
        ]
        .map(|(key, value)| (key.into(), value))
        .into(),
    }
}

fn metrics(settings: &Settings) -> Option<Metrics> {
    if settings.observability.metrics == MetricsExport::None {
        return None;
    }
    let depth = match settings.admission.concurrency {
        Concurrency::Unlimited => DepthGauge::Absent,
        Concurrency::Fixed(_) | Concurrency::Adaptive { .. } => DepthGauge::Shown,
    };
    let service = service(settings, &ProcessEnvironment);
    Some(Metrics::new(&settings.identity, &service, settings.app_port, depth))
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
