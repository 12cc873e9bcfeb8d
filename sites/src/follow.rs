//! Keeps the board up to date: one task for each site, so that none waits for another.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use parking_lot::Mutex;
use tidegate_call::SiteName;
use tidegate_call::calls::CallsOf;
use tidegate_explain::{Query, QueryError};
use tidegate_proto::LIST_PART_BYTES_MAX;
use tidegate_proto::scale::v1 as wire;
use tidegate_reporter::Backoff;
use tidegate_trust::Credentials;
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;

use crate::board::{Board, REVISIONS_MAX, Snapshot};
use crate::file::{Reach, Site};
use crate::known::Known;

/// Longest answer of a site about one revision: two hundred decisions with their explanations.
pub const ANSWER_BYTES_MAX: usize = 512 * 1024;

/// How long a site may take to tell its whole list.
const LIST_TIMEOUT: Duration = Duration::from_secs(10);

/// Revisions of a site for which it is asked at every interval. With more it is asked more rarely,
/// so that a large one costs its link no more.
const REVISIONS_PER_INTERVAL: usize = 1_000;

/// Why a site that calls is not shown by who takes no calls.
const IT_CALLS: &str = "it calls a view: ask that view, with --controller";

/// Several sites that are followed. Clones share it; when the last is dropped, all connections end.
#[derive(Debug, Clone)]
pub struct Sites {
    running: Arc<Running>,
}

#[derive(Debug)]
struct Running {
    shared: Arc<Shared>,
    _tasks: JoinSet<()>,
}

struct Shared {
    board: Mutex<Board>,
    links: Mutex<BTreeMap<SiteName, Query>>,
    /// Revisions of a site that are read whatever the others tell: its equal share.
    share: usize,
    /// For the one site that is read beyond its share at a time, so that no number of sites with
    /// long lists holds more than three boards full while they are read.
    beyond_share: Semaphore,
    changes: watch::Sender<u64>,
    interval: Duration,
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Shared").field("interval", &self.interval).finish_non_exhaustive()
    }
}

impl Sites {
    /// Follows `sites`, those that call by their `calls`, in tasks of the current runtime. Each is
    /// asked every `interval`.
    #[must_use]
    pub fn start(
        sites: Vec<Site>,
        mut calls: BTreeMap<SiteName, CallsOf>,
        interval: Duration,
    ) -> Self {
        let names = sites.iter().map(|site| site.name.clone());
        let shared = Arc::new(Shared {
            board: Mutex::new(Board::new(names, unix_ms())),
            links: Mutex::default(),
            share: REVISIONS_MAX / sites.len().max(1),
            beyond_share: Semaphore::new(1),
            changes: watch::Sender::new(0),
            interval,
        });
        let mut tasks = JoinSet::new();
        for Site { name, reach } in sites {
            let shared = Arc::clone(&shared);
            match (reach, calls.remove(&name)) {
                (Reach::Dialled { controller, credentials }, _) => {
                    tasks.spawn(async move { shared.dial(&name, &controller, &credentials).await });
                }
                (Reach::Calls { .. }, Some(calls)) => {
                    tasks.spawn(async move { shared.take_calls(&name, calls).await });
                }
                (Reach::Calls { .. }, None) => shared.cut(&name, IT_CALLS),
            }
        }
        Self { running: Arc::new(Running { shared, _tasks: tasks }) }
    }

    /// What is known now.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        self.running.shared.board.lock().snapshot()
    }

    /// Changes with the board.
    #[must_use]
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.running.shared.changes.subscribe()
    }

    /// A connection to a site that answers.
    #[must_use]
    pub fn query(&self, site: &SiteName) -> Option<Query> {
        self.running.shared.links.lock().get(site).cloned()
    }
}

impl Shared {
    /// Keeps a connection to a site that listens, for ever.
    async fn dial(&self, site: &SiteName, controller: &str, credentials: &Credentials) {
        let backoff = Backoff {
            initial: Duration::from_millis(250),
            longest: Duration::from_secs(4),
            ..Backoff::default()
        };
        let mut failures = 0;
        loop {
            match Query::connect(controller, credentials).await {
                Ok(query) => match self.ask(site, query).await {
                    // One that has told is back as soon as it can be.
                    (why, true) => {
                        self.cut(site, &why);
                        failures = 0;
                    }
                    (why, false) => self.cut(site, &why),
                },
                Err(error) => self.cut(site, &error.to_string()),
            }
            tokio::time::sleep(backoff.wait(failures, Backoff::random())).await;
            failures = failures.saturating_add(1);
        }
    }

    /// Asks over the calls of a site, the newest each time, until nobody takes calls any more.
    async fn take_calls(&self, site: &SiteName, mut calls: CallsOf) {
        let mut next = calls.next().await;
        while let Some(call) = next {
            let asking = async {
                match Query::over_call(call, site.as_str()).await {
                    Ok(query) => self.ask(site, query).await.0,
                    Err(error) => error.to_string(),
                }
            };
            next = tokio::select! {
                biased;
                // The same process calls anew: the call before is over, seen or not.
                newer = calls.next() => newer,
                why = asking => {
                    self.cut(site, &why);
                    calls.next().await
                }
            };
        }
    }

    /// Asks again and again, until that fails: why, and whether it was ever answered.
    async fn ask(&self, site: &SiteName, query: Query) -> (String, bool) {
        let mut lists = query.clone().bounded(LIST_PART_BYTES_MAX);
        let query = query.bounded(ANSWER_BYTES_MAX);
        let mut has_told = false;
        let why = loop {
            let asked = tokio::time::timeout(LIST_TIMEOUT, self.list(&mut lists)).await;
            let (revisions, left_out) = match asked {
                Ok(Ok(told)) => told,
                // What is refused in the middle has ended, whatever the library calls it.
                Ok(Err(QueryError::NoController(_))) if has_told => {
                    break "it has ended the connection".to_owned();
                }
                Ok(Err(error)) => break error.to_string(),
                Err(_) => break format!("its list is not whole within {LIST_TIMEOUT:?}"),
            };
            has_told = true;
            let times = revisions.len().div_ceil(REVISIONS_PER_INTERVAL).max(1);
            let is_news = self.board.lock().answered(site, revisions, left_out, unix_ms());
            if is_news {
                tracing::info!(%site, "the site answers");
                self.links.lock().insert(site.clone(), query.clone());
            }
            self.changed();
            let times = u32::try_from(times).unwrap_or(u32::MAX);
            tokio::time::sleep(self.interval.saturating_mul(times)).await;
        };
        self.links.lock().remove(site);
        (why, has_told)
    }

    /// The revisions of a site, and how many more were told than are taken.
    async fn list(&self, query: &mut Query) -> Result<(Vec<Known>, usize), QueryError> {
        let (mut revisions, mut left_out, mut is_view) = (Vec::new(), 0_usize, false);
        // A part is taken as it is read, so that no more of them are held than there are threads.
        let mut beyond_share = None;
        let take = |part: wire::ListRevisionsResponse| {
            is_view |= !part.sites.is_empty();
            for status in &part.revisions {
                if revisions.len() == self.share && beyond_share.is_none() {
                    beyond_share = self.beyond_share.try_acquire().ok();
                }
                let most = if beyond_share.is_some() { REVISIONS_MAX } else { self.share };
                match Known::of_wire(status) {
                    Some(known) if revisions.len() < most => revisions.push(known),
                    _ => left_out = left_out.saturating_add(1),
                }
            }
            // Whoever tells of many more than are taken is not heard to the end.
            match is_view || left_out > REVISIONS_MAX {
                true => ControlFlow::Break(()),
                false => ControlFlow::Continue(()),
            }
        };
        query.list_in_parts(take).await?;
        match is_view {
            true => Err(QueryError::Refused {
                message: "it is a view of several sites: ask it with --controller".to_owned(),
                code: tonic::Code::InvalidArgument,
            }),
            false => Ok((revisions, left_out)),
        }
    }

    fn cut(&self, site: &SiteName, why: &str) {
        if self.board.lock().cut(site, why, unix_ms()) {
            tracing::warn!(%site, why, "the site does not answer");
        }
        self.changed();
    }

    fn changed(&self) {
        self.changes.send_modify(|count| *count = count.wrapping_add(1));
    }
}

/// The time now, in Unix milliseconds.
#[must_use]
pub fn unix_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}
