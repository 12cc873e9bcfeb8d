//! Leader election by a Lease.
//!
//! A holder renews its Lease; a candidate that has not seen it change for its whole duration takes
//! it. Clocks of different machines are never compared: what counts is how long a change has not
//! been seen. A holder that cannot renew ends its process before another may begin to decide, so
//! that two never decide.

use tidegate_autoscaler::Timestamp;

use crate::world::Version;

/// How long a Lease holds after its last change was seen; as client-go has it.
pub const LEASE_DURATION_MS: u64 = 15_000;

/// How long a holder may fail to renew before it must stop; as client-go has it. What it has begun
/// by then must have ended before [`LEASE_DURATION_MS`]: see `REQUEST_TIMEOUT`.
pub const RENEW_DEADLINE_MS: u64 = 10_000;

/// Time between two reads of the Lease; as client-go has it.
pub const RETRY_MS: u64 = 2_000;

/// A Lease as it was last seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lease {
    /// Its holder; empty for none.
    pub holder: String,
    /// Its version.
    pub version: Version,
    /// How often its holder changed.
    pub transitions: i32,
    /// When the holder acquired it, as the holder wrote it.
    pub acquired: Option<String>,
}

/// What to do about the Lease.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LeaseAction {
    /// There is none: create it.
    Create,
    /// It is released or expired: take it, if it is still of this version.
    Acquire(Lease),
    /// It is ours: renew it, if it is still of this version.
    Renew(Lease),
    /// Another candidate holds it.
    Wait,
}

/// A candidate for the Lease.
#[derive(Debug, Clone)]
pub struct Elector {
    /// Our name, unique among all candidates.
    pub me: String,
    seen: Option<(Lease, Timestamp)>,
    renewed: Option<Timestamp>,
}

impl Elector {
    /// A candidate named `me` that has not read the Lease yet.
    #[must_use]
    pub fn new(me: String) -> Self {
        Self { me, seen: None, renewed: None }
    }

    /// The Lease was read at `now`; `None` if there is none. Returns what to do about it.
    pub fn evaluate(&mut self, now: Timestamp, lease: Option<Lease>) -> LeaseAction {
        let Some(lease) = lease else {
            self.seen = None;
            return LeaseAction::Create;
        };
        let since = match &self.seen {
            Some((known, since)) if *known == lease => *since,
            _ => now,
        };
        self.seen = Some((lease.clone(), since));
        if lease.holder == self.me {
            // A Lease in our name that we did not acquire is of an earlier process.
            return match self.renewed {
                Some(_) => LeaseAction::Renew(lease),
                None => LeaseAction::Acquire(lease),
            };
        }
        let has_expired = now.millis_since(since) >= LEASE_DURATION_MS;
        match lease.holder.is_empty() || has_expired {
            true => LeaseAction::Acquire(lease),
            false => LeaseAction::Wait,
        }
    }

    /// Our request of `asked` succeeded: we hold the Lease from then on.
    pub fn held(&mut self, asked: Timestamp) {
        self.renewed = Some(asked);
    }

    /// Our request was refused: another candidate has changed the Lease.
    pub fn refused(&mut self) {
        self.seen = None;
    }

    /// Until when we may decide; `None` before we hold it for the first time.
    #[must_use]
    pub fn decides_until(&self) -> Option<Timestamp> {
        self.renewed.map(|renewed| renewed.plus_millis(RENEW_DEADLINE_MS))
    }

    /// Whether we may decide at `now`.
    #[must_use]
    pub fn decides(&self, now: Timestamp) -> bool {
        self.decides_until().is_some_and(|until| now < until)
    }

    /// Whether we held it and no longer do: the process must end.
    #[must_use]
    pub fn has_lost(&self, now: Timestamp) -> bool {
        self.renewed.is_some() && !self.decides(now)
    }
}
