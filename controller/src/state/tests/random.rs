//! Whatever happens in whatever order, some things hold.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::fixture::{self, Fixture, Stat, declaration, instance, stat};
use crate::declaration::{Declaration, Launch};
use crate::event::{Effect, Event, ServerMessage, StopMode};
use crate::identity::ReporterId;
use crate::state::{State, UndeclaredRevisions};

/// Most instances of the revision under test.
const MAX: i32 = 4;

/// Something that may happen.
#[derive(Debug, Clone)]
enum Happening {
    /// Time passes, in milliseconds.
    Pass(u64),
    /// The activator has this many queued requests.
    Wait(u32),
    /// A sidecar introduces itself; instances have numbers from 1.
    Connect(u8),
    /// A sidecar reports: how busy, ready or not, draining or not.
    Report(u8, u32, bool, bool),
    /// A sidecar's stream is cut.
    Cut(u8),
    /// Half of an instance dies.
    Fail(u8),
    /// An instance has ended.
    End(u8),
}

fn happening() -> impl Strategy<Value = Happening> {
    let number = 1_u8..12;
    prop_oneof![
        4 => (1_u64..5_000).prop_map(Happening::Pass),
        2 => (0_u32..60).prop_map(Happening::Wait),
        3 => number.clone().prop_map(Happening::Connect),
        6 => (number.clone(), 0_u32..20, any::<bool>(), prop::bool::weighted(0.1))
            .prop_map(|(n, busy, ready, draining)| Happening::Report(n, busy, ready, draining)),
        1 => number.clone().prop_map(Happening::Cut),
        1 => number.clone().prop_map(Happening::Fail),
        2 => number.prop_map(Happening::End),
    ]
}

/// What is known of the world from the effects alone.
#[derive(Default)]
struct Seen {
    started: BTreeSet<String>,
    /// Started, without a stop order, and not ended.
    kept: BTreeSet<String>,
    failed: BTreeSet<String>,
    sequence: u64,
}

impl Seen {
    fn take(&mut self, effects: &[Effect]) {
        for effect in effects {
            match effect {
                Effect::Start { instance, .. } => {
                    assert!(self.started.insert(instance.to_string()), "{instance} twice");
                    self.kept.insert(instance.to_string());
                }
                Effect::Stop { instance, .. } => {
                    assert!(self.started.contains(instance.as_str()), "{instance} is not ours");
                    self.kept.remove(instance.as_str());
                }
                Effect::Send { message: ServerMessage::Endpoints { endpoints, .. }, .. } => {
                    for endpoint in endpoints.iter() {
                        let name = endpoint.instance.as_str();
                        assert!(!endpoint.address.is_empty(), "{name} has no address");
                        assert!(!self.failed.contains(name), "{name} has failed");
                    }
                }
                _ => {}
            }
        }
        assert!(self.kept.len() <= usize::try_from(MAX).expect("small"), "{:?}", self.kept);
    }
}

fn world() -> (Fixture, ReporterId, Vec<Effect>) {
    let mut declaration = declaration(2, "0");
    declaration.lifecycle.bounds.max = MAX;
    let launch = Some(Launch::new(vec!["app".into()]).into());
    let mut world = Fixture::of(State::new(UndeclaredRevisions::Refuse));
    let declared = Event::Declare(Box::new(Declaration { launch, ..declaration }));
    let effects = world.apply(declared);
    let activator = world.activator();
    (world, activator, effects)
}

fn name(number: u8) -> String {
    format!("web-{number}")
}

fn step(
    world: &mut Fixture,
    seen: &mut Seen,
    activator: ReporterId,
    what: &Happening,
) -> Vec<Effect> {
    seen.sequence += 1;
    match what {
        Happening::Pass(ms) => world.pass(*ms),
        Happening::Wait(waiting) => world.activator_reports(activator, seen.sequence, *waiting),
        // Only what was started has a sidecar.
        Happening::Connect(number) if seen.started.contains(&name(*number)) => {
            world.connect_numbered(*number)
        }
        Happening::Report(number, busy, ready, draining) => {
            let Stat(mut report) = stat(seen.sequence, f64::from(*busy)).in_flight(*busy);
            (report.ready, report.draining) = (*ready, *draining);
            if *draining {
                // It ends by itself, so another one may replace it.
                seen.kept.remove(&name(*number));
            }
            world.instance_reports(Fixture::numbered(*number), Stat(report))
        }
        Happening::Cut(number) => {
            world.apply(Event::Disconnected { reporter: Fixture::numbered(*number) })
        }
        Happening::Fail(number) => {
            if seen.started.contains(&name(*number)) {
                seen.failed.insert(name(*number));
            }
            world.apply(Event::InstanceFailed { instance: instance(&name(*number)) })
        }
        Happening::End(number) => {
            seen.kept.remove(&name(*number));
            let (instance, ending) = (instance(&name(*number)), fixture::ending());
            world.apply(Event::InstanceEnded { instance, ending })
        }
        Happening::Connect(_) => Vec::new(),
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 100,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn bounds_hold_and_nobody_is_sent_to_the_dead(
        happenings in prop::collection::vec(happening(), 1..120),
    ) {
        let (mut world, activator, effects) = world();
        let mut seen = Seen::default();
        seen.take(&effects);
        for what in &happenings {
            let effects = step(&mut world, &mut seen, activator, what);
            seen.take(&effects);
            world.recount();
        }
        // In the end everything that is left can be stopped, and then nothing is.
        let effects = world.apply(Event::Stop(StopMode::Drain));
        seen.take(&effects);
        let left = world.state.started();
        for started in seen.started.clone() {
            let (instance, ending) = (instance(&started), fixture::ending());
            world.apply(Event::InstanceEnded { instance, ending });
        }
        prop_assert!(left <= seen.started.len());
        prop_assert_eq!(world.state.started(), 0);
        world.apply(Event::Disconnected { reporter: activator });
        let status = world.state.statuses().remove(0);
        prop_assert_eq!((status.ready, status.waiting, status.in_flight), (0, 0, 0));
        let late = world.pass(60_000);
        let starts = late.iter().any(|effect| matches!(effect, Effect::Start { .. }));
        prop_assert!(!starts, "started after the stop");
    }

    /// What costs a report nothing because it is kept up to date is what counting would find.
    #[test]
    fn what_is_kept_up_to_date_is_what_there_is(
        happenings in prop::collection::vec((happening(), 0_u8..3), 1..200),
    ) {
        let mut world = Fixture::remote(declaration(2, "0"));
        let activator = world.activator();
        let mut streams = Vec::new();
        for (sequence, (what, token)) in (1_u64..).zip(&happenings) {
            match what {
                Happening::Pass(ms) => drop(world.pass(ms * 4)),
                Happening::Wait(waiting) => {
                    let _ = world.activator_reports(activator, sequence, *waiting);
                }
                Happening::Connect(number) | Happening::End(number) => {
                    streams.push(world.connect_with(&name(*number), "127.0.0.1:1", *token).0);
                }
                Happening::Report(number, busy, ready, draining) => {
                    let Some(stream) = streams.get(usize::from(*number)) else { continue };
                    let Stat(mut report) = stat(sequence, f64::from(*busy)).in_flight(*busy);
                    (report.ready, report.draining) = (*ready, *draining);
                    (report.waiting, report.limit) = (*busy, *busy);
                    world.instance_reports(*stream, Stat(report));
                }
                Happening::Cut(number) | Happening::Fail(number) => {
                    let Some(reporter) = streams.get(usize::from(*number)) else { continue };
                    world.apply(Event::Disconnected { reporter: *reporter });
                }
            }
            world.recount();
        }
    }
}
