//! The controller and the simulator drive the same decision code: from equal inputs they make equal
//! decisions.
//!
//! A random world (what an activator reports each second, how many wait, how many instances are
//! ready) is fed to both. What could differ is the wiring around the library's driver: when a
//! decision is due, in turn and out of turn, what is recorded before it, what is seen at it, and
//! what follows. Policies that the simulator follows without a lifecycle are not compared: when the
//! lifecycle wants to be asked again, a decision is due.

use proptest::prelude::*;
use tidegate_controller::identity::ReporterId;
use tidegate_controller::report::{Hello, Report as Said};
use tidegate_controller::state::{State, UndeclaredRevisions};
use tidegate_controller::{
    ActivatorPorts, Declaration, Effect, Event, HoldBounds, InstanceName, PolicyChoice as Declared,
    QueueRules, RevisionId,
};

use super::*;
use crate::time::SimSpan;

/// Whole seconds since 1970 at which the world begins.
const BEGIN_MS: i64 = 1_000_000_000;
/// Delay of reports after each whole second, ms; the controller closes its seconds at whole ones.
const REPORT_PHASE_MS: i64 = 250;
/// A controller that starts no instances itself collects history for this long before it decides.
const WARM_UP_MS: i64 = 1_500;

/// What an activator reports of one second.
#[derive(Debug, Clone, Copy)]
struct Second {
    concurrency: f64,
    executing: u32,
    waiting: u32,
}

/// A decision: when, the recommendation, the number wanted, and whether in panic.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Decided {
    at_ms: i64,
    desired: i32,
    replicas: i32,
    panicking: bool,
}

fn seconds() -> impl Strategy<Value = Vec<Second>> {
    let second = (0.0..40.0, 0_u32..20, prop_oneof![3 => Just(0_u32), 1 => 1_u32..30]);
    let busy = second.prop_map(|(concurrency, executing, waiting)| Second {
        concurrency,
        executing,
        waiting,
    });
    let quiet = Just(Second { concurrency: 0.0, executing: 0, waiting: 0 });
    prop::collection::vec(prop_oneof![2 => busy, 1 => quiet], 5..60)
}

/// The same revision for the controller.
fn declaration(model: &RevisionModel) -> Declaration {
    let (settings, lifecycle) = settings::resolve(model).expect("settings are good");
    Declaration {
        id: RevisionId::new("default", "web").expect("a name"),
        policy: Declared::Knative(settings),
        lifecycle,
        container_concurrency: model.concurrency,
        launch: None,
        activator_ports: ActivatorPorts::default(),
        hold: HoldBounds::default(),
        queue: QueueRules::default(),
        start_deadline_ms: 60_000,
    }
}

/// The controller's side.
struct Theirs {
    state: State,
    decided: Vec<Decided>,
}

impl Theirs {
    fn apply(&mut self, at_ms: i64, event: Event) {
        for effect in self.state.apply(Timestamp::from_millis(at_ms), event) {
            if let Effect::Decided(record) = effect {
                let panicking = match &record.explanation.detail {
                    Detail::Knative(trace) => trace.steps.panic_after.since.is_some(),
                    _ => false,
                };
                let outcome = record.explanation.outcome;
                // An invalid decision leaves the last recommendation in place.
                let before = self.decided.last().map_or(UNDECIDED, |last| last.desired);
                self.decided.push(Decided {
                    at_ms: record.unix_ms,
                    desired: if outcome.valid { outcome.desired } else { before },
                    replicas: record.replicas(),
                    panicking,
                });
            }
        }
    }

    fn next_due(&self) -> Option<i64> {
        self.state.next_due().map(Timestamp::as_millis)
    }
}

/// The simulator's side.
struct Ours {
    scaler: Scaler,
    ready: u32,
    wanted: u32,
    last: Second,
    /// Averages that have been reported and belong to no closed second yet.
    said: Vec<f64>,
    /// Whether an instance has reported since a second was closed: silence is not zero.
    received: bool,
    next_second: i64,
    decided: Vec<Decided>,
}

fn nanos_of(at_ms: i64) -> u64 {
    u64::try_from(at_ms).expect("after 1970") * 1_000_000
}

fn second_after(at_ms: i64) -> i64 {
    at_ms / 1_000 * 1_000 + 1_000
}

impl Ours {
    fn reported(&mut self, at_ms: i64, second: Second) {
        if self.is_at_rest() {
            self.said.clear();
            self.next_second = second_after(at_ms);
            self.scaler.wake(nanos_of(at_ms));
        }
        self.last = second;
        self.said.push(second.concurrency);
        if second.waiting > 0 && self.scaler.urge(nanos_of(at_ms), second.waiting) == Urgency::Now {
            self.tick(at_ms);
        }
    }

    fn is_at_rest(&self) -> bool {
        let inside = self.last.executing + self.last.waiting;
        self.ready == 0 && inside == 0 && self.scaler.wants_nothing()
    }

    fn due(&mut self, at_ms: i64) {
        if self.is_at_rest() && !self.decided.is_empty() {
            return;
        }
        if at_ms >= self.next_second {
            let said = std::mem::take(&mut self.said);
            let average = said.iter().sum::<f64>() / said.len().max(1) as f64;
            let rest = self.scaler.take_rest(average);
            if std::mem::take(&mut self.received) {
                self.record(at_ms, Origin::Instances, 0.0);
            }
            if !said.is_empty() {
                self.record(at_ms, Origin::Activator, rest);
            }
            self.next_second = second_after(at_ms);
        }
        if nanos_of(at_ms) >= self.scaler.next_due() {
            self.tick(at_ms);
        }
    }

    fn record(&mut self, at_ms: i64, origin: Origin, concurrency: f64) {
        let sample = Sample::of_concurrency(concurrency).expect("is valid");
        self.scaler.record(nanos_of(at_ms), &InstanceReport { origin, sample });
    }

    fn tick(&mut self, at_ms: i64) {
        let inside = self.last.executing + self.last.waiting;
        let observed = Observed {
            ready: self.ready,
            starting: 0,
            requested: self.wanted,
            in_flight: self.last.executing,
            waiting: self.last.waiting,
            at_once: None,
        };
        let verdict = self.scaler.tick(nanos_of(at_ms), observed, f64::from(inside));
        self.wanted = verdict.wanted;
        self.decided.push(Decided {
            at_ms,
            desired: verdict.desired,
            replicas: i32::try_from(verdict.wanted).expect("is small"),
            panicking: verdict.panicking,
        });
    }
}

fn said(sequence: u64, at_ms: i64, second: Second) -> Said {
    Said {
        sequence,
        end_unix_ms: at_ms,
        length_ms: 1_000,
        sample: Sample::of_concurrency(second.concurrency).expect("is valid"),
        waiting: second.waiting,
        in_flight: second.executing + second.waiting,
        limit: 0,
        ready: true,
        draining: false,
        revision: None,
        outcomes: Default::default(),
        listening_age_ms: None,
        cold_starts: Vec::new(),
    }
}

/// Both sides of one world, and a clock.
struct World {
    theirs: Theirs,
    ours: Ours,
}

/// The stream of the activator; those of instances have higher numbers.
const ACTIVATOR: ReporterId = ReporterId(1);

fn instance_stream(number: u32) -> ReporterId {
    ReporterId(100 + u64::from(number))
}

impl World {
    fn new(model: &RevisionModel, ready: u32) -> Self {
        let mut theirs =
            Theirs { state: State::new(UndeclaredRevisions::Refuse), decided: Vec::new() };
        theirs.apply(BEGIN_MS, Event::Declare(Box::new(declaration(model))));
        let name = InstanceName::new("activator").expect("a name");
        let hello = Hello::Activator { name, max_waiting: 0, token: None };
        theirs.apply(BEGIN_MS, Event::Connected { reporter: ACTIVATOR, hello });
        for number in 0..ready {
            let hello = Hello::QueueProxy {
                revision: RevisionId::new("default", "web").expect("a name"),
                instance: InstanceName::new(&format!("web-{number}")).expect("a name"),
                address: format!("127.0.0.1:{}", 9_000 + number),
                container_concurrency: 0,
                max_waiting: 0,
                counts_connections: false,
                start_unix_ms: 1,
                token: None,
            };
            theirs.apply(BEGIN_MS, Event::Connected { reporter: instance_stream(number), hello });
        }
        let rules = Rules::new(model).expect("settings are good");
        let scaler =
            Scaler::new(model, rules, nanos_of(BEGIN_MS), Explains::No).expect("settings are good");
        let last = Second { concurrency: 0.0, executing: 0, waiting: 0 };
        let next_second = second_after(BEGIN_MS);
        let (said, received, decided) = (Vec::new(), false, Vec::new());
        let ours = Ours { scaler, ready, wanted: 0, last, said, received, next_second, decided };
        World { theirs, ours }
    }

    /// Lets time pass, and has both do what is due when it is due.
    fn pass_until(&mut self, end_ms: i64) {
        while let Some(due) = self.theirs.next_due().filter(|due| *due <= end_ms) {
            if due == BEGIN_MS + WARM_UP_MS {
                // Both have only the present state to decide from.
                let ready = self.ours.ready;
                self.ours.scaler.restart(ready, ready, nanos_of(due));
                self.ours.wanted = ready;
            }
            self.theirs.apply(due, Event::Due);
            // What is due before that is to tell activators of instances.
            if due >= BEGIN_MS + WARM_UP_MS {
                self.ours.due(due);
            }
        }
    }

    fn report(&mut self, number: u64, at_ms: i64, second: Option<Second>) {
        for instance in 0..self.ours.ready {
            let quiet = Second { concurrency: 0.0, executing: 0, waiting: 0 };
            let report = said(number, at_ms, quiet);
            let reporter = instance_stream(instance);
            self.theirs.apply(at_ms, Event::Reported { reporter, report });
            self.ours.received = true;
        }
        if let Some(second) = second {
            let revision = Some(RevisionId::new("default", "web").expect("a name"));
            let report = Said { revision, ..said(number, at_ms, second) };
            self.theirs.apply(at_ms, Event::Reported { reporter: ACTIVATOR, report });
            self.ours.reported(at_ms, second);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_controller_decides_what_the_simulator_decides(
        policy in prop_oneof![Just(PolicyChoice::Knative), Just(PolicyChoice::Tidegate)],
        seconds in seconds(),
        ready in 0_u32..4,
        idle in 1_u64..20,
    ) {
        let settings = [("stable-window", "10s"), ("target-burst-capacity", "-1")];
        let model = RevisionModel {
            policy,
            concurrency: 5,
            settings: settings.map(|(key, value)| (key.to_owned(), value.to_owned())).into(),
            platform: Platform::Cluster.local(SimSpan::from_secs(idle)),
            ..RevisionModel::default()
        };
        let mut world = World::new(&model, ready);
        // No report counts before the first decision, which is made from the present state.
        let numbered = (1_u64..).zip([None; 3].into_iter().chain(seconds.into_iter().map(Some)));
        let mut at_ms = BEGIN_MS + REPORT_PHASE_MS;
        for (number, second) in numbered {
            world.pass_until(at_ms);
            world.report(number, at_ms, second);
            at_ms += 1_000;
        }
        world.pass_until(at_ms + 60_000);
        let (theirs, ours) = (world.theirs.decided, world.ours.decided);
        prop_assert!(!theirs.is_empty());
        prop_assert_eq!(theirs, ours);
    }
}
