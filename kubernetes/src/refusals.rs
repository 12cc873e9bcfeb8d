//! Events for pods that asked for the sidecar and cannot have it.
//!
//! A workload whose pods are refused is asked for again and again by its controller, so one reason
//! for one object is told once in [`REPEAT_MS`].

use std::collections::VecDeque;

use tidegate_autoscaler::Timestamp;
use tidegate_kubernetes_inject::review::{Outcome, Review, Subject};

use crate::recorder::{About, Note, WEBHOOK_REPORTER, event};
use crate::request::ApiRequest;

/// How long an Event stands for all that are like it: Events are kept for an hour.
pub const REPEAT_MS: u64 = 600_000;

/// Most refusals that are remembered; beyond, the oldest may be told again.
const REMEMBERED_MAX: usize = 1_024;

/// What was told lately.
#[derive(Debug, Default)]
pub struct Refusals {
    /// The oldest first.
    told: VecDeque<(Timestamp, Subject, String)>,
}

impl Refusals {
    /// The Event about a pod, if it was refused, for a reason that was not told lately. `instance`
    /// is the name of this process, such as a pod's.
    pub fn event(&mut self, now: Timestamp, instance: &str, review: &Review) -> Option<ApiRequest> {
        let Outcome::Refused(reason) = &review.outcome else { return None };
        if review.is_dry_run || review.subject.name.is_empty() {
            return None;
        }
        self.told.retain(|(at, ..)| now.millis_since(*at) < REPEAT_MS);
        let is_told =
            self.told.iter().any(|(_, subject, told)| *subject == review.subject && told == reason);
        if is_told {
            return None;
        }
        if self.told.len() >= REMEMBERED_MAX {
            self.told.pop_front();
        }
        self.told.push_back((now, review.subject.clone(), reason.clone()));
        let Subject { api_version, kind, name, uid } = &review.subject;
        let about = About { api_version, kind, namespace: &review.namespace, name, uid };
        let text = format!("{} is made without the sidecar: {reason}", review.pod);
        let note =
            Note { kind: "Warning", reason: "SidecarRefused", action: "Inject", text: &text };
        Some(event((WEBHOOK_REPORTER, instance), now, &about, &note))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn review(name: &str, reason: &str) -> Review {
        let subject = Subject {
            api_version: "apps/v1".into(),
            kind: "ReplicaSet".into(),
            name: name.into(),
            uid: format!("uid-of-{name}"),
        };
        Review {
            body: Vec::new(),
            pod: format!("shop/{name}"),
            namespace: "shop".into(),
            subject,
            is_dry_run: false,
            outcome: Outcome::Refused(reason.into()),
        }
    }

    #[test]
    fn one_reason_for_one_object_is_told_once_in_a_while() {
        let mut refusals = Refusals::default();
        let mut told = |at, name, reason: &str| {
            refusals.event(Timestamp::from_millis(at), "webhook-1", &review(name, reason))
        };
        let event = told(0, "web", "no port").expect("it is new");
        assert_eq!(event.path, "/apis/events.k8s.io/v1/namespaces/shop/events");
        assert_eq!(event.body["regarding"]["kind"], "ReplicaSet");
        assert_eq!(event.body["reason"], "SidecarRefused");
        assert!(event.body["note"].as_str().is_some_and(|note| note.ends_with("no port")));
        assert_eq!(told(1_000, "web", "no port"), None);
        assert!(told(1_000, "web", "two ports").is_some());
        assert!(told(1_000, "till", "no port").is_some());
        assert!(told(600_000, "web", "no port").is_some());
    }

    #[test]
    fn nothing_is_told_of_what_only_would_be() {
        let mut refusals = Refusals::default();
        let now = Timestamp::from_millis(0);
        let dry_run = Review { is_dry_run: true, ..review("web", "no port") };
        assert_eq!(refusals.event(now, "webhook-1", &dry_run), None);
        let injected = Review { outcome: Outcome::Injected, ..review("web", "no port") };
        assert_eq!(refusals.event(now, "webhook-1", &injected), None);
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let mut refusals = Refusals::default();
        for number in 0..3 * REMEMBERED_MAX {
            let review = review(&format!("web-{number}"), "no port");
            assert!(refusals.event(Timestamp::from_millis(0), "webhook-1", &review).is_some());
        }
        assert_eq!(refusals.told.len(), REMEMBERED_MAX);
    }
}
