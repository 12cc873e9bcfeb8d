//! Many apps at zero that are all asked for at once, beside as many whose replicas are set at once
//! without us: what the cluster itself takes.

use std::time::{Duration, Instant};

use serde_json::json;
use tokio::task::JoinSet;

use crate::Findings;
use crate::clients::{ask, median};
use crate::cluster::{App, Cluster, PATIENCE, until};
use crate::process;
use crate::replicas::Replicas;

/// How many; Knative's figures are of so many.
const SIZES: [usize; 2] = [10, 50];

/// Time between zero and the requests, so that no pod is still on its way to its end.
const REST: Duration = Duration::from_secs(10);

pub(crate) async fn run(cluster: &Cluster) -> Findings {
    let mut findings = Findings::default();
    for size in SIZES {
        let apps: Vec<App> = (0..size).map(|n| App::named(&format!("app-{n}"))).collect();
        let namespace = cluster.apps(&format!("woken-{size}"), &apps).await;
        let replicas = Replicas::watch(cluster, &namespace);
        cluster.until_all_zero(&namespace, size).await;
        wake_all(cluster, &namespace, (&apps, &replicas), &mut findings).await;
        cluster.remove_apps().await;
        set_all(cluster, (&apps, size), &mut findings).await;
        cluster.remove_apps().await;
    }
    findings
}

/// Sets the replicas of all of `apps` from zero to one at once, and waits until all are ready.
async fn set_all(cluster: &Cluster, (apps, size): (&[App], usize), findings: &mut Findings) {
    let namespace = cluster.bare_apps(&format!("bare-{size}"), apps).await;
    let replicas = Replicas::watch(cluster, &namespace);
    let all = |count: i32| {
        let now = replicas.now();
        now.len() == size && now.values().all(|replicas| *replicas == (count, count))
    };
    until(PATIENCE, "Deployments without replicas", || async { all(0) }).await;
    tokio::time::sleep(REST).await;
    let begin = Instant::now();
    let patch = json!({"spec": {"replicas": 1}});
    let patches = apps.iter().map(|app| {
        let deployments = format!("/apis/apps/v1/namespaces/{namespace}/deployments");
        let path = format!("{deployments}/{}/scale", app.name);
        let patch = &patch;
        async move { drop(cluster.send("PATCH", &path, patch).await.unwrap()) }
    });
    futures::future::join_all(patches).await;
    let set_s = begin.elapsed().as_secs_f64();
    until(PATIENCE, "all pods ready", || async { all(1) }).await;
    let mut ready = Vec::new();
    for app in apps {
        let first = replicas.first(&app.name, begin, |_, ready| ready > 0);
        ready.extend(first.map(|after| after.as_secs_f64()));
    }
    let last = ready.iter().copied().fold(0.0, f64::max);
    findings.say(format!(
        "{size} Deployments whose replicas are set without us: after {set_s:.3} s, ready after \
         {:.2} s at the median, the last after {last:.2} s: {:.1} a second",
        median(ready),
        size as f64 / last,
    ));
}

/// Asks for all of `apps`, which are at zero, at once.
pub(crate) async fn wake_all(
    cluster: &Cluster,
    namespace: &str,
    (apps, replicas): (&[App], &Replicas),
    findings: &mut Findings,
) {
    let addresses = cluster.addresses(namespace).await;
    tokio::time::sleep(REST).await;
    process::report_memory(cluster, findings).await;
    let (size, begin) = (apps.len(), Instant::now());
    let mut requests: JoinSet<_> = apps.iter().map(|app| ask(addresses[&app.name], 0)).collect();
    let (mut times, mut lost) = (Vec::new(), Vec::new());
    while let Some(ended) = requests.join_next().await {
        match ended.unwrap() {
            Ok(answered) => times.push(answered.took.as_secs_f64()),
            Err(why) => lost.push(why),
        }
    }
    let all = begin.elapsed();
    let mut wanted = Vec::new();
    for app in apps {
        let first = replicas.first(&app.name, begin, |wanted, _| wanted > 0);
        wanted.extend(first.map(|after| after.as_secs_f64()));
    }
    findings.say(format!(
        "{size} apps at once: {} answered, median {:.2} s, the last after {:.2} s: {:.1} \
         activations a second; replicas set after {:.3} s at the median, the last after {:.3} s",
        times.len(),
        median(times.clone()),
        all.as_secs_f64(),
        times.len() as f64 / all.as_secs_f64(),
        median(wanted.clone()),
        wanted.iter().copied().fold(0.0, f64::max),
    ));
    let first_lost = lost.first().cloned().unwrap_or_default();
    findings.must(|| lost.is_empty(), format!("{} lost: {first_lost}", lost.len()));
}
