//! The webhook is gone while pods are made.

use crate::Findings;
use crate::clients::Clients;
use crate::cluster::{App, Cluster, PATIENCE, until};
use crate::replicas::Replicas;

/// Clients that send one request after another meanwhile.
const CLIENTS: usize = 8;

pub(crate) async fn run(cluster: &Cluster) -> Findings {
    let mut findings = Findings::default();
    let app = App { min: 2, max: 4, window_s: 30, ..App::named("web") };
    let namespace = cluster.apps("webhook", &[app]).await;
    let address = cluster.address(&namespace, "web").await;
    let replicas = Replicas::watch(cluster, &namespace);
    replicas.until("web", PATIENCE, |_, ready| ready == 2).await;
    let condition = || cluster.condition(&namespace, "web", "SidecarInjected");
    let is_injected = || async { condition().starts_with("True") };
    until(PATIENCE, "pods with the sidecar", is_injected).await;
    let clients = Clients::start(address, CLIENTS, 10);
    cluster.set_replicas("tidegate-webhook", 0).await;
    cluster.restart(&namespace, "web");
    let is_told = || {
        let events = cluster.events(&namespace, "web");
        async move { events.iter().any(|reason| reason == "NotHeardOf") }
    };
    until(PATIENCE, "an Event about pods without the sidecar", is_told).await;
    let bare = condition();
    let (wanted, ready) = replicas.now()["web"];
    findings.must(|| ready == 2 && wanted == 2, format!("{ready} of {wanted} ready without it"));
    // An app without the sidecar is not drained: it loses requests when its pods are replaced.
    let count = clients.end().await;
    cluster.set_replicas("tidegate-webhook", 2).await;
    cluster.restart(&namespace, "web");
    until(PATIENCE, "pods with the sidecar again", is_injected).await;
    findings.say(format!(
        "pods made without the webhook: {ready} of {wanted} ready, SidecarInjected is {bare}, an \
         Event says so; True again with the webhook; {}",
        count.line()
    ));
    findings.must(|| bare.starts_with("False"), "the condition does not tell of these pods");
    findings.must(|| count.lost.is_empty(), format!("{} requests lost", count.lost.len()));
    findings
}
