//! A revision of our class from its creation to zero and back, as Knative's objects show it.

mod properties;
mod world;

use serde_json::json;
use tidegate_kubernetes_objects::store::{Change, Version};
use tidegate_kubernetes_podautoscaler::object;
use tidegate_kubernetes_podautoscaler::reconciler::Event;

use world::{World, key};

fn condition(status: &str, reason: &str) -> (String, String) {
    (status.to_owned(), reason.to_owned())
}

#[test]
fn a_new_revision_gets_what_knative_makes_for_one() {
    let mut world = World::new(&json!({"window": "10s"}));
    world.settle();
    let service = world.service.clone().expect("it was made");
    assert_eq!(service["spec"]["mode"], "Proxy");
    assert_eq!(service["spec"]["objectRef"], world.autoscaler["spec"]["scaleTargetRef"]);
    assert_eq!(service["metadata"]["ownerReferences"][0]["uid"], "7");
    let metric = world.metric.clone().expect("it was made");
    assert_eq!(metric["spec"]["stableWindow"], 10_000_000_000_i64);
    assert_eq!(metric["spec"]["panicWindow"], 1_000_000_000_i64);
    assert_eq!(metric["spec"]["scrapeTarget"], "", "Knative's autoscaler is not to scrape, too");
    assert_eq!(world.condition("Active"), condition("Unknown", "Queued"));
    assert_eq!(world.condition("Ready"), condition("Unknown", "Queued"));
    world.pass(2);
    for name in ["Active", "Ready", "SKSReady", "ScaleTargetInitialized"] {
        assert_eq!(world.condition(name), condition("True", ""), "{name}");
    }
    let status = &world.autoscaler["status"];
    assert_eq!(status["serviceName"], "till-00001");
    assert_eq!(status["metricsServiceName"], "till-00001-private");
    assert_eq!((&status["actualScale"], &status["observedGeneration"]), (&json!(1), &json!(1)));
    assert!(world.scrapes > 0);
    assert!(world.scaled.is_empty(), "{:?}", world.scaled);
}

#[test]
fn without_requests_it_goes_to_zero_and_the_first_request_wakes_it_at_once() {
    let mut world = World::new(&json!({"window": "10s"}));
    world.pass(60);
    let (at, replicas) = world.scaled[0];
    assert_eq!((world.scaled.len(), replicas), (1, 0));
    assert!(at >= 30.0, "the activator was in the path for {at} s");
    assert!(world.probes > 0, "nobody asked whether it is in the path");
    assert_eq!(world.condition("Active"), condition("False", "NoTraffic"));
    assert_eq!(world.condition("ScaleTargetInitialized"), condition("True", ""));
    assert_eq!(world.reconciler.reconcile(world.now).due, None, "a revision at zero rests");

    world.report(1.0);
    world.settle();
    assert_eq!(world.scaled.last().map(|(_, to)| *to), Some(1));
    assert_eq!(world.condition("Active"), condition("Unknown", "Queued"));
    world.held = 1.0;
    world.pass(2);
    assert_eq!(world.condition("Active"), condition("True", ""));
}

/// The panic window is full of a burst after six seconds only.
#[test]
fn a_burst_that_waits_counts_as_soon_as_it_is_reported() {
    let mut world = World::new(&json!({"window": "60s"}));
    world.pass(20);
    world.held = 50.0;
    world.pass(1);
    assert_eq!(world.scaled.last().map(|(_, to)| *to), Some(8), "{:?}", world.reasons);
    let reason = world.reasons.last().expect("it was scaled");
    assert!(reason.contains("50 requests held now at 7 each need 8"), "{reason}");
    world.pass(20);
    assert_eq!(world.replicas, 8, "{:?}", world.scaled);
}

/// Requests that no activator carries are known to pods alone, and scrapes see averages of seconds.
#[test]
fn a_burst_at_a_pod_counts_as_it_grows() {
    let mut world = World::new(&json!({"window": "60s", "target-burst-capacity": "0"}));
    world.pass(20);
    let (pod, begin) = (world.listened[0], world.now);
    assert_eq!(world.listened.len(), 1);
    world.hear(5, (pod, 11));
    assert_eq!(world.scaled, [], "a request that waits is no crowd");
    world.hear(100, (pod, 50));
    assert_eq!(world.scaled.last().map(|(_, to)| *to), Some(8), "{:?}", world.reasons);
    assert!(world.now.millis_since(begin) < 300);
    let reason = world.reasons.last().expect("it was scaled");
    assert!(reason.contains("50 requests held now at 7 each need 8"), "{reason}");
    world.held = 50.0;
    world.pass(20);
    assert_eq!(world.replicas, 8, "{:?}", world.scaled);
    assert_eq!(world.listened.len(), 8);
    // One that has gone says nothing that counts.
    let (scaled, stranger) = (world.scaled.clone(), "10.9.9.9".parse().expect("an address"));
    world.hear(100, (stranger, 5_000));
    assert_eq!(world.scaled, scaled);
}

/// What an activator has sent is in a pod, and both tell of it.
#[test]
fn what_activators_and_pods_tell_of_counts_once() {
    let mut world = World::new(&json!({"window": "60s"}));
    world.pass(20);
    let pod = world.listened[0];
    world.hear(5, (pod, 10));
    world.held = 50.0;
    world.pass(1);
    world.hear(5, (pod, 10));
    assert_eq!(world.scaled.last().map(|(_, to)| *to), Some(8), "{:?}", world.reasons);
}

#[test]
fn with_activators_always_in_the_path_no_pod_is_listened_to() {
    let mut world = World::new(&json!({"window": "10s", "target-burst-capacity": "-1"}));
    world.held = 21.0;
    world.pass(20);
    assert_eq!(world.listened, Vec::<std::net::IpAddr>::new());
}

#[test]
fn nothing_goes_to_zero_before_an_activator_answers_for_it() {
    let mut world = World::new(&json!({"window": "10s"}));
    world.activator_answers = false;
    world.pass(300);
    assert_eq!(world.replicas, 1);
    assert!((200..350).contains(&world.probes), "{} probes, one a second", world.probes);
    world.activator_answers = true;
    world.pass(2);
    assert_eq!(world.replicas, 0);
}

#[test]
fn with_room_for_a_burst_requests_go_past_the_activators() {
    let mut world = World::new(&json!({"window": "10s", "target-burst-capacity": "10"}));
    world.held = 100.0;
    world.pass(30);
    assert!((10..=20).contains(&world.replicas), "{} replicas for 100 requests", world.replicas);
    world.held = 20.0;
    world.pass(4);
    assert_eq!(world.mode(), "Serve");
    let spec = &world.service.as_ref().expect("there is one")["spec"];
    assert!(spec["numActivators"].as_i64().is_some_and(|count| count >= 2), "{spec}");
}

#[test]
fn pods_that_do_not_answer_are_no_reason_to_scale_down() {
    let mut world = World::new(&json!({"window": "10s", "target-burst-capacity": "0"}));
    world.held = 50.0;
    world.pass(30);
    let before = world.replicas;
    assert!(before >= 5, "{before}");
    (world.pods_answer, world.held) = (false, 0.0);
    world.pass(60);
    assert_eq!(world.replicas, before, "silence is not zero");
    assert_eq!(world.notes.len(), 1, "{:?}", world.notes);
}

/// Knative's controller takes its time where a machine is busy.
#[test]
fn a_revision_whose_requests_have_no_way_yet_is_waited_for() {
    let mut world = World::new(&json!({"window": "10s"}));
    world.plumbs = false;
    world.pass(30);
    assert_eq!(world.condition("SKSReady"), condition("Unknown", "NotReady"));
    assert_eq!(world.reconciler.reconcile(world.now).due, None);
    assert!(world.metric.is_none() && world.scaled.is_empty() && world.scrapes == 0);
    world.plumbs = true;
    world.service = None;
    world.introduce();
    world.pass(5);
    assert_eq!(world.condition("Ready"), condition("True", ""));
}

/// Its activator may be gone without a last report.
#[test]
fn with_activators_always_in_the_path_their_silence_is_zero() {
    let mut world = World::new(&json!({"window": "10s", "target-burst-capacity": "-1"}));
    world.held = 21.0;
    world.pass(20);
    assert_eq!((world.replicas, world.scrapes, world.probes), (3, 0, 0));
    world.held = 0.0;
    world.pass(60);
    assert_eq!(world.replicas, 0, "{:?}", world.reasons);
}

/// Once a revision slept for ten seconds; then its last pod was gone, the seconds between were
/// filled with what it had carried before, as for pods that do not answer, and it woke.
#[test]
fn a_revision_that_sleeps_is_not_woken_by_what_it_carried() {
    let mut world = World::new(&json!({}));
    world.held = 35.0;
    world.pass(90);
    assert!(world.replicas >= 4, "{}", world.replicas);
    world.held = 0.0;
    while world.replicas > 0 {
        world.pass(1);
    }
    world.follow();
    let scaled = world.scaled.clone();
    for _ in 0..5 {
        world.pass(12);
        world.apply(Event::LookAgain(key()));
    }
    world.pass(30);
    assert_eq!(world.scaled, scaled, "{:?}", world.reasons.last());
}

#[test]
fn a_controller_that_is_restarted_changes_nothing() {
    let mut world = World::new(&json!({"window": "10s"}));
    world.held = 60.0;
    world.pass(30);
    let (scaled, status) = (world.scaled.clone(), world.autoscaler["status"].clone());
    world.introduce();
    world.pass(20);
    assert_eq!(world.scaled, scaled);
    assert_eq!(world.autoscaler["status"]["desiredScale"], status["desiredScale"]);
    world.held = 0.0;
    world.pass(90);
    assert_eq!(world.replicas, 0);
    let scaled = world.scaled.clone();
    world.introduce();
    world.pass(60);
    assert_eq!(world.scaled, scaled, "what is at zero stays there");
    world.report(1.0);
    world.settle();
    assert_eq!(world.replicas, 1, "and is woken by the first request");
}

#[test]
fn another_class_is_none_of_ours() {
    let mut world = World::new(&json!({}));
    world.pass(5);
    assert_eq!(world.reconciler.revisions(), 1);
    let class = &mut world.autoscaler["metadata"]["annotations"]["autoscaling.knative.dev/class"];
    *class = json!("kpa.autoscaling.knative.dev");
    world.autoscaler["metadata"]["resourceVersion"] = json!("1000");
    let autoscaler = object::pod_autoscaler(&world.autoscaler);
    world.apply(Event::Autoscalers(Box::new(Change::Seen(key(), autoscaler))));
    world.report(500.0);
    world.settle();
    assert_eq!(world.reconciler.revisions(), 0);
    assert_eq!(world.scaled, []);
}

#[test]
fn what_another_controls_is_left_alone() {
    let mut world = World::new(&json!({}));
    world.service = Some(json!({
        "metadata": {"resourceVersion": "5", "ownerReferences": [{"uid": "8", "controller": true}]},
        "spec": {"mode": "Serve"},
    }));
    world.introduce();
    world.pass(5);
    assert_eq!(world.condition("Active"), condition("False", "NotOwned"));
    assert_eq!(world.condition("Ready"), condition("False", "NotOwned"));
    assert!(world.metric.is_none() && world.scaled.is_empty());
}

#[test]
fn what_is_not_a_deployment_is_named() {
    let mut world = World::new(&json!({}));
    world.autoscaler["spec"]["scaleTargetRef"]["kind"] = json!("StatefulSet");
    world.introduce();
    world.pass(5);
    assert_eq!(world.notes.len(), 1, "{:?}", world.notes);
    assert!(world.notes[0].contains("StatefulSet") && world.notes[0].contains("Deployment"));
    let gone = Event::Autoscalers(Box::new(Change::Gone(key(), Version("9".to_owned()))));
    world.apply(gone);
    world.settle();
}
