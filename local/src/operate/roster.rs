//! The services of this process by name.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Weak};
use std::time::Duration;

use parking_lot::{Mutex, RwLock};
use tidegate_controller::process::LineMemory;
use tidegate_controller::status::RevisionStatus;
use tidegate_controller::{Ended, Handle};
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::{mpsc, oneshot};
use tokio::time::MissedTickBehavior;

use super::events::{Event, EventMemory};
use super::history::History;
use crate::view::{Status, View};

/// Time between two samples of every service's history.
const SAMPLE_PERIOD: Duration = Duration::from_secs(1);

/// Orders to stop that may wait for the owner of the services.
const STOP_ORDERS_MAX: usize = 16;

/// An order to let requests finish and to end.
#[derive(Debug)]
pub struct StopOrder {
    /// The service; `None` is all of them.
    pub service: Option<String>,
    /// Where the answer goes, once that is done.
    pub done: oneshot::Sender<Stopped>,
}

/// How it was.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Stopped {
    /// In a few lines.
    pub summary: Vec<String>,
    /// As JSON; empty where there is none.
    pub summary_json: String,
    /// The code that the process ends with.
    pub exit_code: u8,
}

/// Orders to stop, for the owner of the services.
pub type StopOrders = mpsc::Receiver<StopOrder>;

/// Services by name. Cheap to clone; all clones are the same roster.
#[derive(Clone)]
pub struct Roster {
    shared: Arc<Shared>,
}

struct Shared {
    services: RwLock<BTreeMap<String, Entry>>,
    memory: LineMemory,
    events: EventMemory,
    /// To the owner of the services, if there is one that ends them when it is told.
    stop_orders: Mutex<Option<mpsc::Sender<StopOrder>>>,
}

/// A service as it stands in the roster.
#[derive(Clone)]
pub struct Entry {
    /// How it does.
    pub view: View,
    /// Where clients connect.
    pub address: SocketAddr,
    /// Its last minutes.
    pub history: History,
}

/// A service as it is now.
#[derive(Debug, Clone)]
pub struct Listed {
    /// Its name.
    pub name: String,
    /// Where clients connect.
    pub address: SocketAddr,
    /// Its state.
    pub status: Status,
    /// Whether what became of requests was counted for it alone, and not for all services behind
    /// the same front door.
    pub counted_alone: bool,
}

impl Roster {
    /// A roster without services. Must be called within a runtime: the services' last minutes are
    /// sampled for as long as the roster is there.
    #[expect(clippy::new_without_default, reason = "it needs a runtime")]
    #[must_use]
    pub fn new() -> Self {
        let shared = Arc::new(Shared {
            services: RwLock::default(),
            memory: LineMemory::default(),
            events: EventMemory::default(),
            stop_orders: Mutex::default(),
        });
        tokio::spawn(sample(Arc::downgrade(&shared)));
        Self { shared }
    }

    /// Enters a service, or replaces the one of that name.
    pub fn enter(&self, name: String, view: View, address: SocketAddr) {
        let mut services = self.shared.services.write();
        let history = services.get(&name).map(|entry| entry.history.clone()).unwrap_or_default();
        services.insert(name, Entry { view, address, history });
    }

    /// Takes a service out.
    pub fn leave(&self, name: &str) {
        self.shared.services.write().remove(name);
    }

    /// The service of that name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<Entry> {
        self.shared.services.read().get(name).cloned()
    }

    /// The names of all services.
    #[must_use]
    pub fn names(&self) -> Vec<String> {
        self.shared.services.read().keys().cloned().collect()
    }

    /// Now, by the clock of the controllers; `0` where there is no service.
    pub(crate) fn now_unix_ms(&self) -> i64 {
        let services = self.shared.services.read();
        let first = services.values().next();
        first.map_or(0, |entry| entry.view.controller().clock().now().as_millis())
    }

    /// The last lines of every instance: for the [`ProcessConfig`] of whoever starts them.
    ///
    /// [`ProcessConfig`]: tidegate_controller::process::ProcessConfig
    #[must_use]
    pub fn memory(&self) -> &LineMemory {
        &self.shared.memory
    }

    /// The last events.
    #[must_use]
    pub fn events(&self) -> &EventMemory {
        &self.shared.events
    }

    /// Every service as it is now, by its name. Each controller is asked once.
    ///
    /// # Errors
    ///
    /// When a controller has ended.
    pub async fn list(&self) -> Result<Vec<Listed>, Ended> {
        let entries = self.shared.services.read().clone();
        let mut asked: Vec<(Handle, Vec<RevisionStatus>)> = Vec::new();
        let mut listed = Vec::with_capacity(entries.len());
        for (name, Entry { view, address, .. }) in &entries {
            let known = asked.iter().position(|(handle, _)| handle.is_of_same(view.controller()));
            let at = match known {
                Some(at) => at,
                None => {
                    let statuses = view.controller().statuses().await?;
                    asked.push((view.controller().clone(), statuses));
                    asked.len() - 1
                }
            };
            // Of a revision that is not declared any more there is nothing to say.
            let Some(status) = view.status_among(&asked[at].1) else { continue };
            let behind = |other: &Entry| Arc::ptr_eq(&other.view.outcomes, &view.outcomes);
            let counted_alone = entries.values().filter(|other| behind(other)).count() == 1;
            let (name, address) = (name.clone(), *address);
            listed.push(Listed { name, address, status, counted_alone });
        }
        Ok(listed)
    }

    /// Has the events of a controller's revisions remembered from now on. Must be called within a
    /// runtime.
    pub fn follow(&self, controller: &Handle) {
        let (mut decisions, mut notices) =
            (controller.watch_decisions(), controller.watch_notices());
        // A task that holds the controller would keep it from ending.
        let clock = controller.clock();
        let shared = Arc::downgrade(&self.shared);
        tokio::spawn(async move {
            loop {
                let event = tokio::select! {
                    decision = decisions.recv() => match decision {
                        Ok(record) if record.changes() => Happened::Decided(record),
                        Ok(_) | Err(RecvError::Lagged(_)) => continue,
                        Err(RecvError::Closed) => return,
                    },
                    notice = notices.recv() => match notice {
                        Ok(notice) => Happened::Noticed(notice),
                        Err(RecvError::Lagged(_)) => continue,
                        Err(RecvError::Closed) => return,
                    },
                };
                let Some(shared) = shared.upgrade() else { return };
                shared.note(clock.now().as_millis(), event);
            }
        });
    }

    /// Passes an order to stop on to the owner of the services.
    pub(crate) fn order_stop(&self, order: StopOrder) -> Result<(), NotTaken> {
        let owner = self.shared.stop_orders.lock();
        owner.as_ref().ok_or(NotTaken)?.try_send(order).map_err(|_| NotTaken)
    }

    /// Orders to stop, for the owner of the services, who answers them. Before anybody calls this
    /// they are refused; whoever calls last gets them.
    #[must_use]
    pub fn stop_orders(&self) -> StopOrders {
        let (sender, orders) = mpsc::channel(STOP_ORDERS_MAX);
        *self.shared.stop_orders.lock() = Some(sender);
        orders
    }
}

/// Nobody takes orders to stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the program that runs the service takes no orders to stop")]
pub(crate) struct NotTaken;

enum Happened {
    Decided(Arc<tidegate_controller::journal::DecisionRecord>),
    Noticed(tidegate_controller::Notice),
}

impl Shared {
    fn note(&self, unix_ms: i64, happened: Happened) {
        let event = match happened {
            Happened::Decided(record) => {
                Event::of_decision(self.service_of(record.revision.name()), &record)
            }
            Happened::Noticed(notice) => {
                let Some(revision) = notice.revision_name() else { return };
                Event::of_notice(self.service_of(revision), unix_ms, &notice)
            }
        };
        self.events.push(event);
    }

    /// The service that a revision belongs to; the revision's own name where it is of none.
    fn service_of(&self, revision: &str) -> String {
        let services = self.services.read();
        let found = services.iter().find(|(_, entry)| entry.view.revision().name() == revision);
        found.map_or_else(|| revision.to_owned(), |(name, _)| name.clone())
    }
}

/// Takes a sample of every service each second until the roster is dropped.
async fn sample(shared: Weak<Shared>) {
    let mut ticks = tokio::time::interval(SAMPLE_PERIOD);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    loop {
        ticks.tick().await;
        let Some(shared) = shared.upgrade() else { return };
        let roster = Roster { shared };
        // A controller that has ended is one of a service that is about to be taken out.
        let Ok(listed) = roster.list().await else { continue };
        for Listed { name, status, .. } in listed {
            if let Some(entry) = roster.get(&name) {
                let unix_ms = entry.view.controller().clock().now().as_millis();
                entry.history.note(unix_ms, &status);
            }
        }
    }
}
