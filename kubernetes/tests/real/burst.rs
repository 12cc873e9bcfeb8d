//! Fifty long requests at once where one pod is: when its replicas change, and when they are ready.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use tokio::task::JoinSet;

use crate::Findings;
use crate::clients::ask;
use crate::cluster::{App, Cluster, PATIENCE};
use crate::replicas::Replicas;

/// Requests of the burst.
const REQUESTS: usize = 50;

/// How long each takes at the app, in milliseconds: longer than new pods need.
const REQUEST_MS: u64 = 15_000;

/// How long the one pod has been idle before: long enough that nothing is on its way.
const REST: Duration = Duration::from_secs(8);

pub(crate) async fn run(cluster: &Cluster) -> Findings {
    let mut findings = Findings::default();
    for concurrency in [1, 10] {
        let name = format!("limit-{concurrency}");
        let app = App { concurrency, min: 1, window_s: 60, ..App::named(&name) };
        let namespace = cluster.apps("burst", &[app]).await;
        let address = cluster.address(&namespace, &name).await;
        let replicas = Replicas::watch(cluster, &namespace);
        burst((address, concurrency), (&replicas, &name), &mut findings).await;
    }
    findings
}

/// Sends the burst to an address once the Deployment `name` has one pod that is ready.
pub(crate) async fn burst(
    (address, concurrency): (SocketAddr, u32),
    (replicas, name): (&Replicas, &str),
    findings: &mut Findings,
) {
    // At 70 % of the limit, as Knative's default asks for.
    let full = (REQUESTS as f64 / (f64::from(concurrency) * 0.7)).ceil() as i32;
    replicas.until(name, PATIENCE, |wanted, ready| wanted == 1 && ready == 1).await;
    tokio::time::sleep(REST).await;
    let begin = Instant::now();
    let mut requests = JoinSet::new();
    for _ in 0..REQUESTS {
        requests.spawn(ask(address, REQUEST_MS));
    }
    let mut lost = Vec::new();
    while let Some(ended) = requests.join_next().await {
        lost.extend(ended.unwrap().err());
    }
    let at = |first: Option<Duration>| {
        first.map_or("never".to_owned(), |t| format!("{:.0} ms", t.as_secs_f64() * 1e3))
    };
    let enough = (REQUESTS as f64 / f64::from(concurrency)).ceil() as i32;
    let first = replicas.first(name, begin, |wanted, _| wanted > 1);
    let sufficient = replicas.first(name, begin, |wanted, _| wanted >= enough);
    let wanted = replicas.first(name, begin, |wanted, _| wanted >= full);
    let ready = replicas.first(name, begin, |_, ready| ready >= enough);
    findings.say(format!(
        "limit {concurrency}: more than one replica wanted after {}, {enough} after {}, {full} \
         after {}, {enough} ready after {}; {} of {REQUESTS} answered; wanted {}",
        at(first),
        at(sufficient),
        at(wanted),
        at(ready),
        REQUESTS - lost.len(),
        steps(replicas, name, begin).join(", "),
    ));
    let first_lost = lost.first().cloned().unwrap_or_default();
    findings.must(|| lost.is_empty(), format!("{} lost: {first_lost}", lost.len()));
    findings.must(|| sufficient.is_some(), format!("{enough} replicas were never wanted"));
}

/// How many replicas were wanted since `begin`, and from when on.
fn steps(replicas: &Replicas, name: &str, begin: Instant) -> Vec<String> {
    let (mut steps, mut last) = (Vec::new(), 1);
    for moment in replicas.since(begin).iter().filter(|moment| moment.name == name) {
        if moment.wanted != last {
            let after = moment.at.duration_since(begin).as_millis();
            steps.push(format!("{} after {after} ms", moment.wanted));
            last = moment.wanted;
        }
    }
    steps
}
