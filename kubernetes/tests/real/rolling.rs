//! A rolling update of pods with injected sidecars, under load.

use std::time::Instant;

use crate::Findings;
use crate::clients::Clients;
use crate::cluster::{App, Cluster, PATIENCE};
use crate::replicas::Replicas;

/// Clients that send one request after another meanwhile.
const CLIENTS: usize = 24;

/// Rolling updates.
const ROUNDS: usize = 5;

pub(crate) async fn run(cluster: &Cluster) -> Findings {
    let mut findings = Findings::default();
    let app = App { min: 3, max: 6, window_s: 60, ..App::named("web") };
    let namespace = cluster.apps("rolling", &[app]).await;
    let address = cluster.address(&namespace, "web").await;
    let replicas = Replicas::watch(cluster, &namespace);
    replicas.until("web", PATIENCE, |_, ready| ready == 3).await;
    let clients = Clients::start(address, CLIENTS, 10);
    let begin = Instant::now();
    for _ in 0..ROUNDS {
        cluster.restart(&namespace, "web");
    }
    let count = clients.end().await;
    let seconds = begin.elapsed().as_secs_f64();
    findings.say(format!("{ROUNDS} rolling updates in {seconds:.0} s: {}", count.line()));
    findings.must(|| count.lost.is_empty(), format!("{} requests lost", count.lost.len()));
    findings
}
