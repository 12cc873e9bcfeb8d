//! One service: the revision that takes its requests, the one on its way in, and those on their
//! way out.

use std::fmt;

use tidegate_services::{Lead, Service, Template};

use super::step::{Facts, Step};

/// One service.
#[derive(Debug)]
pub(super) struct Standing {
    pub(super) wanted: Service,
    /// The revision that requests go to.
    pub(super) current: Option<Revision>,
    /// The one that is to take its place.
    pub(super) next: Option<Next>,
    /// Whether an instance has been ready.
    pub(super) was_ready: bool,
    /// Why there is no revision.
    pub(super) failure: Option<String>,
    /// Why it is waited for in vain, as somebody before it cannot be served.
    pub(super) blocked: Option<String>,
    /// What was tried last, and did not come up.
    pub(super) failed: Option<Template>,
    /// Whether the revision that requests go to will never have an instance.
    pub(super) is_hopeless: bool,
}

#[derive(Debug, Clone)]
pub(super) struct Revision {
    pub(super) name: String,
    pub(super) template: Template,
}

#[derive(Debug)]
pub(super) struct Next {
    pub(super) revision: Revision,
    pub(super) stage: Stage,
}

/// How far a revision is that is on its way in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// It waits for other services.
    Waiting,
    /// Its build runs, by this number.
    Building(u64),
    /// Its build is done.
    Built,
    /// It waits until the one before it has ended.
    Replacing,
    /// Its first instances start: so many have to be ready.
    Starting(u32),
    /// It gets more and more of the requests.
    RollingOut,
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Waiting => "waits",
            Self::Building(_) | Self::Built => "is built",
            Self::Replacing => "waits for the one before it to end",
            Self::Starting(_) => "starts",
            Self::RollingOut => "is rolled out",
        })
    }
}

/// How a service stands, for people and for other parts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) current: Option<String>,
    pub(crate) next: Option<(String, Stage)>,
    pub(crate) failure: Option<String>,
}

/// A revision that is on its way out.
#[derive(Debug)]
pub(super) struct Retiring {
    pub(super) revision: String,
    /// Whether who waits for it is to wait on: not where it will never have an instance.
    pub(super) patience: Patience,
    pub(super) stage: Leaving,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Patience {
    /// Requests that wait for it are served first.
    UntilServed,
    /// It will never serve them.
    None,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Leaving {
    /// Since when no request can come to it.
    Quiet(Option<u64>),
    /// Its instances drain.
    Draining,
}

impl Retiring {
    pub(super) fn of(revision: String) -> Self {
        Self { revision, patience: Patience::UntilServed, stage: Leaving::Quiet(None) }
    }
}

impl Retiring {
    /// Whether it is a revision of this service.
    pub(super) fn is_of(&self, service: &str) -> bool {
        let number = self.revision.strip_prefix(service).and_then(|rest| rest.strip_prefix('-'));
        number.is_some_and(|number| number.bytes().all(|byte| byte.is_ascii_digit()))
    }
}

impl Next {
    /// Whether the controller has been told of it.
    pub(super) fn is_declared(&self) -> bool {
        match self.stage {
            Stage::Waiting | Stage::Building(_) | Stage::Built | Stage::Replacing => false,
            Stage::Starting(_) | Stage::RollingOut => true,
        }
    }
}

impl Standing {
    pub(super) fn new(wanted: Service) -> Self {
        Self {
            wanted,
            current: None,
            next: None,
            was_ready: false,
            failure: None,
            blocked: None,
            failed: None,
            is_hopeless: false,
        }
    }

    pub(super) fn has(&self, revision: &str) -> bool {
        let next = self.next.as_ref().map(|next| &next.revision);
        self.current.iter().chain(next).any(|known| known.name == revision)
    }

    pub(super) fn stage(&mut self, stage: Stage) {
        if let Some(next) = &mut self.next {
            next.stage = stage;
        }
    }

    pub(super) fn note_ready(&mut self, facts: &Facts<'_>) {
        let is_ready = |revision: &Revision| facts.of(&revision.name).ready > 0;
        self.was_ready |= self.current.as_ref().is_some_and(is_ready);
    }

    /// The first revision, or the one after a pause: requests wait for it already.
    pub(super) fn become_current(&mut self, name: &str, steps: &mut Vec<Step>) {
        let Some(next) = self.next.take() else { return };
        steps.push(Step::Declare {
            service: name.to_owned(),
            revision: next.revision.name.clone(),
            template: next.revision.template.clone(),
            initial: self.wanted.scale.initial,
        });
        self.current = Some(next.revision);
        steps.push(Step::Route);
    }

    /// The next revision takes all requests.
    pub(super) fn swap(&mut self, name: &str, retiring: &mut Vec<Retiring>, steps: &mut Vec<Step>) {
        let Some(next) = self.next.take() else { return };
        let new = &next.revision.name;
        match &self.current {
            Some(old) => steps.push(Step::Tell(format!(
                "{name}: requests go to {new}; {} ends once it has none",
                old.name
            ))),
            None => steps.push(Step::Tell(format!("{name}: requests go to {new}"))),
        }
        let old = self.current.replace(next.revision);
        let patience = match std::mem::take(&mut self.is_hopeless) {
            true => Patience::None,
            false => Patience::UntilServed,
        };
        retiring.extend(old.map(|old| Retiring { patience, ..Retiring::of(old.name) }));
        steps.push(Step::Route);
    }

    pub(super) fn lead(&self) -> Lead<'_> {
        let next = self.next.as_ref();
        match (&self.current, next, &self.failure) {
            (Some(current), Some(next), _) if next.stage == Stage::RollingOut => {
                Lead::From(&current.name, &next.revision.name)
            }
            (Some(current), _, _) => Lead::To(&current.name),
            // They wait for it, unless that would be in vain.
            (None, Some(next), _) => match &self.blocked {
                Some(why) => Lead::Nowhere(why),
                None => Lead::To(&next.revision.name),
            },
            (None, None, Some(why)) => Lead::Nowhere(why),
            (None, None, None) => Lead::Nowhere("it is not there yet"),
        }
    }
}
