//! Which actions may begin: a bounded number at a time, none twice, and what failed not at once.

use std::collections::BTreeMap;

use tidegate_autoscaler::Timestamp;

use crate::plan::{Action, Step};
use crate::world::ObjectKey;

/// Requests under way at a time. Requests wait for what comes from zero, so of these places
/// [`WAKE_ONLY`] are kept for it.
pub const CONCURRENCY_MAX: usize = 16;

/// Places that only actions from zero may take.
pub const WAKE_ONLY: usize = 4;

/// The first wait after a failure, in milliseconds; it doubles with each one more.
pub const BACKOFF_MIN_MS: u64 = 100;

/// The longest wait after a failure.
pub const BACKOFF_MAX_MS: u64 = 30_000;

/// The longest wait of what comes from zero, since requests wait for it.
pub const WAKE_BACKOFF_MAX_MS: u64 = 1_000;

/// What makes two actions the same: for which object they do what.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    scaler: ObjectKey,
    what: What,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum What {
    /// From zero, which waits for nothing that failed before it.
    Wake,
    Scale,
    Mark(ObjectKey),
    Slice(ObjectKey),
    Status,
    Weights,
    RolloutStatus,
}

impl From<&Action> for Place {
    fn from(action: &Action) -> Self {
        let what = match &action.step {
            Step::Scale { from: 0, .. } => What::Wake,
            Step::Scale { .. } => What::Scale,
            Step::Mark { pod, .. } => What::Mark(pod.clone()),
            Step::ApplySlice(key) | Step::DeleteSlice(key) => What::Slice(key.clone()),
            Step::Status => What::Status,
            Step::Weights { .. } => What::Weights,
            Step::RolloutStatus => What::RolloutStatus,
        };
        Self { scaler: action.scaler.clone(), what }
    }
}

/// How an action ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It was done.
    Done,
    /// Somebody had changed the object: what is seen of it will be newer in a moment.
    Outdated,
    /// It failed; the server may have said how long to wait, in milliseconds.
    Failed {
        /// How long the server asked to wait; 0 when it did not.
        wait_ms: u64,
    },
}

/// What is under way, and what has to wait.
#[derive(Debug, Clone, Default)]
pub struct Dispatcher {
    under_way: BTreeMap<Place, u8>,
    waiting: BTreeMap<Place, Waiting>,
}

#[derive(Debug, Clone, Copy)]
struct Waiting {
    until: Timestamp,
    failures: u32,
}

impl Dispatcher {
    /// Of what is to be done, in order of urgency, that which begins now.
    pub fn begin<'a>(
        &mut self,
        now: Timestamp,
        actions: impl IntoIterator<Item = &'a Action>,
    ) -> Vec<Action> {
        let mut begun = Vec::new();
        for action in actions {
            let urgency = action.step.urgency();
            let most = if urgency == 0 { CONCURRENCY_MAX } else { CONCURRENCY_MAX - WAKE_ONLY };
            if self.under_way.len() >= most {
                // Nothing that is less urgent has a place either.
                break;
            }
            let place = Place::from(action);
            let waits = self.waiting.get(&place).is_some_and(|waiting| waiting.until > now);
            if waits || self.under_way.contains_key(&place) {
                continue;
            }
            self.under_way.insert(place, urgency);
            begun.push(action.clone());
        }
        begun
    }

    /// An action has ended. `chance` is a random number from 0 to 1: those that failed together are
    /// not to try again together.
    pub fn ended(&mut self, now: Timestamp, action: &Action, outcome: Outcome, chance: f64) {
        let place = Place::from(action);
        self.under_way.remove(&place);
        let wait_ms = match outcome {
            Outcome::Done => {
                self.waiting.remove(&place);
                return;
            }
            Outcome::Outdated => 0,
            Outcome::Failed { wait_ms } => wait_ms.min(BACKOFF_MAX_MS),
        };
        let failures = self.waiting.get(&place).map_or(0, |waiting| waiting.failures);
        let most = match place.what {
            What::Wake => WAKE_BACKOFF_MAX_MS,
            _ => BACKOFF_MAX_MS,
        };
        let doubled = BACKOFF_MIN_MS.saturating_mul(1 << failures.min(20)).min(most);
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            clippy::cast_precision_loss,
            reason = "at most thirty seconds, and not below zero"
        )]
        let spread = (doubled as f64 * (0.5 + chance.clamp(0.0, 1.0) / 2.0)) as u64;
        let until = now.plus_millis(spread.max(wait_ms));
        self.waiting.insert(place, Waiting { until, failures: failures.saturating_add(1) });
    }

    /// When something that had to wait may be tried again.
    #[must_use]
    pub fn due(&self, now: Timestamp) -> Option<Timestamp> {
        self.waiting.values().map(|waiting| waiting.until).filter(|until| *until > now).min()
    }

    /// How many are under way.
    #[must_use]
    pub fn under_way(&self) -> usize {
        self.under_way.len()
    }

    /// Forgets what had to wait and is no longer to be done.
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
    fn what_comes_from_zero_has_places_of_its_own() {
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
    fn what_fails_waits_longer_each_time_and_what_comes_from_zero_not_long() {
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
    fn a_server_that_asks_to_wait_is_heard_within_a_bound() {
        let (mut dispatcher, action) = (Dispatcher::default(), scale("web", 1, 5));
        for (asked, waits) in [(3_000, 3_000), (u64::MAX, BACKOFF_MAX_MS)] {
            dispatcher.begin(NOW, [&action]);
            dispatcher.ended(NOW, &action, Outcome::Failed { wait_ms: asked }, 0.0);
            assert_eq!(dispatcher.due(NOW), Some(NOW.plus_millis(waits)));
            dispatcher.ended(NOW, &action, Outcome::Done, 0.0);
        }
    }

    #[test]
    fn a_failure_before_does_not_keep_a_request_waiting() {
        let mut dispatcher = Dispatcher::default();
        let down = scale("web", 1, 0);
        dispatcher.begin(NOW, [&down]);
        dispatcher.ended(NOW, &down, Outcome::Failed { wait_ms: 30_000 }, 1.0);
        assert_eq!(dispatcher.begin(NOW, [&scale("web", 0, 1)]).len(), 1);
    }
}
