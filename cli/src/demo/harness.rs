//! The demo's service: `tidegate run`'s machinery, with the sample app as its command.

use std::ffi::OsString;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::Context;
use tidegate_admission::Abandoned;
use tidegate_controller::Notice;
use tidegate_controller::journal::DecisionRecord;
use tidegate_local::{
    Carries, Config, RoleProgram, ServerTimingHeader, Service, Settings, StreamLimits, pace,
};
use tokio::sync::broadcast;

use super::Args;
use super::stats::{Change, Standing, Tally};
use tidegate_activator_program::drained;

/// The shortest window that Knative allows, so that a minute is enough to go up and down again.
pub(crate) const WINDOW: Duration = Duration::from_secs(6);

/// How long the last instance stays after the last request.
pub(crate) const IDLE: Duration = Duration::from_secs(3);

/// Longest drain of requests in flight when the demo is over or interrupted.
const DRAIN: Duration = Duration::from_secs(10);

/// How long an instance of the sample app may take to end.
const STOP: Duration = Duration::from_secs(10);

/// One service whose instances are real processes, watched from outside.
pub(crate) struct Stage {
    service: Service,
    decisions: broadcast::Receiver<Arc<DecisionRecord>>,
    notices: broadcast::Receiver<Notice>,
    /// Unix time of the start of the traffic, in ms: decisions carry Unix times.
    opened_unix_ms: Option<i64>,
    activator: tidegate_activator::Status,
}

impl Stage {
    /// Starts everything but instances: there is no traffic yet.
    pub(crate) async fn open(args: &Args) -> anyhow::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
            .context("cannot listen on 127.0.0.1 for requests")?;
        let settings = settings(args)?;
        let declaration = settings.declare()?;
        let pace = pace::of_machine();
        let recording = settings.recording(&declaration, pace).context("--record")?;
        let service = Service::start(Config {
            server_timing: ServerTimingHeader::Hidden,
            declaration,
            others: Vec::new(),
            routes: None,
            listener,
            carries: Carries::Http,
            tls: None,
            streams: StreamLimits::default(),
            request_timeout: super::load::CLIENT_TIMEOUT,
            abandoned: Abandoned::hold(Some(super::load::CLIENT_TIMEOUT)),
            output: None,
            logs: None,
            recording,
            pace,
            roles: RoleProgram::Ourselves,
            estate: None,
        })
        .await?;
        let decisions = service.watch_decisions();
        let notices = service.watch_notices();
        let activator = tidegate_activator::Status::default();
        Ok(Self { service, decisions, notices, opened_unix_ms: None, activator })
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.service.address()
    }

    /// The present state; decisions and starts since the last poll go into the statistics.
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
        // An error means that the controller has ended, and its instances with it.
        let Ok(status) = self.service.status().await else {
            return Standing { at, ..Standing::default() };
        };
        self.activator = status.activator;
        Standing {
            at,
            desired: u32::try_from(status.revision.desired).ok(),
            ready: status.revision.ready,
            starting: status.revision.starting,
            draining: status.revision.draining,
            waiting: status.activator.waiting,
            in_flight: u32::try_from(status.activator.in_flight).unwrap_or(u32::MAX),
        }
    }

    /// Requests that had arrived while no instance was ready, at the last poll.
    pub(crate) fn cold_starts(&self) -> u64 {
        self.activator.cold_starts
    }

    /// Stops every instance and leaves no process behind.
    ///
    /// # Errors
    ///
    /// When the controller had ended, or processes were left and had to be killed.
    pub(crate) async fn close(mut self) -> anyhow::Result<()> {
        let drained = self.service.drain(DRAIN).await;
        let swept = self.service.finish().await;
        anyhow::ensure!(swept == 0, "{swept} processes did not end by themselves");
        match drained::unfinished(drained?, DRAIN) {
            None => Ok(()),
            Some(sentence) => anyhow::bail!(sentence),
        }
    }
}

/// The sample app as a service: this very program, started again.
pub(crate) fn settings(args: &Args) -> anyhow::Result<Settings> {
    let ourselves = std::env::current_exe().context("cannot find out which program this is")?;
    let mut command: Vec<OsString> = vec![ourselves.into(), "demo".into(), "--app".into()];
    for (flag, value) in [("--service-time", args.service_time), ("--start-up", args.start_up)] {
        command.push(flag.into());
        command.push(tidegate_words::time::compact(value).into());
    }
    Ok(Settings {
        concurrency: args.concurrency,
        max: args.max,
        initial: 0,
        window: WINDOW,
        idle: Some(IDLE),
        start_timeout: super::load::CLIENT_TIMEOUT,
        request_timeout: super::load::CLIENT_TIMEOUT,
        stop_timeout: STOP,
        record: args.record.clone(),
        ..Settings::new("demo", command)
    })
}

fn now_unix_ms() -> i64 {
    millis(SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default())
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}
