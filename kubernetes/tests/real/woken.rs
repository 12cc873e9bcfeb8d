//! Many apps at zero that are all asked for at once.

use std::time::{Duration, Instant};

use tokio::task::JoinSet;

use crate::Findings;
use crate::clients::{ask, median};
use crate::cluster::{App, Cluster};

/// How many; Knative's figures are of so many.
const SIZES: [usize; 2] = [10, 50];

pub(crate) async fn run(cluster: &Cluster) -> Findings {
    let mut findings = Findings::default();
    for size in SIZES {
        let apps: Vec<App> = (0..size).map(|n| App::named(&format!("app-{n}"))).collect();
        let namespace = cluster.apps(&format!("woken-{size}"), &apps);
        let mut addresses = Vec::new();
        for app in &apps {
            cluster.until_zero(&namespace, &app.name).await;
            addresses.push(cluster.address(&namespace, &app.name).await);
        }
        let begin = Instant::now();
        let mut requests: JoinSet<_> = addresses.into_iter().map(|at| ask(at, 0)).collect();
        let (mut times, mut lost) = (Vec::new(), Vec::new());
        while let Some(ended) = requests.join_next().await {
            match ended.unwrap() {
                Ok(answered) => times.push(answered.took.as_secs_f64()),
                Err(why) => lost.push(why),
            }
        }
        let all: Duration = begin.elapsed();
        findings.say(format!(
            "{size} apps at once: {} answered, median {:.2} s, the last after {:.2} s: {:.1} \
             activations a second",
            times.len(),
            median(times.clone()),
            all.as_secs_f64(),
            times.len() as f64 / all.as_secs_f64(),
        ));
        let first_lost = lost.first().cloned().unwrap_or_default();
        findings.must(|| lost.is_empty(), format!("{} lost: {first_lost}", lost.len()));
        cluster.remove_apps().await;
    }
    findings
}
