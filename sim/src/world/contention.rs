//! Requests that share an instance, or start-ups that share a machine, and slow each other.
//!
//! All requests of an instance progress at the same rate, which depends only on how many there are.
//! So one clock per instance suffices: it counts the work each of them has received, a request is
//! done when that clock has gone on by its service time, and arrivals and departures change nothing
//! but the clock's rate. Every operation takes logarithmic time.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use crate::scenario::Contention;

/// Slack for the rounding of doubles, in nanoseconds of work.
const ROUNDING_NS: f64 = 0.5;

/// One request among those that share.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Job {
    /// The request's number, which is never used twice.
    pub(crate) number: u64,
    /// Where the request is kept.
    pub(crate) request: u32,
}

/// The requests that share one instance.
#[derive(Debug, Clone)]
pub(crate) struct SharedProcessor {
    /// Nanoseconds of work that a request would have received that was here from the beginning.
    work: f64,
    /// Real time up to which `work` is counted.
    since: u64,
    count: u32,
    /// By the work at which they are done. Bits of a double that is not negative sort like it.
    finishes: BinaryHeap<Reverse<(u64, Job)>>,
    /// By the time at which they time out.
    deadlines: BinaryHeap<Reverse<(u64, Job)>>,
}

impl Contention {
    /// Work per time of each of `count` requests that share, from 0 to 1.
    pub(crate) fn rate(&self, count: u32) -> f64 {
        let n = f64::from(count.max(1));
        match self {
            Contention::None => 1.0,
            Contention::ProcessorSharing { cores } => (cores / n).min(1.0),
            Contention::Linear { alpha } => 1.0 / (1.0 + alpha * (n - 1.0)),
            Contention::Curve { factors } => {
                let index = (count.max(1) as usize - 1).min(factors.len().saturating_sub(1));
                1.0 / factors.get(index).copied().unwrap_or(1.0)
            }
        }
    }

    /// Whether the numbers of the model make sense.
    pub(crate) fn problem(&self) -> Option<String> {
        let bad = match self {
            Contention::None => false,
            Contention::ProcessorSharing { cores } => !(cores.is_finite() && *cores > 0.0),
            Contention::Linear { alpha } => !(alpha.is_finite() && *alpha >= 0.0),
            Contention::Curve { factors } => {
                factors.is_empty() || factors.iter().any(|f| !(f.is_finite() && *f > 0.0))
            }
        };
        bad.then(|| {
            "contention needs more than 0 cores, a slow-down of 0 or more, or factors above 0"
                .to_owned()
        })
    }
}

impl SharedProcessor {
    /// An instance without requests.
    pub(crate) fn new() -> Self {
        SharedProcessor {
            work: 0.0,
            since: 0,
            count: 0,
            finishes: BinaryHeap::new(),
            deadlines: BinaryHeap::new(),
        }
    }

    fn advance(&mut self, now: u64, law: &Contention) {
        if self.count > 0 {
            self.work += (now - self.since) as f64 * law.rate(self.count);
        } else {
            // An idle instance starts over, so the clock never grows beyond a double's precision.
            self.work = 0.0;
        }
        self.since = now;
    }

    /// `job` with `service_ns` of work joins; it is given up at `deadline`.
    pub(crate) fn join(
        &mut self,
        now: u64,
        law: &Contention,
        job: Job,
        service_ns: u64,
        deadline: u64,
    ) {
        self.advance(now, law);
        self.count += 1;
        let finish = self.work + service_ns as f64;
        self.finishes.push(Reverse((finish.to_bits(), job)));
        if deadline != u64::MAX {
            self.deadlines.push(Reverse((deadline, job)));
        }
    }

    /// One that is neither done nor timed out leaves; it must no longer be alive for the others.
    pub(crate) fn leave(&mut self, now: u64, law: &Contention) {
        self.advance(now, law);
        self.count = self.count.saturating_sub(1);
    }

    /// When the next request completes or times out, nanoseconds; `u64::MAX` without any.
    pub(crate) fn next_at(&mut self, law: &Contention, alive: impl Fn(Job) -> bool) -> u64 {
        while self.finishes.peek().is_some_and(|Reverse((_, job))| !alive(*job)) {
            self.finishes.pop();
        }
        while self.deadlines.peek().is_some_and(|Reverse((_, job))| !alive(*job)) {
            self.deadlines.pop();
        }
        let finish = self.finishes.peek().map_or(u64::MAX, |Reverse((bits, _))| {
            let left = (f64::from_bits(*bits) - self.work).max(0.0) / law.rate(self.count);
            self.since.saturating_add(left.ceil() as u64)
        });
        finish.min(self.deadlines.peek().map_or(u64::MAX, |Reverse((deadline, _))| *deadline))
    }

    /// Removes a request that completes or times out at `now`, and whether it completed. Call until
    /// it returns `None`.
    pub(crate) fn take_due(
        &mut self,
        now: u64,
        law: &Contention,
        alive: impl Fn(Job) -> bool,
    ) -> Option<(Job, bool)> {
        self.advance(now, law);
        while let Some(Reverse((bits, job))) = self.finishes.peek().copied() {
            if alive(job) && f64::from_bits(bits) > self.work + ROUNDING_NS {
                break;
            }
            self.finishes.pop();
            if alive(job) {
                self.count -= 1;
                return Some((job, true));
            }
        }
        while let Some(Reverse((deadline, job))) = self.deadlines.peek().copied() {
            if alive(job) && deadline > now {
                break;
            }
            self.deadlines.pop();
            if alive(job) {
                self.count -= 1;
                return Some((job, false));
            }
        }
        None
    }
}
