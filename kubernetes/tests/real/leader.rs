//! Controllers that are killed, and one that is stopped and goes on, under steady load.

use std::time::{Duration, Instant};

use k8s_openapi::jiff;

use crate::Findings;
use crate::clients::{Clients, ask};
use crate::cluster::{App, Cluster, PATIENCE, until};
use crate::process::{self, Process};
use crate::replicas::Replicas;

/// How often the deciding controller is killed.
const KILLS: usize = 20;

/// Clients: with a limit of 10 at 70 %, five pods are wanted for them.
const CLIENTS: usize = 34;

/// How long a request takes at the app, in milliseconds: long beside what clients need between two,
/// so that load is steady on a busy machine too.
const REQUEST_MS: u64 = 2_000;

/// How long load is steady before it counts as settled: longer than the stable window.
const SETTLE: Duration = Duration::from_secs(40);

/// Time for the next controller to decide a few times.
const DECIDES: Duration = Duration::from_secs(5);

/// How long a controller is stopped: longer than its Lease lasts.
const STOPPED: Duration = Duration::from_secs(25);

pub(crate) async fn run(cluster: &Cluster) -> Findings {
    let mut findings = Findings::default();
    let app = App { window_s: 30, ..App::named("web") };
    let namespace = cluster.apps("leader", &[app]).await;
    let address = cluster.address(&namespace, "web").await;
    let replicas = Replicas::watch(cluster, &namespace);
    // The network knows of the first pod a moment after it is ready.
    until(PATIENCE, "a first response", || async { ask(address, 0).await.is_ok() }).await;
    let clients = Clients::start(address, CLIENTS, REQUEST_MS);
    tokio::time::sleep(SETTLE).await;
    process::report_memory(cluster, &mut findings).await;
    let begin = Instant::now();
    let mut gaps = Vec::new();
    for _ in 0..KILLS {
        let leader = cluster.leader().await;
        let (killed, since) = (Instant::now(), jiff::Timestamp::now());
        match Process::of_pod(&leader, "tidegate-kubernetes") {
            // As a crash is: the Lease is not given back.
            Some(process) => process.signal("KILL"),
            None => cluster.delete_pod(&leader, &["--grace-period=0", "--force"]),
        }
        cluster.until_led(&leader, since).await;
        gaps.push(killed.elapsed().as_secs_f64());
        tokio::time::sleep(DECIDES).await;
        // A kubelet starts what was killed often after ever longer waits, and a new pod at once.
        if cluster.leader().await != leader {
            cluster.delete_pod(&leader, &["--grace-period=0", "--force"]);
        }
        cluster.settled("tidegate-controller");
    }
    let longest = gaps.iter().copied().fold(0.0, f64::max);
    say_changes(&mut findings, &replicas, begin, &format!("{KILLS} controllers killed"));
    findings.say(format!("without a controller for at most {longest:.1} s"));
    let leader = cluster.leader().await;
    if let Some(process) = Process::of_pod(&leader, "tidegate-kubernetes") {
        let begin = Instant::now();
        process.signal("STOP");
        tokio::time::sleep(STOPPED).await;
        let other = cluster.leader().await;
        process.signal("CONT");
        tokio::time::sleep(DECIDES).await;
        let stays = cluster.leader().await;
        findings.must(|| other != leader, "nobody took the Lease of a stopped controller");
        findings.must(|| other == stays, "a controller that went on took the Lease back");
        say_changes(&mut findings, &replicas, begin, "a controller stopped that then goes on");
    } else {
        findings.say("the controller's process is not on this machine: it was not stopped");
    }
    let count = clients.end().await;
    findings.say(count.line());
    findings.must(|| count.lost.is_empty(), format!("{} requests lost", count.lost.len()));
    findings
}

fn say_changes(findings: &mut Findings, replicas: &Replicas, begin: Instant, what: &str) {
    let before = replicas.now().get("web").map_or(0, |(wanted, _)| *wanted);
    let wanted: Vec<i32> = replicas.since(begin).iter().map(|moment| moment.wanted).collect();
    let changes = wanted.windows(2).filter(|pair| pair[0] != pair[1]).count();
    findings.say(format!("{what}: replicas changed {changes} times, {before} wanted now"));
    findings.must(|| changes == 0, format!("{what}: replicas changed: {wanted:?}"));
}
