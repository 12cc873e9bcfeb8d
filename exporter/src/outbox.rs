//! What waits to be sent: messages in their order, within a bound of bytes and of age.
//!
//! Every message stands for itself: values are cumulative and carry their own time. So when there
//! is no room, every second of the waiting messages goes before any hour goes as a whole: the past
//! becomes coarser, not shorter. One message is on its way at a time, so that what a receiver gets
//! is in order.

use std::collections::VecDeque;
use std::time::Duration;

use tidegate_otlp::transport::Bytes;

/// Time before the first repetition; it doubles with each.
const RETRY_MIN: Duration = Duration::from_secs(1);
/// The longest time between two attempts: a link that is back is found within a minute.
pub const RETRY_MAX: Duration = Duration::from_secs(60);
/// The longest time that a receiver can ask us to wait.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(600);
/// What a message takes beside its body.
const OVERHEAD_BYTES: usize = 128;

/// A message that waits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parcel {
    /// Its place in the order.
    pub sequence: u64,
    /// The compressed body.
    pub body: Bytes,
    /// Values in it.
    pub points: u64,
    /// When the last of them was read, milliseconds since 1970.
    pub last_ms: u64,
}

impl Parcel {
    fn bytes(&self) -> usize {
        self.body.len() + OVERHEAD_BYTES
    }
}

/// Bounds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Most bytes of all messages together.
    pub bytes_max: usize,
    /// Age at which a message is worth nothing any more.
    pub age_max: Duration,
}

/// What became of an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// The receiver has it.
    Taken,
    /// The receiver will never take it.
    Refused,
    /// It may be taken later.
    Retry {
        /// How long the receiver asks us to wait.
        after: Option<Duration>,
    },
}

/// The messages that wait. Time is since an arbitrary start, and never goes back; `wall_ms` is
/// milliseconds since 1970, and may.
#[derive(Debug)]
pub struct Outbox {
    limits: Limits,
    waiting: VecDeque<Parcel>,
    on_its_way: Option<Parcel>,
    bytes: usize,
    /// Attempts that failed in a row.
    failures: u32,
    not_before: Duration,
    /// The next of the waiting messages that goes when there is no room.
    thinned: usize,
    next_sequence: u64,
}

impl Outbox {
    /// An outbox with what was left by an earlier process, in its order.
    #[must_use]
    pub fn new(limits: Limits, left: Vec<Parcel>) -> Self {
        let next_sequence = left.iter().map(|parcel| parcel.sequence + 1).max().unwrap_or(0);
        Self {
            limits,
            bytes: left.iter().map(Parcel::bytes).sum(),
            waiting: left.into(),
            on_its_way: None,
            failures: 0,
            not_before: Duration::ZERO,
            thinned: 0,
            next_sequence,
        }
    }

    /// Puts a message at the end.
    pub fn put(&mut self, body: Vec<u8>, points: u64, last_ms: u64) {
        let sequence = self.next_sequence;
        self.next_sequence += 1;
        let parcel = Parcel { sequence, body: body.into(), points, last_ms };
        self.bytes += parcel.bytes();
        self.waiting.push_back(parcel);
    }

    /// Takes out what is too old, and as much as there is no room for; it will never be sent.
    #[must_use]
    pub fn make_room(&mut self, wall_ms: u64) -> Vec<Parcel> {
        let age_max_ms = u64::try_from(self.limits.age_max.as_millis()).unwrap_or(u64::MAX);
        let mut gone = Vec::new();
        while let Some(oldest) = self.waiting.front()
            && oldest.last_ms.saturating_add(age_max_ms) < wall_ms
        {
            gone.extend(self.waiting.pop_front());
        }
        self.bytes -= gone.iter().map(Parcel::bytes).sum::<usize>();
        while self.bytes > self.limits.bytes_max && !self.waiting.is_empty() {
            // The newest quarter is left alone: it is what people look at first.
            if self.thinned >= self.waiting.len() - self.waiting.len() / 4 {
                self.thinned = 0;
            }
            if let Some(parcel) = self.waiting.remove(self.thinned) {
                self.bytes -= parcel.bytes();
                gone.push(parcel);
            }
            self.thinned += 1;
        }
        gone
    }

    /// When the next attempt is due; `None` while one is on its way, or nothing waits.
    #[must_use]
    pub fn due(&self) -> Option<Duration> {
        let is_idle = self.on_its_way.is_none() && !self.waiting.is_empty();
        is_idle.then_some(self.not_before)
    }

    /// The message to send now, if it is time.
    pub fn take(&mut self, now: Duration) -> Option<Parcel> {
        if self.due()? > now {
            return None;
        }
        self.on_its_way = self.waiting.pop_front();
        self.thinned = self.thinned.saturating_sub(1);
        self.on_its_way.clone()
    }

    /// The attempt has ended. Gives back the message when it leaves the outbox. `chance` is any
    /// number: it spreads the attempts of many processes that have lost the same link.
    pub fn ended(&mut self, outcome: Outcome, now: Duration, chance: u64) -> Option<Parcel> {
        let parcel = self.on_its_way.take()?;
        match outcome {
            Outcome::Taken | Outcome::Refused => {
                self.bytes -= parcel.bytes();
                // A receiver that refuses is there.
                self.failures = 0;
                self.not_before = now;
                Some(parcel)
            }
            Outcome::Retry { after } => {
                self.waiting.push_front(parcel);
                let pause = (RETRY_MIN * (1 << self.failures.min(6))).min(RETRY_MAX);
                let half_ms = (pause.as_millis() / 2).try_into().unwrap_or(u64::MAX).max(1);
                let pause = pause / 2 + Duration::from_millis(chance % half_ms);
                let asked = after.unwrap_or_default().min(RETRY_AFTER_MAX);
                self.failures = self.failures.saturating_add(1);
                self.not_before = now + pause.max(asked);
                None
            }
        }
    }

    /// Attempts that have failed since the receiver answered last.
    #[must_use]
    pub fn failures(&self) -> u32 {
        self.failures
    }

    /// Forgets how long to wait, so that the next attempt is due at once.
    pub fn hurry(&mut self) {
        self.not_before = Duration::ZERO;
    }

    /// Every message that is not sent, from the oldest on; one on its way counts.
    pub fn unsent(&self) -> impl Iterator<Item = &Parcel> {
        self.on_its_way.iter().chain(&self.waiting)
    }

    /// What all of them take.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.bytes
    }
}

#[cfg(test)]
mod tests;
