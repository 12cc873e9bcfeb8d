//! A rollout leads the weights of a route and nothing else of it, step by step, and back.

mod live;
mod stage;

use http::Method;
use serde_json::json;
use tidegate_kubernetes_fake::Fault;

use stage::{ROUTES, SCALERS, Stage, rollout, route, scaler};

const WEB: &str = "/apis/tidegate.dev/v1alpha1/namespaces/shop/trafficrollouts/web";

#[test]
fn a_good_revision_is_promoted_and_nothing_else_of_the_route_is_touched() {
    let mut stage = Stage::new(&json!({}));
    stage.pass(70);
    assert_eq!(stage.weights, [(900, 100), (500, 500), (0, 1_000)]);
    let reasons: Vec<&str> = stage.told.iter().map(|(reason, _)| reason.as_str()).collect();
    assert_eq!(reasons, ["Began", "StepReached", "Promoted"]);
    let status = stage.status();
    assert_eq!(
        (status["phase"].as_str(), status["permille"].as_i64()),
        (Some("Promoted"), Some(1_000))
    );
    assert_eq!((stage.not("Ready"), stage.not("Promoted")), (None, None));
    assert_eq!(status["run"], json!({"stable": "web-v1", "new": "web-v2"}));
    let reason = status["lastChange"]["reason"].as_str().expect("a reason");
    assert!(reason.starts_with("The new revision goes from 50 % to 100 %: for 30 s "), "{reason}");
    // The route is as it was but for the weights of both in the rules that have both.
    let (mut found, mut expected) = (stage.route(), route());
    for (rule, backend) in [(0, 0), (0, 1), (2, 0), (2, 1)] {
        for route in [&mut found, &mut expected] {
            route["spec"]["rules"][rule]["backendRefs"][backend]["weight"] = json!("led");
        }
    }
    assert_eq!(found["spec"], expected["spec"]);
    assert_eq!(found["metadata"]["labels"], expected["metadata"]["labels"]);
    for seen in stage.cluster.take_seen().iter().filter(|seen| seen.path.contains("httproutes/")) {
        if seen.method == Method::PATCH {
            assert_eq!(seen.content_type, "application/json-patch+json");
            assert_eq!(seen.body[0]["path"], "/metadata/resourceVersion", "{seen:?}");
        }
    }
}

#[test]
fn a_revision_that_fails_is_returned_within_seconds_and_says_why() {
    let mut stage = Stage::new(&json!({}));
    stage.fails_every = 20;
    let mut seconds = 0;
    while stage.phase() != "Returned" {
        stage.pass(1);
        seconds += 1;
        assert!(seconds < 60, "{:#}", stage.status());
    }
    eprintln!("returned {seconds} s after it began, with a tenth of 100 requests a second");
    assert_eq!(stage.weights, [(900, 100), (1_000, 0)]);
    let (reason, note) = stage.last_told();
    assert_eq!(reason, "Returned");
    assert!(note.contains("of its") && note.contains("requests failed (5 %)"), "{note}");
    assert_eq!(stage.not("Promoted").as_deref(), Some("Returned"));
    // It stays so, until another revision is there.
    stage.pass(100);
    assert_eq!(stage.weights.len(), 2);
    stage.fails_every = 0;
    stage.order(&json!({"revision": "v3"}));
    stage.pass(70);
    assert_eq!(stage.phase(), "Promoted");
    assert_eq!(stage.status()["run"]["revision"], "v3");
}

#[test]
fn orders_hold_at_once() {
    let mut stage = Stage::new(&json!({"control": "Pause"}));
    stage.pass(100);
    assert_eq!((stage.phase().as_str(), stage.weights.as_slice()), ("Paused", &[(900, 100)][..]));
    stage.order(&json!({"control": "Run"}));
    stage.pass(31);
    assert_eq!(stage.weights, [(900, 100), (500, 500)]);
    stage.order(&json!({"control": "Promote"}));
    stage.pass(1);
    assert_eq!((stage.phase().as_str(), stage.weights[2]), ("Promoted", (0, 1_000)));
    // A rollback is possible for as long as the object is there.
    stage.order(&json!({"control": "Abort"}));
    stage.pass(1);
    assert_eq!((stage.phase().as_str(), stage.weights[3]), ("Aborted", (1_000, 0)));
    stage.pass(50);
    assert_eq!(stage.weights.len(), 4);
    stage.order(&json!({"control": "Run"}));
    stage.pass(1);
    assert_eq!((stage.phase().as_str(), stage.weights[4]), ("Progressing", (900, 100)));
    let reasons: Vec<&str> = stage.told.iter().map(|(reason, _)| reason.as_str()).collect();
    assert_eq!(
        reasons,
        ["Began", "Paused", "Resumed", "StepReached", "Promoted", "Aborted", "Began"]
    );
}

#[test]
fn whoever_takes_over_goes_on_where_it_was() {
    let mut stage = Stage::new(&json!({}));
    stage.pass(40);
    assert_eq!(stage.status()["permille"], 500);
    stage.take_over();
    stage.pass(1);
    assert_eq!(stage.weights, [(900, 100), (500, 500)], "nothing is written anew");
    stage.pass(35);
    assert_eq!(stage.phase(), "Promoted");
    stage.take_over();
    stage.pass(5);
    assert_eq!(stage.phase(), "Promoted");
}

#[test]
fn a_return_whose_controller_ended_before_it_was_told_is_not_undone() {
    let mut stage = Stage::new(&json!({}));
    stage.pass(5);
    stage.fails_every = 4;
    // From now on only the route can be written.
    stage.cluster.fail(Method::PATCH, "trafficrollouts/web/status", Fault::Internal, 1_000);
    stage.pass(5);
    assert_eq!(stage.weights.last(), Some(&(1_000, 0)));
    assert_eq!(stage.phase(), "Progressing", "it is not known yet");
    stage.cluster.fail(Method::PATCH, "nothing", Fault::Internal, 0);
    stage.take_over();
    stage.pass(60);
    assert_eq!(stage.weights.last(), Some(&(1_000, 0)));
}

#[test]
fn what_is_in_the_way_is_told_and_the_route_is_left_alone() {
    let mut stage = Stage::new(&json!({}));
    stage.delete(&format!("{SCALERS}/web-v2"));
    stage.pass(2);
    assert_eq!(stage.not("Ready").as_deref(), Some("ScalerNotFound"));
    stage.create(SCALERS, scaler("web-v2"));
    stage.delete(&format!("{ROUTES}/web"));
    stage.pass(2);
    assert_eq!(stage.not("Ready").as_deref(), Some("RouteNotFound"));
    let lone = json!({"metadata": {"name": "web"}, "spec": {"rules": [
        {"backendRefs": [{"name": "web-v1"}]},
    ]}});
    stage.create(ROUTES, lone);
    stage.pass(2);
    assert_eq!(stage.not("Ready").as_deref(), Some("BackendsNotFound"));
    let backends = json!([{"name": "web-v1"}, {"name": "web-v2"}, {"name": "web-v0"}]);
    let change = json!({"spec": {"rules": [{"backendRefs": backends}]}});
    stage.change(&format!("{ROUTES}/web"), change);
    stage.pass(2);
    assert_eq!(stage.not("Ready").as_deref(), Some("BackendsNotFound"));
    let steps =
        json!({"steps": [{"permille": 5, "holdSeconds": 1}, {"permille": 5, "holdSeconds": 1}]});
    stage.order(&json!({"strategy": steps}));
    stage.pass(2);
    assert_eq!(stage.not("Ready").as_deref(), Some("InvalidSettings"));
    assert_eq!((stage.weights.len(), stage.told.len()), (0, 0));
}

#[test]
fn the_older_of_two_rollouts_has_the_services() {
    let mut stage = Stage::new(&json!({}));
    stage.pass(1);
    let mut other = rollout(&json!({"stable": {"name": "web-v0"}}));
    other["metadata"]["name"] = json!("other");
    stage.create(WEB.trim_end_matches("/web"), other);
    stage.pass(2);
    let status = &stage.get(&WEB.replace("/web", "/other"))["status"];
    assert_eq!(status["conditions"][0]["reason"], "Conflict", "{status:#}");
    assert_eq!(stage.not("Ready"), None);
}

#[test]
fn weights_that_somebody_else_sets_are_set_back_and_failures_are_told() {
    let mut stage = Stage::new(&json!({}));
    stage.pass(2);
    let mut rules = stage.route()["spec"]["rules"].clone();
    rules[0]["backendRefs"][0]["weight"] = json!(1);
    stage.change(&format!("{ROUTES}/web"), json!({"spec": {"rules": rules}}));
    stage.pass(1);
    assert_eq!(stage.weights, [(900, 100), (900, 100)]);
    stage.cluster.fail(Method::PATCH, "httproutes/web", Fault::Forbidden, 1_000);
    stage.order(&json!({"control": "Abort"}));
    stage.pass(3);
    assert_eq!(stage.not("Ready").as_deref(), Some("WeightsFailed"));
    assert_eq!(stage.phase(), "Progressing", "the route is not yet as it is to be");
    assert_eq!(stage.last_told().0, "WeightsFailed");
}

#[test]
fn a_rollout_without_enough_requests_waits() {
    let mut stage = Stage::new(&json!({"health": {"minRequests": 900}}));
    stage.pass(80);
    assert_eq!(stage.weights, [(900, 100)]);
    let progress = stage.status()["progress"].as_str().expect("a text").to_owned();
    assert!(progress.contains("It gets more after"), "{progress}");
    stage.pass(20);
    assert_eq!(stage.weights, [(900, 100), (500, 500)]);
}
