//! Keeps up with every run of this user: those that begin are found, those that end are let go.

use std::collections::BTreeMap;
use std::time::Duration;

use tidegate_local::presence;
use tidegate_proto::operate::v1 as wire;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::super::reach::{Found, Run, answered};

/// How often runs that began since are looked for.
const DISCOVERY_PERIOD: Duration = Duration::from_secs(1);

/// How long the first answer of a run that was just found is waited for.
const FIRST_TIMEOUT: Duration = Duration::from_millis(500);

/// Follows the runs.
pub(super) struct Gatherer {
    interval: Duration,
    /// Only services of this name.
    asked: Option<String>,
    runs: BTreeMap<i32, Followed>,
    looked: Option<Instant>,
    found: Vec<Found>,
}

/// A run that is followed. Its task ends when it does.
struct Followed {
    states: watch::Receiver<Option<wire::ListServicesResponse>>,
    run: Run,
    following: JoinHandle<()>,
}

impl Drop for Followed {
    fn drop(&mut self) {
        self.following.abort();
    }
}

impl Gatherer {
    pub(super) fn new(interval: Duration, asked: Option<String>) -> Self {
        Self { interval, asked, runs: BTreeMap::new(), looked: None, found: Vec::new() }
    }

    /// The services as of the last look.
    pub(super) fn found(&self) -> &[Found] {
        &self.found
    }

    /// Looks at the last state of every run.
    pub(super) async fn look(&mut self) {
        if self.looked.is_none_or(|looked| looked.elapsed() >= DISCOVERY_PERIOD) {
            self.looked = Some(Instant::now());
            self.discover().await;
        }
        self.runs.retain(|_, followed| !followed.following.is_finished());
        self.found.clear();
        for followed in self.runs.values() {
            let state = followed.states.borrow().clone();
            let Some(wire::ListServicesResponse { services, unix_ms }) = state else { continue };
            let is_asked = |service: &wire::ServiceStatus| {
                self.asked.as_ref().is_none_or(|asked| *asked == service.name)
            };
            for service in services.into_iter().filter(is_asked) {
                let run = Run { pid: followed.run.pid, client: followed.run.client.clone() };
                self.found.push(Found { run, service, unix_ms });
            }
        }
    }

    async fn discover(&mut self) {
        for presence in presence::running() {
            if self.runs.contains_key(&presence.pid) {
                continue;
            }
            // One that cannot be asked now may be asked the next time.
            let Ok(run) = Run::reach(&presence).await else { continue };
            let mut followed = self.follow(run);
            let first = followed.states.changed();
            let _ = tokio::time::timeout(FIRST_TIMEOUT, first).await;
            self.runs.insert(presence.pid, followed);
        }
    }

    fn follow(&self, run: Run) -> Followed {
        let interval_ms = u32::try_from(self.interval.as_millis()).unwrap_or(u32::MAX);
        let (sender, states) = watch::channel(None);
        let mut client = run.client.clone();
        let following = tokio::spawn(async move {
            let request = wire::WatchServicesRequest { interval_ms };
            let Ok(mut stream) = answered(client.watch_services(request)).await else { return };
            // Its end, in good order or not, is the end of the run.
            while let Ok(Some(state)) = stream.message().await {
                if sender.send(Some(state)).is_err() {
                    return;
                }
            }
        });
        Followed { states, run, following }
    }

    /// The last minutes of a service; nothing where they cannot be had.
    pub(super) async fn history(&self, pid: i32, service: &str) -> Vec<wire::Sample> {
        let Some(followed) = self.runs.get(&pid) else { return Vec::new() };
        let mut client = followed.run.client.clone();
        let request = wire::ShowHistoryRequest { service: service.to_owned() };
        let answer = answered(client.show_history(request)).await;
        answer.map(|answer| answer.samples).unwrap_or_default()
    }
}
