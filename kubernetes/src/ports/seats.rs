//! Who has which port, kept up to date one owner at a time.
//!
//! An owner tries the ports that it claims, which are those that its status gives it, and then all
//! others from a hash of its identity on. A port prefers who claims it to who does not, and of
//! those the oldest. Owners that are turned out try on, and a port that becomes free goes to whom
//! it was refused. So the outcome depends on who there is, never on who came first, and a change
//! costs as many looks at ports as it takes to find a free one.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use tidegate_autoscaler::Timestamp;
use tidegate_autoscaler::subset::fnv1a;

use crate::port_range::PortRange;
use crate::world::ObjectKey;

/// A port of a scaler's Service; the older its scaler, the less it is.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Owner {
    pub(super) created: Timestamp,
    pub(super) uid: String,
    pub(super) scaler: ObjectKey,
    pub(super) service_port: i32,
}

/// The order in which a port prefers owners: false for who claims it.
type Rank = (bool, Arc<Owner>);

#[derive(Debug, Clone, Default)]
struct Place {
    /// The ports that it was given before, of the range.
    claims: Vec<u16>,
    port: Option<u16>,
}

/// All owners and their ports.
#[derive(Debug, Clone)]
pub(super) struct Seats {
    range: PortRange,
    places: BTreeMap<Arc<Owner>, Place>,
    taken: BTreeMap<u16, Arc<Owner>>,
    /// Who claims a port.
    claimed: BTreeMap<u16, BTreeSet<Arc<Owner>>>,
    /// Those that have a port which they do not claim.
    newcomers: BTreeSet<Arc<Owner>>,
    /// Those for whom none is left.
    unplaced: BTreeSet<Arc<Owner>>,
    /// The scalers whose ports have changed.
    moved: BTreeSet<ObjectKey>,
    looks: u64,
}

impl Seats {
    /// Nobody has any.
    pub(super) fn new(range: PortRange) -> Self {
        Self {
            range,
            places: BTreeMap::new(),
            taken: BTreeMap::new(),
            claimed: BTreeMap::new(),
            newcomers: BTreeSet::new(),
            unplaced: BTreeSet::new(),
            moved: BTreeSet::new(),
            looks: 0,
        }
    }

    pub(super) fn range(&self) -> PortRange {
        self.range
    }

    /// The port that an owner has.
    pub(super) fn port(&self, owner: &Owner) -> Option<u16> {
        self.places.get(owner)?.port
    }

    /// The scalers whose ports have changed since the last call.
    pub(super) fn take_moved(&mut self) -> BTreeSet<ObjectKey> {
        std::mem::take(&mut self.moved)
    }

    /// How often it was looked who has a port.
    pub(super) fn looks(&self) -> u64 {
        self.looks
    }

    /// An owner is there, and claims these ports.
    pub(super) fn put(&mut self, owner: &Arc<Owner>, mut claims: Vec<u16>) {
        claims.retain(|port| self.range.contains(*port));
        self.looks += 1;
        if let Some(place) = self.places.get(owner) {
            if place.claims == claims {
                return;
            }
            if place.port.is_none() || place.port != claims.first().copied() {
                self.remove(owner);
            }
        }
        // Who comes to claim the port that it has concerns nobody else.
        let place = self.places.entry(Arc::clone(owner)).or_default();
        let before = std::mem::replace(&mut place.claims, claims.clone());
        let is_placed = place.port.is_some();
        self.unclaim(owner, &before);
        for port in claims {
            self.claimed.entry(port).or_default().insert(Arc::clone(owner));
        }
        match is_placed {
            true => _ = self.newcomers.remove(owner),
            false => self.find_place(Arc::clone(owner)),
        }
    }

    /// An owner is gone; its port goes to whoever would have had it otherwise.
    pub(super) fn remove(&mut self, owner: &Arc<Owner>) {
        let Some(place) = self.places.remove(owner) else { return };
        self.unclaim(owner, &place.claims);
        self.newcomers.remove(owner);
        self.unplaced.remove(owner);
        let mut free = place.port;
        if free.is_some() {
            self.moved.insert(owner.scaler.clone());
        }
        while let Some(port) = free {
            self.taken.remove(&port);
            let Some(next) = self.best_refused(port) else { return };
            free = self.places.get(&next).and_then(|place| place.port);
            self.take(&next, port);
        }
    }

    fn unclaim(&mut self, owner: &Arc<Owner>, claims: &[u16]) {
        for port in claims {
            if let Some(owners) = self.claimed.get_mut(port) {
                owners.remove(owner);
                if owners.is_empty() {
                    self.claimed.remove(port);
                }
            }
        }
    }

    fn rank(&self, owner: &Arc<Owner>, port: u16) -> Rank {
        let claims = self.places.get(owner).is_some_and(|place| place.claims.contains(&port));
        (!claims, Arc::clone(owner))
    }

    /// Gives an owner without a port the first that prefers it, and so on for who is turned out.
    fn find_place(&mut self, mut owner: Arc<Owner>) {
        while let Some(port) = self.first_that_takes(&owner) {
            let turned_out = self.taken.get(&port).cloned();
            self.take(&owner, port);
            let Some(turned_out) = turned_out else { return };
            if let Some(place) = self.places.get_mut(&turned_out) {
                place.port = None;
            }
            owner = turned_out;
        }
        self.newcomers.remove(&owner);
        self.moved.insert(owner.scaler.clone());
        self.unplaced.insert(owner);
    }

    fn first_that_takes(&mut self, owner: &Arc<Owner>) -> Option<u16> {
        let claims = self.places.get(owner)?.claims.clone();
        let count = self.range.len();
        let others = match self.taken.len() < count || self.newcomers.last() > Some(owner) {
            true => count,
            // All are taken, by none that has to go before this one.
            false => 0,
        };
        let begin = self.begin(owner);
        let others = (0..others).map(|step| (begin + step) % count);
        let others = others.filter_map(|offset| self.at(offset));
        let mut looks = 0;
        let found = claims.into_iter().chain(others).find(|port| {
            looks += 1;
            let has = self.taken.get(port);
            has.is_none_or(|has| self.rank(owner, *port) < self.rank(has, *port))
        });
        self.looks += looks;
        found
    }

    fn take(&mut self, owner: &Arc<Owner>, port: u16) {
        let Some(place) = self.places.get_mut(owner) else { return };
        place.port = Some(port);
        match place.claims.contains(&port) {
            true => _ = self.newcomers.remove(owner),
            false => _ = self.newcomers.insert(Arc::clone(owner)),
        }
        self.unplaced.remove(owner);
        self.moved.insert(owner.scaler.clone());
        self.taken.insert(port, Arc::clone(owner));
    }

    /// Whom a port that has become free prefers among those that would rather have it.
    fn best_refused(&mut self, port: u16) -> Option<Arc<Owner>> {
        let claimants = self.claimed.get(&port).into_iter().flatten();
        let would_rather = |owner: &&Arc<Owner>| {
            let Some(Place { claims, port: has }) = self.places.get(*owner) else { return false };
            let place = |port: u16| claims.iter().position(|claim| *claim == port);
            has.and_then(place).is_none_or(|has| place(port).is_some_and(|at| at < has))
        };
        let best = claimants.inspect(|_| self.looks += 1).find(would_rather).cloned();
        if best.is_some() {
            return best;
        }
        let count = self.range.len();
        let offset = usize::from(port - self.range.first);
        let mut best = self.unplaced.first().cloned();
        // Whoever was refused here has one of the next, without a free one between.
        for distance in 1..count {
            self.looks += 1;
            let next = self.at((offset + distance) % count);
            let Some(owner) = next.and_then(|port| self.taken.get(&port)) else { break };
            let came_by = (offset + count - self.begin(owner)) % count;
            let went = (came_by + distance) % count;
            let is_newcomer = self.newcomers.contains(owner);
            if is_newcomer && came_by < went && best.as_ref().is_none_or(|best| owner < best) {
                best = Some(Arc::clone(owner));
            }
        }
        best
    }

    /// Where in the range an owner begins to try: a port that has just become free, to which
    /// connections may still be open, is then rarely given to another at once. The hash is the same
    /// in every process, and no secret.
    pub(super) fn begin(&self, owner: &Owner) -> usize {
        let hash = fnv1a(owner.uid.bytes().chain(owner.service_port.to_le_bytes()));
        usize::try_from(hash >> 33).unwrap_or(0) % self.range.len().max(1)
    }

    fn at(&self, offset: usize) -> Option<u16> {
        self.range.first.checked_add(u16::try_from(offset).ok()?)
    }
}
