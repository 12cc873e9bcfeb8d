//! What else can fail: an activator that ends in order or is killed, the API server.

use std::process::Command;
use std::time::{Duration, Instant};

use crate::Findings;
use crate::clients::Clients;
use crate::cluster::{App, Cluster, PATIENCE};
use crate::process::Process;
use crate::replicas::Replicas;

/// A command that restarts the API server.
const RESTART_API: &str = "TIDEGATE_TEST_RESTART_API";

/// How often an activator ends while it holds requests.
const ACTIVATORS: usize = 10;

/// How often one is killed.
const KILLED: usize = 5;

/// Clients that wake the app.
const CLIENTS: usize = 20;

/// How long load goes on after the API server or an activator is back.
const AFTERWARDS: Duration = Duration::from_secs(10);

pub(crate) async fn run(cluster: &Cluster) -> Findings {
    let mut findings = Findings::default();
    activators_end(cluster, &mut findings).await;
    activators_are_killed(cluster, &mut findings).await;
    api_server_restarts(cluster, &mut findings).await;
    findings
}

/// Activators that are deleted while requests of an app at zero are at them.
async fn activators_end(cluster: &Cluster, findings: &mut Findings) {
    // It needs a second to begin, so that requests are held when the activator is told to end.
    let app = App { start_delay_ms: 1_000, max: 5, ..App::named("web") };
    let namespace = cluster.apps("activators", &[app]).await;
    let address = cluster.address(&namespace, "web").await;
    let replicas = Replicas::watch(cluster, &namespace);
    let (mut answered, mut lost) = (0, Vec::new());
    for _ in 0..ACTIVATORS {
        cluster.until_zero(&namespace, "web").await;
        let clients = Clients::start(address, CLIENTS, 20);
        replicas.until("web", PATIENCE, |wanted, _| wanted > 0).await;
        let pods = cluster.pods_of("tidegate-activator").await;
        cluster.delete_pod(&pods[0], &[]);
        replicas.until("web", PATIENCE, |_, ready| ready > 0).await;
        let count = clients.end().await;
        answered += count.answered;
        lost.extend(count.lost);
        cluster.settled("tidegate-activator");
    }
    let first = lost.first().map_or(String::new(), |why| format!("; the first lost: {why}"));
    let sent = answered + lost.len() as u64;
    findings.say(format!(
        "{ACTIVATORS} activators deleted while they hold requests: {answered} of {sent} requests \
         answered{first}"
    ));
    findings.must(|| lost.is_empty(), format!("{} lost with an activator", lost.len()));
}

/// Activators that are killed under load: what they held is lost with them, and until their address
/// has left the Service connections are refused. What has pods is not touched.
async fn activators_are_killed(cluster: &Cluster, findings: &mut Findings) {
    let cold = App { start_delay_ms: 1_000, max: 5, ..App::named("cold") };
    let warm = App { min: 2, window_s: 30, ..App::named("warm") };
    let namespace = cluster.apps("killed", &[cold, warm]).await;
    let at_cold = cluster.address(&namespace, "cold").await;
    let at_warm = cluster.address(&namespace, "warm").await;
    let replicas = Replicas::watch(cluster, &namespace);
    replicas.until("warm", PATIENCE, |_, ready| ready == 2).await;
    cluster.until_zero(&namespace, "cold").await;
    let warm_clients = Clients::start(at_warm, CLIENTS, 20);
    let (mut answered, mut lost, mut longest) = (0, 0, Duration::ZERO);
    for _ in 0..KILLED {
        cluster.until_zero(&namespace, "cold").await;
        let clients = Clients::start(at_cold, CLIENTS, 20);
        replicas.until("cold", PATIENCE, |wanted, _| wanted > 0).await;
        let pods = cluster.pods_of("tidegate-activator").await;
        let Some(process) = Process::of_pod(&pods[0], "activator") else {
            findings.say("no activator runs on this machine: none was killed");
            return;
        };
        process.signal("KILL");
        let killed = Instant::now();
        replicas.until("cold", PATIENCE, |_, ready| ready > 0).await;
        cluster.settled("tidegate-activator");
        tokio::time::sleep(AFTERWARDS).await;
        let count = clients.end().await;
        answered += count.answered;
        lost += count.lost.len();
        let last = count.last_lost.unwrap_or((killed, String::new()));
        let after = last.0.saturating_duration_since(killed);
        longest = longest.max(after);
        let what = format!("one sent {after:?} after the kill was lost: {}", last.1);
        findings.must(|| after < AFTERWARDS, what);
    }
    let warm_count = warm_clients.end().await;
    findings.say(format!(
        "{KILLED} activators killed while they hold requests of {CLIENTS} clients: {lost} lost, \
         the last {:.1} s after, {answered} answered; of an app with pods meanwhile: {}",
        longest.as_secs_f64(),
        warm_count.line()
    ));
    findings.must(|| warm_count.lost.is_empty(), "requests of an app with pods were lost");
}

/// The API server ends and comes back under load, with pods and from zero.
async fn api_server_restarts(cluster: &Cluster, findings: &mut Findings) {
    let Some(command) = std::env::var_os(RESTART_API) else {
        findings.say(format!("the API server was not restarted: {RESTART_API} names no command"));
        return;
    };
    let apps = [App { min: 2, window_s: 30, ..App::named("warm") }, App::named("idle")];
    let namespace = cluster.apps("api", &apps).await;
    let warm = cluster.address(&namespace, "warm").await;
    let idle = cluster.address(&namespace, "idle").await;
    cluster.until_zero(&namespace, "idle").await;
    let replicas = Replicas::watch(cluster, &namespace);
    replicas.until("warm", PATIENCE, |_, ready| ready == 2).await;
    let at_warm = Clients::start(warm, CLIENTS, 20);
    let begin = Instant::now();
    let restart = tokio::task::spawn_blocking(move || Command::new(command).status());
    let at_idle = Clients::start(idle, 1, 20);
    assert!(restart.await.unwrap().unwrap().success(), "{RESTART_API} failed");
    let gone = begin.elapsed().as_secs_f64();
    replicas.until("idle", PATIENCE, |_, ready| ready > 0).await;
    tokio::time::sleep(AFTERWARDS).await;
    let (at_warm, at_idle) = (at_warm.end().await, at_idle.end().await);
    findings.say(format!("the API server was gone for {gone:.1} s; with pods: {}", at_warm.line()));
    findings.say(format!("from zero meanwhile: {}", at_idle.line()));
    let lost = at_warm.lost.len() + at_idle.lost.len();
    findings.must(|| lost == 0, format!("{lost} lost while the API server restarted"));
}
