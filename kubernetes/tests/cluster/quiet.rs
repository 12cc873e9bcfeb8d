//! What the API server is asked for when nothing happens: the Lease, and the watches that go on.

use http::Method;
use serde_json::json;

use crate::stage::{LEASE, PATIENCE, POLL_INTERVAL, Stage};

/// Targets beside the one that every stage has.
const TARGETS: usize = 300;

/// Renewals of the Lease through which nothing else may be asked for; one takes some two seconds.
const RENEWALS: usize = 4;

/// The groups of kinds that this cluster has not. It is looked twice a minute whether it has come
/// to know them, which may fall into any of these seconds.
const GROUPS_MISSING: [&str; 3] =
    ["/apis/keda.sh/v1alpha1", "/apis/gateway.networking.k8s.io/v1", "/apis/tidegate.dev/v1alpha1"];

/// What is asked for until the Lease has been renewed so often, but for that, for watches, and for
/// groups that are missing.
async fn asked(stage: &Stage) -> Vec<String> {
    stage.cluster.take_seen();
    let (mut renewals, mut others) = (0, Vec::new());
    let looking = async {
        while renewals < RENEWALS {
            for seen in stage.cluster.take_seen() {
                let is_lease = seen.path.starts_with(LEASE);
                renewals += usize::from(is_lease && seen.method == Method::PUT);
                let is_watch = seen.path.contains("watch=");
                let is_look = GROUPS_MISSING.contains(&seen.path.as_str());
                if !is_lease && !is_watch && !is_look {
                    others.push(format!("{} {}", seen.method, seen.path));
                }
            }
            tokio::time::sleep(POLL_INTERVAL).await;
        }
    };
    tokio::time::timeout(PATIENCE, looking).await.expect("the Lease is renewed");
    others
}

#[tokio::test(flavor = "multi_thread")]
async fn at_rest_the_api_server_is_asked_for_the_lease_alone() {
    let stage = Stage::new(&json!({"scale": {"window": "6s"}})).await;
    stage.add_targets(TARGETS).await;
    let controller = stage.controller("one", stage.reports);
    stage.until("all are described", || async { stage.described().await > TARGETS }).await;
    // What was on its way then arrives during the first look.
    let settling = asked(&stage).await;
    eprintln!("{} requests while {TARGETS} targets settled", settling.len());
    assert_eq!(asked(&stage).await, Vec::<String>::new());
    controller.stop().await;
}
