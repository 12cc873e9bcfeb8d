//! The machines that instances run on, when the scenario has any.

use std::collections::BTreeSet;

use slab::Slab;

use super::instance::Pull;
use crate::random::{Stream, Streams};
use crate::scenario::NodeModel;

/// One machine.
#[derive(Debug, Clone)]
struct Node {
    used: u32,
    /// Revisions whose image it has.
    images: BTreeSet<u32>,
    /// Since when it holds nothing.
    empty_since: u64,
}

/// All machines, and the instances that wait for a place.
#[derive(Debug)]
pub(crate) struct Nodes {
    model: NodeModel,
    nodes: Slab<Node>,
    /// Nodes ordered that have not joined yet.
    ordered: u32,
    /// Instances that wait for room, in order of their creation.
    pending: Vec<u32>,
    stream: Stream,
}

impl Nodes {
    pub(crate) fn new(model: &NodeModel, streams: &Streams) -> Self {
        let mut nodes = Slab::new();
        for _ in 0..model.min {
            nodes.insert(Node { used: 0, images: BTreeSet::new(), empty_since: 0 });
        }
        let stream = streams.stream("node", 0);
        Nodes { model: model.clone(), nodes, ordered: 0, pending: Vec::new(), stream }
    }

    /// The fullest node with room: packing leaves others to fall empty and go.
    pub(crate) fn find_room(&self) -> Option<u32> {
        let open = self.nodes.iter().filter(|(_, node)| node.used < self.model.capacity);
        open.max_by_key(|(key, node)| (node.used, std::cmp::Reverse(*key)))
            .map(|(key, _)| key as u32)
    }

    /// An instance of `revision` takes a place on a node.
    pub(crate) fn take_room(&mut self, node: u32, revision: u32) -> Pull {
        let node = &mut self.nodes[node as usize];
        node.used += 1;
        if node.images.insert(revision) { Pull::Needed } else { Pull::Cached }
    }

    /// Queues an instance for a place; later ones queue behind it.
    pub(crate) fn wait(&mut self, slot: u32) {
        self.pending.push(slot);
    }

    /// Whether no instance waits for a place.
    pub(crate) fn is_enough(&self) -> bool {
        self.pending.is_empty()
    }

    /// Takes all instances that wait for a place, in order.
    pub(crate) fn take_pending(&mut self) -> Vec<u32> {
        std::mem::take(&mut self.pending)
    }

    /// Orders as many nodes as the waiting instances need; returns how long each takes,
    /// nanoseconds.
    pub(crate) fn order(&mut self) -> Vec<u64> {
        let needed = (self.pending.len() as u32).div_ceil(self.model.capacity.max(1));
        let room = self.model.max.saturating_sub(self.nodes.len() as u32 + self.ordered);
        let shortage = needed.saturating_sub(self.ordered).min(room);
        self.ordered += shortage;
        let provisioning = &self.model.provisioning;
        (0..shortage).map(|_| provisioning.sample(&mut self.stream).as_nanos()).collect()
    }

    /// Adds an ordered node, empty; returns its number.
    pub(crate) fn arrive(&mut self, now: u64) -> u32 {
        self.ordered = self.ordered.saturating_sub(1);
        self.nodes.insert(Node { used: 0, images: BTreeSet::new(), empty_since: now }) as u32
    }

    /// Takes an instance off its node; returns whether the node is empty now.
    pub(crate) fn leave(&mut self, node: u32, now: u64) -> Option<bool> {
        let left = self.nodes.get_mut(node as usize)?;
        left.used -= 1;
        if left.used == 0 {
            left.empty_since = now;
        }
        Some(left.used == 0)
    }

    /// When a node that is empty since `now` may be removed, nanoseconds.
    pub(crate) fn idle_until(&self, now: u64) -> u64 {
        now.saturating_add(self.model.idle.as_nanos())
    }

    /// Removes a node that has been empty since `since`, unless the minimum needs it.
    pub(crate) fn retire(&mut self, node: u32, since: u64) {
        let node = node as usize;
        let idle = |node: &Node| node.used == 0 && node.empty_since == since;
        if self.nodes.get(node).is_some_and(idle) && self.nodes.len() as u32 > self.model.min {
            self.nodes.remove(node);
        }
    }

    /// Fails the fullest node; returns its number.
    pub(crate) fn fail(&mut self) -> Option<u32> {
        let fullest = self.nodes.iter().max_by_key(|(key, node)| (node.used, *key));
        let dead = fullest.map(|(key, _)| key)?;
        self.nodes.remove(dead);
        Some(dead as u32)
    }
}
