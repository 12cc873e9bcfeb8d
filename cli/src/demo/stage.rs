//! What the demo plays on: controller, front door, and the sample app as real processes.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::Context;
use tidegate_activator::{Activator, Config, RevisionName, Running};
use tidegate_autoscaler::Improvements;
use tidegate_autoscaler::settings::Strictness;
use tidegate_controller::journal::DecisionRecord;
use tidegate_controller::process::{ProcessActuator, ProcessConfig, RunId};
use tidegate_controller::{
    Declaration, Handle, Launch, Notice, RevisionId, StopMode, Strangers, Template, controller,
    serve,
};
use tokio::net::TcpListener;
use tokio::sync::broadcast;

use super::Args;
use super::tally::{Change, Standing, Tally};

/// Knative's settings for the demo: the shortest window that it allows, so that a minute is enough
/// to go up and down again, and the front door always in the path.
const SETTINGS: [(&str, &str); 5] = [
    ("allow-zero-initial-scale", "true"),
    ("initial-scale", "0"),
    ("stable-window", "6s"),
    ("scale-to-zero-grace-period", "6s"),
    ("target-burst-capacity", "-1"),
];

/// Name of the demo's only revision, in the namespace `default`.
const NAME: &str = "demo";

/// How long the last instances may take to end when the demo is over.
const CLOSE_WITHIN: Duration = Duration::from_secs(10);

/// Settings by name, as the autoscaler and the simulator take them.
pub(crate) fn settings() -> BTreeMap<String, String> {
    SETTINGS.map(|(key, value)| (key.to_owned(), value.to_owned())).into()
}

/// Controller and front door of one revision, whose instances are real processes.
pub(crate) struct Stage {
    handle: Handle,
    activator: Running,
    decisions: broadcast::Receiver<Arc<DecisionRecord>>,
    notices: broadcast::Receiver<Notice>,
    /// Unix time of the first look, less the time that it was told.
    opened_unix_ms: Option<i64>,
}

impl Stage {
    /// Starts everything but instances: there is no traffic yet.
    pub(crate) async fn open(args: &Args) -> anyhow::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?.to_string();
        let (handle, controller) = controller(Strangers::Refuse);
        tokio::spawn(serve(handle.clone(), listener, std::future::pending()));
        let ourselves = std::env::current_exe().context("cannot find our own program")?;
        let processes = ProcessConfig {
            sidecar: vec![ourselves.clone().into(), "queue-proxy".into()],
            controller: address.clone(),
            run: RunId::random(),
            output: None,
        };
        let actuator = ProcessActuator::new(processes, handle.clone());
        let decisions = handle.watch_decisions();
        let notices = handle.watch_notices();
        tokio::spawn(controller.run(actuator));
        handle.declare(declaration(args, ourselves.into())?).await?;
        let activator = Activator::bind(Config {
            controller: Some(address),
            default_revision: Some(RevisionName { namespace: "default".into(), name: NAME.into() }),
            ..Config::new((Ipv4Addr::LOCALHOST, 0).into())
        })?;
        let activator = activator.spawn();
        Ok(Self { handle, activator, decisions, notices, opened_unix_ms: None })
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.activator.address()
    }

    /// How things stand now; decisions and starts since the last look go into the tally.
    pub(crate) async fn look(&mut self, at: Duration, tally: &mut Tally) -> Standing {
        let opened = *self.opened_unix_ms.get_or_insert_with(|| now_unix_ms() - millis(at));
        while let Ok(record) = self.decisions.try_recv() {
            if record.changes() {
                let at = u64::try_from(record.unix_ms.saturating_sub(opened)).unwrap_or(0);
                tally.changes.push(Change {
                    at: Duration::from_millis(at),
                    desired: u32::try_from(record.replicas()).unwrap_or(0),
                    reason: record.to_string(),
                });
            }
        }
        while let Ok(notice) = self.notices.try_recv() {
            match notice {
                Notice::Ready { after_ms, .. } => tally.start_ups_ms.push(after_ms),
                Notice::Crashed { instance, .. } => tally.crashed.push(instance.to_string()),
                _ => {}
            }
        }
        let mut standing = Standing { at, ..Standing::default() };
        // Without an answer the controller has ended, and nothing is there.
        let statuses = self.handle.statuses().await.unwrap_or_default();
        if let Some(status) = statuses.first() {
            standing.desired = u32::try_from(status.desired).ok();
            standing.ready = status.ready;
            standing.starting = status.starting;
            standing.draining = status.draining;
        }
        for door in self.activator.doors().all() {
            let status = door.status();
            standing.waiting += status.waiting;
            standing.in_flight += u32::try_from(status.in_flight).unwrap_or(u32::MAX);
        }
        standing
    }

    /// Requests so far that arrived while no instance was ready.
    pub(crate) fn cold_starts(&self) -> u64 {
        self.activator.doors().all().iter().map(|door| door.status().cold_starts).sum()
    }

    /// Stops every instance and leaves no process behind.
    pub(crate) async fn close(self) -> anyhow::Result<()> {
        let mut notices = self.handle.watch_notices();
        self.handle.stop(StopMode::Drain).await?;
        let stopped = async {
            // An error means that the controller has ended, and its processes with it.
            while let Ok(notice) = notices.recv().await {
                if notice == Notice::AllStopped {
                    break;
                }
            }
        };
        let in_time = tokio::time::timeout(CLOSE_WITHIN, stopped).await.is_ok();
        self.activator.drain(CLOSE_WITHIN).await;
        anyhow::ensure!(in_time, "instances were still running {CLOSE_WITHIN:?} after the end");
        Ok(())
    }
}

/// The sample app as a revision: this very program, started again.
fn declaration(args: &Args, ourselves: OsString) -> anyhow::Result<Declaration> {
    let config = tidegate_autoscaler::settings::Config::from_map(&settings(), Strictness::Strict)
        .map_err(|violations| anyhow::anyhow!("{violations}"))?;
    let annotations = [("autoscaling.knative.dev/max-scale".to_owned(), args.max.to_string())];
    let template =
        Template { config, annotations: annotations.into(), improvements: Improvements::all() };
    let mut declaration = template
        .declare(RevisionId::new("default", NAME)?, args.concurrency)
        .map_err(|violations| anyhow::anyhow!("{violations}"))?;
    let mut command = vec![ourselves, "demo".into(), "--app".into()];
    for (flag, value) in [("--service-time", args.service_time), ("--start-up", args.start_up)] {
        command.push(flag.into());
        command.push(humantime::format_duration(value).to_string().into());
    }
    let launch = Launch { container_concurrency: args.concurrency, ..Launch::new(command) };
    declaration.launch = Some(Arc::new(launch));
    Ok(declaration)
}

fn now_unix_ms() -> i64 {
    millis(SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default())
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}
