//! The activator as a program: what is typed behind its name, and its life until it has drained.
//!
//! `activator` is this and nothing else, for images where every byte counts; `tidegate activator`
//! is the same among other verbs. Other verbs that stand between clients and apps have some of the
//! flags as well, and share them.
//!
//! It must never balance, hold or refuse a request: that is `tidegate-activator`'s.
//!
//! Modules in reading order: [`args`] is what is typed, with `queue_args` and `entrance` for the
//! queues and the ports, [`door_args`] and [`abandoned`] for what other verbs have too, and
//! `revision` for a name; [`routes_file`] follows a file of routes, and [`drained`] says how a
//! drain ended.

pub mod abandoned;
pub mod args;
pub mod door_args;
pub mod drained;
mod entrance;
mod queue_args;
mod revision;
pub mod routes_file;

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context, bail};
use tidegate_activator::metrics::Metrics;
use tidegate_activator::{Activator, Addresses, Observer, Routes, Table};
use tidegate_admin::{Readiness, Subject};
use tidegate_flags::ending::mistyped;
use tidegate_flags::log::ROLE_DEFAULT;
use tidegate_flags::{admin, push};
use tidegate_shutdown_signals::ShutdownSignals;
use tidegate_telemetry::{Family, Registry};

pub use self::args::Args;
use self::routes_file::RoutesFile;

/// Serves until a signal to stop, then drains. `program` is how it is called in what it says.
///
/// # Errors
///
/// What was typed cannot be used, an address cannot be bound, or signals cannot be caught.
pub fn execute(mut args: Args, program: &str) -> anyhow::Result<ExitCode> {
    args.log.install(ROLE_DEFAULT);
    let (lame_duck, drain) = (args.lame_duck, args.drain);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        let mut signals = ShutdownSignals::of_role().context("cannot wait for signals")?;
        let registry = Registry::new();
        let admin = args.admin.bind()?;
        let push = args.push.settings("tidegate-activator", args.name.as_deref());
        let push = push.map_err(mistyped)?;
        let routes = routes(args.routes.take())?;
        let mut config = args.config()?;
        config.routes = routes.as_ref().map(|(_, table)| table.clone());
        config.metrics = Metrics::new(&registry);
        if config.controller.is_some() {
            config.metrics = config.metrics.with_report_stream(&registry);
        }
        let running = Activator::bind(config)?.spawn();
        announce(running.addresses(), program);
        // Served until the end, so that the drain can be observed.
        let registered = registry.clone();
        let observed = Arc::new(Observed { registry, observer: running.observer() });
        let push = push::start(program, push, &registered, &observed)?;
        let _admin = admin::serve(program, admin, observed)?;
        tokio::select! {
            _ = signals.next() => {}
            () = follow(routes, running.routes()) => {}
        }
        tracing::info!("told to end, draining; a second signal ends at once");
        running.announce_shutdown();
        let ending = async {
            tokio::time::sleep(lame_duck).await;
            running.drain(drain).await
        };
        let drained = tokio::select! {
            drained = ending => drained,
            signal = signals.next() => return Ok(signal.exit_code()),
        };
        push.finish().await;
        if let Some(sentence) = drained::unfinished(drained, drain) {
            eprintln!("{program}: {sentence}");
        }
        Ok(ExitCode::from(drained::exit_code(drained)))
    })
}

/// Says where it listens.
fn announce(addresses: &Addresses, program: &str) {
    eprintln!("{program}: listening on {}", addresses.http);
    if let Some(address) = addresses.tls {
        eprintln!("{program}: listening on {address} over TLS");
    }
    for address in &addresses.tcp {
        eprintln!("{program}: passing on what connects to {address}");
    }
}

/// The routes of a file that a rollout does not lead: that is a controller's to do.
fn routes(path: Option<PathBuf>) -> anyhow::Result<Option<(RoutesFile, Table)>> {
    let Some(path) = path else { return Ok(None) };
    let (file, table) = RoutesFile::open(path)?;
    led_by_nobody(&table).map_err(mistyped)?;
    Ok(Some((file, table)))
}

fn led_by_nobody(table: &Table) -> anyhow::Result<()> {
    match table.rollouts().next() {
        None => Ok(()),
        Some((route, _)) => bail!(
            "--routes: the route \"{}\" has a rollout, which a controller leads: give the file to \
             `tidegate controller --routes`, whose activators follow it",
            route.name
        ),
    }
}

/// Follows the file for ever.
async fn follow(routes: Option<(RoutesFile, Table)>, followed: &Routes) {
    let Some((mut file, _)) = routes else { return std::future::pending().await };
    loop {
        let table = file.changed().await;
        match led_by_nobody(&table) {
            Ok(()) => followed.set(table),
            Err(error) => tracing::warn!(%error, "the routes stay as they were"),
        }
    }
}

/// An activator's metrics and readiness.
struct Observed {
    registry: Registry,
    observer: Observer,
}

impl Subject for Observed {
    async fn gather(&self) -> Vec<Family> {
        self.observer.refresh();
        self.registry.gather()
    }

    async fn readiness(&self) -> Readiness {
        self.observer.readiness().map_or_else(Readiness::not_ready, |()| Readiness::Ready)
    }
}
