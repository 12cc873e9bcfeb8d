//! A controller with revisions, instances and load that a test makes up, and its page.

use std::collections::BTreeMap;
use std::time::Duration;

use tidegate_autoscaler::Improvements;
use tidegate_autoscaler::sample::Sample;
use tidegate_autoscaler::settings::{Config, Strictness};
use tidegate_controller::event::Event;
use tidegate_controller::identity::ReporterId;
use tidegate_controller::report::{Hello, Report};
use tidegate_controller::{
    ColdStart, Handle, InstanceName, NoActuator, RevisionId, Template, UndeclaredRevisions,
};
use tidegate_page::{Access, Orders, Settings};
use tidegate_routes::Table;
use tidegate_timeline::{Start, Timeline};

/// The first number of streams that a test makes up.
const REPORTERS_FROM: u64 = 1 << 32;

/// A controller without instances of its own.
pub(crate) struct World {
    pub(crate) handle: Handle,
    template: Template,
    reporters: u64,
    sequence: u64,
}

/// What an instance or an activator reports.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Load {
    pub(crate) in_flight: u32,
    pub(crate) waiting: u32,
    pub(crate) ended: u32,
    pub(crate) failed: u32,
}

impl World {
    /// Must be called within a runtime.
    pub(crate) fn start() -> Self {
        let (handle, controller) = tidegate_controller::controller(UndeclaredRevisions::Refuse);
        tokio::spawn(controller.run(NoActuator));
        let config = BTreeMap::from([
            ("stable-window".to_owned(), "6s".to_owned()),
            ("target-burst-capacity".to_owned(), "-1".to_owned()),
        ]);
        let template = Template {
            config: Config::from_map(&config, Strictness::Strict).expect("valid"),
            annotations: BTreeMap::new(),
            improvements: Improvements::all(),
        };
        Self { handle, template, reporters: REPORTERS_FROM, sequence: 0 }
    }

    pub(crate) async fn declare(&self, id: &RevisionId) {
        let declaration = self.template.declare(id.clone(), 10).expect("valid");
        self.handle.declare(declaration).await.expect("it runs");
    }

    fn reporter(&mut self) -> ReporterId {
        self.reporters += 1;
        ReporterId(self.reporters)
    }

    /// An instance of others connects.
    pub(crate) async fn instance(&mut self, of: &RevisionId, name: &str) -> ReporterId {
        let reporter = self.reporter();
        let hello = Hello::QueueProxy {
            revision: of.clone(),
            instance: InstanceName::new(name).expect("a name"),
            address: format!("127.0.0.1:{}", 1_000 + reporter.0 % 60_000),
            container_concurrency: 10,
            max_waiting: 0,
            counts_connections: false,
            start_unix_ms: 0,
            token: None,
        };
        self.happened(Event::Connected { reporter, hello }).await;
        reporter
    }

    pub(crate) async fn activator(&mut self) -> ReporterId {
        let reporter = self.reporter();
        let name = InstanceName::new("activator").expect("a name");
        let hello = Hello::Activator { name, max_waiting: 0, token: None };
        self.happened(Event::Connected { reporter, hello }).await;
        reporter
    }

    /// A second of an instance.
    pub(crate) async fn report(&mut self, reporter: ReporterId, load: Load) {
        let report = self.second(load);
        self.happened(Event::Reported { reporter, report }).await;
    }

    /// A second of one revision at an activator.
    pub(crate) async fn activator_reports(
        &mut self,
        reporter: ReporterId,
        of: &RevisionId,
        (load, cold_starts): (Load, Vec<ColdStart>),
    ) {
        let report =
            Report { revision: Some(of.clone()), cold_starts, ready: false, ..self.second(load) };
        self.happened(Event::Reported { reporter, report }).await;
    }

    fn second(&mut self, load: Load) -> Report {
        self.sequence += 1;
        let mut outcomes = tidegate_rollout::Outcomes::default();
        outcomes.count(load.ended.into(), load.failed.into());
        let (busy, rate) = (f64::from(load.in_flight), f64::from(load.ended));
        Report {
            sequence: self.sequence,
            end_unix_ms: self.handle.now().as_millis(),
            length_ms: 1_000,
            sample: Sample::new(busy, 0.0, rate, 0.0).expect("valid"),
            waiting: load.waiting,
            in_flight: load.in_flight,
            limit: 10,
            ready: true,
            draining: false,
            revision: None,
            outcomes,
            listening_age_ms: None,
            cold_starts: Vec::new(),
        }
    }

    /// Follows routes as a file has them.
    pub(crate) async fn follow(&self, text: &str) {
        let table = Table::parse(text).expect("good routes");
        self.handle.follow_routes(text.into(), table, Vec::new()).await.expect("it runs");
    }

    pub(crate) async fn happened(&self, event: Event) {
        self.handle.happened(event).await.expect("it runs");
    }
}

pub(crate) fn revision(name: &str) -> RevisionId {
    RevisionId::new("default", name).expect("a name")
}

/// A page that everybody on this machine may look at.
pub(crate) fn open() -> Settings {
    Settings {
        access: Access::Open,
        orders: Orders::Refused,
        hosts: Vec::new(),
        listen: None,
        title: "a test".to_owned(),
        what_if: None,
    }
}

/// A cold start of `ms` in all, most of which the app took to listen.
pub(crate) fn cold_start(instance: &str, seen_unix_ms: i64, ms: u64) -> ColdStart {
    let at = |share: u64| Some(i128::from(ms * share * 10));
    let start =
        Start { decided: at(2), actuated: at(3), started: at(8), listening: at(80), ready: at(88) };
    let timeline = Timeline::of(
        start,
        Duration::from_micros(ms * 900),
        Some(Duration::from_micros(ms * 1_000)),
    );
    let instance = InstanceName::new(instance).expect("a name");
    ColdStart { instance, seen_unix_ms, timeline }
}
