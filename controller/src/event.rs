//! The events of the controller, and the effects that it responds with.
//!
//! The owner task turns everything into an [`Event`]; [`State::apply`](crate::state::State::apply)
//! returns [`Effect`]s, which are carried out without making any choice.

use std::net::SocketAddr;
use std::sync::Arc;

use tidegate_autoscaler::Timestamp;
use tidegate_autoscaler::settings::Violations;
use tidegate_timeline::Start;

use crate::declaration::{ActivatorPorts, Declaration, HoldBounds, Launch, QueueRules};
use crate::identity::{InstanceName, ReporterId, RevisionId};
use crate::instance::Proof;
use crate::journal::DecisionRecord;
use crate::kept::KeptInstance;
use crate::notice::{Notice, Termination};
use crate::pin::Pin;
use crate::report::{Hello, Report};
use crate::routes::RoutesNews;

/// Something happened to which the state reacts.
#[derive(Debug)]
pub enum Event {
    /// A revision is to be scaled from now on, or by other numbers.
    Declare(Box<Declaration>),
    /// A revision is to be scaled from now on, of which instances of a run before are there.
    Resume {
        /// What is declared.
        declaration: Box<Declaration>,
        /// The instances.
        instances: Vec<KeptInstance>,
        /// The number of the next instance.
        next_number: u64,
    },
    /// A revision is not to be scaled any more. It is forgotten with its decisions, its instances
    /// that were started here are drained, and its reporters' streams are ended. A reporter that
    /// comes back is treated as that of any undeclared revision.
    Undeclare(RevisionId),
    /// A revision that requests no longer go to: its instances that were started here are drained,
    /// and no more are. It is known until it is undeclared.
    Retire(RevisionId),
    /// A reporter opened a stream and sent its hello.
    Connected {
        /// The stream.
        reporter: ReporterId,
        /// What the reporter is.
        hello: Hello,
    },
    /// A reporter's numbers for a period, fresh.
    Reported {
        /// The stream.
        reporter: ReporterId,
        /// The numbers.
        report: Report,
    },
    /// What a reporter remembered, oldest first.
    Remembered {
        /// The stream.
        reporter: ReporterId,
        /// The numbers of many periods.
        reports: Vec<Report>,
    },
    /// An activator that has connected knows so many instances of each of these revisions.
    Known {
        /// The stream.
        reporter: ReporterId,
        /// Instances by revision, as a controller before this one told of them.
        instances: Vec<(RevisionId, u32)>,
    },
    /// A stream ended.
    Disconnected {
        /// The stream.
        reporter: ReporterId,
    },
    /// An instance that the controller starts has its address. Its sidecar is accepted at no other
    /// address from then on.
    InstanceLaunched {
        /// The instance.
        instance: InstanceName,
        /// Its address, `host:port`.
        address: Arc<str>,
    },
    /// The app's process of an instance that the controller starts has begun.
    InstanceStarted {
        /// The instance.
        instance: InstanceName,
    },
    /// The actuator of an instance says what its sidecar cannot see of its readiness.
    InstanceProved {
        /// The instance.
        instance: InstanceName,
        /// What is so.
        proof: Proof,
    },
    /// Another system, which starts a revision's instances, has taken over that there are to be
    /// more.
    Actuated {
        /// The revision.
        revision: RevisionId,
    },
    /// One of the two processes of an instance has ended, the other has not yet.
    InstanceFailed {
        /// The instance.
        instance: InstanceName,
    },
    /// Every process of an instance that the controller started has ended.
    InstanceEnded {
        /// The instance.
        instance: InstanceName,
        /// Why it ended.
        ending: Termination,
    },
    /// An instance that the controller started was diagnosed, because it is not ready.
    InstanceNotReady {
        /// The instance.
        instance: InstanceName,
        /// What was tried, the result, and where it listens instead.
        why: String,
    },
    /// An instance has not ended after its SIGTERM, and will be killed.
    InstanceLingers {
        /// The instance.
        instance: InstanceName,
        /// How long until then, in milliseconds.
        left_ms: u64,
    },
    /// The time of `next_due` was reached; see [`State::next_due`](crate::state::State::next_due).
    Due,
    /// Requests go to revisions by this from now on: activators are to be told.
    Routes(Arc<RoutesNews>),
    /// Replace every instance of a revision that the controller started, a new one before an old
    /// one each time.
    Restart(RevisionId),
    /// A person sets other bounds for a revision than were declared, or takes that back.
    Pin {
        /// The revision.
        revision: RevisionId,
        /// The bounds; `None` for those that were declared.
        pin: Option<Pin>,
    },
    /// The machine has time for so many more starts: what starts at present mostly waits.
    Slack {
        /// How many.
        starts: usize,
    },
    /// Stop every instance that the controller started, and start no more.
    Stop(StopMode),
}

/// How to stop an instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StopMode {
    /// Let it finish what it has.
    Drain,
    /// Cut off what it has; the app may still end by itself.
    Terminate,
    /// At once.
    Kill,
}

/// What the owner task carries out after an event.
#[derive(Debug)]
pub enum Effect {
    /// Start an instance.
    Start {
        /// Its revision.
        revision: RevisionId,
        /// Its name.
        instance: InstanceName,
        /// How it ended, or is to be done.
        launch: Arc<Launch>,
    },
    /// Take over the processes of an instance that a run before has started.
    Adopt {
        /// Its revision.
        revision: RevisionId,
        /// Its name.
        instance: InstanceName,
        /// How it would be started.
        launch: Arc<Launch>,
        /// Its processes.
        kept: Box<KeptInstance>,
    },
    /// Stop an instance that was started.
    Stop {
        /// The instance.
        instance: InstanceName,
        /// How it ended, or is to be done.
        mode: StopMode,
    },
    /// Let the app of an instance stand still: it has no request.
    Freeze {
        /// The instance.
        instance: InstanceName,
    },
    /// Let it go on.
    Thaw {
        /// The instance.
        instance: InstanceName,
    },
    /// Send a message to a reporter.
    Send {
        /// The stream that it is sent on.
        reporter: ReporterId,
        /// The message.
        message: ServerMessage,
    },
    /// End a stream that cannot be accepted.
    Refuse {
        /// The stream.
        reporter: ReporterId,
        /// Why.
        refusal: StreamRefusal,
    },
    /// A decision was made, for watchers.
    Decided(Arc<DecisionRecord>),
    /// A notice for a person.
    Announce(Notice),
}

/// Why the controller ended a reporter's stream.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StreamRefusal {
    /// It names a revision that was never declared, and such ones are not adopted.
    #[error("revision {0} was never declared")]
    Undeclared(RevisionId),
    /// Every instance of the revision was started here, and this is none of them.
    #[error("{instance} is no instance of {revision}")]
    NoInstance {
        /// The instance that it claims to be.
        instance: InstanceName,
        /// The revision.
        revision: RevisionId,
    },
    /// Its revision would be adopted, but for settings that cannot be used.
    #[error(transparent)]
    Settings(Box<Violations>),
    /// Another connected reporter has the same name.
    #[error(
        "the name {0} is in use by another reporter, which is connected: a second one may take it \
         over once that stream has ended"
    )]
    NameInUse(InstanceName),
    /// It claims another address than the one it was started at.
    #[error("{instance} was started at {launched}, and cannot be at {claimed}")]
    NotWhereItWasStarted {
        /// The instance.
        instance: InstanceName,
        /// Where it was started.
        launched: Arc<str>,
        /// Where it claims to be.
        claimed: String,
    },
    /// There is no room for one more.
    #[error("there are {most} {what} already, which is the most that are kept")]
    Full {
        /// What is counted, in the plural.
        what: &'static str,
        /// The most there may be.
        most: usize,
    },
    /// The same reporter has opened another stream.
    #[error("the same reporter has opened another stream")]
    Replaced,
}

/// What the controller sends to a reporter.
#[derive(Debug, Clone, PartialEq)]
pub enum ServerMessage {
    /// How often to report, and how much history to keep.
    Directive {
        /// Period of reports in milliseconds.
        report_interval_ms: u32,
        /// Seconds of history to keep.
        history_seconds: u32,
    },
    /// What it reported up to this number has arrived.
    Acknowledged {
        /// The number.
        sequence: u64,
    },
    /// The instances of a revision that take requests.
    Endpoints {
        /// The revision.
        revision: RevisionId,
        /// Its instances.
        endpoints: Arc<[Endpoint]>,
        /// Whether there may be others.
        scope: ListScope,
    },
    /// A revision is none any more: activators forget it.
    Undeclared {
        /// The revision.
        revision: RevisionId,
    },
    /// The ports on which activators take a revision's requests. Replaces what was known.
    ListenPorts {
        /// The revision.
        revision: RevisionId,
        /// Its ports.
        ports: Arc<ActivatorPorts>,
    },
    /// Where the queue-proxies of its revision may hand requests on. Replaces what was known.
    Overflow {
        /// The addresses.
        addresses: Arc<[SocketAddr]>,
    },
    /// Which revision requests go to, for activators. Replaces what was known.
    Routes {
        /// What they are told.
        news: Arc<RoutesNews>,
    },
    /// How activators hold a revision's requests. Replaces what was known.
    HoldBounds {
        /// The revision.
        revision: RevisionId,
        /// The bounds.
        bounds: HoldBounds,
    },
    /// Whose turn it is in a revision's queue at an activator. Replaces what was known.
    QueueRules {
        /// The revision.
        revision: RevisionId,
        /// The rules.
        rules: Arc<QueueRules>,
    },
}

/// Whether a list of instances names all of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ListScope {
    /// It does, and replaces what was known.
    Whole,
    /// Some may not have been heard of yet: those that are known stay.
    Partial,
}

/// An instance that takes requests.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    /// Its name.
    pub instance: InstanceName,
    /// Where, `host:port`.
    pub address: Arc<str>,
    /// Requests at a time; 0 is unlimited.
    pub limit: u32,
    /// How it came up.
    pub start: Start<Timestamp>,
}
