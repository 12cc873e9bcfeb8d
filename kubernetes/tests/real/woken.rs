//! Many apps at zero that are all asked for at once.

use std::time::{Duration, Instant};

use tokio::task::JoinSet;

use crate::Findings;
use crate::clients::{ask, median};
use crate::cluster::{App, Cluster};
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
    }
    findings
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
