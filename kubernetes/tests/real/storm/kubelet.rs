//! The pods: the status of each is written, and a reporter speaks for its sidecar.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::time::Duration;

use futures::StreamExt;
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::jiff;
use kube::Api;
use kube::runtime::{WatchStreamExt, watcher};
use parking_lot::Mutex;
use serde_json::{Value, json};
use tidegate_proto::stats::v1::{Hello, Revision, Role, Stat};
use tidegate_reporter::{Config, Credentials, Reporter};
use tidegate_trust::secret::SECRET_VARIABLE;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;

use crate::cluster::{APPS, Cluster};

use super::fleet::{Fleet, Target};
use super::parts::SECRET;

/// Statuses that are written at a time.
const CONCURRENCY: usize = 24;

/// Addresses at which pods answer. Pods of one target have different ones as long as it has no more
/// than so many.
const APPS_LISTENING: usize = 64;

/// Parts of a second over which reports are spread.
const SLICES: usize = 50;

/// A pod that reports.
struct Sidecar {
    reporter: Option<Reporter>,
    driver: Option<JoinHandle<()>>,
    target: usize,
    turn: usize,
    /// The second in which it reported first.
    since: Option<usize>,
}

impl Drop for Sidecar {
    fn drop(&mut self) {
        if let Some(driver) = &self.driver {
            driver.abort();
        }
    }
}

/// What all its tasks share.
struct State {
    cluster: Cluster,
    targets: Arc<Vec<Target>>,
    indexes: BTreeMap<(String, String), usize>,
    reports: SocketAddr,
    credentials: Credentials,
    apps: Mutex<Vec<SocketAddr>>,
    sidecars: Mutex<BTreeMap<String, Sidecar>>,
    connects: Mutex<bool>,
    number: AtomicU32,
    begun: AtomicUsize,
    writes: Arc<Semaphore>,
}

/// Stands for the kubelets of all nodes, until it is dropped.
pub(super) struct Kubelet {
    state: Arc<State>,
    tasks: Vec<JoinHandle<()>>,
}

impl Drop for Kubelet {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
        self.state.sidecars.lock().clear();
    }
}

impl Kubelet {
    pub(super) fn start(cluster: &Cluster, fleet: &Fleet, reports: SocketAddr) -> Self {
        let named =
            |(n, target): (usize, &Target)| ((target.namespace.clone(), target.name.clone()), n);
        let shown = |key: &str| (key == SECRET_VARIABLE).then(|| SECRET.to_owned());
        let state = Arc::new(State {
            cluster: cluster.clone(),
            targets: Arc::clone(&fleet.targets),
            indexes: fleet.targets.iter().enumerate().map(named).collect(),
            reports,
            credentials: Credentials::configured(shown).unwrap(),
            apps: Mutex::new(Vec::new()),
            sidecars: Mutex::default(),
            connects: Mutex::new(false),
            number: AtomicU32::new(0),
            begun: AtomicUsize::new(0),
            writes: Arc::new(Semaphore::new(CONCURRENCY)),
        });
        let mut tasks: Vec<JoinHandle<()>> = (0..APPS_LISTENING)
            .map(|_| {
                let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
                state.apps.lock().push(listener.local_addr().unwrap());
                listener.set_nonblocking(true).unwrap();
                tokio::spawn(answer(TcpListener::from_std(listener).unwrap()))
            })
            .collect();
        tasks.push(tokio::spawn(follow(Arc::clone(&state))));
        tasks.push(tokio::spawn(report(Arc::clone(&state))));
        Self { state, tasks }
    }

    /// Has all pods report, those that come later too.
    pub(super) fn connect(&self) {
        *self.state.connects.lock() = true;
        for (name, sidecar) in self.state.sidecars.lock().iter_mut() {
            self.state.connect(name, sidecar);
        }
    }
}

impl State {
    /// A pod was seen.
    fn seen(self: &Arc<Self>, pod: &Pod) {
        let (Some(namespace), Some(name)) = (&pod.metadata.namespace, &pod.metadata.name) else {
            return;
        };
        let app = pod.metadata.labels.iter().flatten().find(|(label, _)| *label == "app");
        let place = app.map(|(_, app)| (namespace.clone(), app.clone()));
        let Some(target) = place.and_then(|place| self.indexes.get(&place)).copied() else {
            return;
        };
        let has_address = pod.status.as_ref().is_some_and(|status| status.pod_ip.is_some());
        let mut sidecars = self.sidecars.lock();
        if has_address || sidecars.contains_key(name) || pod.metadata.deletion_timestamp.is_some() {
            return;
        }
        let turn = self.begun.fetch_add(1, Ordering::Relaxed);
        let mut sidecar = Sidecar { reporter: None, driver: None, target, turn, since: None };
        if *self.connects.lock() {
            self.connect(name, &mut sidecar);
        }
        self.targets[target].pods.fetch_add(1, Ordering::Relaxed);
        sidecars.insert(name.clone(), sidecar);
        let path = format!("/api/v1/namespaces/{namespace}/pods/{name}/status");
        let state = Arc::clone(self);
        tokio::spawn(async move {
            let _place = state.writes.acquire().await;
            let status = ready(state.number.fetch_add(1, Ordering::Relaxed));
            // It may be gone already.
            let _ = state.cluster.send("PATCH", &path, &status).await;
        });
    }

    fn gone(&self, pod: &Pod) {
        let name = pod.metadata.name.as_deref().unwrap_or_default();
        if let Some(sidecar) = self.sidecars.lock().remove(name) {
            self.targets[sidecar.target].pods.fetch_sub(1, Ordering::Relaxed);
        }
    }

    fn connect(&self, name: &str, sidecar: &mut Sidecar) {
        let target = &self.targets[sidecar.target];
        let revision =
            Some(Revision { namespace: target.namespace.clone(), name: target.name.clone() });
        let hello = Hello {
            role: Role::QueueProxy.into(),
            revision,
            instance: name.to_owned(),
            address: self.apps.lock()[sidecar.turn % APPS_LISTENING].to_string(),
            container_concurrency: 10,
            start_unix_ms: 1,
            ..Hello::default()
        };
        let config = Config::new(&self.reports.to_string(), &self.credentials, hello).unwrap();
        let (reporter, inbox, driver) = tidegate_reporter::start(config);
        sidecar.driver = Some(tokio::spawn(async move {
            driver.run().await;
            drop(inbox);
        }));
        sidecar.reporter = Some(reporter);
    }
}

/// The status of a pod that is ready.
fn ready(number: u32) -> Value {
    let [_, high, middle, low] = number.to_be_bytes();
    let ip = Ipv4Addr::new(172, 16 + (high & 0xf), middle, low);
    let condition = |type_: &str| json!({"type": type_, "status": "True"});
    json!({"status": {
        "phase": "Running",
        "podIP": ip,
        "podIPs": [{"ip": ip}],
        "conditions": [condition("Ready"), condition("ContainersReady")],
    }})
}

/// Takes in what becomes of pods.
async fn follow(state: Arc<State>) {
    let api: Api<Pod> = Api::all(state.cluster.client.clone());
    let labels = format!("app.kubernetes.io/part-of={APPS}");
    let config = watcher::Config::default().labels(&labels);
    let mut events = std::pin::pin!(watcher(api, config).default_backoff());
    while let Some(event) = events.next().await {
        match event {
            Ok(watcher::Event::Apply(pod) | watcher::Event::InitApply(pod)) => state.seen(&pod),
            Ok(watcher::Event::Delete(pod)) => state.gone(&pod),
            Ok(watcher::Event::Init | watcher::Event::InitDone) | Err(_) => {}
        }
    }
}

/// Has each pod report once a second, spread evenly over it.
async fn report(state: Arc<State>) {
    let mut ticks = tokio::time::interval(Duration::from_secs(1) / SLICES as u32);
    let mut before: Vec<usize> = vec![1; state.targets.len()];
    for turn in 0.. {
        ticks.tick().await;
        if turn % SLICES == 0 {
            share(&state.targets, &mut before);
        }
        let second = turn / SLICES;
        for sidecar in state.sidecars.lock().values_mut() {
            let Some(reporter) = &sidecar.reporter else { continue };
            if sidecar.turn % SLICES != turn % SLICES {
                continue;
            }
            // Requests come to a pod once it is known.
            let is_new = *sidecar.since.get_or_insert(second) == second;
            let target = &state.targets[sidecar.target];
            let shares = target.shares.load(Ordering::Relaxed) as f64;
            let load = f64::from(target.load_milli.load(Ordering::Relaxed)) / 1_000.0 / shares;
            let load = if is_new { 0.0 } else { load };
            reporter.report(Stat {
                period_start_unix_ms: jiff::Timestamp::now().as_millisecond() - 1_000,
                period_length_ms: 1_000,
                average_concurrency: load,
                request_count: (10.0 * load) as u64,
                in_flight: load as u32,
                ready: true,
                ..Stat::default()
            });
        }
    }
}

/// Shares out each target's requests. A pod that goes leaves its part a second later: what it has
/// just reported is not reported by others as well.
fn share(targets: &[Target], before: &mut [usize]) {
    for (target, before) in targets.iter().zip(before) {
        let pods = target.pods.load(Ordering::Relaxed);
        target.shares.store(pods.max(*before).max(1), Ordering::Relaxed);
        *before = pods;
    }
}

/// Answers every request at once.
async fn answer(listener: TcpListener) {
    while let Ok((mut stream, _)) = listener.accept().await {
        tokio::spawn(async move {
            let mut request = [0; 4_096];
            let _ = stream.read(&mut request).await;
            let reply = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\nok";
            let _ = stream.write_all(reply).await;
        });
    }
}
