//! What can happen to the controller, and what it wants done about it.
//!
//! The owner task turns everything into an [`Event`]; [`State::apply`](crate::state::State::apply)
//! answers with [`Effect`]s, which are carried out without making any choice.

use std::sync::Arc;

use crate::declaration::{Declaration, Launch};
use crate::identity::{InstanceName, ReporterId, RevisionId};
use crate::journal::DecisionRecord;
use crate::report::{Hello, Report};

/// Something happened.
#[derive(Debug)]
pub enum Event {
    /// A revision is to be scaled from now on, or by other numbers.
    Declare(Box<Declaration>),
    /// A reporter opened a stream and introduced itself.
    Connected {
        /// The stream.
        reporter: ReporterId,
        /// Who it is.
        greeting: Hello,
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
    /// It is known where an instance that we start is going to take traffic. Its sidecar is taken
    /// for no other address from then on.
    InstanceLaunched {
        /// The instance.
        instance: InstanceName,
        /// Its address, `host:port`.
        address: Arc<str>,
    },
    /// A process that we started can take no more requests, though not all of it has gone yet.
    InstanceFailed {
        /// The instance.
        instance: InstanceName,
    },
    /// Nothing is left of an instance that we started.
    InstanceEnded {
        /// The instance.
        instance: InstanceName,
        /// How it came to that.
        ending: Termination,
    },
    /// An instance that we started was looked into because it is not ready.
    InstanceNotReady {
        /// The instance.
        instance: InstanceName,
        /// What was tried, what came back, and where it listens instead.
        why: String,
    },
    /// An instance that was told to end has not, and will be killed.
    InstanceLingers {
        /// The instance.
        instance: InstanceName,
        /// How long until then, in milliseconds.
        left_ms: u64,
    },
    /// Something is due; see [`State::next_due`](crate::state::State::next_due).
    Due,
    /// Stop every instance we started, and start no more.
    Stop(StopMode),
}

/// How an instance ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Termination {
    /// What was seen, in words: an exit status, a signal, an error on start.
    pub what: String,
    /// The last lines it wrote.
    pub output: Vec<String>,
}

/// How to stop an instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StopMode {
    /// Let it finish what it has.
    Drain,
    /// At once.
    Kill,
}

/// Something is to be done.
#[derive(Debug)]
pub enum Effect {
    /// Start an instance.
    Start {
        /// Its revision.
        revision: RevisionId,
        /// Its name.
        instance: InstanceName,
        /// How.
        launch: Arc<Launch>,
    },
    /// Stop an instance that was started.
    Stop {
        /// Which.
        instance: InstanceName,
        /// How.
        mode: StopMode,
    },
    /// Say something to a reporter.
    Send {
        /// To whom.
        reporter: ReporterId,
        /// What.
        word: ServerMessage,
    },
    /// End a stream that makes no sense.
    Refuse {
        /// Whose.
        reporter: ReporterId,
        /// Why.
        refusal: Refusal,
    },
    /// A decision was made; whoever watches may know.
    Decided(Arc<DecisionRecord>),
    /// Something happened that a person may want to know.
    Announce(Notice),
}

/// Why a stream was ended.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// It speaks for something that has no place here.
    #[error("{0}")]
    Unknown(String),
    /// Its name is that of another reporter, which is connected.
    #[error(
        "the name {0} is in use by another reporter, which is connected: a second one may take it \
         over once that stream has ended"
    )]
    NameInUse(InstanceName),
    /// It says that it takes traffic where we did not start it.
    #[error("{instance} was started at {launched}, and cannot be at {claimed}")]
    NotWhereItWasStarted {
        /// The instance.
        instance: InstanceName,
        /// Where it was started.
        launched: Arc<str>,
        /// Where it says it is.
        claimed: String,
    },
    /// There is no room for one more.
    #[error("there are {most} {what} already, which is the most that are kept")]
    Full {
        /// Of what.
        what: &'static str,
        /// The most there may be.
        most: usize,
    },
    /// The same reporter has opened another stream.
    #[error("the same reporter has opened another stream")]
    Replaced,
}

/// What the controller says to a reporter.
#[derive(Debug, Clone, PartialEq)]
pub enum ServerMessage {
    /// How it wants to be reported to.
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

/// Something a person may want to know, with times in milliseconds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Notice {
    /// An instance is being started.
    Starting {
        /// Which.
        instance: InstanceName,
    },
    /// An instance takes requests.
    Ready {
        /// Which.
        instance: InstanceName,
        /// How long after it was started.
        after_ms: u64,
    },
    /// An instance is not ready although it has had time.
    NotReady {
        /// Which.
        instance: InstanceName,
        /// How long ago it was started.
        after_ms: u64,
        /// What was tried, what came back, and where it listens instead.
        why: String,
    },
    /// An instance has not ended on SIGTERM, and will be killed.
    Lingers {
        /// Which.
        instance: InstanceName,
        /// How long until then.
        left_ms: u64,
    },
    /// An instance is on its way out because it is not needed.
    Draining {
        /// Which.
        instance: InstanceName,
    },
    /// An instance is gone, as it should be.
    Stopped {
        /// Which.
        instance: InstanceName,
    },
    /// An instance is gone, and nobody wanted that.
    Crashed {
        /// Which.
        instance: InstanceName,
        /// How.
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
    /// Every instance we started is gone after [`Event::Stop`].
    AllStopped,
}
