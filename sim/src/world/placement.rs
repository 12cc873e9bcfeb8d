//! Placement of instances on nodes, when the scenario has any.

use super::instance::{Instance, NO_NODE, Pull, State};
use super::nodes::Order;
use super::{ScheduledEvent, World};
use crate::record::Observer;
use crate::time::SimSpan;

impl<O: Observer> World<'_, O> {
    /// Finds a place for an instance, or lets it wait for one.
    pub(super) fn place_instance(&mut self, slot: u32) {
        if self.nodes.is_none() {
            return self.start_instance(slot, Pull::Needed);
        }
        if let Some(pulls) = self.take_room(slot) {
            return self.start_instance(slot, pulls);
        }
        let gpus = self.gpus_of(slot);
        let ordered = self.instances[slot as usize].in_slot(slot);
        let order = self.nodes.as_mut().and_then(|nodes| nodes.wait(ordered, gpus));
        self.expect_nodes(order);
    }

    /// Places an instance that is to be ready at time zero; returns whether it has all it needs for
    /// that: a place, or no need of one.
    pub(super) fn give_node_now(&mut self, slot: u32) -> bool {
        self.nodes.is_none() || self.take_room(slot).is_some()
    }

    /// Takes a place on a node with room, if there is any.
    fn take_room(&mut self, slot: u32) -> Option<Pull> {
        let gpus = self.gpus_of(slot);
        let nodes = self.nodes.as_mut()?;
        let node = nodes.find_room(gpus)?;
        let place = &mut self.instances[slot as usize];
        (place.node, place.speed) = (node, nodes.speed(node));
        Some(nodes.take_room(node, place.revision, gpus))
    }

    fn gpus_of(&self, slot: u32) -> u32 {
        let revision = self.instances[slot as usize].revision;
        self.revisions[revision as usize].model.gpus
    }

    /// Schedules the arrival of nodes that were ordered.
    fn expect_nodes(&mut self, orders: impl IntoIterator<Item = Order>) {
        for (kind, delay) in orders {
            self.schedule(self.now.saturating_add(delay), ScheduledEvent::Node { kind });
        }
    }

    /// An ordered node joins.
    pub(super) fn node_arrives(&mut self, kind: usize) {
        let Some(nodes) = &mut self.nodes else { return };
        let node = nodes.arrive(kind, self.now);
        self.watch_empty_node(node);
        self.place_pending();
    }

    /// Places the instances that wait, in order, as far as there is room.
    fn place_pending(&mut self) {
        let Some(nodes) = &mut self.nodes else { return };
        for ordered in nodes.take_pending() {
            // One that was dismissed while it waited has left, and its slot may be one's that has
            // not its turn yet.
            let is_placed = |place: &Instance| place.node != NO_NODE;
            let place = self.instances.get(ordered.slot as usize);
            if self.is_still(ordered, State::Pending) && !place.is_some_and(is_placed) {
                self.place_instance(ordered.slot);
            }
        }
    }

    /// An instance leaves its node.
    pub(super) fn leave_node(&mut self, node: u32, gpus: u32) {
        let left = self.nodes.as_mut().and_then(|nodes| nodes.leave(node, gpus, self.now));
        let Some(empty) = left else { return };
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
            nodes.idle_until(node, self.now),
            ScheduledEvent::NodeIdle { node, since: self.now },
        );
    }

    /// Removes a node that has been empty for long enough.
    pub(super) fn node_idles(&mut self, node: u32, since: u64) {
        if let Some(nodes) = &mut self.nodes {
            nodes.retire(node, since, self.now);
        }
    }

    /// A node is to be gone `notice` from now, with all its instances. New ones are ordered if
    /// instances need them.
    pub(super) fn dismiss_node(&mut self, node: u32, notice: SimSpan) {
        let Some(number) = self.nodes.as_mut().and_then(|nodes| nodes.close(node)) else { return };
        if notice == SimSpan::ZERO {
            return self.lose_node(node);
        }
        for slot in self.instances_on(node) {
            self.dismiss_instance(slot, notice);
        }
        let gone = self.now.saturating_add(notice.as_nanos());
        self.schedule(gone, ScheduledEvent::NodeGone { node, number });
        self.replace_nodes();
    }

    /// The notice of a node is over.
    pub(super) fn notice_is_over(&mut self, node: u32, number: u64) {
        // It may have failed meanwhile, and its place is another's.
        if self.nodes.as_ref().is_some_and(|nodes| nodes.is(node, number)) {
            self.lose_node(node);
            self.replace_all_lost();
        }
    }

    /// A node goes with all its instances.
    fn lose_node(&mut self, node: u32) {
        self.starts.lose(node);
        let here = self.instances_on(node);
        if let Some(nodes) = &mut self.nodes {
            nodes.lose(node, self.now);
        }
        for slot in here {
            if let Some(place) = self.instances.get_mut(slot as usize) {
                place.node = NO_NODE;
            }
            self.kill_instance(slot);
        }
        self.replace_nodes();
    }

    fn instances_on(&self, node: u32) -> Vec<u32> {
        let here = self.instances.iter().filter(|(_, place)| place.node == node);
        here.map(|(key, _)| key as u32).collect()
    }

    /// Orders nodes in the place of lost ones, and lets those that wait order anew.
    fn replace_nodes(&mut self) {
        let orders = self.nodes.as_mut().map(super::nodes::Nodes::replace);
        self.expect_nodes(orders.into_iter().flatten());
        self.place_pending();
    }
}
