//! What becomes of workloads, and when it was seen.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::StreamExt;
use k8s_openapi::api::apps::v1::Deployment;
use kube::Api;
use kube::runtime::{WatchStreamExt, watcher};
use parking_lot::Mutex;
use tokio::task::JoinHandle;

use crate::cluster::{Cluster, until};

/// A Deployment at a moment.
#[derive(Debug, Clone)]
pub(crate) struct Moment {
    pub(crate) at: Instant,
    pub(crate) name: String,
    pub(crate) wanted: i32,
    pub(crate) ready: i32,
}

/// The Deployments of a namespace, from the time at which this was begun.
pub(crate) struct Replicas {
    moments: Arc<Mutex<Vec<Moment>>>,
    task: JoinHandle<()>,
}

impl Drop for Replicas {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Replicas {
    /// Watches the Deployments of `namespace`.
    pub(crate) fn watch(cluster: &Cluster, namespace: &str) -> Self {
        let api: Api<Deployment> = Api::namespaced(cluster.client.clone(), namespace);
        let moments = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&moments);
        let task = tokio::spawn(async move {
            let changes = watcher(api, watcher::Config::default()).default_backoff();
            let mut changes = std::pin::pin!(changes.applied_objects());
            while let Some(change) = changes.next().await {
                let Ok(object) = change else { continue };
                seen.lock().push(Moment {
                    at: Instant::now(),
                    name: object.metadata.name.unwrap_or_default(),
                    wanted: object.spec.and_then(|spec| spec.replicas).unwrap_or_default(),
                    ready: object.status.and_then(|s| s.ready_replicas).unwrap_or_default(),
                });
            }
        });
        Self { moments, task }
    }

    /// Everything that was seen since `begin`.
    pub(crate) fn since(&self, begin: Instant) -> Vec<Moment> {
        self.moments.lock().iter().filter(|moment| moment.at >= begin).cloned().collect()
    }

    /// How every Deployment is now, as `(wanted, ready)`.
    pub(crate) fn now(&self) -> BTreeMap<String, (i32, i32)> {
        let moments = self.moments.lock();
        moments.iter().map(|m| (m.name.clone(), (m.wanted, m.ready))).collect()
    }

    /// Waits until the Deployment `name` is as `is_so` asks of `(wanted, ready)`.
    pub(crate) async fn until(
        &self,
        name: &str,
        patience: Duration,
        is_so: impl Fn(i32, i32) -> bool,
    ) {
        let what = format!("Deployment {name}");
        let looks = || {
            let now = self.now().get(name).copied();
            let holds = now.is_some_and(|(wanted, ready)| is_so(wanted, ready));
            async move { holds }
        };
        until(patience, &what, looks).await;
    }

    /// Time from `begin` until `is_so` was first true of `(wanted, ready)` of `name`.
    pub(crate) fn first(
        &self,
        name: &str,
        begin: Instant,
        is_so: impl Fn(i32, i32) -> bool,
    ) -> Option<Duration> {
        let moments = self.since(begin);
        let mut of_it = moments.iter().filter(|moment| moment.name == name);
        of_it.find(|m| is_so(m.wanted, m.ready)).map(|m| m.at.duration_since(begin))
    }
}
