//! Puts an activator between clients and instances.

use std::net::SocketAddr;
use std::time::Duration;

use tidegate_activator::{Activator, Config, Drained, Running, Status};
use tidegate_reporter::{Endpoint, RevisionName};

use crate::app::App;
use crate::controller::Controller;

/// The time between two checks of a condition that is waited for.
pub(crate) const POLL_PERIOD: Duration = Duration::from_millis(1);

/// Longer than anything here takes, shorter than a test that hangs.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) fn web() -> RevisionName {
    RevisionName { namespace: "default".into(), name: "web".into() }
}

pub(crate) fn config(controller: Option<&Controller>) -> Config {
    Config {
        controller: controller.map(|controller| controller.address.to_string()),
        default_revision: Some(web()),
        ..Config::new(([127, 0, 0, 1], 0).into())
    }
}

/// A configuration with fixed instances and no controller.
pub(crate) fn fixed(apps: &[(&App, u32)]) -> Config {
    let endpoints = apps.iter().enumerate().map(|(nth, (app, limit))| {
        let address = app.address.to_string();
        (web(), Endpoint { instance: format!("web-{nth}"), address, limit: *limit })
    });
    Config { endpoints: endpoints.collect(), ..config(None) }
}

pub(crate) fn open(config: Config) -> (Running, SocketAddr) {
    let running = Activator::bind(config).unwrap().spawn();
    let address = running.address();
    (running, address)
}

/// The status of [`web`], whatever else is known.
pub(crate) fn status(running: &Running) -> Status {
    running.throttler().of(&web()).map(|throttler| throttler.status()).unwrap_or_default()
}

/// Waits until the status is as wanted.
pub(crate) async fn until(running: &Running, mut wanted: impl FnMut(Status) -> bool) {
    let waiting = async {
        while !wanted(status(running)) {
            tokio::time::sleep(POLL_PERIOD).await;
        }
    };
    let outcome = tokio::time::timeout(PATIENCE, waiting).await;
    outcome.unwrap_or_else(|_| panic!("the status was never reached, now {:?}", status(running)));
}

/// Everything is given back: slots, places in the queue, connections.
pub(crate) async fn close_whole(running: Running) {
    until(&running, |status| status.in_flight == 0 && status.waiting == 0).await;
    assert_eq!(running.drain(PATIENCE).await, Drained::Whole);
}
