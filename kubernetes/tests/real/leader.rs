//! Controllers that are killed, and one that is stopped and goes on, under steady load.

use std::time::{Duration, Instant};

use k8s_openapi::jiff;

use crate::Findings;
use crate::clients::Clients;
use crate::cluster::{App, Cluster};
use crate::process::Process;
use crate::replicas::Replicas;

/// How often the deciding controller is killed.
const KILLS: usize = 20;

/// Clients: with a limit of 10 at 70 %, five pods are wanted for them.
const CLIENTS: usize = 33;

/// How long a request takes at the app, in milliseconds.
const REQUEST_MS: u64 = 100;

/// How long load is steady before it counts as settled: longer than the stable window.
const SETTLE: Duration = Duration::from_secs(40);

/// Time for the next controller to decide a few times.
const DECIDES: Duration = Duration::from_secs(5);

/// How long a controller is stopped: longer than its Lease lasts.
const STOPPED: Duration = Duration::from_secs(25);

pub(crate) async fn run(cluster: &Cluster) -> Findings {
    let mut findings = Findings::default();
    let app = App { window_s: 30, ..App::named("web") };
    let namespace = cluster.apps("leader", &[app]);
    let address = cluster.address(&namespace, "web").await;
    let replicas = Replicas::watch(cluster, &namespace);
    let clients = Clients::start(address, CLIENTS, REQUEST_MS);
    tokio::time::sleep(SETTLE).await;
    report_memory(cluster, &mut findings).await;
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

async fn report_memory(cluster: &Cluster, findings: &mut Findings) {
    for (pods, program) in
        [("tidegate-controller", "tidegate-kubernetes"), ("tidegate-activator", "tidegate")]
    {
        for pod in cluster.pods_of(pods).await {
            let process = Process::of_pod(&pod, program);
            let Some((resident, private)) = process.and_then(Process::memory_mib) else { continue };
            let cpu = process.and_then(Process::cpu_seconds).unwrap_or_default();
            findings.say(format!(
                "{pod}: {resident:.1} MiB resident, {private:.1} MiB private, {cpu:.2} s of CPU so \
                 far"
            ));
        }
    }
}
