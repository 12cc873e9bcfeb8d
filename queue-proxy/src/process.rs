//! From settings to a running process, and to its end.
//!
//! One thread carries requests and everything else, unless more are asked for: then those carry
//! the requests, and this one keeps probes, statistics and the drain.

use std::io::Write as _;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use tidegate_admission::queue::Depth;
use tidegate_admission::{Limit, QueueSettings};
use tidegate_logging::{Filter, Output, Shape};
use tidegate_proto::stats::v1::{Hello, Revision, Role};
use tidegate_relay as relay;
use tidegate_relay::TimeLimits;
use tidegate_reporter::{Inbox, OverflowAddresses};
use tokio::sync::watch;

use crate::adaptive_limit::AdaptiveLimit;
use crate::drain::{Draining, Stage};
use crate::environment::{ProcessEnvironment, help};
use crate::front_doors::FrontDoors;
use crate::gate::Gate;
use crate::identity::Identity;
use crate::observe::Observers;
use crate::probe::{Prober, Readiness, watch as readiness_watch};
use crate::proxy::ProxyContext;
use crate::respond::RefusalStyle;
use crate::settings::{Concurrency, Settings};
use crate::statistics::{DigestReader, LoadStream, Outcomes, Reporting, Snapshot, StatsReporter};
use crate::tcp_connections::TcpConnections;
use crate::tls::{self, Certificate};
use tidegate_shutdown_signals::ShutdownSignals;

mod admin;
mod bind;
mod shutdown;
mod telemetry;
mod workers;

use bind::Bound;
use telemetry::Telemetry;

/// Runs the sidecar as the environment says, until it has drained. A `log` filter wins over the
/// environment's.
///
/// The exit code is success after an orderly drain, failure when it could not start, and that of
/// the signal when a second one ended it at once.
pub fn run(log: Option<Filter>) -> ExitCode {
    let settings = match Settings::from_environment(&ProcessEnvironment) {
        Ok(settings) => settings,
        Err(problems) => {
            complain(&help::complaint(&problems));
            return ExitCode::FAILURE;
        }
    };
    relay::memory::set_budget(settings.memory_budget_bytes);
    let filter = log.unwrap_or_else(|| settings.log.clone());
    tidegate_logging::install(filter, line_shape(&settings.identity), Output::stderr());
    if let Some(complaint) = &settings.log_complaint {
        tracing::warn!("{complaint}");
    }
    if let Some(complaint) = &settings.observability.request_log_complaint {
        tracing::error!("the request log is off: {complaint}");
    }
    match start(settings) {
        Ok(code) => code,
        Err(error) => {
            tracing::error!("cannot start: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Knative's, with this sidecar's labels.
fn line_shape(identity: &Identity) -> Shape {
    let key = format!("{}/{}", identity.namespace, identity.revision);
    Shape::Knative { key, pod: identity.pod.clone() }
}

/// Without a logger there is standard error.
fn complain(text: &str) {
    // Standard error is closed: there is nowhere left to report that.
    let _ = writeln!(std::io::stderr(), "{text}");
}

/// Why the process cannot start.
#[derive(Debug, thiserror::Error)]
enum StartError {
    #[error(transparent)]
    Bind(#[from] bind::BindError),
    #[error(transparent)]
    Tls(#[from] tls::TlsError),
    #[error("TIDEGATE_RECORD: cannot open {path}: {source}")]
    Record { path: std::path::PathBuf, source: std::io::Error },
    #[error("OBSERVABILITY_CONFIG: {0}")]
    Otlp(#[from] crate::otlp::TransportError),
    #[error("TIDEGATE_CONTROLLER: {0}")]
    Controller(#[from] tidegate_reporter::ConfigError),
    #[error("cannot start a thread or an event loop: {0}")]
    System(#[from] std::io::Error),
}

fn start(settings: Settings) -> Result<ExitCode, StartError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let certificate = Certificate::load(&settings.tls.directory).map_err(tls::TlsError::from)?;
    let tls = match certificate {
        Some(certificate) => {
            Some((tls::server_config(&settings.tls, Arc::clone(&certificate))?, certificate))
        }
        None => None,
    };
    let tls_wanted = if tls.is_some() { bind::Tls::Bound } else { bind::Tls::Absent };
    let bound = bind::bind(&settings, tls_wanted)?;
    let code = runtime.block_on(serve(settings, bound, tls));
    // What still runs serves no request any more.
    runtime.shutdown_background();
    code
}

type TlsParts = (Arc<rustls::ServerConfig>, Arc<Certificate>);

async fn serve(
    settings: Settings,
    bound: Bound,
    tls: Option<TlsParts>,
) -> Result<ExitCode, StartError> {
    // Signals are caught before anything can be lost by them.
    let signals = ShutdownSignals::of_role()?;
    let mut outputs = Telemetry::open(&settings)?;
    let (stage, stage_seen) = watch::channel(Stage::Serving);
    let shared = shared(&settings, &outputs, &stage_seen);
    outputs.push_metrics(&settings, &shared.gate)?;
    let drain = relay::Drain::new();
    let (ready, ready_seen) = watch::channel(initial_readiness(&settings));
    let told = (Snapshot::new(&settings.identity.pod), LoadStream::default());
    let ports = bound.ports();
    let (sender, requests) = tokio::sync::mpsc::channel(16);

    let (reporting, driver) = reporting(&settings, ports.main, &shared)?;
    let plane = workers::Workers {
        shared: shared.clone(),
        app_port: settings.app_port,
        app_protocol: settings.admission.app_protocol,
        timeouts: settings.timeouts,
        idle_connections: telemetry::idle_connections(&settings),
        overflow: match &reporting {
            Some(reporting) => reporting.overflow.clone(),
            None => watch::channel(OverflowAddresses::new()).1,
        },
        drain: drain.clone(),
    };
    plane.start(settings.data_threads, bound.main, bound.tls.zip(tls.clone()))?;
    let listeners = admin::AdminListeners {
        side_drain: relay::Drain::new(),
        stage: stage_seen.clone(),
        requests: sender,
        snapshot: told.0.clone(),
        load_stream: told.1.clone(),
        metrics: shared.observers.metrics.clone(),
        gate: shared.gate.clone(),
    };
    let side_drain = listeners.side_drain.clone();
    listeners.open(bound.admin, bound.stats, bound.metrics)?;
    start_watches(&settings, tls, &shared, ready);
    let directives = reporting.as_ref().map(|reporting| reporting.directives.clone());
    let stats_reporter =
        stats_reporter(&settings, &shared, told, reporting, (ready_seen, stage_seen));
    let (end, ended) = tokio::sync::oneshot::channel::<()>();
    let statistics = tokio::spawn(stats_reporter.run(async { drop(ended.await) }));
    ports.announce();

    let coordinator = shutdown::ShutdownCoordinator {
        settings: settings.drain,
        draining: shared.draining.clone(),
        gate: shared.gate.clone(),
        drain,
        stage,
        requests,
        directives,
    };
    let code = coordinator.run(signals).await;
    drop(end);
    let _ = statistics.await;
    if let Some(driver) = driver {
        let _ = driver.await;
    }
    tidegate_admin::close(&side_drain).await;
    outputs.finish().await;
    Ok(code)
}

/// Certificates and the app's readiness are checked from here on.
fn start_watches(
    settings: &Settings,
    tls: Option<TlsParts>,
    shared: &ProxyContext,
    ready: watch::Sender<Readiness>,
) {
    if let Some((_, certificate)) = tls {
        tokio::spawn(certificate.renewals().watch(settings.tls.poll));
    }
    if let Some(poll) = settings.ready_poll {
        tokio::spawn(readiness_watch::run(shared.prober.clone(), poll, ready));
    }
}

fn stats_reporter(
    settings: &Settings,
    shared: &ProxyContext,
    (snapshot, load_stream): (Snapshot, LoadStream),
    reporting: Option<Reporting>,
    (readiness, drain_changes): (watch::Receiver<Readiness>, watch::Receiver<Stage>),
) -> StatsReporter {
    StatsReporter {
        pod: settings.identity.pod.clone(),
        gate: shared.gate.clone(),
        connections: TcpConnections::new(settings.admission.tcp_ports.clone()),
        outcomes: shared.observers.outcomes.clone(),
        snapshot,
        load_stream,
        draining: shared.draining.clone(),
        readiness,
        prober: shared.prober.clone(),
        drain_changes,
        reporting,
        metrics: shared.observers.metrics.clone(),
        recorder: shared.observers.recorder.clone(),
        log: shared.observers.log.clone(),
        tracer: shared.observers.tracer.clone(),
    }
}

fn initial_readiness(settings: &Settings) -> Readiness {
    // Without probes of our own, readiness is known from the platform's probes only.
    match settings.ready_poll {
        Some(_) => Readiness::NotReady("it has not been probed yet".into()),
        None => Readiness::Ready,
    }
}

fn shared(
    settings: &Settings,
    outputs: &Telemetry,
    stage: &watch::Receiver<Stage>,
) -> ProxyContext {
    let secret: Option<Arc<str>> = settings.front_door.as_deref().map(Into::into);
    let (limit, capacity) = match settings.admission.concurrency {
        Concurrency::Unlimited => (Limit::UNLIMITED, None),
        Concurrency::Fixed(limit) => (Limit::from_wire(limit), None),
        Concurrency::Adaptive { ceiling } => {
            let capacity = AdaptiveLimit::new(ceiling);
            (capacity.limit(), Some(capacity))
        }
    };
    let line = QueueSettings {
        depth: settings.admission.queue_depth.map_or(QueueSettings::KNATIVE.depth, Depth::Count),
        longest_wait: settings.admission.queue_timeout,
    };
    let reader = match settings.report {
        Some(_) => DigestReader::Controller,
        None => DigestReader::None,
    };
    ProxyContext {
        gate: Gate::new(limit, line),
        capacity,
        draining: Draining::new(),
        prober: Prober::new(settings.readiness.clone()),
        limits: TimeLimits {
            response_start: settings.timeouts.response_start,
            idle: settings.timeouts.idle,
            overall: settings.timeouts.overall,
            stream: settings.timeouts.stream,
        },
        abandoned: settings.admission.abandoned,
        front_doors: FrontDoors::new(secret.clone(), stage.clone()),
        activator_secret: secret,
        cause_header: settings.admission.cause_header,
        refusal_style: RefusalStyle {
            status: settings.admission.refusal_status,
            retry_after_seconds: settings.admission.retry_after_seconds,
        },
        observers: Observers {
            outcomes: Outcomes::new(reader),
            metrics: outputs.metrics.clone(),
            log: outputs.log.clone(),
            recorder: outputs.recorder.clone(),
            tracer: outputs.tracer.clone(),
        },
    }
}

type ReportParts = (Option<Reporting>, Option<tokio::task::JoinHandle<()>>);

fn reporting(
    settings: &Settings,
    main_port: u16,
    shared: &ProxyContext,
) -> Result<ReportParts, StartError> {
    let Some(report) = &settings.report else { return Ok((None, None)) };
    let identity = &settings.identity;
    let address = report.address.clone().unwrap_or_else(|| {
        let host = if identity.pod_ip.is_empty() { "127.0.0.1" } else { &identity.pod_ip };
        format!("{host}:{main_port}")
    });
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let hello = Hello {
        role: Role::QueueProxy.into(),
        revision: Some(Revision {
            namespace: identity.namespace.clone(),
            name: identity.revision.clone(),
        }),
        instance: report.instance.clone(),
        address,
        container_concurrency: shared.gate.levels().limit.to_wire(),
        // An unset depth is ten times the limit.
        max_waiting: settings.admission.queue_depth.unwrap_or(0),
        start_unix_ms: i64::try_from(now.as_millis()).unwrap_or(0),
        counts_connections: !settings.admission.tcp_ports.is_empty(),
        ..Hello::default()
    };
    let mut config =
        tidegate_reporter::Config::new(&report.controller, &report.credentials, hello)?;
    if let Some(metrics) = &shared.observers.metrics {
        config.metrics = metrics.reporter();
    }
    let (reporter, inbox, driver) = tidegate_reporter::start(config);
    let driver = tokio::spawn(driver.run());
    let Inbox { directives, overflow, .. } = inbox;
    let reporting = Reporting { reporter, directives, overflow };
    Ok((Some(reporting), Some(driver)))
}
