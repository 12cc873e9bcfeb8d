//! One front door, as its instance knows it.

use std::collections::BTreeMap;
use std::time::Duration;

use super::DoorId;
use crate::credits::message::{Granted, Orders, Report, Tenure};
use crate::time::Moment;

/// What is at a credit's place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// Nothing, or a request that is still on its way.
    Promised,
    /// A request.
    Taken,
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Credit {
    pub(super) place: Place,
    pub(super) tenure: Tenure,
    /// It was recalled, and its door has not answered: it may spend it until then.
    pub(super) recalled: bool,
    /// Requests that came with it.
    pub(super) uses: u32,
}

#[derive(Debug, Clone)]
pub(super) struct Door {
    pub(super) id: DoorId,
    pub(super) credits: BTreeMap<u64, Credit>,
    /// The newest credit that was granted.
    pub(super) last_number: u64,
    /// The newest credit that the door's numbers include.
    seen: u64,
    waiting: u32,
    oldest: Moment,
    newest: Moment,
    /// Rises with each grant of the instance, so that equals take turns.
    pub(super) granted_last: u64,
    /// What is to be told next.
    pub(super) granted: Vec<Granted>,
    recalled: Vec<u64>,
    pub(super) voided: Vec<u64>,
    sequence: u64,
    answered: u64,
    /// Whether it was told that there are others.
    shared: bool,
    /// Since when it owes an answer.
    pub(super) unanswered_since: Option<Moment>,
}

impl Door {
    pub(super) fn new(id: DoorId, now: Moment) -> Self {
        Self {
            id,
            credits: BTreeMap::new(),
            last_number: 0,
            seen: 0,
            waiting: 0,
            oldest: now,
            newest: now,
            granted_last: 0,
            granted: Vec::new(),
            recalled: Vec::new(),
            voided: Vec::new(),
            sequence: 0,
            answered: 0,
            shared: false,
            unanswered_since: None,
        }
    }

    /// Credits that its last report does not include.
    fn on_the_way(&self) -> u64 {
        self.last_number - self.seen
    }

    /// Its requests that wait, less those that have a credit on the way.
    pub(super) fn unmet(&self) -> u64 {
        u64::from(self.waiting).saturating_sub(self.on_the_way())
    }

    /// Credits that may come back soon without another word: recalled ones that may be idle.
    pub(super) fn coming(&self) -> u64 {
        let coming = |credit: &&Credit| {
            credit.recalled && credit.place == Place::Promised && !credit.is_once()
        };
        self.credits.values().filter(coming).count() as u64
    }

    /// When its next request without a credit arrived, as far as can be told: between the oldest
    /// and the newest the others are taken to lie evenly.
    pub(super) fn next_arrived(&self) -> Moment {
        let others = u64::from(self.waiting).saturating_sub(1);
        let Some(span) = self.newest.since(self.oldest).as_nanos().checked_div(others.into())
        else {
            return self.oldest;
        };
        let span = u64::try_from(span).unwrap_or(u64::MAX);
        self.oldest.after(Duration::from_nanos(span.saturating_mul(self.on_the_way())))
    }

    /// Takes a report's numbers. No peer is believed to have seen what it was not sent.
    pub(super) fn hear(&mut self, now: Moment, report: &Report) {
        self.seen = report.seen.clamp(self.seen, self.last_number);
        self.waiting = report.waiting;
        self.oldest = report.oldest.min(now);
        self.newest = report.newest.min(now).max(self.oldest);
        let answered = report.answered.clamp(self.answered, self.sequence);
        let progress = answered > self.answered;
        self.answered = answered;
        if answered == self.sequence {
            self.unanswered_since = None;
        } else if progress && self.unanswered_since.is_some() {
            self.unanswered_since = Some(now);
        }
    }

    /// Recalls up to `most` kept credits at such places. Gives how many.
    pub(super) fn recall(&mut self, most: u64, at: impl Fn(Place) -> bool) -> u32 {
        let mut recalled = 0;
        for (number, credit) in &mut self.credits {
            if u64::from(recalled) >= most {
                break;
            }
            if at(credit.place) && !credit.is_once() && !credit.recalled {
                credit.recalled = true;
                self.recalled.push(*number);
                recalled += 1;
            }
        }
        recalled
    }

    /// What is to be told, where so many doors are open.
    pub(super) fn take_orders(&mut self, now: Moment, doors: usize) -> Option<Orders> {
        let known = std::mem::replace(&mut self.shared, doors > 1);
        let nothing = self.granted.is_empty() && self.recalled.is_empty() && self.voided.is_empty();
        if nothing && known == self.shared {
            return None;
        }
        self.sequence += 1;
        // A kept credit may be idle for ever, and nobody waits for it.
        let due = !self.recalled.is_empty()
            || self.granted.iter().any(|granted| granted.tenure == Tenure::Once);
        if due && self.unanswered_since.is_none() {
            self.unanswered_since = Some(now);
        }
        Some(Orders {
            sequence: self.sequence,
            granted: core::mem::take(&mut self.granted),
            recalled: core::mem::take(&mut self.recalled),
            voided: core::mem::take(&mut self.voided),
            shared: self.shared,
        })
    }
}

impl Credit {
    fn is_once(&self) -> bool {
        self.tenure == Tenure::Once
    }
}
