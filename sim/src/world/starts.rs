//! The starts of instances, ordered or in progress: what they wait for, and what they share.

use std::collections::{BTreeMap, VecDeque};

use super::contention::SharedProcessor;
use super::turns::{InTurn, Ordered};
use crate::scenario::{Contention, StartModel, StartsInTurns};

/// The starts of all revisions.
#[derive(Debug)]
pub(crate) struct Starts {
    pub(super) law: Contention,
    /// Whose turn it is, where starts are paced.
    pub(super) in_turn: Option<InTurn>,
    /// What the control plane takes for one start.
    pub(super) each_ns: u64,
    /// Instances that wait for the control plane.
    pub(super) ordered: VecDeque<Ordered>,
    /// Whether the control plane is at work on one.
    pub(super) busy: bool,
    /// By node; without nodes there is one machine.
    pub(super) machines: BTreeMap<u32, Machine>,
    /// The number of the next start-up.
    pub(super) next_job: u64,
}

/// The start-ups in progress on one machine.
#[derive(Debug)]
pub(super) struct Machine {
    pub(super) shared: SharedProcessor,
    /// When the next of them is done; an event at another time is stale.
    pub(super) due_at: u64,
}

impl Starts {
    pub(crate) fn new(model: &StartModel) -> Self {
        Starts {
            law: model.contention.clone(),
            in_turn: model.in_turns.as_ref().map(InTurn::new),
            each_ns: model.per_second.map_or(0, |rate| (1e9 / rate) as u64),
            ordered: VecDeque::new(),
            busy: false,
            machines: BTreeMap::new(),
            next_job: 0,
        }
    }

    /// Whether start-ups on one machine slow each other.
    pub(crate) fn slow_each_other(&self) -> bool {
        self.law != Contention::None
    }

    /// A node is lost with everything on it.
    pub(crate) fn lose(&mut self, node: u32) {
        self.machines.remove(&node);
    }
}

impl StartModel {
    /// What is wrong with it, in words for the user.
    pub(crate) fn problem(&self) -> Option<String> {
        let rate = self.per_second.filter(|rate| !(rate.is_finite() && *rate > 0.0));
        rate.map(|rate| format!("the control plane starts {rate} a second, expected more than 0"))
            .or_else(|| self.contention.problem())
            .or_else(|| self.in_turns.as_ref().and_then(StartsInTurns::problem))
    }
}
