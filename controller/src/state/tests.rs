//! What follows from what, with time as an argument.

mod bounds;
mod cold_starts;
mod explained;
mod fixture;
mod learning;
mod many;
mod ordered;
mod outcomes;
mod overview;
mod paced;
mod proved;
mod queues;
mod random;
mod replayed;
mod resting;
mod retired;
mod told_soon;
mod undeclared;
mod uninvited;

use std::sync::Arc;

use fixture::{Fixture, START, declaration, instance, stat};
use tidegate_autoscaler::Timestamp;

use super::*;
use crate::event::{Endpoint, StopMode};
use crate::journal::DecisionRecord;

/// The endpoints that an activator was sent last.
fn endpoints_sent(effects: &[Effect], to: ReporterId) -> Option<Vec<String>> {
    effects.iter().rev().find_map(|effect| match effect {
        Effect::Send { reporter, message: ServerMessage::Endpoints { endpoints, .. } }
            if *reporter == to =>
        {
            Some(endpoints.iter().map(|e: &Endpoint| e.instance.to_string()).collect())
        }
        _ => None,
    })
}

fn started(effects: &[Effect]) -> usize {
    effects.iter().filter(|effect| matches!(effect, Effect::Start { .. })).count()
}

fn stopped(effects: &[Effect]) -> Vec<(String, StopMode)> {
    let stops = effects.iter().filter_map(|effect| match effect {
        Effect::Stop { instance, mode } => Some((instance.to_string(), *mode)),
        _ => None,
    });
    stops.collect()
}

fn notices(effects: &[Effect]) -> Vec<Notice> {
    let notices = effects.iter().filter_map(|effect| match effect {
        Effect::Announce(notice) => Some(notice.clone()),
        _ => None,
    });
    notices.collect()
}

#[test]
fn a_waiting_request_starts_an_instance_at_once_and_is_reported_first() {
    let mut world = Fixture::local(declaration(1, "0"));
    let activator = world.activator();
    let effects = world.activator_reports(activator, 1, 3);
    assert_eq!(started(&effects), 5, "3 waiting at a target of 0.7 each");
    assert_eq!(world.state.statuses()[0].waiting, 3);
    let sidecar = world.sidecar("web-1");
    let effects = world.instance_reports(sidecar, stat(1, 0.0).ready());
    assert_eq!(endpoints_sent(&effects, activator), Some(vec!["web-1".to_owned()]));
    assert!(notices(&effects).iter().any(|n| matches!(n, Notice::Ready { .. })));
}

#[test]
fn an_idle_revision_scales_to_zero_after_its_activators_are_updated() {
    let mut world = Fixture::local(declaration(0, "1"));
    let activator = world.activator();
    let sidecar = world.sidecar("web-1");
    world.instance_reports(sidecar, stat(1, 0.0).ready());
    let effects = world.run_for(200, |world, second| {
        world.instance_reports(sidecar, stat(second + 1, 0.0).ready());
    });
    assert_eq!(stopped(&effects), [("web-1".to_owned(), StopMode::Drain)]);
    let update = effects.iter().position(|effect| match effect {
        Effect::Send { reporter, message: ServerMessage::Endpoints { endpoints, .. } } => {
            *reporter == activator && endpoints.is_empty()
        }
        _ => false,
    });
    let stop = effects.iter().position(|e| matches!(e, Effect::Stop { .. }));
    assert!(update < stop, "updated at {update:?}, stopped at {stop:?}");
    world.apply(Event::InstanceEnded { instance: instance("web-1"), ending: fixture::ending() });
    assert_eq!(world.state.started(), 0);
    world.run_for(3, |_, _| {});
    assert_eq!(world.state.next_due(), None, "a revision at zero costs nothing");
}

#[test]
fn the_idlest_are_stopped_first() {
    let mut world = Fixture::local(declaration(1, "3"));
    let sidecars: Vec<ReporterId> =
        ["web-1", "web-2", "web-3"].into_iter().map(|name| world.sidecar(name)).collect();
    let effects = world.run_for(200, |world, second| {
        for (index, sidecar) in sidecars.iter().enumerate() {
            let busy = if index == 1 { 0.5 } else { 0.0 };
            let report = stat(second + 1, busy).ready().in_flight(u32::from(index == 1));
            world.instance_reports(*sidecar, report);
        }
    });
    let stopped: Vec<String> = stopped(&effects).into_iter().map(|(name, _)| name).collect();
    assert_eq!(stopped.len(), 2);
    assert!(!stopped.contains(&"web-2".to_owned()), "{stopped:?}");
}

#[test]
fn what_never_becomes_ready_is_given_up_with_its_output() {
    let mut world = Fixture::local(declaration(0, "1"));
    let mut said = Vec::new();
    for number in 1..=5 {
        let instance = instance(&format!("web-{number}"));
        said.extend(world.apply(Event::InstanceEnded { instance, ending: fixture::ending() }));
        said.extend(world.run_for(2, |_, _| {}));
    }
    let gave_up = notices(&said).into_iter().find_map(|notice| match notice {
        Notice::GaveUp { ending, attempts, .. } => Some((ending, attempts)),
        _ => None,
    });
    let (ending, attempts) = gave_up.expect("it is given up");
    assert_eq!((attempts, ending), (3, fixture::ending()));
    assert_eq!(started(&said), 2, "two more after the first");
}

#[test]
fn a_dead_instance_gets_no_more_requests_and_is_replaced_once_it_has_ended() {
    let mut world = Fixture::local(declaration(0, "1"));
    let activator = world.activator();
    let sidecar = world.sidecar("web-1");
    world.instance_reports(sidecar, stat(1, 0.0).ready());
    let effects = world.apply(Event::InstanceFailed { instance: instance("web-1") });
    assert_eq!(endpoints_sent(&effects, activator), Some(vec![]));
    // The half that is left may still report.
    let effects = world.instance_reports(sidecar, stat(2, 0.0).ready());
    assert_eq!(endpoints_sent(&effects, activator), None);
    let ended = Event::InstanceEnded { instance: instance("web-1"), ending: fixture::ending() };
    let effects = world.apply(ended);
    assert_eq!(started(&effects), 1);
    assert!(matches!(notices(&effects)[0], Notice::Crashed { retry_in_ms: 0, .. }));
}

#[test]
fn an_instance_that_takes_too_long_is_killed_and_blamed() {
    let mut world = Fixture::local(declaration(0, "1"));
    let effects = world.run_for(61, |_, _| {});
    assert_eq!(stopped(&effects), [("web-1".to_owned(), StopMode::Kill)]);
    let ended = Event::InstanceEnded { instance: instance("web-1"), ending: fixture::ending() };
    let notices = notices(&world.apply(ended));
    let Some(Notice::Crashed { ending, .. }) = notices.first() else { panic!("{notices:?}") };
    assert!(ending.what.contains("did not become ready within 60 s"), "{}", ending.what);
}

#[test]
fn limits_that_instances_found_out_count_as_their_capacity() {
    let mut world = Fixture::local(declaration(0, "1"));
    let sidecar = world.sidecar("web-1");
    world.run_for(20, |world, second| {
        let report = stat(second + 1, 30.0).ready().in_flight(30);
        world.instance_reports(sidecar, report);
    });
    assert_eq!(world.state.statuses()[0].desired, 1, "30 of the 70 that are assumed");
    world.run_for(20, |world, second| {
        let report = stat(second + 21, 30.0).ready().in_flight(30).limit(10);
        world.instance_reports(sidecar, report);
    });
    assert_eq!(world.state.statuses()[0].desired, 5, "30 at 7 of 10 each");
}

#[test]
fn silence_is_not_zero() {
    let mut world = Fixture::remote(declaration(10, "0"));
    let sidecars: Vec<ReporterId> =
        ["a", "b", "c"].into_iter().map(|name| world.sidecar(name)).collect();
    world.run_for(100, |world, second| {
        for sidecar in &sidecars {
            world.instance_reports(*sidecar, stat(second + 1, 6.0).ready().in_flight(6));
        }
    });
    assert_eq!(world.state.statuses()[0].desired, 3);
    // All stay connected and no stream carries a report, for three stable windows.
    world.run_for(180, |_, _| {});
    assert_eq!(world.state.statuses()[0].desired, 3);
}

#[test]
fn a_restarted_controller_decides_on_what_its_reporters_remember() {
    let load = |second: u64| 4.0 + 3.0 * (second as f64 / 7.0).sin();
    let (names, seconds) = (["a", "b"], 300);
    let mut steady = Fixture::remote(declaration(10, "0"));
    let sidecars = names.map(|name| steady.sidecar(name));
    steady.run_for(seconds, |world, second| {
        for sidecar in sidecars {
            world.instance_reports(sidecar, stat(second + 1, load(second)).ready());
        }
    });
    let mut restarted = Fixture::remote_at(declaration(10, "0"), steady.now);
    for name in names {
        let sidecar = restarted.sidecar(name);
        let remembered = (seconds - 126..seconds).map(|second| {
            let age_ms = i64::try_from((seconds - second - 1) * 1_000).expect("small");
            stat(second + 1, load(second)).ready().at(restarted.now.as_millis() - age_ms)
        });
        let reports = remembered.map(|report| report.0).collect();
        restarted.apply(Event::Remembered { reporter: sidecar, reports });
    }
    let mut averages = Vec::new();
    for world in [&mut steady, &mut restarted] {
        let sidecars = world.sidecars.clone();
        world.run_for(6, |world, second| {
            for sidecar in &sidecars {
                let second = seconds + second;
                world.instance_reports(*sidecar, stat(second + 1, load(second)).ready());
            }
        });
        let status = world.state.statuses()[0].clone();
        averages.push((status.stable_concurrency, status.desired));
    }
    let [(before, wanted), (after, wanted_after)] = averages[..] else { panic!("two worlds") };
    assert_eq!(wanted, wanted_after);
    assert!((before - after).abs() < 0.2, "{before} before, {after} after");
}

#[test]
fn undeclared_revisions_are_refused_or_adopted() {
    let mut strict = Fixture::remote(declaration(0, "0"));
    let effects = strict.connect("other", "x-1");
    assert!(effects.iter().any(|effect| matches!(effect, Effect::Refuse { .. })));
    let mut welcoming = Fixture::adopting();
    let effects = welcoming.connect("other", "x-1");
    assert!(!effects.iter().any(|effect| matches!(effect, Effect::Refuse { .. })));
    assert_eq!(welcoming.state.statuses()[0].revision.name(), "other");
}

#[test]
fn a_cut_stream_takes_no_instance_away_until_it_has_been_silent_for_long() {
    let mut world = Fixture::remote(declaration(0, "0"));
    let activator = world.activator();
    let sidecar = world.sidecar("a");
    world.instance_reports(sidecar, stat(1, 0.0).ready());
    world.run_for(5, |_, _| {});
    let effects = world.apply(Event::Disconnected { reporter: sidecar });
    assert_eq!(endpoints_sent(&effects, activator), None);
    let effects = world.run_for(20, |_, _| {});
    assert_eq!(endpoints_sent(&effects, activator), None);
    let effects = world.run_for(20, |_, _| {});
    assert_eq!(endpoints_sent(&effects, activator), Some(vec![]));
}

#[test]
fn stopping_ends_every_instance_and_is_announced() {
    let mut world = Fixture::local(declaration(0, "2"));
    let effects = world.apply(Event::Stop(StopMode::Drain));
    assert_eq!(stopped(&effects).len(), 2);
    let mut effects = Vec::new();
    for name in ["web-1", "web-2"] {
        assert!(!notices(&effects).contains(&Notice::AllStopped));
        let (instance, ending) = (instance(name), fixture::ending());
        effects = world.apply(Event::InstanceEnded { instance, ending });
    }
    assert!(notices(&effects).contains(&Notice::AllStopped));
    assert_eq!(started(&world.run_for(10, |_, _| {})), 0, "nothing is started any more");
}

#[test]
fn the_journal_is_bounded_and_newest_first() {
    let mut world = Fixture::local(declaration(0, "1"));
    let sidecar = world.sidecar("web-1");
    world.run_for(1_500, |world, second| {
        world.instance_reports(sidecar, stat(second + 1, 1.0).ready());
    });
    let id = fixture::revision();
    let decisions: Vec<Arc<DecisionRecord>> =
        world.state.decisions(&id, 10_000).expect("it is known");
    assert_eq!(decisions.len(), crate::journal::DECISIONS_MAX);
    assert!(decisions.windows(2).all(|pair| pair[0].unix_ms > pair[1].unix_ms));
    assert!(decisions[0].json().contains("stable_window_ms"));
    assert!(decisions[0].to_string().len() > 10);
    assert!(world.state.decisions(&RevisionId::new("a", "b").expect("valid"), 1).is_none());
    assert_eq!(Timestamp::from_millis(decisions[0].unix_ms).millis_since(START) / 60_000, 25);
}
