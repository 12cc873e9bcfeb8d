//! The machines that instances run on, when the scenario has any.

use std::collections::BTreeSet;

use slab::Slab;

use super::fleet::Pull;
use super::instance::{NO_NODE, State};
use super::{Rare, World};
use crate::random::{Stream, Streams};
use crate::record::Observer;
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

/// All machines, and who waits for room.
#[derive(Debug)]
pub(super) struct Nodes {
    model: NodeModel,
    nodes: Slab<Node>,
    /// Nodes on their way.
    ordered: u32,
    /// Instances that wait for room, in order of their creation.
    pending: Vec<u32>,
    stream: Stream,
}

impl Nodes {
    pub(super) fn new(model: &NodeModel, streams: &Streams) -> Self {
        let mut nodes = Slab::new();
        for _ in 0..model.min {
            nodes.insert(Node { used: 0, images: BTreeSet::new(), empty_since: 0 });
        }
        let stream = streams.stream("node", 0);
        Nodes { model: model.clone(), nodes, ordered: 0, pending: Vec::new(), stream }
    }

    /// The fullest node with room: packing leaves others to fall empty and go.
    fn find_room(&self) -> Option<u32> {
        let open = self.nodes.iter().filter(|(_, node)| node.used < self.model.capacity);
        open.max_by_key(|(key, node)| (node.used, std::cmp::Reverse(*key)))
            .map(|(key, _)| key as u32)
    }

    fn take_room(&mut self, node: u32, revision: u32) -> Pull {
        let node = &mut self.nodes[node as usize];
        node.used += 1;
        if node.images.insert(revision) { Pull::Needed } else { Pull::Cached }
    }

    /// Nodes to order so that all who wait will have room.
    fn shortage(&self) -> u32 {
        let needed = (self.pending.len() as u32).div_ceil(self.model.capacity.max(1));
        let room = self.model.max.saturating_sub(self.nodes.len() as u32 + self.ordered);
        needed.saturating_sub(self.ordered).min(room)
    }
}

impl<O: Observer> World<'_, O> {
    /// Finds a place for an instance, or lets it wait for one.
    pub(super) fn place_instance(&mut self, slot: u32) {
        let revision = self.instances[slot as usize].revision;
        let Some(nodes) = &mut self.nodes else { return self.start_instance(slot, Pull::Needed) };
        let Some(node) = nodes.find_room() else {
            nodes.pending.push(slot);
            return self.order_nodes();
        };
        let pulls = nodes.take_room(node, revision);
        self.instances[slot as usize].node = node;
        self.start_instance(slot, pulls);
    }

    /// An instance that is there from the beginning takes a place if there is one.
    pub(super) fn give_node_now(&mut self, slot: u32) {
        let revision = self.instances[slot as usize].revision;
        if let Some(nodes) = &mut self.nodes
            && let Some(node) = nodes.find_room()
        {
            nodes.take_room(node, revision);
            self.instances[slot as usize].node = node;
        }
    }

    fn order_nodes(&mut self) {
        let Some(nodes) = &mut self.nodes else { return };
        let shortage = nodes.shortage();
        nodes.ordered += shortage;
        for _ in 0..shortage {
            let Some(nodes) = &mut self.nodes else { return };
            let delay = nodes.model.provisioning.sample(&mut nodes.stream).as_nanos();
            self.push_rare(self.now.saturating_add(delay), Rare::Node);
        }
    }

    /// A node that was ordered is there.
    pub(super) fn node_arrives(&mut self) {
        let now = self.now;
        let Some(nodes) = &mut self.nodes else { return };
        nodes.ordered = nodes.ordered.saturating_sub(1);
        let node = Node { used: 0, images: BTreeSet::new(), empty_since: now };
        let key = nodes.nodes.insert(node) as u32;
        self.watch_empty_node(key);
        self.place_pending();
    }

    /// Gives room to those who wait, in order.
    fn place_pending(&mut self) {
        let Some(nodes) = &mut self.nodes else { return };
        let waiting = std::mem::take(&mut nodes.pending);
        for slot in waiting {
            // An instance that was dismissed while it waited has left, or its slot is another's.
            let place = self.instances.get(slot as usize);
            if place.is_some_and(|place| place.state == State::Pending && place.node == NO_NODE) {
                self.place_instance(slot);
            }
        }
    }

    /// An instance leaves its node.
    pub(super) fn leave_node(&mut self, node: u32) {
        let now = self.now;
        let Some(nodes) = &mut self.nodes else { return };
        let Some(left) = nodes.nodes.get_mut(node as usize) else { return };
        left.used -= 1;
        if left.used == 0 {
            left.empty_since = now;
            self.watch_empty_node(node);
        }
        if self.nodes.as_ref().is_some_and(|nodes| !nodes.pending.is_empty()) {
            self.place_pending();
        }
    }

    fn watch_empty_node(&mut self, node: u32) {
        let Some(nodes) = &self.nodes else { return };
        let at = self.now.saturating_add(nodes.model.idle.as_nanos());
        self.push_rare(at, Rare::NodeIdle { node, since: self.now });
    }

    /// A node has been empty for so long that it may go.
    pub(super) fn node_idles(&mut self, node: u32, since: u64) {
        let Some(nodes) = &mut self.nodes else { return };
        let idle = nodes
            .nodes
            .get(node as usize)
            .is_some_and(|node| node.used == 0 && node.empty_since == since);
        if idle && nodes.nodes.len() as u32 > nodes.model.min {
            nodes.nodes.remove(node as usize);
        }
    }

    /// The fullest node dies with all its instances. A new one is ordered if somebody needs it.
    pub(super) fn fail_node(&mut self) {
        let Some(nodes) = &mut self.nodes else { return };
        let fullest = nodes.nodes.iter().max_by_key(|(key, node)| (node.used, *key));
        let Some(dead) = fullest.map(|(key, _)| key) else { return };
        nodes.nodes.remove(dead);
        let here = |node: u32| node as usize == dead;
        let lost: Vec<u32> = self
            .instances
            .iter()
            .filter(|(_, place)| here(place.node))
            .map(|(key, _)| key as u32)
            .collect();
        for slot in lost {
            if let Some(place) = self.instances.get_mut(slot as usize) {
                place.node = NO_NODE;
            }
            self.kill_instance(slot);
        }
    }
}
