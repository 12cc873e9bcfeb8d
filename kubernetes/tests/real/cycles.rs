//! From zero to ten and back, again and again, under load.

use std::time::{Duration, Instant};

use crate::Findings;
use crate::clients::{Clients, ask};
use crate::cluster::{App, Cluster, PATIENCE};
use crate::replicas::Replicas;

/// How often.
const ROUNDS: usize = 50;

/// Clients of a round: with a limit of 2, more than ten pods are wanted for them.
const CLIENTS: usize = 20;

/// How long a request takes at the app, in milliseconds.
const REQUEST_MS: u64 = 50;

pub(crate) async fn run(cluster: &Cluster) -> Findings {
    let mut findings = Findings::default();
    let app = App { concurrency: 2, max: 10, ..App::named("web") };
    let namespace = cluster.apps("cycles", &[app]).await;
    let address = cluster.address(&namespace, "web").await;
    let replicas = Replicas::watch(cluster, &namespace);
    let (mut answered, mut lost, mut slowest) = (0, Vec::new(), Duration::ZERO);
    let begin = Instant::now();
    for round in 0..ROUNDS {
        cluster.until_zero(&namespace, "web").await;
        let clients = Clients::start(address, CLIENTS, REQUEST_MS);
        replicas.until("web", PATIENCE, |_, ready| ready == 10).await;
        let count = clients.end().await;
        answered += count.answered;
        slowest = slowest.max(count.slowest);
        lost.extend(count.lost);
        // One more request while it is on its way to zero, each time at another moment.
        let moment = Duration::from_millis(5_500 + 40 * u64::try_from(round).unwrap());
        tokio::time::sleep(moment).await;
        match ask(address, 0).await {
            Ok(_) => answered += 1,
            Err(why) => lost.push(why),
        }
    }
    let first = lost.first().map_or(String::new(), |why| format!("; the first lost: {why}"));
    findings.say(format!(
        "{ROUNDS} rounds 0 -> 10 -> 0 in {:.0} s: {answered} of {} requests answered, the slowest \
         after {:.2} s{first}",
        begin.elapsed().as_secs_f64(),
        answered + lost.len() as u64,
        slowest.as_secs_f64(),
    ));
    findings.must(|| lost.is_empty(), format!("{} requests were lost", lost.len()));
    findings
}
