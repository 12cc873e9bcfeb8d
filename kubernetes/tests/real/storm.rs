//! What a controller asks of an API server, and needs itself, with thousands of targets.
//!
//! ```console
//! $ export TIDEGATE_TEST_KUBECONFIG=~/.kube/test TIDEGATE_TEST_PROGRAMS=target/release
//! $ export TIDEGATE_TEST_AUDIT=/var/log/audit.log TIDEGATE_TEST_RESTART='restart-api-server'
//! $ cargo test --release -p tidegate-kubernetes --test real -- storm 3000 10000
//! ```
//!
//! The cluster needs neither kubelet nor scheduler: a pod is an object whose status is written
//! here, and a reporter that speaks for it. The controllers run on this machine, as the
//! ServiceAccount that is installed, so that the audit log tells their requests from all others.
//! The API server must be reachable by an address that is no loopback one, since an activator on
//! this machine gets the same.
//!
//! Modules in reading order: [`fleet`] is the targets, [`kubelet`] the pods, [`parts`] the
//! processes of ours, [`cost`] what they cost.

mod cost;
mod fleet;
mod kubelet;
mod parts;

use std::net::SocketAddr;
use std::process::Command;
use std::time::{Duration, Instant};

use k8s_openapi::jiff;
use tokio::task::JoinSet;

use crate::Findings;
use crate::clients::{ask_within, median};
use crate::cluster::Cluster;

use cost::Meter;
use fleet::Fleet;
use kubelet::Kubelet;
use parts::Parts;

/// A command that ends the API server and starts it anew.
const RESTART: &str = "TIDEGATE_TEST_RESTART";

/// Targets and pods where none are asked for.
const DEFAULT_SIZE: (usize, usize) = (300, 1_000);

/// How long nothing happens for what that costs to be measured.
const REST: Duration = Duration::from_secs(60);

/// How long a change of load is looked at, and how long load is steady before nothing happens:
/// longer than the stable window.
const CHANGE: Duration = Duration::from_secs(90);

/// One target of so many gets twice its load.
const CHANGED_EVERY: usize = 10;

/// How long a held request may take: a thousand pods are not made in a second.
const HELD_AT_MOST: Duration = Duration::from_secs(600);

/// How long to go on looking after all is done: what is written late counts as well.
const AFTER: Duration = Duration::from_secs(10);

/// The trial with so many targets and pods, the words after its name.
pub(crate) async fn run(cluster: &Cluster, size: &[usize]) -> Findings {
    let mut findings = Findings::default();
    let (targets, pods) = match size {
        [targets, pods, ..] => (*targets, *pods),
        _ => DEFAULT_SIZE,
    };
    let mut parts = Parts::install(cluster).await;
    let fleet = Fleet::create(cluster, targets, pods).await;
    let kubelet = Kubelet::start(cluster, &fleet, parts.reports());
    fleet.until_ready(cluster, pods).await;
    parts.start_controller("first");
    parts.start_activator(cluster).await;
    let mut meter = Meter::of(&parts);

    let begin = Instant::now();
    fleet.create_scalers(cluster).await;
    fleet.until_scalers(cluster, "with ports", |scaler| scaler.port.is_some()).await;
    meter.report((&parts, &mut findings), "adopted", begin, targets);

    let begin = Instant::now();
    kubelet.connect();
    fleet.until_scalers(cluster, "heard of", |scaler| scaler.is_heard_of).await;
    tokio::time::sleep(CHANGE).await;
    meter.report((&parts, &mut findings), "all pods begin to report", begin, targets);

    let begin = meter.begin();
    tokio::time::sleep(REST).await;
    meter.report((&parts, &mut findings), "at rest", begin, targets);

    let begin = Instant::now();
    fleet.change_load(CHANGED_EVERY, 2.0);
    tokio::time::sleep(CHANGE).await;
    meter.report(
        (&parts, &mut findings),
        "a tenth gets twice its load",
        begin,
        targets / CHANGED_EVERY,
    );
    let begin = Instant::now();
    fleet.change_load(CHANGED_EVERY, 1.0);
    tokio::time::sleep(CHANGE).await;
    meter.report((&parts, &mut findings), "and half of that again", begin, targets / CHANGED_EVERY);

    let begin = Instant::now();
    fleet.roll(cluster).await;
    tokio::time::sleep(AFTER).await;
    fleet.until_rolled(cluster).await;
    tokio::time::sleep(AFTER).await;
    meter.report((&parts, &mut findings), "every pod is replaced", begin, targets);

    restarted(&parts, &fleet, cluster, &mut meter, &mut findings).await;
    failed_over(&mut parts, &fleet, cluster, &mut meter, &mut findings).await;

    let begin = Instant::now();
    fleet.change_load(1, 0.0);
    fleet.until_scalers(cluster, "at zero", |scaler| scaler.is_at_zero).await;
    tokio::time::sleep(AFTER).await;
    meter.report((&parts, &mut findings), "all go to zero", begin, targets);
    let begin = meter.begin();
    tokio::time::sleep(REST).await;
    meter.report((&parts, &mut findings), "at rest, all at zero", begin, targets);
    woken(&parts, &fleet, cluster, &mut meter, &mut findings).await;
    fleet.remove(cluster).await;
    drop(kubelet);
    findings
}

/// The API server ends, and begins anew: everything is listed again.
async fn restarted(
    parts: &Parts,
    fleet: &Fleet,
    cluster: &Cluster,
    meter: &mut Meter,
    findings: &mut Findings,
) {
    let Ok(command) = std::env::var(RESTART) else {
        return findings.say(format!("the API server was not restarted: {RESTART} is not set"));
    };
    let begin = meter.begin();
    let restarting =
        tokio::task::spawn_blocking(move || Command::new("sh").args(["-c", &command]).status());
    assert!(restarting.await.unwrap().unwrap().success(), "{RESTART} failed");
    fleet.until_scalers(cluster, "heard of", |scaler| scaler.is_heard_of).await;
    tokio::time::sleep(REST / 2).await;
    meter.report((parts, findings), "the API server restarted", begin, fleet.len());
}

/// The controller that decides is killed; another takes over.
async fn failed_over(
    parts: &mut Parts,
    fleet: &Fleet,
    cluster: &Cluster,
    meter: &mut Meter,
    findings: &mut Findings,
) {
    parts.start_controller("second");
    tokio::time::sleep(AFTER).await;
    let (begin, since) = (Instant::now(), jiff::Timestamp::now());
    parts.kill_controller("first");
    *meter = Meter::of(parts);
    cluster.until_led("first", since).await;
    findings.say(format!("led again after {:.1} s", begin.elapsed().as_secs_f64()));
    tokio::time::sleep(REST).await;
    fleet.until_scalers(cluster, "heard of", |scaler| scaler.is_heard_of).await;
    meter.report((parts, findings), "another controller decides", begin, fleet.len());
}

/// A request to each target at once.
async fn woken(
    parts: &Parts,
    fleet: &Fleet,
    cluster: &Cluster,
    meter: &mut Meter,
    findings: &mut Findings,
) {
    let ports = fleet.scalers(cluster).await.into_iter().filter_map(|scaler| scaler.port);
    let addresses: Vec<SocketAddr> =
        ports.map(|port| SocketAddr::new(parts.activator_ip(), port)).collect();
    let begin = meter.begin();
    fleet.change_load(1, 1.0);
    let mut requests: JoinSet<_> =
        addresses.into_iter().map(|at| ask_within(at, 0, HELD_AT_MOST)).collect();
    let (mut times, mut lost) = (Vec::new(), Vec::new());
    while let Some(ended) = requests.join_next().await {
        match ended.unwrap() {
            Ok(answered) => times.push(answered.took.as_secs_f64()),
            Err(why) => lost.push(why),
        }
    }
    let all_s = begin.elapsed().as_secs_f64();
    findings.say(format!(
        "{} of {} answered, median {:.2} s, the last after {all_s:.2} s: {:.1} a second",
        times.len(),
        fleet.len(),
        median(times.clone()),
        times.len() as f64 / all_s,
    ));
    let first_lost = lost.first().cloned().unwrap_or_default();
    findings.must(|| lost.is_empty(), format!("{} lost: {first_lost}", lost.len()));
    tokio::time::sleep(AFTER).await;
    meter.report((parts, findings), "all woken at once", begin, fleet.len());
}
