//! Acquires and renews the Lease.

use std::time::Duration;

use k8s_openapi::jiff;
use serde_json::{Value, json};
use tidegate_autoscaler::Timestamp;
use tokio::sync::{oneshot, watch};
use tokio::time::sleep;

use crate::cluster::Cluster;
use crate::lease::{Elector, LEASE_DURATION_MS, Lease, LeaseAction, RETRY_MS};
use crate::observe;
use crate::reconciler::Response;
use crate::request::{ApiRequest, api};

/// Renews a Lease in `namespace` for as long as it can. Sends `leading` until when it may decide;
/// returns when it has lost the Lease, and the process must then end.
pub(crate) async fn hold(
    cluster: Cluster,
    (namespace, lease, me): (String, &'static str, String),
    now: impl Fn() -> Timestamp,
    leading: watch::Sender<Option<Timestamp>>,
    mut release: oneshot::Receiver<()>,
) {
    let collection = format!("{}/namespaces/{namespace}/leases", api("coordination.k8s.io/v1"));
    let path = format!("{collection}/{lease}");
    let place = Place { collection: &collection, path: &path, name: lease };
    let mut elector = Elector::new(me);
    let mut ticks = tokio::time::interval(Duration::from_millis(RETRY_MS));
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            released = &mut release => {
                if released.is_ok() {
                    give_up(&cluster, place, &elector, now()).await;
                }
                return;
            }
        }
        // However long the API server takes, no other controller may decide before this ends.
        let until = elector.decides_until();
        let over = async {
            match until {
                Some(until) => sleep(Duration::from_millis(until.millis_since(now()))).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = step(&cluster, place, &mut elector, &now) => {}
            () = over => {}
        }
        if elector.has_lost(now()) {
            tracing::error!("the Lease could not be renewed in time: ending");
            return;
        }
        leading.send_if_modified(|leading| {
            let until = elector.decides_until();
            if until.is_some() && leading.is_none() {
                tracing::info!(lease, holder = elector.me, "deciding from now on");
            }
            std::mem::replace(leading, until) != until
        });
    }
}

/// Where a Lease is.
#[derive(Clone, Copy)]
struct Place<'a> {
    /// The path of all Leases beside it.
    collection: &'a str,
    path: &'a str,
    name: &'static str,
}

/// Releases the Lease, if it is ours.
async fn give_up(cluster: &Cluster, place: Place<'_>, elector: &Elector, now: Timestamp) {
    let Response::Done(object) = cluster.send(&ApiRequest::get(place.path.to_owned())).await else {
        return;
    };
    let lease = observe::lease(&object);
    if lease.holder != elector.me || !elector.decides(now) {
        return;
    }
    let nobody = Elector::new(String::new());
    let body = body((&nobody, place.name), now, Some(&lease), Kept::Renewed);
    let released = cluster.send(&ApiRequest::replace(place.path.to_owned(), body)).await;
    if !matches!(released, Response::Done(_)) {
        complain("release", &released);
    }
}

/// Reads the Lease once and acts on it.
async fn step(
    cluster: &Cluster,
    Place { collection, path, name }: Place<'_>,
    elector: &mut Elector,
    now: &impl Fn() -> Timestamp,
) {
    let lease = match cluster.send(&ApiRequest::get(path.to_owned())).await {
        Response::Done(object) => Some(observe::lease(&object)),
        Response::NotFound => None,
        other => return complain("read", &other),
    };
    let asked = now();
    let request = match elector.evaluate(asked, lease) {
        LeaseAction::Wait => return,
        LeaseAction::Create => {
            ApiRequest::create(collection.to_owned(), body((elector, name), asked, None, Kept::New))
        }
        LeaseAction::Acquire(lease) => {
            let body = body((elector, name), asked, Some(&lease), Kept::New);
            ApiRequest::replace(path.to_owned(), body)
        }
        LeaseAction::Renew(lease) => {
            let body = body((elector, name), asked, Some(&lease), Kept::Renewed);
            ApiRequest::replace(path.to_owned(), body)
        }
    };
    match cluster.send(&request).await {
        Response::Done(_) => elector.held(asked),
        Response::Conflict => elector.refused(),
        other => complain("write", &other),
    }
}

fn complain(what: &str, response: &Response) {
    let why = match response {
        Response::Failed { why, .. } => why.as_str(),
        _ => "it is not there",
    };
    tracing::warn!(what, why, "the Lease cannot be used");
}

/// Whether a Lease is acquired or renewed.
enum Kept {
    New,
    Renewed,
}

fn body(
    (elector, name): (&Elector, &str),
    at: Timestamp,
    before: Option<&Lease>,
    kept: Kept,
) -> Value {
    let time = jiff::Timestamp::from_millisecond(at.as_millis()).unwrap_or_default();
    let time = format!("{time:.6}");
    let (acquired, transitions) = match (kept, before) {
        (Kept::Renewed, Some(lease)) => {
            (lease.acquired.clone().unwrap_or_else(|| time.clone()), lease.transitions)
        }
        (_, before) => (time.clone(), before.map_or(0, |lease| lease.transitions + 1)),
    };
    let mut metadata = json!({"name": name});
    if let Some(lease) = before {
        metadata["resourceVersion"] = json!(lease.version.0);
    }
    json!({
        "apiVersion": "coordination.k8s.io/v1",
        "kind": "Lease",
        "metadata": metadata,
        "spec": {
            "holderIdentity": Some(&elector.me).filter(|me| !me.is_empty()),
            "leaseDurationSeconds": LEASE_DURATION_MS / 1_000,
            "acquireTime": acquired,
            "renewTime": time,
            "leaseTransitions": transitions,
        },
    })
}
