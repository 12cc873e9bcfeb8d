//! How long the first request of an app at zero takes, and how much of that is ours.

use std::time::Duration;

use crate::Findings;
use crate::clients::{ask, median};
use crate::cluster::{App, Cluster};

/// Cold starts of each app.
const ROUNDS: usize = 10;

/// Time between zero and the request, so that no trace of the pod before is left.
const REST: Duration = Duration::from_secs(1);

pub(crate) async fn run(cluster: &Cluster) -> Findings {
    let mut findings = Findings::default();
    for (name, start_delay_ms) in [("at-once", 0), ("slow", 1_000)] {
        let app = App { start_delay_ms, ..App::named(name) };
        let namespace = cluster.apps("cold", &[app]).await;
        let address = cluster.address(&namespace, name).await;
        let (mut answers, mut pods, mut after) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..ROUNDS {
            cluster.until_zero(&namespace, name).await;
            tokio::time::sleep(REST).await;
            match ask(address, 0).await {
                Ok(answered) => {
                    let took = answered.took.as_secs_f64();
                    let begin = answered.at_micros as f64 / 1e6 - took;
                    let seconds = |micros: u64| micros as f64 / 1e6;
                    answers.push(took);
                    pods.push(seconds(answered.app_begun_micros) - begin);
                    let listening = answered.app_listening_micros;
                    after.push(seconds(answered.at_micros.saturating_sub(listening)));
                }
                Err(why) => findings.must(|| false, format!("a first request was lost: {why}")),
            }
        }
        let (fewest, most) = (
            after.iter().copied().fold(f64::INFINITY, f64::min),
            after.iter().copied().fold(0.0, f64::max),
        );
        findings.say(format!(
            "app that listens {start_delay_ms} ms after it begins: answered after {:.3} s (its \
             process begins at {:.3} s), {:.0} ms after it listens ({:.0} to {:.0}); medians of \
             {ROUNDS}",
            median(answers),
            median(pods),
            median(after) * 1e3,
            fewest * 1e3,
            most * 1e3,
        ));
    }
    findings
}
