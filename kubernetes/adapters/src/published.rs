//! What is served: the last word of the controller on each scaler.

use std::collections::BTreeMap;
use std::fmt;

use parking_lot::Mutex;
use tokio::sync::watch;

/// Which scaler.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct ScalerName {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
}

impl fmt::Display for ScalerName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}/{}", self.namespace, self.name)
    }
}

/// How many replicas a target should have now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recommendation {
    /// The target's name.
    pub target: String,
    /// The name of the Service through which it receives requests.
    pub service: String,
    /// The replicas.
    pub replicas: i32,
}

/// Why there is no recommendation, in words for whoever asked for one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct NotRecommended(pub String);

/// All numbers of a scaler.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Numbers {
    /// How many replicas there should be.
    pub recommendation: Recommendation,
    /// Requests in flight, in thousandths, averaged over the stable window.
    pub concurrency_milli: i64,
}

/// The last word on a scaler; `None` where there is no such scaler.
pub type Said = Option<Result<Recommendation, NotRecommended>>;

/// The last word on every scaler. One task writes, others read and wait for changes.
pub struct Published {
    scalers: Mutex<BTreeMap<ScalerName, watch::Sender<Said>>>,
    /// Requests in flight by the namespace and name of a target, in thousandths.
    concurrency: Mutex<BTreeMap<ScalerName, i64>>,
    is_in_force: Box<dyn Fn() -> bool + Send + Sync>,
}

impl fmt::Debug for Published {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Published").finish_non_exhaustive()
    }
}

impl Published {
    /// Nothing yet. `is_in_force` is asked before anything is served: a process that was stopped
    /// for a while may find that another decides by now.
    pub fn new(is_in_force: impl Fn() -> bool + Send + Sync + 'static) -> Self {
        Self {
            scalers: Mutex::default(),
            concurrency: Mutex::default(),
            is_in_force: Box::new(is_in_force),
        }
    }

    /// The last word on a scaler; `None` when it is gone.
    pub fn publish(&self, scaler: ScalerName, said: Said) {
        let mut scalers = self.scalers.lock();
        let is_gone = said.is_none();
        let entry = scalers.entry(scaler.clone()).or_insert_with(|| watch::Sender::new(None));
        entry.send_if_modified(|before| {
            let is_other = *before != said;
            *before = said;
            is_other
        });
        if is_gone && entry.is_closed() {
            scalers.remove(&scaler);
        }
    }

    /// The requests in flight of all targets, by namespace and name, in thousandths.
    pub fn publish_concurrency(&self, all: impl IntoIterator<Item = (ScalerName, i64)>) {
        *self.concurrency.lock() = all.into_iter().collect();
    }

    /// Whether what is published is in force.
    #[must_use]
    pub fn is_in_force(&self) -> bool {
        (self.is_in_force)()
    }

    /// What is said of a scaler now.
    #[must_use]
    pub fn of(&self, scaler: &ScalerName) -> Option<Result<Numbers, NotRecommended>> {
        let said = self.scalers.lock().get(scaler).and_then(|said| said.borrow().clone())?;
        Some(said.map(|recommendation| self.numbers(scaler, recommendation)))
    }

    /// What is said of each scaler of a namespace, by name.
    #[must_use]
    pub fn of_namespace(&self, namespace: &str) -> Vec<(String, Result<Numbers, NotRecommended>)> {
        let first = ScalerName { namespace: namespace.to_owned(), name: String::new() };
        let said: Vec<(ScalerName, Said)> = {
            let scalers = self.scalers.lock();
            let of_namespace = scalers.range(first..);
            of_namespace
                .take_while(|(scaler, _)| scaler.namespace == namespace)
                .map(|(scaler, said)| (scaler.clone(), said.borrow().clone()))
                .collect()
        };
        let known = said.into_iter().filter_map(|(scaler, said)| Some((scaler, said?)));
        known
            .map(|(scaler, said)| {
                let numbers = said.map(|recommendation| self.numbers(&scaler, recommendation));
                (scaler.name, numbers)
            })
            .collect()
    }

    /// What is said of a scaler, and what will be, whether or not there is one yet.
    #[must_use]
    pub fn watch(&self, scaler: &ScalerName) -> watch::Receiver<Said> {
        let mut scalers = self.scalers.lock();
        // Those whom nobody waits for any more, and who never came to be, are forgotten here.
        scalers.retain(|_, said| said.borrow().is_some() || !said.is_closed());
        scalers.entry(scaler.clone()).or_insert_with(|| watch::Sender::new(None)).subscribe()
    }

    fn numbers(&self, scaler: &ScalerName, recommendation: Recommendation) -> Numbers {
        let target =
            ScalerName { namespace: scaler.namespace.clone(), name: recommendation.target.clone() };
        let concurrency_milli = self.concurrency.lock().get(&target).copied().unwrap_or(0);
        Numbers { recommendation, concurrency_milli }
    }
}
