//! What a revision makes of what its reporters say.

use tidegate_autoscaler::sample::Origin;

use super::{Context, Revision};
use crate::event::{Effect, Notice};
use crate::identity::{InstanceName, ReporterId};
use crate::instance::{Instance, Owner, Phase, settle};
use crate::report::Report;

/// Remembered reports no older than this are as good as fresh ones.
const FRESH_MS: u64 = 1_500;

/// How the sidecar of an instance introduced itself.
pub(crate) struct Sidecar {
    pub(crate) instance: InstanceName,
    pub(crate) address: String,
    pub(crate) limit: u32,
    pub(crate) start_unix_ms: i64,
}

impl Revision {
    /// A sidecar opened a stream: one of ours, one we knew, or a new one.
    pub(crate) fn greet(&mut self, cx: &mut Context<'_>, reporter: ReporterId, sidecar: Sidecar) {
        let now = cx.now;
        let Sidecar { instance: name, address, limit, start_unix_ms } = sidecar;
        if self.declaration.launch.is_some() && !self.instances.contains_key(&name) {
            // We start every instance ourselves: this is the last word of one that is gone.
            let reason = format!("{name} is no instance of {}", self.id());
            return cx.effects.push(Effect::Refuse { reporter, reason });
        }
        let instance = self
            .instances
            .entry(name.clone())
            .or_insert_with(|| Instance::new(name.clone(), Owner::Others, now));
        if instance.sidecar_start_ms != start_unix_ms {
            // A namesake: what the old one said does not hold for it, nor do its numbers.
            self.demand.forget_instance(&name);
            instance.sidecar_start_ms = start_unix_ms;
            if instance.owner == Owner::Others {
                instance.phase = Phase::Starting;
                instance.started = now;
            }
        }
        instance.stream = Some(reporter);
        instance.silent_since = None;
        instance.address = address;
        instance.limit = limit;
        self.push_endpoints(cx);
    }

    /// The stream of an instance ended. What it said last holds: silence is not zero.
    pub(crate) fn part(&mut self, cx: &mut Context<'_>, reporter: ReporterId, name: &InstanceName) {
        let Some(instance) = self.instances.get_mut(name) else { return };
        if instance.stream != Some(reporter) {
            return;
        }
        instance.stream = None;
        instance.silent_since = Some(cx.now);
        if instance.owner == Owner::Others && instance.phase == Phase::Draining {
            self.instances.remove(name);
            self.demand.forget_instance(name);
            self.push_endpoints(cx);
        }
    }

    /// A sidecar's fresh numbers.
    pub(crate) fn hear_instance(
        &mut self,
        cx: &mut Context<'_>,
        name: &InstanceName,
        report: &Report,
    ) {
        if !self.instances.contains_key(name) {
            // It is gone, and this was on the way.
            return;
        }
        self.demand.instance(name, report);
        self.follow(cx, name, report);
        if report.waiting > 0 {
            self.urgent(cx);
        }
    }

    /// An activator's fresh numbers for this revision.
    pub(crate) fn hear_activator(
        &mut self,
        cx: &mut Context<'_>,
        reporter: ReporterId,
        report: &Report,
    ) {
        self.rouse(cx.now);
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
        name: &InstanceName,
        reports: &[Report],
    ) {
        if !self.instances.contains_key(name) {
            return;
        }
        let known = self.demand.last_sequence(name);
        for report in reports.iter().filter(|report| report.sequence > known) {
            if self.policy.is_none() {
                self.history.add(Origin::Instances, report);
            }
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
    ) {
        if self.policy.is_none() {
            self.history.add(Origin::Activator, report);
        }
        if is_fresh(cx, report) {
            self.hear_activator(cx, reporter, report);
        }
    }

    /// An activator's stream ended; what it held is gone with it or will be told anew.
    pub(crate) fn forget_activator(&mut self, reporter: ReporterId) {
        self.demand.forget_activator(reporter);
    }

    /// Follows what an instance says about itself.
    fn follow(&mut self, cx: &mut Context<'_>, name: &InstanceName, report: &Report) {
        let Some(instance) = self.instances.get_mut(name) else { return };
        let was_starting = instance.phase == Phase::Starting;
        let changed = settle(instance, report.ready, report.draining, cx.now);
        if instance.phase == Phase::Ready {
            instance.limit = report.limit;
        }
        if changed && was_starting && instance.phase == Phase::Ready {
            let after_ms = cx.now.millis_since(instance.started);
            let instance = name.clone();
            cx.effects.push(Effect::Announce(Notice::Ready { instance, after_ms }));
            self.crash.became_ready();
        }
        self.push_endpoints(cx);
        if changed {
            self.converge(cx);
        }
    }
}

fn is_fresh(cx: &Context<'_>, report: &Report) -> bool {
    let now = cx.now.as_millis();
    now.saturating_sub(report.end_unix_ms) <= i64::try_from(FRESH_MS).unwrap_or(i64::MAX)
}
