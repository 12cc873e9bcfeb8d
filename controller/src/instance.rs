//! One instance of a revision, from start to end.

use std::sync::Arc;

use tidegate_autoscaler::Timestamp;
use tidegate_timeline::Start;

use crate::identity::{InstanceName, ReporterId, Token};
use crate::report::Report;

/// What an instance is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Phase {
    /// Started, and never ready so far.
    Starting,
    /// Takes requests.
    Ready,
    /// Was ready and reports that it is not just now.
    Unready,
    /// Draining: takes no new requests.
    Draining,
    /// Takes no new requests, and is frozen once it has none.
    Freezing,
    /// Its processes stand still until it is wanted again.
    Frozen,
}

impl Phase {
    /// How many phases there are.
    pub(crate) const COUNT: usize = 6;
}

/// Who starts and stops an instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Owner {
    /// This controller does.
    Controller,
    /// Another system does; the instance exists for as long as it reports.
    External,
}

/// One instance.
#[derive(Debug)]
pub(crate) struct Instance {
    pub(crate) name: InstanceName,
    pub(crate) owner: Owner,
    pub(crate) phase: Phase,
    pub(crate) started: Timestamp,
    /// When it became ready for the first time.
    pub(crate) ready_since: Option<Timestamp>,
    /// How it came up.
    pub(crate) start: Start<Timestamp>,
    /// Its stream, while there is one.
    pub(crate) stream: Option<ReporterId>,
    /// Since when there is none, for an instance of others.
    pub(crate) silent_since: Option<Timestamp>,
    /// Start time in the hello of its sidecar: distinguishes two of one name.
    pub(crate) sidecar_start_ms: i64,
    /// What its sidecar proves itself with, should it open a second stream.
    pub(crate) token: Option<Token>,
    /// Where it takes traffic; empty until its sidecar connects.
    pub(crate) address: Arc<str>,
    /// The address that it was started with: its sidecar cannot be at another one.
    pub(crate) launched_at: Option<Arc<str>>,
    /// Requests that may wait in it, as its sidecar announced; 0 when it did not.
    pub(crate) max_waiting: u32,
    /// Whether its sidecar counts connections that carry no HTTP as well.
    pub(crate) counts_connections: bool,
    /// Requests at a time; 0 is unlimited.
    pub(crate) limit: u32,
    /// Since when activators send it nothing more, while it is freezing or frozen.
    pub(crate) resting_since: Option<Timestamp>,
    /// Whether its sidecar said last that the app is ready.
    pub(crate) said_ready: bool,
    /// What is needed besides, which its sidecar cannot see.
    pub(crate) proof: Proof,
    /// Whether a person ordered it to be replaced.
    pub(crate) outdated: bool,
    /// Why it is being removed without a stop order.
    pub(crate) failure: Option<Failure>,
    /// Why it is not ready, as the listening check found; empty until it ran.
    pub(crate) why_not_ready: String,
}

/// What an instance's actuator says of its readiness, where its sidecar cannot see all of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Proof {
    /// It is not ready, whatever its sidecar sees.
    Missing,
    /// Nothing more is needed than its sidecar sees.
    Given,
}

/// Why an instance is removed without a stop order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Failure {
    /// One of its processes ended.
    Died,
    /// It did not become ready in time.
    NeverReady { deadline_ms: u64 },
}

impl Instance {
    pub(crate) fn new(name: InstanceName, owner: Owner, now: Timestamp) -> Self {
        Self {
            name,
            owner,
            phase: Phase::Starting,
            started: now,
            ready_since: None,
            start: Start::default(),
            stream: None,
            silent_since: None,
            sidecar_start_ms: 0,
            token: None,
            address: "".into(),
            launched_at: None,
            max_waiting: 0,
            counts_connections: false,
            limit: 0,
            resting_since: None,
            said_ready: false,
            proof: Proof::Given,
            outdated: false,
            failure: None,
            why_not_ready: String::new(),
        }
    }

    /// Whether requests may be sent to it.
    pub(crate) fn takes_requests(&self) -> bool {
        self.phase == Phase::Ready && !self.address.is_empty()
    }

    /// Whether its app can serve: its sidecar says so, and nothing more is needed.
    pub(crate) fn is_able(&self) -> bool {
        self.said_ready && self.proof == Proof::Given
    }

    /// Whether it counts against the number of instances wanted.
    pub(crate) fn is_kept(&self) -> bool {
        self.phase != Phase::Draining && !self.rests()
    }

    /// Whether it is there only to be woken.
    pub(crate) fn rests(&self) -> bool {
        matches!(self.phase, Phase::Freezing | Phase::Frozen)
    }
}

/// Takes over the phase that an instance reports of itself. Returns whether the phase changed.
pub(crate) fn settle(instance: &mut Instance, report: &Report, now: Timestamp) -> bool {
    instance.said_ready = report.ready;
    if instance.failure.is_some() {
        // Its sidecar may still report, but its app can serve nothing any more.
        return false;
    }
    if let (None, Some(age_ms)) = (instance.start.listening, report.listening_age_ms) {
        instance.start.listening = Some(now.minus_millis(age_ms.into()));
    }
    let before = instance.phase;
    if report.draining {
        instance.phase = Phase::Draining;
    }
    judge(instance, now);
    instance.phase != before
}

/// Takes over what an instance's actuator says. Returns whether the phase changed.
pub(crate) fn settle_proof(instance: &mut Instance, proof: Proof, now: Timestamp) -> bool {
    instance.proof = proof;
    if instance.failure.is_some() {
        return false;
    }
    let before = instance.phase;
    judge(instance, now);
    instance.phase != before
}

/// The phase that follows from what is said of an instance.
fn judge(instance: &mut Instance, now: Timestamp) {
    instance.phase = match (instance.phase, instance.is_able()) {
        // Draining is final: a sidecar takes no new requests after its stop order.
        (Phase::Draining, _) => Phase::Draining,
        // A probe of what stands still says nothing.
        (resting @ (Phase::Freezing | Phase::Frozen), _) => resting,
        (_, true) => Phase::Ready,
        (Phase::Starting, false) => Phase::Starting,
        (Phase::Ready | Phase::Unready, false) => Phase::Unready,
    };
    if instance.phase == Phase::Ready {
        instance.ready_since.get_or_insert(now);
        instance.start.ready.get_or_insert(now);
    }
}
