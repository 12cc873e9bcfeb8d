//! A controller with simulated time.

use std::collections::BTreeMap;

use tidegate_autoscaler::sample::Sample;
use tidegate_autoscaler::settings::Config;
use tidegate_autoscaler::{Improvements, Timestamp};
use tidegate_rollout::Outcomes;

use crate::declaration::{Declaration, Launch, Template};
use crate::event::{Effect, Event};
use crate::identity::{InstanceName, ReporterId, RevisionId, Token};
use crate::notice::Termination;
use crate::report::{Hello, Report};
use crate::state::{State, UndeclaredRevisions};

pub(super) const START: Timestamp = Timestamp::from_millis(1_700_000_000_300);

pub(super) struct Fixture {
    pub(super) state: State,
    pub(super) now: Timestamp,
    pub(super) sidecars: Vec<ReporterId>,
    reporters: u64,
}

pub(super) fn revision() -> RevisionId {
    RevisionId::new("default", "web").expect("valid")
}

pub(super) fn instance(name: &str) -> InstanceName {
    InstanceName::new(name).expect("valid")
}

pub(super) fn ending() -> Termination {
    Termination { what: "exit status: 3".into(), output: vec!["boom".into()] }
}

fn template(initial_scale: &str) -> Template {
    let config = BTreeMap::from([
        ("allow-zero-initial-scale".to_owned(), "true".to_owned()),
        ("initial-scale".to_owned(), initial_scale.to_owned()),
        ("target-burst-capacity".to_owned(), "-1".to_owned()),
    ]);
    let config = Config::from_map(&config, tidegate_autoscaler::settings::Strictness::Strict);
    Template {
        config: config.expect("valid"),
        annotations: BTreeMap::new(),
        improvements: Improvements::all(),
    }
}

pub(super) fn declaration(container_concurrency: u32, initial_scale: &str) -> Declaration {
    template(initial_scale).declare(revision(), container_concurrency).expect("valid")
}

impl Fixture {
    /// A controller that starts instances itself.
    pub(super) fn local(declaration: Declaration) -> Self {
        let launch = Some(Launch::new(vec!["app".into()]).into());
        Self::declared(Declaration { launch, ..declaration })
    }

    pub(super) fn declared(declaration: Declaration) -> Self {
        Self::remote_at(declaration, START)
    }

    /// A controller with external instances.
    pub(super) fn remote(declaration: Declaration) -> Self {
        Self::remote_at(declaration, START)
    }

    pub(super) fn remote_at(declaration: Declaration, now: Timestamp) -> Self {
        let mut world = Self::empty(UndeclaredRevisions::Refuse, now);
        world.apply(Event::Declare(Box::new(declaration)));
        world
    }

    pub(super) fn adopting() -> Self {
        Self::empty(UndeclaredRevisions::Adopt(Box::new(template("0"))), START)
    }

    fn empty(undeclared: UndeclaredRevisions, now: Timestamp) -> Self {
        Self { now, ..Self::of(State::new(undeclared)) }
    }

    pub(super) fn of(state: State) -> Self {
        Self { state, now: START, sidecars: Vec::new(), reporters: 0 }
    }

    pub(super) fn apply(&mut self, event: Event) -> Vec<Effect> {
        self.state.apply(self.now, event)
    }

    /// Every running count equals a recount.
    pub(super) fn recount(&self) {
        self.state.recount();
    }

    /// Lets seconds pass; `each` is called at the end of each with its number from 0.
    pub(super) fn run_for(
        &mut self,
        seconds: u64,
        mut each: impl FnMut(&mut Self, u64),
    ) -> Vec<Effect> {
        let mut effects = Vec::new();
        for second in 0..seconds {
            effects.extend(self.pass(1_000));
            each(self, second);
        }
        effects
    }

    /// Lets time pass, and does what is due when it is due.
    pub(super) fn pass(&mut self, ms: u64) -> Vec<Effect> {
        let mut effects = Vec::new();
        let end = self.now.plus_millis(ms);
        while let Some(due) = self.state.next_due().filter(|due| *due <= end) {
            self.now = due.max(self.now);
            effects.extend(self.apply(Event::Due));
            let next = self.state.next_due();
            assert!(next.is_none_or(|next| next > self.now), "it would spin at {next:?}");
        }
        self.now = end;
        effects
    }

    fn reporter(&mut self) -> ReporterId {
        self.reporters += 1;
        ReporterId(self.reporters)
    }

    pub(super) fn activator(&mut self) -> ReporterId {
        let reporter = self.reporter();
        let hello = Hello::Activator { name: instance("activator"), max_waiting: 0, token: None };
        self.apply(Event::Connected { reporter, hello });
        reporter
    }

    pub(super) fn activator_reports(
        &mut self,
        reporter: ReporterId,
        sequence: u64,
        waiting: u32,
    ) -> Vec<Effect> {
        let Stat(report) = stat(sequence, f64::from(waiting));
        let revision = Some(revision());
        let report = Report { waiting, in_flight: waiting, revision, ..report };
        self.apply(Event::Reported { reporter, report })
    }

    /// The stream of the sidecar of instance `number`, apart from all that `reporter` gives out.
    pub(super) fn numbered(number: u8) -> ReporterId {
        ReporterId(1_000 + u64::from(number))
    }

    pub(super) fn connect_numbered(&mut self, number: u8) -> Vec<Effect> {
        self.connect_as(Self::numbered(number), "web", &format!("web-{number}"))
    }

    pub(super) fn connect(&mut self, revision: &str, name: &str) -> Vec<Effect> {
        let reporter = self.reporter();
        self.connect_as(reporter, revision, name)
    }

    /// A sidecar with a token opens a stream, as Tidegate's do.
    pub(super) fn connect_with(
        &mut self,
        name: &str,
        address: &str,
        token: u8,
    ) -> (ReporterId, Vec<Effect>) {
        let reporter = self.reporter();
        let hello = Hello::QueueProxy {
            revision: revision(),
            instance: instance(name),
            address: address.into(),
            container_concurrency: 0,
            max_waiting: 0,
            counts_connections: false,
            start_unix_ms: 1,
            token: Token::new(&[token; 16]),
        };
        (reporter, self.apply(Event::Connected { reporter, hello }))
    }

    fn connect_as(&mut self, reporter: ReporterId, revision: &str, name: &str) -> Vec<Effect> {
        let hello = Hello::QueueProxy {
            revision: RevisionId::new("default", revision).expect("valid"),
            instance: instance(name),
            address: "127.0.0.1:8012".into(),
            container_concurrency: 0,
            max_waiting: 0,
            counts_connections: false,
            start_unix_ms: 1,
            token: None,
        };
        self.sidecars.push(reporter);
        self.apply(Event::Connected { reporter, hello })
    }

    pub(super) fn sidecar(&mut self, name: &str) -> ReporterId {
        self.connect("web", name);
        ReporterId(self.reporters)
    }

    pub(super) fn instance_reports(&mut self, reporter: ReporterId, stat: Stat) -> Vec<Effect> {
        self.apply(Event::Reported { reporter, report: stat.0 })
    }
}

/// A report in the making.
pub(super) struct Stat(pub(super) Report);

pub(super) fn stat(sequence: u64, concurrency: f64) -> Stat {
    Stat(Report {
        sequence,
        end_unix_ms: 0,
        length_ms: 1_000,
        sample: Sample::of_concurrency(concurrency).expect("valid"),
        waiting: 0,
        in_flight: 0,
        limit: 0,
        ready: false,
        draining: false,
        revision: None,
        outcomes: Outcomes::default(),
        listening_age_ms: None,
        cold_starts: Vec::new(),
    })
}

impl Stat {
    pub(super) fn ready(self) -> Self {
        Self(Report { ready: true, ..self.0 })
    }

    pub(super) fn in_flight(self, in_flight: u32) -> Self {
        Self(Report { in_flight, ..self.0 })
    }

    pub(super) fn limit(self, limit: u32) -> Self {
        Self(Report { limit, ..self.0 })
    }

    pub(super) fn at(self, end_unix_ms: i64) -> Self {
        Self(Report { end_unix_ms, ..self.0 })
    }
}
