//! The whole state of a controller, and the one function that changes it.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap, VecDeque};
use std::sync::Arc;

use tidegate_autoscaler::{StartPace, Timestamp};

use crate::cold_start::{ColdStarts, Told};
use crate::declaration::{Declaration, Template};
use crate::event::{Effect, Event, ServerMessage, StreamRefusal};
use crate::identity::{InstanceName, ReporterId, RevisionId, Token};
use crate::kept::KeptInstance;
use crate::notice::{Notice, Termination};
use crate::report::{Hello, LoadCeiling, Report};
use crate::revision::Revision;
use crate::revision::ingest::Sidecar;
use crate::routes::RoutesNews;

mod acting;
mod answers;
mod introduction;
mod known;
mod limits;
mod pace;
mod stop;
mod totals;
mod undeclare;

pub use self::limits::{
    ACTIVATORS_MAX, HISTORY_SECONDS_MAX, INSTANCES_MAX, INSTANCES_PER_REVISION_MAX, REPORTERS_MAX,
    REVISIONS_MAX,
};

use self::introduction::{introduce, tell_routes};
use self::limits::Limits;
use self::pace::Turns;
pub use self::totals::Totals;

/// The period of reports that reporters are directed to, in milliseconds: the windows have one
/// bucket a second.
pub const REPORT_INTERVAL_MS: u32 = 1_000;

/// What to do about reporters of revisions that were never declared.
#[derive(Debug, Clone, PartialEq)]
pub enum UndeclaredRevisions {
    /// End their streams, with a reason.
    Refuse,
    /// Scale them by these settings, under their own name and concurrency.
    Adopt(Box<Template>),
}

/// The state. It reads no clock, does no I/O and starts no task.
pub struct State {
    revisions: BTreeMap<RevisionId, Revision>,
    reporters: BTreeMap<ReporterId, Peer>,
    activators: BTreeSet<ReporterId>,
    /// What activators are told of routes.
    routes: Option<Arc<RoutesNews>>,
    /// Instances of all revisions.
    instances: usize,
    /// The revision of each instance that the controller started.
    started: BTreeMap<InstanceName, RevisionId>,
    /// When each revision is due next. An entry that differs from `Revision::scheduled` is stale.
    agenda: BinaryHeap<Reverse<(Timestamp, RevisionId)>>,
    /// The decisions of all revisions in the order in which they were made, by their numbers: the
    /// first entry is the one to drop when there are too many.
    decided: VecDeque<(RevisionId, u64)>,
    cold_starts: ColdStarts,
    turns: Turns,
    /// Seconds of the past that revisions hold which have not decided yet.
    history_seconds: usize,
    limits: Limits,
    undeclared: UndeclaredRevisions,
    stopping: bool,
}

/// What a report stream belongs to.
#[derive(Debug, Clone)]
enum Peer {
    Instance(RevisionId, InstanceName),
    Activator { claim: LoadCeiling, token: Option<Token> },
}

impl State {
    /// A controller without revisions and without streams.
    #[must_use]
    pub fn new(undeclared: UndeclaredRevisions) -> Self {
        Self {
            revisions: BTreeMap::new(),
            reporters: BTreeMap::new(),
            activators: BTreeSet::new(),
            routes: None,
            instances: 0,
            started: BTreeMap::new(),
            agenda: BinaryHeap::new(),
            decided: VecDeque::new(),
            cold_starts: ColdStarts::default(),
            turns: Turns::new(StartPace::UNPACED),
            history_seconds: 0,
            limits: Limits::default(),
            undeclared,
            stopping: false,
        }
    }

    /// Has no more instances start at a time than this allows, from the next event on.
    pub fn pace_starts(&mut self, pace: StartPace) {
        self.turns = Turns::new(pace);
    }

    /// When [`Event::Due`] has to be applied, if no other event is before.
    #[must_use]
    pub fn next_due(&self) -> Option<Timestamp> {
        let revision = self.agenda.peek().map(|Reverse((at, _))| *at);
        revision.into_iter().chain(self.turns.next_due()).min()
    }

    /// Changes the state by `event`, which happened at `now`, and returns what is to be done.
    pub fn apply(&mut self, now: Timestamp, event: Event) -> Vec<Effect> {
        let mut effects = Vec::new();
        self.take_in(now, event, &mut effects);
        self.give_turns(now, &mut effects);
        self.note_started(&effects);
        effects
    }

    fn take_in(&mut self, now: Timestamp, event: Event, effects: &mut Vec<Effect>) {
        match event {
            Event::Declare(declaration) => self.declare(now, *declaration, effects),
            Event::Resume { declaration, instances, next_number } => {
                self.resume(now, *declaration, (instances, next_number), effects);
            }
            Event::Undeclare(id) => self.undeclare(now, &id, effects),
            Event::Retire(id) => self.with(now, &id, effects, Revision::retire),
            Event::Connected { reporter, hello } => {
                self.connected(now, reporter, hello, effects);
            }
            Event::Reported { reporter, report } => {
                self.reported(now, reporter, &report, effects);
            }
            Event::Remembered { reporter, reports } => {
                self.remembered(now, reporter, &reports, effects);
            }
            Event::Known { reporter, instances } => {
                self.known(now, reporter, instances, effects);
            }
            Event::Disconnected { reporter } => self.disconnected(now, reporter, effects),
            Event::InstanceLaunched { instance, address } => {
                self.with_started(now, &instance, effects, |r, _| {
                    r.instance_launched(&instance, address);
                });
            }
            Event::InstanceStarted { instance } => {
                self.with_started(now, &instance, effects, |r, cx| {
                    r.instance_started(cx, &instance);
                });
            }
            Event::InstanceProved { instance, proof } => {
                self.with_started(now, &instance, effects, |r, cx| {
                    r.instance_proved(cx, &instance, proof);
                });
            }
            Event::Actuated { revision } => {
                self.with(now, &revision, effects, |r, cx| r.actuated_at = Some(cx.now));
            }
            Event::InstanceFailed { instance } => {
                self.with_started(now, &instance, effects, |r, cx| {
                    r.instance_failed(cx, &instance);
                });
            }
            Event::InstanceNotReady { instance, why } => {
                self.with_started(now, &instance, effects, |r, cx| {
                    r.instance_not_ready(cx, &instance, why);
                });
            }
            Event::InstanceLingers { instance, left_ms } => {
                effects.push(Effect::Announce(Notice::Lingers { instance, left_ms }));
            }
            Event::InstanceEnded { instance, ending } => {
                self.ended(now, &instance, ending, effects);
            }
            Event::Due => self.due(now, effects),
            Event::Routes(news) => {
                self.routes = Some(news);
                let activators = self.activators.iter().copied();
                tell_routes(self.routes.as_ref(), activators, effects);
            }
            Event::Restart(id) => self.with(now, &id, effects, Revision::restart),
            Event::Pin { revision, pin } => {
                self.with(now, &revision, effects, |r, cx| r.pin(cx, pin));
            }
            Event::Slack { starts } => self.turns.release(starts),
            Event::Stop(mode) => self.stop(now, mode, effects),
        }
    }

    /// Remembers whose the instances are that are started, or taken over, now.
    fn note_started(&mut self, effects: &[Effect]) {
        for effect in effects {
            if let Effect::Start { revision, instance, .. }
            | Effect::Adopt { revision, instance, .. } = effect
            {
                self.started.insert(instance.clone(), revision.clone());
            }
        }
    }

    /// Declares a revision of which instances of a run before are there.
    fn resume(
        &mut self,
        now: Timestamp,
        declaration: Declaration,
        (instances, next_number): (Vec<KeptInstance>, u64),
        effects: &mut Vec<Effect>,
    ) {
        let id = declaration.id.clone();
        if !self.revisions.contains_key(&id) {
            self.introduce(now, declaration, effects);
        }
        self.with(now, &id, effects, |revision, cx| {
            revision.take_over(cx, instances, next_number);
        });
    }

    fn declare(&mut self, now: Timestamp, declaration: Declaration, effects: &mut Vec<Effect>) {
        let id = declaration.id.clone();
        if self.revisions.contains_key(&id) {
            self.with(now, &id, effects, |revision, cx| revision.redeclare(cx, declaration));
            return;
        }
        self.introduce(now, declaration, effects);
        self.with(now, &id, effects, Revision::due);
    }

    /// Makes a revision known that was not, and tells activators of it.
    fn introduce(&mut self, now: Timestamp, declaration: Declaration, effects: &mut Vec<Effect>) {
        let revision = Revision::new(declaration, now);
        for reporter in &self.activators {
            introduce(&revision, *reporter, effects);
        }
        self.revisions.insert(revision.id().clone(), revision);
    }

    fn connected(
        &mut self,
        now: Timestamp,
        reporter: ReporterId,
        hello: Hello,
        effects: &mut Vec<Effect>,
    ) {
        let accepted = match hello {
            _ if self.reporters.len() >= self.limits.reporters => {
                full("streams", self.limits.reporters)
            }
            Hello::Activator { max_waiting, token, .. } => {
                let claim = LoadCeiling::of_activator(max_waiting);
                self.activator_connected(now, reporter, Peer::Activator { claim, token }, effects)
            }
            Hello::QueueProxy {
                revision,
                instance,
                address,
                container_concurrency: limit,
                max_waiting,
                counts_connections,
                start_unix_ms,
                token,
            } => {
                let sidecar = Sidecar {
                    instance,
                    address,
                    limit,
                    max_waiting,
                    counts_connections,
                    start_unix_ms,
                    token,
                };
                self.sidecar_connected(now, reporter, (revision, sidecar), effects)
            }
        };
        if let Err(refusal) = accepted {
            effects.push(Effect::Refuse { reporter, refusal });
        }
    }

    fn activator_connected(
        &mut self,
        now: Timestamp,
        reporter: ReporterId,
        peer: Peer,
        effects: &mut Vec<Effect>,
    ) -> Result<(), StreamRefusal> {
        let Peer::Activator { token, .. } = &peer else { return Ok(()) };
        let same = |other: &&ReporterId| match self.reporters.get(other) {
            Some(Peer::Activator { token: Some(known), .. }) => token.as_ref() == Some(known),
            _ => false,
        };
        // The stream before may be half-open: what it held will be reported again.
        if let Some(before) = self.activators.iter().find(same).copied() {
            self.replace(now, before, effects);
        }
        if self.activators.len() >= self.limits.activators {
            return full("activators", self.limits.activators);
        }
        self.reporters.insert(reporter, peer);
        self.activators.insert(reporter);
        let windows = self.revisions.values().map(|r| r.declaration.policy.history_seconds());
        let message = directive(windows.max().unwrap_or(1));
        effects.push(Effect::Send { reporter, message });
        tell_routes(self.routes.as_ref(), [reporter], effects);
        for revision in self.revisions.values() {
            introduce(revision, reporter, effects);
        }
        Ok(())
    }

    fn sidecar_connected(
        &mut self,
        now: Timestamp,
        reporter: ReporterId,
        (id, sidecar): (RevisionId, Sidecar),
        effects: &mut Vec<Effect>,
    ) -> Result<(), StreamRefusal> {
        self.adopt(now, &id, sidecar.limit, effects)?;
        let Some(revision) = self.revisions.get(&id) else { return Ok(()) };
        if revision.instances.get(&sidecar.instance).is_none() {
            if self.instances >= self.limits.instances {
                return full("instances", self.limits.instances);
            }
            if revision.instances.len() >= self.limits.instances_per_revision {
                return full("instances of this revision", self.limits.instances_per_revision);
            }
        }
        let before = revision.check(reporter, &sidecar)?;
        let message = directive(revision.declaration.policy.history_seconds());
        if let Some(before) = before {
            self.replace(now, before, effects);
        }
        effects.push(Effect::Send { reporter, message });
        let peer = Peer::Instance(id.clone(), sidecar.instance.clone());
        self.reporters.insert(reporter, peer);
        self.with(now, &id, effects, |r, cx| r.connected(cx, reporter, sidecar));
        Ok(())
    }

    /// Ends a stream whose reporter has opened another.
    fn replace(&mut self, now: Timestamp, before: ReporterId, effects: &mut Vec<Effect>) {
        self.disconnected(now, before, effects);
        effects.push(Effect::Refuse { reporter: before, refusal: StreamRefusal::Replaced });
    }

    /// Declares a revision that was never declared, if undeclared revisions are adopted.
    fn adopt(
        &mut self,
        now: Timestamp,
        id: &RevisionId,
        container_concurrency: u32,
        effects: &mut Vec<Effect>,
    ) -> Result<(), StreamRefusal> {
        if self.revisions.contains_key(id) {
            return Ok(());
        }
        let UndeclaredRevisions::Adopt(template) = &self.undeclared else {
            return Err(StreamRefusal::Undeclared(id.clone()));
        };
        if self.revisions.len() >= self.limits.revisions {
            return full("revisions", self.limits.revisions);
        }
        let declaration = template
            .declare(id.clone(), container_concurrency)
            .map_err(|violations| StreamRefusal::Settings(Box::new(violations)))?;
        self.declare(now, declaration, effects);
        Ok(())
    }

    fn reported(
        &mut self,
        now: Timestamp,
        reporter: ReporterId,
        report: &Report,
        effects: &mut Vec<Effect>,
    ) {
        match self.reporters.get(&reporter).cloned() {
            Some(Peer::Instance(id, instance)) => {
                let from = (reporter, &instance);
                self.with(now, &id, effects, |r, cx| r.instance_reported(cx, from, report));
            }
            Some(Peer::Activator { claim, .. }) => {
                if let Some(id) = &report.revision {
                    self.with(now, id, effects, |r, cx| {
                        r.activator_reported(cx, reporter, report, &claim);
                    });
                    self.note_cold_starts(report, effects);
                }
            }
            None => {}
        }
    }

    /// Keeps the cold starts of an activator's report, and announces those that are new.
    fn note_cold_starts(&mut self, report: &Report, effects: &mut Vec<Effect>) {
        let Some(id) = report.revision.as_ref().filter(|id| self.revisions.contains_key(id)) else {
            return;
        };
        for start in &report.cold_starts {
            if self.cold_starts.note(id, start) == Told::First {
                effects.push(Effect::Announce(Notice::ColdStarted(start.clone())));
            }
        }
    }

    fn remembered(
        &mut self,
        now: Timestamp,
        reporter: ReporterId,
        reports: &[Report],
        effects: &mut Vec<Effect>,
    ) {
        match self.reporters.get(&reporter).cloned() {
            Some(Peer::Instance(id, instance)) => {
                let from = (reporter, &instance);
                self.with(now, &id, effects, |r, cx| r.recall_instance(cx, from, reports));
            }
            Some(Peer::Activator { claim, .. }) => {
                for report in reports {
                    let Some(id) = &report.revision else { continue };
                    self.with(now, id, effects, |r, cx| {
                        r.recall_activator(cx, reporter, report, &claim);
                    });
                    self.note_cold_starts(report, effects);
                }
            }
            None => {}
        }
    }

    fn disconnected(&mut self, now: Timestamp, reporter: ReporterId, effects: &mut Vec<Effect>) {
        match self.reporters.remove(&reporter) {
            Some(Peer::Instance(id, instance)) => {
                self.with(now, &id, effects, |r, cx| r.disconnected(cx, reporter, &instance));
            }
            Some(Peer::Activator { .. }) => {
                self.activators.remove(&reporter);
                for revision in self.revisions.values_mut() {
                    revision.forget_activator(now, reporter);
                }
            }
            None => {}
        }
    }

    fn ended(
        &mut self,
        now: Timestamp,
        instance: &InstanceName,
        ending: Termination,
        effects: &mut Vec<Effect>,
    ) {
        if let Some(id) = self.started.remove(instance) {
            self.with(now, &id, effects, |r, cx| r.instance_ended(cx, instance, ending));
        }
        if self.stopping && self.started.is_empty() {
            effects.push(Effect::Announce(Notice::AllStopped));
        }
    }

    fn due(&mut self, now: Timestamp, effects: &mut Vec<Effect>) {
        while let Some(Reverse((at, _))) = self.agenda.peek() {
            if *at > now {
                return;
            }
            let Some(Reverse((at, id))) = self.agenda.pop() else { return };
            let Some(revision) = self.revisions.get_mut(&id) else { continue };
            if revision.scheduled != Some(at) {
                continue;
            }
            revision.scheduled = None;
            let is_due = revision.next_due().is_some_and(|due| due <= now);
            self.with(now, &id, effects, |revision, cx| {
                if is_due {
                    revision.due(cx);
                }
            });
        }
    }
}

fn full(what: &'static str, most: usize) -> Result<(), StreamRefusal> {
    Err(StreamRefusal::Full { what, most })
}

fn directive(history_seconds: u32) -> ServerMessage {
    ServerMessage::Directive { report_interval_ms: REPORT_INTERVAL_MS, history_seconds }
}

#[cfg(test)]
mod tests;
