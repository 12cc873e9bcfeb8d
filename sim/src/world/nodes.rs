//! The machines that instances run on, when the scenario has any.

use std::collections::{BTreeMap, BTreeSet};

use slab::Slab;

use super::instance::Pull;
use super::turns::Ordered;
use crate::random::{Stream, Streams};
use crate::scenario::{NodeModel, Tenure};
use crate::time::NANOS_PER_SEC;
use crate::usage::NodeUsage;

/// Nanoseconds of an hour.
const HOUR_NS: f64 = 3_600.0 * NANOS_PER_SEC as f64;

/// One machine.
#[derive(Debug, Clone)]
struct Node {
    /// Its kind, by its place in the scenario.
    kind: usize,
    /// Its number in the run; places in the slab are used again.
    number: u64,
    used: u32,
    gpus_used: u32,
    /// Revisions whose image it has.
    images: BTreeSet<u32>,
    /// Since when it holds nothing.
    empty_since: u64,
    /// It is to be taken away, and takes nothing new.
    leaving: bool,
}

/// A kind of node: how many there are, how many are on their way, and for how long they were there.
#[derive(Debug)]
struct Kind {
    model: NodeModel,
    present: u32,
    /// Of these, the ones that are to be taken away; they no longer count.
    leaving: u32,
    /// Ordered and not there yet.
    ordered: u32,
    /// Of those, the ones that no waiting instance has a place on yet.
    unclaimed: u32,
    /// What is left of the one on which the last waiting instance has a place.
    open: Room,
    stream: Stream,
    /// Nodes times nanoseconds, up to `counted`.
    area: u128,
    usage: NodeUsage,
}

/// Room on a node.
#[derive(Debug, Clone, Copy, Default)]
struct Room {
    slots: u32,
    gpus: u32,
}

impl Room {
    /// Takes a place for an instance, if there is one.
    fn take(&mut self, gpus: u32) -> bool {
        let fits = self.slots > 0 && self.gpus >= gpus;
        if fits {
            self.slots -= 1;
            self.gpus -= gpus;
        }
        fits
    }
}

/// A node that is on its way: its kind, and how long it takes, nanoseconds.
pub(crate) type Order = (usize, u64);

/// All machines, and the instances that wait for a place.
#[derive(Debug)]
pub(crate) struct Nodes {
    kinds: Vec<Kind>,
    nodes: Slab<Node>,
    /// Instances that wait for room, in order of their creation.
    pending: Vec<Ordered>,
    next_number: u64,
    /// Areas are complete up to here, nanoseconds.
    counted: u64,
}

impl Kind {
    fn room(&self) -> Room {
        Room { slots: self.model.capacity, gpus: self.model.gpus }
    }

    /// Nodes that are there to stay, or on their way.
    fn staying(&self) -> u32 {
        self.present - self.leaving + self.ordered
    }

    /// Orders a node, if there may be another one; returns how long it takes.
    fn order(&mut self) -> Option<u64> {
        if self.staying() >= self.model.max {
            return None;
        }
        self.ordered += 1;
        Some(self.model.provisioning.sample(&mut self.stream).as_nanos())
    }
}

impl Nodes {
    pub(crate) fn new(models: &[NodeModel], streams: &Streams) -> Self {
        let kind = |(number, model): (usize, &NodeModel)| Kind {
            model: model.clone(),
            present: 0,
            leaving: 0,
            ordered: 0,
            unclaimed: 0,
            open: Room::default(),
            stream: streams.stream("node", number as u64),
            area: 0,
            usage: NodeUsage::default(),
        };
        let mut nodes = Nodes {
            kinds: models.iter().enumerate().map(kind).collect(),
            nodes: Slab::new(),
            pending: Vec::new(),
            next_number: 0,
            counted: 0,
        };
        for (kind, model) in models.iter().enumerate() {
            (0..model.min).for_each(|_| {
                nodes.add(kind, 0);
            });
        }
        nodes
    }

    fn add(&mut self, kind: usize, now: u64) -> u32 {
        let number = self.next_number;
        self.next_number += 1;
        let of = &mut self.kinds[kind];
        of.present += 1;
        of.usage.most = of.usage.most.max(u64::from(of.present));
        self.nodes.insert(Node {
            kind,
            number,
            used: 0,
            gpus_used: 0,
            images: BTreeSet::new(),
            empty_since: now,
            leaving: false,
        }) as u32
    }

    /// Carries the hours forward to `now`. Must come before every change of the number of nodes.
    fn advance(&mut self, now: u64) {
        let elapsed = u128::from(now - self.counted);
        self.counted = now;
        for kind in &mut self.kinds {
            kind.area += u128::from(kind.present) * elapsed;
        }
    }

    /// Forgets the hours so far: the warm-up is over.
    pub(crate) fn restart(&mut self, now: u64) {
        self.counted = now;
        for kind in &mut self.kinds {
            kind.area = 0;
            kind.usage = NodeUsage { most: u64::from(kind.present), ..NodeUsage::default() };
        }
    }

    /// How nodes were used until `end`, by their kind.
    pub(crate) fn usage(&mut self, end: u64) -> BTreeMap<String, NodeUsage> {
        self.advance(end.max(self.counted));
        let of = |kind: &Kind| {
            let hours = kind.area as f64 / HOUR_NS;
            (kind.model.name.clone(), NodeUsage { hours, ..kind.usage })
        };
        self.kinds.iter().map(of).collect()
    }

    /// How many times as fast as usual a node serves.
    pub(crate) fn speed(&self, node: u32) -> f64 {
        self.nodes.get(node as usize).map_or(1.0, |node| self.kinds[node.kind].model.speed)
    }

    /// The fullest node with room of the first kind that has any: packing leaves others to fall
    /// empty and go.
    pub(crate) fn find_room(&self, gpus: u32) -> Option<u32> {
        let open = self.nodes.iter().filter(|(_, node)| {
            let model = &self.kinds[node.kind].model;
            let fits = gpus == 0 || node.gpus_used + gpus <= model.gpus;
            fits && !node.leaving && node.used < model.capacity
        });
        open.max_by_key(|(key, node)| {
            let preference = std::cmp::Reverse(node.kind);
            (preference, node.used, std::cmp::Reverse(*key))
        })
        .map(|(key, _)| key as u32)
    }

    /// An instance of `revision` takes a place on a node.
    pub(crate) fn take_room(&mut self, node: u32, revision: u32, gpus: u32) -> Pull {
        let node = &mut self.nodes[node as usize];
        node.used += 1;
        node.gpus_used += gpus;
        if node.images.insert(revision) { Pull::Needed } else { Pull::Cached }
    }

    /// Queues an instance for a place; later ones queue behind it. Returns the node that it makes
    /// necessary, if there may be one.
    pub(crate) fn wait(&mut self, ordered: Ordered, gpus: u32) -> Option<Order> {
        self.pending.push(ordered);
        for (number, kind) in self.kinds.iter_mut().enumerate() {
            if kind.model.gpus < gpus {
                continue;
            }
            if kind.open.take(gpus) {
                return None;
            }
            let order = match kind.unclaimed {
                0 => Some(kind.order()),
                _ => {
                    kind.unclaimed -= 1;
                    None
                }
            };
            if let Some(None) = order {
                // There are as many of this kind as there may be.
                continue;
            }
            kind.open = kind.room();
            kind.open.take(gpus);
            return order.flatten().map(|delay| (number, delay));
        }
        None
    }

    /// Whether no instance waits for a place.
    pub(crate) fn is_enough(&self) -> bool {
        self.pending.is_empty()
    }

    /// Takes all instances that wait for a place, in order; those that still find none come back
    /// by `wait`.
    pub(crate) fn take_pending(&mut self) -> Vec<Ordered> {
        for kind in &mut self.kinds {
            kind.unclaimed = kind.ordered;
            kind.open = Room::default();
        }
        std::mem::take(&mut self.pending)
    }

    /// Adds an ordered node, empty; returns its number.
    pub(crate) fn arrive(&mut self, kind: usize, now: u64) -> u32 {
        self.advance(now);
        let of = &mut self.kinds[kind];
        of.ordered = of.ordered.saturating_sub(1);
        of.usage.joined += 1;
        self.add(kind, now)
    }

    /// Takes an instance off its node; returns whether the node is empty now.
    pub(crate) fn leave(&mut self, node: u32, gpus: u32, now: u64) -> Option<bool> {
        let left = self.nodes.get_mut(node as usize)?;
        left.used -= 1;
        left.gpus_used -= gpus;
        if left.used == 0 {
            left.empty_since = now;
        }
        Some(left.used == 0)
    }

    /// When a node that is empty since `now` may be removed, nanoseconds.
    pub(crate) fn idle_until(&self, node: u32, now: u64) -> u64 {
        let kind = self.nodes.get(node as usize).map(|node| &self.kinds[node.kind].model);
        now.saturating_add(kind.map_or(0, |model| model.idle.as_nanos()))
    }

    /// Removes a node that has been empty since `since`, unless the minimum needs it.
    pub(crate) fn retire(&mut self, node: u32, since: u64, now: u64) {
        let idle = |node: &&Node| node.used == 0 && node.empty_since == since && !node.leaving;
        let Some(found) = self.nodes.get(node as usize).filter(idle) else { return };
        let kind = &self.kinds[found.kind];
        if kind.present - kind.leaving > kind.model.min {
            self.remove(node, now);
        }
    }

    fn remove(&mut self, node: u32, now: u64) {
        self.advance(now);
        if let Some(gone) = self.nodes.try_remove(node as usize) {
            let kind = &mut self.kinds[gone.kind];
            kind.present -= 1;
            kind.leaving -= u32::from(gone.leaving);
        }
    }

    /// A node is lost.
    pub(crate) fn lose(&mut self, node: u32, now: u64) {
        if let Some(lost) = self.nodes.get(node as usize) {
            self.kinds[lost.kind].usage.lost += 1;
            self.remove(node, now);
        }
    }

    /// The nodes that replace lost ones, so that there are no fewer than the minimum.
    pub(crate) fn replace(&mut self) -> Vec<Order> {
        let mut orders = Vec::new();
        for (number, kind) in self.kinds.iter_mut().enumerate() {
            while kind.staying() < kind.model.min {
                let Some(delay) = kind.order() else { break };
                kind.unclaimed += 1;
                orders.push((number, delay));
            }
        }
        orders
    }

    /// The fullest node.
    pub(crate) fn fullest(&self) -> Option<u32> {
        let fullest = self.nodes.iter().max_by_key(|(key, node)| (node.used, *key));
        fullest.map(|(key, _)| key as u32)
    }

    /// The nodes that may be taken away: those of kinds that are there for as long as the provider
    /// likes, or all where there is no such kind.
    pub(crate) fn takeable(&self) -> Vec<u32> {
        let is_spot = |kind: &Kind| kind.model.tenure == Tenure::Spot;
        let any = self.kinds.iter().any(is_spot);
        let takeable = self
            .nodes
            .iter()
            .filter(|(_, node)| !node.leaving && (!any || is_spot(&self.kinds[node.kind])));
        takeable.map(|(key, _)| key as u32).collect()
    }

    /// A node takes nothing new from now on; returns its number.
    pub(crate) fn close(&mut self, node: u32) -> Option<u64> {
        let node = self.nodes.get_mut(node as usize)?;
        if !std::mem::replace(&mut node.leaving, true) {
            self.kinds[node.kind].leaving += 1;
        }
        Some(node.number)
    }

    /// Whether the node in that place is still the one with that number.
    pub(crate) fn is(&self, node: u32, number: u64) -> bool {
        self.nodes.get(node as usize).is_some_and(|node| node.number == number)
    }
}
