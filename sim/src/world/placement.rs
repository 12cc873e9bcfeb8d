//! Placement of instances on nodes, when the scenario has any.

use super::instance::{NO_NODE, Pull, State};
use super::{ScheduledEvent, World};
use crate::record::Observer;

impl<O: Observer> World<'_, O> {
    /// Finds a place for an instance, or lets it wait for one.
    pub(super) fn place_instance(&mut self, slot: u32) {
        let revision = self.instances[slot as usize].revision;
        let Some(nodes) = &mut self.nodes else { return self.start_instance(slot, Pull::Needed) };
        let Some(node) = nodes.find_room() else {
            nodes.wait(slot);
            return self.order_nodes();
        };
        let pulls = nodes.take_room(node, revision);
        self.instances[slot as usize].node = node;
        self.start_instance(slot, pulls);
    }

    /// Places an instance that is to be ready at time zero; returns whether it has all it needs for
    /// that: a place, or no need of one.
    pub(super) fn give_node_now(&mut self, slot: u32) -> bool {
        let revision = self.instances[slot as usize].revision;
        let Some(nodes) = &mut self.nodes else { return true };
        let Some(node) = nodes.find_room() else { return false };
        nodes.take_room(node, revision);
        self.instances[slot as usize].node = node;
        true
    }

    fn order_nodes(&mut self) {
        let Some(nodes) = &mut self.nodes else { return };
        for delay in nodes.order() {
            self.schedule(self.now.saturating_add(delay), ScheduledEvent::Node);
        }
    }

    /// An ordered node joins.
    pub(super) fn node_arrives(&mut self) {
        let Some(nodes) = &mut self.nodes else { return };
        let node = nodes.arrive(self.now);
        self.watch_empty_node(node);
        self.place_pending();
    }

    /// Places the instances that wait, in order, as far as there is room.
    fn place_pending(&mut self) {
        let Some(nodes) = &mut self.nodes else { return };
        for slot in nodes.take_pending() {
            // An instance that was dismissed while it waited has left, or its slot is another's.
            let place = self.instances.get(slot as usize);
            if place.is_some_and(|place| place.state == State::Pending && place.node == NO_NODE) {
                self.place_instance(slot);
            }
        }
    }

    /// An instance leaves its node.
    pub(super) fn leave_node(&mut self, node: u32) {
        let Some(empty) = self.nodes.as_mut().and_then(|nodes| nodes.leave(node, self.now)) else {
            return;
        };
        if empty {
            self.watch_empty_node(node);
        }
        if self.nodes.as_ref().is_some_and(|nodes| !nodes.is_enough()) {
            self.place_pending();
        }
    }

    fn watch_empty_node(&mut self, node: u32) {
        let Some(nodes) = &self.nodes else { return };
        self.schedule(
            nodes.idle_until(self.now),
            ScheduledEvent::NodeIdle { node, since: self.now },
        );
    }

    /// Removes a node that has been empty for long enough.
    pub(super) fn node_idles(&mut self, node: u32, since: u64) {
        if let Some(nodes) = &mut self.nodes {
            nodes.retire(node, since);
        }
    }

    /// Fails the fullest node with all its instances. A new one is ordered if instances need it.
    pub(super) fn fail_node(&mut self) {
        let Some(dead) = self.nodes.as_mut().and_then(|nodes| nodes.fail()) else { return };
        self.starts.lose(dead);
        let here = self.instances.iter().filter(|(_, place)| place.node == dead);
        let lost: Vec<u32> = here.map(|(key, _)| key as u32).collect();
        for slot in lost {
            if let Some(place) = self.instances.get_mut(slot as usize) {
                place.node = NO_NODE;
            }
            self.kill_instance(slot);
        }
    }
}
