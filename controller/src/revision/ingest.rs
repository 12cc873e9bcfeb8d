//! How a revision takes in hellos, reports and history.

use tidegate_autoscaler::Timestamp;
use tidegate_timeline::Start;

use super::told::Told;
use super::{Context, Revision};
use crate::demand::Novelty;
use crate::event::{Effect, StreamRefusal};
use crate::history::Source;
use crate::identity::{InstanceName, ReporterId, Token};
use crate::instance::{Instance, Owner, Phase, Proof, settle, settle_proof};
use crate::notice::Notice;
use crate::report::{LoadCeiling, PERIOD_MAX_MS, Report};

/// Remembered reports no older than this also count as current state.
const FRESH_MS: u64 = 1_500;

/// Most seconds that one report is laid over: those of the longest period, begun in the middle of
/// one.
const SECONDS_PER_REPORT_MAX: usize = PERIOD_MAX_MS as usize / 1_000 + 1;

/// The hello of a sidecar.
pub(crate) struct Sidecar {
    pub(crate) instance: InstanceName,
    pub(crate) address: String,
    pub(crate) limit: u32,
    pub(crate) max_waiting: u32,
    pub(crate) counts_connections: bool,
    pub(crate) start_unix_ms: i64,
    pub(crate) token: Option<Token>,
}

impl Revision {
    /// Whether a sidecar may report for the instance that it names. Returns the stream that it
    /// replaces, if its token proves that both belong to one reporter.
    pub(crate) fn check(
        &self,
        reporter: ReporterId,
        sidecar: &Sidecar,
    ) -> Result<Option<ReporterId>, StreamRefusal> {
        let name = &sidecar.instance;
        let Some(instance) = self.instances.get(name) else {
            if self.declaration.launch.is_none() {
                return Ok(None);
            }
            // This controller starts every instance itself: this is a late stream of one that has
            // ended.
            return Err(StreamRefusal::NoInstance {
                instance: name.clone(),
                revision: self.id().clone(),
            });
        };
        if let Some(launched) = instance.launched_at.as_ref().filter(|a| ***a != *sidecar.address) {
            let (instance, launched) = (name.clone(), launched.clone());
            let claimed = sidecar.address.clone();
            return Err(StreamRefusal::NotWhereItWasStarted { instance, launched, claimed });
        }
        let Some(other) = instance.stream.filter(|other| *other != reporter) else {
            return Ok(None);
        };
        let same = instance.token.is_some()
            && instance.token == sidecar.token
            && instance.sidecar_start_ms == sidecar.start_unix_ms;
        if same { Ok(Some(other)) } else { Err(StreamRefusal::NameInUse(name.clone())) }
    }

    /// A sidecar that was checked opened a stream: of an instance that the controller started, of a
    /// known one, or of a new one.
    pub(crate) fn connected(
        &mut self,
        cx: &mut Context<'_>,
        reporter: ReporterId,
        sidecar: Sidecar,
    ) {
        if !self.declaration.activator_ports.overflow.is_empty() {
            cx.effects.push(Effect::Send { reporter, message: self.overflow_message() });
        }
        let now = cx.now;
        let name = &sidecar.instance;
        if self.instances.get(name).is_none() {
            self.instances.add(Instance::new(name.clone(), Owner::External, now));
        }
        let decided = self.raised_at;
        // An order before the decision was for another one.
        let actuated = self.actuated_at.filter(|at| decided.is_none_or(|decided| *at >= decided));
        let namesake = self.instances.change(name, |instance| {
            let namesake = instance.sidecar_start_ms != sidecar.start_unix_ms
                || instance.token != sidecar.token;
            if namesake && instance.owner == Owner::External {
                instance.phase = Phase::Starting;
                instance.started = now;
                // Its pod's processes begin within the same moment, by the clock of its node.
                let started = Some(sidecar.start_unix_ms).filter(|ms| *ms > 0);
                let started = started.map(Timestamp::from_millis);
                instance.start = Start { decided, actuated, started, ..Start::default() };
            }
            instance.sidecar_start_ms = sidecar.start_unix_ms;
            instance.token = sidecar.token;
            instance.stream = Some(reporter);
            instance.silent_since = None;
            instance.address = sidecar.address.into();
            instance.limit = sidecar.limit;
            instance.max_waiting = sidecar.max_waiting;
            instance.counts_connections = sidecar.counts_connections;
            namesake
        });
        if namesake == Some(true) {
            // Neither what the old one reported nor its sequence numbers hold for the new one.
            self.demand.forget_instance(name);
        }
        self.push_endpoints(cx);
    }

    /// The stream of an instance ended. Its last report holds: silence is not zero.
    pub(crate) fn disconnected(
        &mut self,
        cx: &mut Context<'_>,
        reporter: ReporterId,
        name: &InstanceName,
    ) {
        if !self.is_current_stream(name, reporter) {
            return;
        }
        let ended = self.instances.change(name, |instance| {
            instance.stream = None;
            instance.silent_since = Some(cx.now);
            instance.owner == Owner::External && instance.phase == Phase::Draining
        });
        if ended == Some(true) {
            self.instances.remove(name);
            self.demand.forget_instance(name);
            self.push_endpoints(cx);
        }
    }

    /// Whether `reporter` is the current stream of an instance. Late messages of another stream are
    /// dropped.
    fn is_current_stream(&self, name: &InstanceName, reporter: ReporterId) -> bool {
        self.instances.get(name).is_some_and(|instance| instance.stream == Some(reporter))
    }

    /// What an instance may claim at most: what fits into its limit and its queue, however they
    /// were set.
    fn load_ceiling(&self, name: &InstanceName) -> LoadCeiling {
        let limit = self.declaration.container_concurrency;
        let announced = self.instances.get(name).map_or(0, |instance| instance.max_waiting);
        LoadCeiling::of_instance(limit, announced)
    }

    /// A sidecar's fresh numbers.
    pub(crate) fn instance_reported(
        &mut self,
        cx: &mut Context<'_>,
        (reporter, name): (ReporterId, &InstanceName),
        report: &Report,
    ) {
        if !self.is_current_stream(name, reporter) {
            return;
        }
        let report = &report.within(&self.load_ceiling(name));
        if self.demand.instance(name, report) == Novelty::Seen {
            return;
        }
        self.outcomes.add(&report.outcomes);
        self.follow(cx, name, report);
        self.rested_reported(cx, name, report);
        if report.waiting > 0 {
            self.urgent(cx);
        }
    }

    /// An activator's fresh numbers for this revision.
    pub(crate) fn activator_reported(
        &mut self,
        cx: &mut Context<'_>,
        reporter: ReporterId,
        report: &Report,
        claim: &LoadCeiling,
    ) {
        let report = &report.within(claim);
        if self.take_activators(cx, reporter, report) == Novelty::New {
            self.outcomes.add(&report.outcomes);
        }
    }

    fn take_activators(
        &mut self,
        cx: &mut Context<'_>,
        reporter: ReporterId,
        report: &Report,
    ) -> Novelty {
        if self.demand.novelty(reporter, report) == Novelty::Seen {
            return Novelty::Seen;
        }
        if !report.is_of_nothing() {
            self.wake(cx.now);
        }
        self.demand.activator(reporter, report);
        if report.waiting > 0 {
            self.urgent(cx);
        }
        Novelty::New
    }

    /// What an instance remembers. Before the first decision it is the past; later only its end
    /// matters, because the missed seconds have been filled in already.
    pub(crate) fn recall_instance(
        &mut self,
        cx: &mut Context<'_>,
        (reporter, name): (ReporterId, &InstanceName),
        reports: &[Report],
    ) {
        if !self.is_current_stream(name, reporter) {
            return;
        }
        let (known, claim) = (self.demand.last_sequence(name), self.load_ceiling(name));
        for report in reports.iter().filter(|report| report.sequence > known) {
            let report = &report.within(&claim);
            self.remember(cx, Source::Instance(name.clone()), report);
            if is_fresh(cx, report) {
                self.demand.instance(name, report);
            } else {
                self.demand.note_instance(name, report);
            }
        }
        let Some(last) = reports.last() else { return };
        self.follow(cx, name, last);
        if last.waiting > 0 && is_fresh(cx, last) {
            self.urgent(cx);
        }
    }

    /// What an activator remembers of this revision.
    pub(crate) fn recall_activator(
        &mut self,
        cx: &mut Context<'_>,
        reporter: ReporterId,
        report: &Report,
        claim: &LoadCeiling,
    ) {
        let report = &report.within(claim);
        self.remember(cx, Source::Activator(reporter), report);
        if is_fresh(cx, report) {
            // How requests ended was counted when it was reported first: a stream that was cut
            // repeats what its reporter remembers.
            self.take_activators(cx, reporter, report);
        }
    }

    /// Keeps the reported history for the first decision, while that is still to be made and there
    /// is room.
    fn remember(&mut self, cx: &mut Context<'_>, source: Source, report: &Report) {
        let Some(Told { past, .. }) = &mut self.learning else { return };
        if cx.history_room < SECONDS_PER_REPORT_MAX {
            return;
        }
        let before = past.len();
        past.add(source, report);
        cx.history_room = (cx.history_room + before).saturating_sub(past.len());
    }

    /// An activator's stream ended; the requests that it held have ended or will be reported again.
    pub(crate) fn forget_activator(&mut self, now: Timestamp, reporter: ReporterId) {
        if self.demand.forget_activator(reporter) {
            self.activator_left_at = Some(now);
        }
    }

    /// Takes over the phase that an instance reports.
    fn follow(&mut self, cx: &mut Context<'_>, name: &InstanceName, report: &Report) {
        let now = cx.now;
        self.settle(cx, name, |instance| {
            let changed = settle(instance, report, now);
            if report.ready {
                instance.limit = report.limit;
            }
            changed
        });
    }

    /// The actuator of an instance says what its sidecar cannot see.
    pub(crate) fn instance_proved(
        &mut self,
        cx: &mut Context<'_>,
        name: &InstanceName,
        proof: Proof,
    ) {
        let now = cx.now;
        self.settle(cx, name, |instance| settle_proof(instance, proof, now));
    }

    /// Does what follows from news of an instance; `take_in` returns whether its phase changed.
    fn settle(
        &mut self,
        cx: &mut Context<'_>,
        name: &InstanceName,
        take_in: impl FnOnce(&mut Instance) -> bool,
    ) {
        let followed = self.instances.change(name, |instance| {
            let was_starting = instance.phase == Phase::Starting;
            let changed = take_in(instance);
            let is_ready = instance.phase == Phase::Ready;
            let became_ready = changed && was_starting && is_ready;
            (changed, became_ready.then(|| cx.now.millis_since(instance.started)))
        });
        let Some((changed, became_ready_after_ms)) = followed else { return };
        if let Some(after_ms) = became_ready_after_ms {
            let instance = name.clone();
            cx.effects.push(Effect::Announce(Notice::Ready { instance, after_ms }));
            self.crash.became_ready();
        }
        self.push_endpoints(cx);
        if changed {
            self.reconcile(cx);
        }
    }
}

fn is_fresh(cx: &Context<'_>, report: &Report) -> bool {
    let now = cx.now.as_millis();
    now.saturating_sub(report.end_unix_ms) <= i64::try_from(FRESH_MS).unwrap_or(i64::MAX)
}
