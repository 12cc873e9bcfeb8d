//! A node that is gone, with pods of an app, an activator and a controller on it.

use std::ffi::{OsStr, OsString};
use std::process::Command;
use std::time::{Duration, Instant};

use crate::Findings;
use crate::clients::{Clients, ask};
use crate::cluster::{App, Cluster, PATIENCE, until};
use crate::replicas::Replicas;

/// A command: `COMMAND begin NAME` adds a node to the cluster, `COMMAND end NAME` makes an end of
/// it as a power cut does.
const COMMAND: &str = "TIDEGATE_TEST_NODE";

/// The node's name.
const NODE: &str = "tidegate-trial-second";

/// Clients that send one request after another meanwhile.
const CLIENTS: usize = 12;

/// Pods of the app, spread over both nodes.
const PODS: i32 = 4;

/// How long load goes on after all pods are there again.
const AFTERWARDS: Duration = Duration::from_secs(15);

pub(crate) async fn run(cluster: &Cluster) -> Findings {
    let mut findings = Findings::default();
    let Some(command) = std::env::var_os(COMMAND) else {
        findings.say(format!("no node was lost: {COMMAND} names no command"));
        return findings;
    };
    execute(&command, "begin");
    cluster.kubectl(&["wait", "--for=condition=Ready", &node(), "--timeout=60s"], None);
    for deployment in ["tidegate-activator", "tidegate-controller"] {
        cluster.restart(crate::cluster::SYSTEM, deployment);
    }
    let apps = [App { min: PODS, max: 8, window_s: 30, ..App::named("web") }, App::named("cold")];
    let namespace = cluster.apps("node", &apps).await;
    let at_web = cluster.address(&namespace, "web").await;
    let at_cold = cluster.address(&namespace, "cold").await;
    let replicas = Replicas::watch(cluster, &namespace);
    replicas.until("web", PATIENCE, |_, ready| ready == PODS).await;
    cluster.until_zero(&namespace, "cold").await;
    let placed = cluster.pods_on(NODE).await;
    findings.say(format!("on the node: {}", placed.join(", ")));
    let clients = Clients::start(at_web, CLIENTS, 20);
    let (begin, old) = (Instant::now(), cluster.leader().await);
    execute(&command, "end");
    // What a cloud does about a machine that is no more.
    cluster.kubectl(&["delete", &node(), "--wait=false"], None);
    let woken = ask(at_cold, 0).await;
    let is_empty = || async { cluster.pods_on(NODE).await.is_empty() };
    until(PATIENCE, "the pods of the node are gone", is_empty).await;
    let replaced = begin.elapsed().as_secs_f64();
    // What leads clients to them is up to a controller of the cluster that takes its time.
    let is_led_there = || {
        let names = cluster.endpoints(&namespace);
        placed.iter().any(|pod| names.split(' ').any(|name| name == pod))
    };
    until(PATIENCE, "endpoints without the lost pods", || async { !is_led_there() }).await;
    replicas.until("web", PATIENCE, |_, ready| ready >= PODS).await;
    let whole = Instant::now();
    for deployment in ["tidegate-activator", "tidegate-controller"] {
        cluster.settled(deployment);
    }
    tokio::time::sleep(AFTERWARDS).await;
    let count = clients.end().await;
    let fewest = replicas.since(begin).iter().filter(|m| m.name == "web").map(|m| m.wanted).min();
    let now = cluster.leader().await;
    findings.say(format!(
        "its pods were replaced after {replaced:.0} s, the controller that decides {}; \
         meanwhile {}",
        if old == now { "stayed" } else { "is another" },
        count.line()
    ));
    findings.say(match &woken {
        Ok(answered) => format!("from zero meanwhile: after {:.1} s", answered.took.as_secs_f64()),
        Err(why) => format!("from zero meanwhile, the first request: {why}"),
    });
    findings.must(|| fewest.is_none_or(|n| n >= PODS), format!("{fewest:?} pods were wanted"));
    let last = count.last_lost.unwrap_or((begin, String::new()));
    let after = last.0.saturating_duration_since(whole);
    let what = format!("one sent {after:?} after all were ready again was lost: {}", last.1);
    findings.must(|| after == Duration::ZERO, what);
    // A connection may have been led to the lost activator, whose address is there for a while.
    let is_known = |why: &String| why.starts_with("connect");
    findings.must(|| woken.as_ref().err().is_none_or(is_known), "an app at zero was not woken");
    findings
}

fn node() -> String {
    format!("node/{NODE}")
}

fn execute(command: &OsString, verb: &str) {
    let status = Command::new(command).args([OsStr::new(verb), OsStr::new(NODE)]).status();
    assert!(status.unwrap().success(), "{COMMAND} {verb} {NODE} failed");
}
