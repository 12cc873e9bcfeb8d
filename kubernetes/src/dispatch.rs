//! Which actions may begin: a bounded number at a time, none twice, and failed ones after a
//! backoff.

use std::collections::BTreeMap;

use tidegate_autoscaler::Timestamp;

use crate::plan::{Action, Step};
use crate::world::ObjectKey;

/// Requests in flight at a time. Clients wait for targets that scale from zero, so [`WAKE_ONLY`] of
/// these places are reserved for them.
pub const CONCURRENCY_MAX: usize = 16;

/// Places that only actions of a scale from zero may take.
pub const WAKE_ONLY: usize = 4;

/// The first wait after a failure, in milliseconds; it doubles with each one more.
pub const BACKOFF_MIN_MS: u64 = 100;

/// The longest wait after a failure.
pub const BACKOFF_MAX_MS: u64 = 30_000;

/// The longest wait of an action of a scale from zero, since clients wait for it.
pub const WAKE_BACKOFF_MAX_MS: u64 = 1_000;

/// What makes two actions the same: their object and what they do to it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct ActionKey {
    scaler: ObjectKey,
    what: What,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum What {
    /// A scale from zero, which does not wait for an earlier failure.
    Wake,
    Scale,
    Mark(ObjectKey),
    Slice(ObjectKey),
    Finalizer,
    Status,
    Weights,
    RolloutStatus,
}

/// What the dispatcher knows of an action.
pub trait Dispatched {
    /// Identifies actions that exclude each other.
    type Key: Ord;

    /// Its key.
    fn key(&self) -> Self::Key;

    /// 0 for what requests wait for, more for what is less urgent.
    fn urgency(&self) -> u8;

    /// The longest wait after a failure, in milliseconds.
    fn backoff_max_ms(&self) -> u64 {
        match self.urgency() {
            0 => WAKE_BACKOFF_MAX_MS,
            _ => BACKOFF_MAX_MS,
        }
    }
}

impl Dispatched for Action {
    type Key = ActionKey;

    fn key(&self) -> ActionKey {
        let what = match &self.step {
            Step::Scale { from: 0, .. } => What::Wake,
            Step::Scale { .. } => What::Scale,
            Step::Mark { pod, .. } => What::Mark(pod.clone()),
            Step::ApplySlice(key) | Step::DeleteSlice(key) => What::Slice(key.clone()),
            Step::Protect | Step::Release => What::Finalizer,
            Step::Status => What::Status,
            Step::Weights { .. } => What::Weights,
            Step::RolloutStatus => What::RolloutStatus,
        };
        ActionKey { scaler: self.scaler.clone(), what }
    }

    fn urgency(&self) -> u8 {
        self.step.urgency()
    }
}

/// Two sequences in order of urgency as one. What is as urgent comes from the first, and no more is
/// looked at than is taken: thousands may be due where a few begin.
pub fn in_order<'a, A: Dispatched + 'a>(
    first: impl Iterator<Item = &'a A>,
    second: impl Iterator<Item = &'a A>,
) -> impl Iterator<Item = &'a A> {
    let (mut first, mut second) = (first.peekable(), second.peekable());
    std::iter::from_fn(move || match (first.peek(), second.peek()) {
        (Some(one), Some(other)) if other.urgency() < one.urgency() => second.next(),
        (Some(_), _) => first.next(),
        (None, _) => second.next(),
    })
}

/// How an action ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It was done.
    Done,
    /// The object had changed; a watch will deliver its new version.
    Outdated,
    /// It failed; the server may have set how long to wait, in milliseconds.
    Failed {
        /// How long the server asked to wait; 0 when it did not.
        wait_ms: u64,
    },
}

/// The actions in flight, and those that wait after a failure.
#[derive(Debug, Clone)]
pub struct Dispatcher<K = ActionKey> {
    under_way: BTreeMap<K, u8>,
    waiting: BTreeMap<K, Waiting>,
}

impl<K> Default for Dispatcher<K> {
    fn default() -> Self {
        Self { under_way: BTreeMap::new(), waiting: BTreeMap::new() }
    }
}

#[derive(Debug, Clone, Copy)]
struct Waiting {
    until: Timestamp,
    failures: u32,
}

impl<K: Ord> Dispatcher<K> {
    /// The actions that begin now, out of all that are due, in order of urgency.
    pub fn begin<'a, A: Dispatched<Key = K> + Clone + 'a>(
        &mut self,
        now: Timestamp,
        actions: impl IntoIterator<Item = &'a A>,
    ) -> Vec<A> {
        let mut begun = Vec::new();
        for action in actions {
            if !self.has_place(action) {
                // Nothing that is less urgent has a place either.
                break;
            }
            if self.begins(now, action) {
                begun.push(action.clone());
            }
        }
        begun
    }

    fn has_place<A: Dispatched<Key = K>>(&self, action: &A) -> bool {
        let places = match action.urgency() {
            0 => CONCURRENCY_MAX,
            _ => CONCURRENCY_MAX - WAKE_ONLY,
        };
        self.under_way.len() < places
    }

    /// Whether an action begins now; it then counts as in flight.
    pub fn begins<A: Dispatched<Key = K>>(&mut self, now: Timestamp, action: &A) -> bool {
        let key = action.key();
        let waits = self.waiting.get(&key).is_some_and(|waiting| waiting.until > now);
        if waits || !self.has_place(action) || self.under_way.contains_key(&key) {
            return false;
        }
        self.under_way.insert(key, action.urgency());
        true
    }

    /// An action has ended. `chance` is a random number from 0 to 1: actions that failed
    /// together must not be retried together.
    pub fn ended<A: Dispatched<Key = K>>(
        &mut self,
        now: Timestamp,
        action: &A,
        outcome: Outcome,
        chance: f64,
    ) {
        let key = action.key();
        self.under_way.remove(&key);
        let wait_ms = match outcome {
            Outcome::Done => {
                self.waiting.remove(&key);
                return;
            }
            Outcome::Outdated => 0,
            Outcome::Failed { wait_ms } => wait_ms.min(BACKOFF_MAX_MS),
        };
        let failures = self.waiting.get(&key).map_or(0, |waiting| waiting.failures);
        let most = action.backoff_max_ms();
        let doubled = BACKOFF_MIN_MS.saturating_mul(1 << failures.min(20)).min(most);
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            clippy::cast_precision_loss,
            reason = "at most thirty seconds, and not below zero"
        )]
        let spread = (doubled as f64 * (0.5 + chance.clamp(0.0, 1.0) / 2.0)) as u64;
        let until = now.plus_millis(spread.max(wait_ms));
        self.waiting.insert(key, Waiting { until, failures: failures.saturating_add(1) });
    }

    /// When the next waiting action may be retried.
    #[must_use]
    pub fn due(&self, now: Timestamp) -> Option<Timestamp> {
        self.waiting.values().map(|waiting| waiting.until).filter(|until| *until > now).min()
    }

    /// How many are in flight.
    #[must_use]
    pub fn under_way(&self) -> usize {
        self.under_way.len()
    }

    /// Forgets waiting actions that are no longer due.
    pub fn tidy(&mut self, now: Timestamp) {
        const KEPT_MS: u64 = 2 * BACKOFF_MAX_MS;
        self.waiting.retain(|_, waiting| now.millis_since(waiting.until) < KEPT_MS);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::request::ApiRequest;
    use crate::world::{KindKey, TargetKey};

    const NOW: Timestamp = Timestamp::from_secs(1_800_000_000);

    fn scale(name: &str, from: i32, to: i32) -> Action {
        let object = ObjectKey::new("shop", name);
        let kind = KindKey { api_version: "apps/v1".to_owned(), kind: "Deployment".to_owned() };
        let target = TargetKey { kind, object: object.clone() };
        let request = ApiRequest::scale(&target, "deployments", to, None);
        Action { scaler: object, step: Step::Scale { target, from, to }, request }
    }

    #[test]
    fn scales_from_zero_have_reserved_places() {
        let mut dispatcher = Dispatcher::default();
        let many: Vec<Action> = (0..100).map(|n| scale(&format!("warm-{n}"), 1, 2)).collect();
        assert_eq!(dispatcher.begin(NOW, &many).len(), CONCURRENCY_MAX - WAKE_ONLY);
        // None twice.
        assert_eq!(dispatcher.begin(NOW, &many), []);
        let wakes: Vec<Action> = (0..100).map(|n| scale(&format!("cold-{n}"), 0, 2)).collect();
        assert_eq!(dispatcher.begin(NOW, &wakes).len(), WAKE_ONLY);
        assert_eq!(dispatcher.under_way(), CONCURRENCY_MAX);
    }

    #[test]
    fn failures_back_off_and_scales_from_zero_only_briefly() {
        for (from, most) in [(1, BACKOFF_MAX_MS), (0, WAKE_BACKOFF_MAX_MS)] {
            let (mut dispatcher, mut now) = (Dispatcher::default(), NOW);
            let action = scale("web", from, 5);
            let mut last = 0;
            for _ in 0..20 {
                let begun = dispatcher.begin(now, [&action]);
                assert_eq!(begun, vec![action.clone()]);
                dispatcher.ended(now, &action, Outcome::Failed { wait_ms: 0 }, 1.0);
                let due = dispatcher.due(now).expect("it is to be tried again");
                let wait = due.millis_since(now);
                assert!((last..=most).contains(&wait), "{wait} ms after {last} ms");
                assert_eq!(dispatcher.begin(now, [&action]), []);
                (last, now) = (wait, due);
            }
            assert_eq!(last, most);
            dispatcher.begin(now, [&action]);
            dispatcher.ended(now, &action, Outcome::Done, 0.5);
            assert_eq!(dispatcher.due(now), None);
        }
    }

    #[test]
    fn retry_after_is_followed_within_a_bound() {
        let (mut dispatcher, action) = (Dispatcher::default(), scale("web", 1, 5));
        for (asked, waits) in [(3_000, 3_000), (u64::MAX, BACKOFF_MAX_MS)] {
            dispatcher.begin(NOW, [&action]);
            dispatcher.ended(NOW, &action, Outcome::Failed { wait_ms: asked }, 0.0);
            assert_eq!(dispatcher.due(NOW), Some(NOW.plus_millis(waits)));
            dispatcher.ended(NOW, &action, Outcome::Done, 0.0);
        }
    }

    #[test]
    fn a_scale_from_zero_does_not_wait_for_an_earlier_failure() {
        let mut dispatcher = Dispatcher::default();
        let down = scale("web", 1, 0);
        dispatcher.begin(NOW, [&down]);
        dispatcher.ended(NOW, &down, Outcome::Failed { wait_ms: 30_000 }, 1.0);
        assert_eq!(dispatcher.begin(NOW, [&scale("web", 0, 1)]).len(), 1);
    }

    #[test]
    fn of_thousands_that_are_due_no_more_are_looked_at_than_begin() {
        let mut dispatcher = Dispatcher::default();
        let wakes: Vec<Action> = (0..2).map(|n| scale(&format!("cold-{n}"), 0, 2)).collect();
        let ups: Vec<Action> = (0..3_000).map(|n| scale(&format!("warm-{n}"), 1, 2)).collect();
        let downs = [scale("last", 2, 1)];
        let mut looked_at = 0;
        let planned = wakes.iter().chain(&ups).inspect(|_| looked_at += 1);
        let begun = dispatcher.begin(NOW, in_order(downs.iter(), planned));
        assert_eq!(begun.len(), CONCURRENCY_MAX - WAKE_ONLY);
        assert_eq!(begun[..2], wakes[..]);
        // What is taken, the one for which there is no place, and one that is looked at beyond it.
        assert!(looked_at <= begun.len() + 2, "{looked_at} of {}", ups.len());
        let all: Vec<&Action> = in_order(downs.iter(), wakes.iter()).collect();
        assert_eq!(all, [&wakes[0], &wakes[1], &downs[0]]);
    }
}
