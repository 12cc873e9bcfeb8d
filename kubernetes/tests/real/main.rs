//! What is claimed of real clusters, tried on one, with counts.
//!
//! ```console
//! $ export TIDEGATE_TEST_KUBECONFIG=~/.kube/test TIDEGATE_TEST_IMAGES=registry.example/tidegate
//! $ cargo test --release -p tidegate-kubernetes --test real -- cycles burst
//! ```
//!
//! Two trials need a command of their own, and say so where there is none:
//! `TIDEGATE_TEST_RESTART_API` ends the API server and returns when it is back;
//! `TIDEGATE_TEST_NODE begin NAME` adds a node, `TIDEGATE_TEST_NODE end NAME` cuts its power.
//!
//! Without a cluster it says so and ends well. It installs Tidegate as `docs/kubernetes.md` says,
//! makes namespaces that begin with `tidegate-trial`, and removes all of it. Clients run in this
//! process, so it must run where addresses of Services and pods can be reached, such as on a node.
//!
//! It must never run against a cluster that was not named for it, or call a trial passed in which a
//! request was lost.
//!
//! Modules in reading order: [`cluster`] is the cluster and what is put into it, [`app`] the app
//! that is scaled, [`clients`] who sends requests and what they count, [`replicas`] what becomes
//! of workloads and when, [`process`] the processes of pods, where they run on this machine,
//! [`sidecars`] one process for many of them. Then a module a trial: [`cycles`], [`cold`],
//! [`burst`], [`doors`], [`class`], [`woken`], [`crowd`], [`rolling`], [`leader`], [`faults`],
//! [`node`], [`webhook`].
//! [`storm`] is a trial that is asked for by name alone, since it needs another cluster.

#![expect(clippy::unwrap_used, reason = "what cannot be done fails the trial")]

mod app;
mod burst;
mod class;
mod clients;
mod cluster;
mod cold;
mod crowd;
mod cycles;
mod doors;
mod faults;
mod leader;
mod node;
mod process;
mod replicas;
mod rolling;
mod sidecars;
mod storm;
mod webhook;
mod woken;

use std::process::ExitCode;

use futures::future::BoxFuture;

use cluster::Cluster;

/// The kubeconfig of a cluster that may be filled and emptied.
const KUBECONFIG: &str = "TIDEGATE_TEST_KUBECONFIG";

/// What the images' names begin with: `PREFIX/activator:test`, and so on.
const IMAGES: &str = "TIDEGATE_TEST_IMAGES";

/// A trial, by its name.
type Trial = (&'static str, for<'a> fn(&'a Cluster) -> BoxFuture<'a, Findings>);

const TRIALS: &[Trial] = &[
    ("cold", |cluster| Box::pin(cold::run(cluster))),
    ("burst", |cluster| Box::pin(burst::run(cluster))),
    ("doors", |cluster| Box::pin(doors::run(cluster))),
    ("class", |cluster| Box::pin(class::run(cluster))),
    ("woken", |cluster| Box::pin(woken::run(cluster))),
    ("crowd", |cluster| Box::pin(crowd::run(cluster))),
    ("cycles", |cluster| Box::pin(cycles::run(cluster))),
    ("rolling", |cluster| Box::pin(rolling::run(cluster))),
    ("leader", |cluster| Box::pin(leader::run(cluster))),
    ("faults", |cluster| Box::pin(faults::run(cluster))),
    ("node", |cluster| Box::pin(node::run(cluster))),
    ("webhook", |cluster| Box::pin(webhook::run(cluster))),
];

/// What a trial found: lines for a reader, and what must not have been.
#[derive(Debug, Default)]
pub(crate) struct Findings {
    lines: Vec<String>,
    wrong: Vec<String>,
}

impl Findings {
    /// A figure.
    pub(crate) fn say(&mut self, line: impl Into<String>) {
        let line = line.into();
        println!("  {line}");
        self.lines.push(line);
    }

    /// What must hold, and what it is called when it does not.
    pub(crate) fn must(&mut self, holds: impl FnOnce() -> bool, otherwise: impl Into<String>) {
        if !holds() {
            let wrong = otherwise.into();
            println!("  WRONG: {wrong}");
            self.wrong.push(wrong);
        }
    }
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.first().map(String::as_str) {
        Some("app") => return app::run(),
        Some("sidecars") => return sidecars::run(),
        Some("storm") => return storm(&arguments[1..]),
        _ => {}
    }
    let (Some(kubeconfig), Some(images)) = (std::env::var_os(KUBECONFIG), std::env::var_os(IMAGES))
    else {
        println!(
            "skipped: set {KUBECONFIG} to the kubeconfig of a cluster that may be filled and \
             emptied, and {IMAGES} to what the names of its images begin with"
        );
        return ExitCode::SUCCESS;
    };
    let names: Vec<&str> = TRIALS.iter().map(|(name, _)| *name).collect();
    let chosen: Vec<&String> = arguments.iter().filter(|word| !word.starts_with('-')).collect();
    if let Some(unknown) = chosen.iter().find(|name| !names.contains(&name.as_str())) {
        eprintln!("there is no trial `{unknown}`, only {}", names.join(", "));
        return ExitCode::FAILURE;
    }
    let images = images.into_string().expect("a prefix of names is UTF-8");
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let cluster = Cluster::new(kubeconfig, images).await;
        cluster.install().await;
        let mut wrong = Vec::new();
        for (name, trial) in TRIALS {
            if chosen.is_empty() || chosen.iter().any(|chosen| chosen == name) {
                println!("{name}");
                let findings = trial(&cluster).await;
                cluster.remove_apps().await;
                wrong.extend(findings.wrong.into_iter().map(|what| format!("{name}: {what}")));
            }
        }
        cluster.uninstall().await;
        for what in &wrong {
            eprintln!("wrong: {what}");
        }
        if wrong.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
    })
}

/// The trial with thousands of targets, of so many targets and pods.
fn storm(size: &[String]) -> ExitCode {
    let Some(kubeconfig) = std::env::var_os(KUBECONFIG) else {
        println!(
            "skipped: set {KUBECONFIG} to the kubeconfig of a cluster that may be filled and \
             emptied, and the variables of its module"
        );
        return ExitCode::SUCCESS;
    };
    let size: Vec<usize> = size.iter().map(|word| word.parse().expect("a number")).collect();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let cluster = Cluster::new(kubeconfig, String::new()).await;
        let findings = storm::run(&cluster, &size).await;
        if findings.wrong.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
    })
}
