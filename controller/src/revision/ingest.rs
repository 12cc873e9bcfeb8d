//! What a revision makes of what its reporters say.

use tidegate_autoscaler::sample::Origin;

use super::{Context, Revision};
use crate::event::{Effect, Notice, Refusal};
use crate::identity::{InstanceName, ReporterId, Token};
use crate::instance::{Instance, Owner, Phase, settle};
use crate::report::{LoadCeiling, PERIOD_MAX_MS, Report};

/// Remembered reports no older than this are as good as fresh ones.
const FRESH_MS: u64 = 1_500;

/// Most seconds that one report is laid over: those of the longest period, begun in the middle of
/// one.
const SECONDS_PER_REPORT_MAX: usize = PERIOD_MAX_MS as usize / 1_000 + 1;

/// How the sidecar of an instance introduced itself.
pub(crate) struct Sidecar {
    pub(crate) instance: InstanceName,
    pub(crate) address: String,
    pub(crate) limit: u32,
    pub(crate) max_waiting: u32,
    pub(crate) start_unix_ms: i64,
    pub(crate) token: Option<Token>,
}

impl Revision {
    /// Whether a sidecar may speak for the instance that it names. Returns the stream that it
    /// takes the place of, if it has proved to be the same reporter as that one's.
    pub(crate) fn check(
        &self,
        reporter: ReporterId,
        sidecar: &Sidecar,
    ) -> Result<Option<ReporterId>, Refusal> {
        let name = &sidecar.instance;
        let Some(instance) = self.roster.get(name) else {
            if self.declaration.launch.is_none() {
                return Ok(None);
            }
            // We start every instance ourselves: this is the last word of one that is gone.
            return Err(Refusal::Unknown(format!("{name} is no instance of {}", self.id())));
        };
        if let Some(launched) = instance.launched_at.as_ref().filter(|a| ***a != *sidecar.address) {
            let (instance, launched) = (name.clone(), launched.clone());
            let claimed = sidecar.address.clone();
            return Err(Refusal::NotWhereItWasStarted { instance, launched, claimed });
        }
        let Some(other) = instance.stream.filter(|other| *other != reporter) else {
            return Ok(None);
        };
        let same = instance.token.is_some()
            && instance.token == sidecar.token
            && instance.sidecar_start_ms == sidecar.start_unix_ms;
        if same { Ok(Some(other)) } else { Err(Refusal::NameInUse(name.clone())) }
    }

    /// A sidecar that was checked opened a stream: one of ours, one we knew, or a new one.
    pub(crate) fn connected(
        &mut self,
        cx: &mut Context<'_>,
        reporter: ReporterId,
        sidecar: Sidecar,
    ) {
        let now = cx.now;
        let name = &sidecar.instance;
        if self.roster.get(name).is_none() {
            self.roster.add(Instance::new(name.clone(), Owner::Others, now));
        }
        let namesake = self.roster.change(name, |instance| {
            let namesake = instance.sidecar_start_ms != sidecar.start_unix_ms
                || instance.token != sidecar.token;
            if namesake && instance.owner == Owner::Others {
                instance.phase = Phase::Starting;
                instance.started = now;
            }
            instance.sidecar_start_ms = sidecar.start_unix_ms;
            instance.token = sidecar.token;
            instance.stream = Some(reporter);
            instance.silent_since = None;
            instance.address = sidecar.address.into();
            instance.limit = sidecar.limit;
            instance.max_waiting = sidecar.max_waiting;
            namesake
        });
        if namesake == Some(true) {
            // What the old one said does not hold for it, nor do its numbers.
            self.demand.forget_instance(name);
        }
        self.push_endpoints(cx);
    }

    /// The stream of an instance ended. What it said last holds: silence is not zero.
    pub(crate) fn disconnected(
        &mut self,
        cx: &mut Context<'_>,
        reporter: ReporterId,
        name: &InstanceName,
    ) {
        if !self.is_heard_on(name, reporter) {
            return;
        }
        let gone = self.roster.change(name, |instance| {
            instance.stream = None;
            instance.silent_since = Some(cx.now);
            instance.owner == Owner::Others && instance.phase == Phase::Draining
        });
        if gone == Some(true) {
            self.roster.remove(name);
            self.demand.forget_instance(name);
            self.push_endpoints(cx);
        }
    }

    /// Whether `reporter` is the stream that speaks for an instance. What is still on the way from
    /// another, or from one that is gone, is not heard.
    fn is_heard_on(&self, name: &InstanceName, reporter: ReporterId) -> bool {
        self.roster.get(name).is_some_and(|instance| instance.stream == Some(reporter))
    }

    /// What an instance may claim at most: what it can hold by its limit and its line, whoever set
    /// them.
    fn load_ceiling(&self, name: &InstanceName) -> LoadCeiling {
        let limit = self.declaration.container_concurrency;
        let announced = self.roster.get(name).map_or(0, |instance| instance.max_waiting);
        LoadCeiling::of_instance(limit, announced)
    }

    /// A sidecar's fresh numbers.
    pub(crate) fn instance_reported(
        &mut self,
        cx: &mut Context<'_>,
        (reporter, name): (ReporterId, &InstanceName),
        report: &Report,
    ) {
        if !self.is_heard_on(name, reporter) {
            return;
        }
        let report = &report.within(&self.load_ceiling(name));
        self.demand.instance(name, report);
        self.follow(cx, name, report);
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
        self.wake(cx.now);
        self.demand.activator(reporter, report);
        if report.waiting > 0 {
            self.urgent(cx);
        }
    }

    /// What an instance remembers. Before the first decision it is the past; later only its end
    /// matters, because what was missed has been stood in for.
    pub(crate) fn recall_instance(
        &mut self,
        cx: &mut Context<'_>,
        (reporter, name): (ReporterId, &InstanceName),
        reports: &[Report],
    ) {
        if !self.is_heard_on(name, reporter) {
            return;
        }
        let (known, claim) = (self.demand.last_sequence(name), self.load_ceiling(name));
        for report in reports.iter().filter(|report| report.sequence > known) {
            let report = &report.within(&claim);
            self.remember(cx, Origin::Instances, report);
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
        self.remember(cx, Origin::Activator, &report.within(claim));
        if is_fresh(cx, report) {
            self.activator_reported(cx, reporter, report, claim);
        }
    }

    /// Keeps what was reported for the first decision, while there is one to come and room.
    fn remember(&mut self, cx: &mut Context<'_>, origin: Origin, report: &Report) {
        let Some(past) = &mut self.past else { return };
        if cx.history_room < SECONDS_PER_REPORT_MAX {
            return;
        }
        let before = past.len();
        past.add(origin, report);
        cx.history_room = (cx.history_room + before).saturating_sub(past.len());
    }

    /// An activator's stream ended; what it held is gone with it or will be told anew.
    pub(crate) fn forget_activator(&mut self, reporter: ReporterId) {
        self.demand.forget_activator(reporter);
    }

    /// Follows what an instance says about itself.
    fn follow(&mut self, cx: &mut Context<'_>, name: &InstanceName, report: &Report) {
        let followed = self.roster.change(name, |instance| {
            let was_starting = instance.phase == Phase::Starting;
            let changed = settle(instance, report.ready, report.draining, cx.now);
            let is_ready = instance.phase == Phase::Ready;
            if is_ready {
                instance.limit = report.limit;
            }
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
