//! The events of the controller, and the effects that it responds with.
//!
//! The owner task turns everything into an [`Event`]; [`State::apply`](crate::state::State::apply)
//! returns [`Effect`]s, which are carried out without making any choice.

use std::net::SocketAddr;
use std::sync::Arc;

use tidegate_autoscaler::settings::Violations;

use crate::declaration::{ActivatorPorts, Declaration, HoldBounds, Launch};
use crate::identity::{InstanceName, ReporterId, RevisionId};
use crate::journal::DecisionRecord;
use crate::report::{Hello, Report};

/// Something happened to which the state reacts.
#[derive(Debug)]
pub enum Event {
    /// A revision is to be scaled from now on, or by other numbers.
    Declare(Box<Declaration>),
    /// A revision is not to be scaled any more. It is forgotten with its decisions, its instances
    /// that were started here are drained, and its reporters' streams are ended. A reporter that
    /// comes back is treated as that of any undeclared revision.
    Undeclare(RevisionId),
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
    /// Stop every instance that the controller started, and start no more.
    Stop(StopMode),
}

/// How an instance ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Termination {
    /// What was seen, as text: an exit status, a signal, an error on start.
    pub what: String,
    /// The last lines it wrote.
    pub output: Vec<String>,
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
    /// Stop an instance that was started.
    Stop {
        /// The instance.
        instance: InstanceName,
        /// How it ended, or is to be done.
        mode: StopMode,
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
    /// The instances of a revision that take requests. Replaces what was known.
    Endpoints {
        /// The revision.
        revision: RevisionId,
        /// Its instances.
        endpoints: Arc<[Endpoint]>,
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
    /// How activators hold a revision's requests. Replaces what was known.
    HoldBounds {
        /// The revision.
        revision: RevisionId,
        /// The bounds.
        bounds: HoldBounds,
    },
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
}

/// A notice for a person, with times in milliseconds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Notice {
    /// An instance is being started.
    Starting {
        /// The instance.
        instance: InstanceName,
    },
    /// An instance takes requests.
    Ready {
        /// The instance.
        instance: InstanceName,
        /// How long after it was started.
        after_ms: u64,
    },
    /// An instance is not ready although it has had time.
    NotReady {
        /// The instance.
        instance: InstanceName,
        /// How long ago it was started.
        after_ms: u64,
        /// What was tried, the result, and where it listens instead.
        why: String,
    },
    /// An instance has not ended on SIGTERM, and will be killed.
    Lingers {
        /// The instance.
        instance: InstanceName,
        /// How long until then.
        left_ms: u64,
    },
    /// An instance is being stopped because it is not needed.
    Draining {
        /// The instance.
        instance: InstanceName,
    },
    /// An instance has ended after its stop order.
    Stopped {
        /// The instance.
        instance: InstanceName,
    },
    /// An instance ended unexpectedly.
    Crashed {
        /// The instance.
        instance: InstanceName,
        /// How it ended, or is to be done.
        ending: Termination,
        /// How long until another is started in its place.
        retry_in_ms: u64,
    },
    /// No instance ever became ready; nothing more is started.
    GaveUp {
        /// The revision.
        revision: RevisionId,
        /// How the last one ended.
        ending: Termination,
        /// How many were tried.
        attempts: u32,
    },
    /// Every instance that the controller started has ended after [`Event::Stop`].
    AllStopped,
}
