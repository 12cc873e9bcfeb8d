//! What becomes of the services of a file: which revision of each takes requests, which is on its
//! way in, which on its way out, and what is to be done next.
//!
//! It starts nothing and reads no clock: it is told what is seen, and returns steps, which its
//! owner carries out in their order.

use std::collections::BTreeMap;

use tidegate_services::{Lead, Rollout, Service, Services};

use super::standing::{Leaving, Next, Patience, Place, Retiring, Revision, Stage, Standing};
use super::step::{Facts, RolloutEnd, Step};
use crate::keep::KeptService;

/// How long nothing may have come for a revision before it ends: a request that had found its way
/// before the routes changed has arrived by then.
const UNASKED_MS: u64 = 500;

/// All services.
#[derive(Debug, Default)]
pub(crate) struct Fleet {
    services: BTreeMap<String, Standing>,
    retiring: Vec<Retiring>,
    /// The last number of each service's revisions, also of those that are gone.
    numbers: BTreeMap<String, u32>,
    builds: u64,
}

/// Whether what could not be had is tried again although nothing of it has changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Again {
    /// Only what has changed.
    Changed,
    /// What has changed, and what has failed.
    Failed,
}

impl Fleet {
    /// Goes on where a run before was, as far as the file still has the services: their revisions
    /// take requests until what the file says takes their place.
    pub(crate) fn resume(
        &mut self,
        kept: BTreeMap<String, KeptService>,
        services: &Services,
    ) -> Vec<Step> {
        let mut steps = Vec::new();
        for (name, KeptService { wanted, number, current, was_ready }) in kept {
            self.numbers.insert(name.clone(), number);
            let Some((revision, template)) = current else { continue };
            if !services.services.contains_key(&name) {
                continue;
            }
            let initial = wanted.scale.initial;
            steps.push(Step::Expect(revision.clone()));
            steps.push(Step::Declare {
                service: name.clone(),
                revision: revision.clone(),
                template: template.clone(),
                initial,
            });
            let current = Some(Revision { name: revision, template });
            self.services.insert(name, Standing { current, was_ready, ..Standing::new(wanted) });
        }
        steps
    }

    /// What a run that takes over has to know.
    pub(crate) fn to_keep(&self) -> BTreeMap<String, KeptService> {
        let keep = |(name, standing): (&String, &Standing)| {
            let current = standing.current.as_ref();
            let kept = KeptService {
                wanted: standing.wanted.clone(),
                number: self.numbers.get(name).copied().unwrap_or(0),
                current: current.map(|of| (of.name.clone(), of.template.clone())),
                was_ready: standing.was_ready,
            };
            (name.clone(), kept)
        };
        self.services.iter().map(keep).collect()
    }

    /// Follows a file from now on.
    pub(crate) fn follow(&mut self, services: &Services, again: Again) -> Vec<Step> {
        let mut steps = Vec::new();
        let gone: Vec<String> = self.services.keys().cloned().collect();
        for name in gone.into_iter().filter(|name| !services.services.contains_key(name)) {
            if let Some(mut standing) = self.services.remove(&name) {
                self.drop_next(&mut standing, &mut steps);
                self.retiring.extend(standing.current.map(|old| Retiring::of(old.name)));
            }
        }
        for (name, wanted) in &services.services {
            let mut standing = match self.services.remove(name) {
                Some(standing) => standing,
                None => Standing::new(wanted.clone()),
            };
            if again == Again::Failed {
                standing.failed = None;
            }
            self.want(name, &mut standing, wanted, &mut steps);
            self.services.insert(name.clone(), standing);
        }
        steps.push(Step::Route);
        steps
    }

    /// Has a service be as the file says.
    fn want(
        &mut self,
        name: &str,
        standing: &mut Standing,
        wanted: &Service,
        steps: &mut Vec<Step>,
    ) {
        let before = (&standing.wanted.scale, &standing.wanted.queue);
        let rescaled = before != (&wanted.scale, &wanted.queue);
        standing.wanted = wanted.clone();
        let newest = standing.next.as_ref().map(|next| &next.revision);
        let newest = newest.or(standing.current.as_ref()).map(|revision| &revision.template);
        if newest == Some(&wanted.template) {
            if rescaled {
                self.rescale(name, standing, steps);
            }
            return;
        }
        if standing.failed.as_ref() == Some(&wanted.template) && standing.next.is_none() {
            return;
        }
        // Back to what takes the requests: what was to take its place is not wanted any more.
        if standing.current.as_ref().is_some_and(|current| current.template == wanted.template) {
            self.drop_next(standing, steps);
            return;
        }
        let reused = self.drop_next(standing, steps);
        let revision = Revision {
            name: reused.unwrap_or_else(|| self.next_name(name)),
            template: wanted.template.clone(),
        };
        steps.push(Step::Expect(revision.name.clone()));
        standing.failure = None;
        standing.next = Some(Next { revision, stage: Stage::Waiting });
    }

    fn next_name(&mut self, service: &str) -> String {
        let number = self.numbers.entry(service.to_owned()).or_default();
        *number += 1;
        format!("{service}-{number:05}")
    }

    /// Scales what runs by other numbers, and orders what waits by other rules.
    fn rescale(&self, name: &str, standing: &Standing, steps: &mut Vec<Step>) {
        let next = standing.next.as_ref().filter(|next| next.is_declared());
        let running = standing.current.iter().chain(next.map(|next| &next.revision));
        steps.extend(running.map(|revision| Step::Declare {
            service: name.to_owned(),
            revision: revision.name.clone(),
            template: revision.template.clone(),
            initial: standing.wanted.scale.initial,
        }));
    }

    /// Gives up what was to take the place of the present revision. The name of one that nobody
    /// has heard of may be used again: requests may wait for it.
    fn drop_next(&mut self, standing: &mut Standing, steps: &mut Vec<Step>) -> Option<String> {
        let next = standing.next.take()?;
        if next.is_declared() {
            self.retiring.push(Retiring::of(next.revision.name));
            return None;
        }
        if standing.current.is_some() {
            // No request can have come to it.
            steps.push(Step::Unexpect(next.revision.name));
            return None;
        }
        Some(next.revision.name)
    }

    /// Whether something is under way that has to be looked at again soon.
    pub(crate) fn is_busy(&self) -> bool {
        let is_on_its_way = |standing: &Standing| standing.next.is_some();
        !self.retiring.is_empty() || self.services.values().any(is_on_its_way)
    }

    /// The service that a revision is of.
    pub(crate) fn service_of(&self, revision: &str) -> Option<&str> {
        let is_it = |standing: &Standing| standing.has(revision);
        let found = self.services.iter().find(|(_, standing)| is_it(standing));
        found.map(|(name, _)| name.as_str())
    }

    /// How every service stands.
    pub(crate) fn places(&self) -> BTreeMap<String, Place> {
        let place = |standing: &Standing| Place {
            current: standing.current.as_ref().map(|current| current.name.clone()),
            next: standing.next.as_ref().map(|next| (next.revision.name.clone(), next.stage)),
            failure: standing.failure.clone().or_else(|| standing.blocked.clone()),
        };
        self.services.iter().map(|(name, standing)| (name.clone(), place(standing))).collect()
    }

    /// Where the requests of each service go.
    pub(crate) fn leads(&self) -> BTreeMap<&str, Lead<'_>> {
        let services = self.services.iter();
        services.map(|(name, standing)| (name.as_str(), standing.lead())).collect()
    }

    /// A build has ended.
    pub(crate) fn built(&mut self, number: u64, result: Result<(), String>) -> Vec<Step> {
        let mut steps = Vec::new();
        let is_it = |standing: &Standing| {
            standing.next.as_ref().is_some_and(|next| next.stage == Stage::Building(number))
        };
        let found = self.services.iter().find(|(_, standing)| is_it(standing));
        let Some(name) = found.map(|(name, _)| name.clone()) else { return steps };
        match result {
            Ok(()) => self.with(&name, |_, standing| standing.stage(Stage::Built)),
            Err(why) => {
                let why = format!("its build failed: {why}");
                self.fail(&name, (&why, Patience::None), &mut steps);
            }
        }
        steps
    }

    /// No instance of a revision ever became ready.
    pub(crate) fn gave_up(&mut self, revision: &str, why: &str) -> Vec<Step> {
        let mut steps = Vec::new();
        for retiring in self.retiring.iter_mut().filter(|old| old.revision == revision) {
            retiring.patience = Patience::None;
        }
        let Some(name) = self.service_of(revision).map(str::to_owned) else { return steps };
        let next = self.services[&name].next.as_ref();
        if next.is_none_or(|next| next.revision.name == revision) {
            self.fail(&name, (why, Patience::None), &mut steps);
        } else {
            self.with(&name, |_, standing| standing.is_hopeless = true);
        }
        steps
    }

    fn with(&mut self, name: &str, act: impl FnOnce(&mut Vec<Retiring>, &mut Standing)) {
        if let Some(standing) = self.services.get_mut(name) {
            act(&mut self.retiring, standing);
        }
    }

    /// The newest revision of a service cannot be had.
    fn fail(&mut self, name: &str, (why, patience): (&str, Patience), steps: &mut Vec<Step>) {
        self.with(name, |retiring, standing| {
            let failed = standing.next.take();
            let was_known = failed.as_ref().is_none_or(Next::is_declared);
            let failed = failed.map(|next| next.revision).or_else(|| standing.current.take());
            let Some(Revision { name: revision, template }) = failed else { return };
            standing.failed = Some(template);
            match &standing.current {
                Some(current) => {
                    let stays = &current.name;
                    steps.push(Step::Tell(format!("{name} stays {stays}: {revision}: {why}")));
                }
                None => {
                    standing.failure = Some(why.to_owned());
                    steps.push(Step::Tell(format!("{name} cannot be served: {why}")));
                }
            }
            steps.push(Step::Route);
            let retired = Retiring { patience, ..Retiring::of(revision) };
            match was_known {
                true => retiring.push(retired),
                false => steps.push(Step::Unexpect(retired.revision)),
            }
        });
    }

    /// Does what is due by what is seen.
    pub(crate) fn look(&mut self, facts: &Facts<'_>) -> Vec<Step> {
        let mut steps = Vec::new();
        let names: Vec<String> = self.services.keys().cloned().collect();
        for name in &names {
            self.with(name, |_, standing| standing.note_ready(facts));
        }
        for name in &names {
            self.advance(name, facts, &mut steps);
            self.note_blocked(name, &mut steps);
        }
        self.retire(facts, &mut steps);
        steps
    }

    /// Takes the next revision of a service as far as it may go now.
    fn advance(&mut self, name: &str, facts: &Facts<'_>, steps: &mut Vec<Step>) {
        let Some(stage) = self.services[name].next.as_ref().map(|next| next.stage) else { return };
        match stage {
            Stage::Waiting if !self.may_start(name) => {}
            Stage::Waiting => self.begin(name, facts, steps),
            Stage::Building(_) => {}
            Stage::Built => self.declare(name, facts, steps),
            Stage::Replacing => {
                if !self.retiring.iter().any(|old| old.is_of(name)) {
                    self.with(name, |_, standing| standing.become_current(name, steps));
                }
            }
            Stage::Starting(needed) => {
                let next = self.services[name].next.as_ref();
                let ready = next.map_or(0, |next| facts.of(&next.revision.name).ready);
                if ready >= needed {
                    self.shift(name, steps);
                }
            }
            Stage::RollingOut => match facts.rollouts.get(name) {
                Some(RolloutEnd::Promoted) => self.swap(name, steps),
                Some(RolloutEnd::Returned(why)) => {
                    self.fail(name, (why, Patience::UntilServed), steps);
                }
                None => {}
            },
        }
    }

    /// Whether the services that a service is started after are ready. One that begins with no
    /// instance is as ready as it will be; one that is gone is waited for no more.
    fn may_start(&self, name: &str) -> bool {
        let is_ready = |after: &String| {
            self.services.get(after).is_none_or(|other| {
                let begins_empty = other.wanted.scale.initial == 0 && other.wanted.scale.min == 0;
                other.was_ready || (begins_empty && other.current.is_some())
            })
        };
        self.services[name].wanted.after.iter().all(is_ready)
    }

    /// Tells who comes for a service that it waits in vain, and when it does no more.
    fn note_blocked(&mut self, name: &str, steps: &mut Vec<Step>) {
        let standing = &self.services[name];
        let waits = standing.next.as_ref().is_some_and(|next| next.stage == Stage::Waiting);
        let mut before = standing.wanted.after.iter().filter(|_| waits);
        let blocked = before.find_map(|after| {
            let other = self.services.get(after)?;
            let why = other.failure.as_ref().or(other.blocked.as_ref())?;
            Some(format!("it comes after {after}, which cannot be served: {why}"))
        });
        if blocked == standing.blocked {
            return;
        }
        if let Some(why) = &blocked {
            steps.push(Step::Tell(format!("{name} waits: {why}")));
        }
        steps.push(Step::Route);
        self.with(name, |_, standing| standing.blocked = blocked);
    }

    fn begin(&mut self, name: &str, facts: &Facts<'_>, steps: &mut Vec<Step>) {
        let Some(next) = self.services[name].next.as_ref() else { return };
        let template = next.revision.template.clone();
        if template.build.is_none() {
            self.declare(name, facts, steps);
            return;
        }
        self.builds += 1;
        let number = self.builds;
        self.with(name, |_, standing| standing.stage(Stage::Building(number)));
        steps.push(Step::Build { service: name.to_owned(), number, template });
    }

    /// Has the next revision scaled, unless the one before it has to end first.
    fn declare(&mut self, name: &str, facts: &Facts<'_>, steps: &mut Vec<Step>) {
        self.with(name, |retiring, standing| {
            if standing.current.is_none() {
                standing.become_current(name, steps);
                return;
            }
            if standing.wanted.rollout == Rollout::Replace {
                standing.stage(Stage::Replacing);
                retiring.extend(standing.current.take().map(|old| Retiring::of(old.name)));
                steps.push(Step::Route);
                return;
            }
            let Some(current) = &standing.current else { return };
            let scale = &standing.wanted.scale;
            let needed = facts.of(&current.name).ready.max(scale.min).min(scale.max);
            let initial = needed.max(scale.initial);
            standing.stage(Stage::Starting(initial));
            if let Some(next) = &standing.next {
                steps.push(Step::Declare {
                    service: name.to_owned(),
                    revision: next.revision.name.clone(),
                    template: next.revision.template.clone(),
                    initial,
                });
            }
            if initial == 0 {
                standing.swap(name, retiring, steps);
            }
        });
    }

    /// The next revision is ready: it gets its requests, all or some.
    fn shift(&mut self, name: &str, steps: &mut Vec<Step>) {
        if !matches!(self.services[name].wanted.rollout, Rollout::Shares(_)) {
            self.swap(name, steps);
            return;
        }
        self.with(name, |_, standing| {
            standing.stage(Stage::RollingOut);
            steps.push(Step::Route);
        });
    }

    fn swap(&mut self, name: &str, steps: &mut Vec<Step>) {
        self.with(name, |retiring, standing| standing.swap(name, retiring, steps));
    }

    /// Lets revisions end that no request can come to.
    fn retire(&mut self, facts: &Facts<'_>, steps: &mut Vec<Step>) {
        self.retiring.retain_mut(|retiring| {
            let seen = facts.of(&retiring.revision);
            match retiring.stage {
                Leaving::Quiet(since) => {
                    let waits = retiring.patience == Patience::UntilServed && seen.waiting > 0;
                    if seen.is_routed || waits {
                        retiring.stage = Leaving::Quiet(None);
                        return true;
                    }
                    let since = since.unwrap_or(facts.now_ms);
                    retiring.stage = Leaving::Quiet(Some(since));
                    if facts.now_ms.saturating_sub(since) >= UNASKED_MS {
                        steps.push(Step::Retire(retiring.revision.clone()));
                        retiring.stage = Leaving::Draining;
                    }
                    true
                }
                Leaving::Draining if seen.instances > 0 => true,
                Leaving::Draining => {
                    steps.push(Step::Forget(retiring.revision.clone()));
                    false
                }
            }
        });
    }
}

#[cfg(test)]
mod tests;
