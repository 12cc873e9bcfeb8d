//! The decision library's desired scales, as events for the reconciler.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use tidegate_autoscaler::Timestamp;
use tidegate_controller::instance::Phase;
use tidegate_controller::journal::DecisionRecord;
use tidegate_controller::status::RevisionStatus;
use tidegate_controller::{Handle, RevisionId};
use tidegate_kubernetes_adapters::{Published, ScalerName};
use tidegate_rollout::Outcomes;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::mpsc;

use crate::reconciler::Event;
use crate::world::{DesiredScale, ObjectKey};

/// How often the number of reporting pods is read.
const POLL: Duration = Duration::from_secs(1);

/// Sends each desired scale when it is decided, and every second with the number of reporting pods.
/// Returns when the receiver or the decision library is gone.
pub(crate) async fn follow(
    handle: Handle,
    now: impl Fn() -> Timestamp,
    events: mpsc::Sender<Event>,
    published: Arc<Published>,
) {
    let mut decisions = handle.watch_decisions();
    let mut polls = tokio::time::interval(POLL);
    polls.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut known = BTreeMap::new();
    loop {
        tokio::select! {
            decided = decisions.recv() => match decided {
                Ok(record) => {
                    let desired = decided_scale(&known, &record, now());
                    let key = key(&record.revision);
                    known.insert(key.clone(), desired.clone());
                    if events.send(Event::Desired(vec![(key, desired)])).await.is_err() {
                        return;
                    }
                }
                // Missed decisions are found at the next tick.
                Err(RecvError::Lagged(_)) => {}
                Err(RecvError::Closed) => return,
            },
            _ = polls.tick() => {
                let Ok(statuses) = handle.statuses().await else { return };
                published.publish_concurrency(statuses.iter().map(concurrency));
                let at = now();
                let fresh = statuses.iter().filter_map(|status| {
                    polled_scale(&known, status, at).map(|desired| (key(&status.revision), desired))
                });
                let fresh: Vec<(ObjectKey, DesiredScale)> = fresh.collect();
                // What was forgotten is not scaled any more.
                known = fresh.iter().cloned().collect();
                if events.send(Event::Desired(fresh)).await.is_err() {
                    return;
                }
            }
        }
    }
}

/// Requests in flight of a target, in thousandths.
fn concurrency(status: &RevisionStatus) -> (ScalerName, i64) {
    let (namespace, name) = (status.revision.namespace(), status.revision.name());
    let target = ScalerName { namespace: namespace.to_owned(), name: name.to_owned() };
    // The cast ends at the largest number there is.
    (target, (status.stable_concurrency * 1_000.0).ceil() as i64)
}

/// What became of the requests of these revisions so far, of those that there are.
pub(crate) async fn outcomes(
    handle: &Handle,
    keys: BTreeSet<ObjectKey>,
) -> BTreeMap<ObjectKey, Outcomes> {
    let named = keys.into_iter().filter_map(|key| {
        let revision = RevisionId::new(&key.namespace, &key.name).ok()?;
        Some((key, revision))
    });
    let (keys, revisions): (Vec<ObjectKey>, Vec<RevisionId>) = named.unzip();
    // An error means that the decision library has ended, and then we end.
    let all = handle.outcomes(revisions).await.unwrap_or_default();
    let known = keys.into_iter().zip(all);
    known.filter_map(|(key, outcomes)| Some((key, outcomes?))).collect()
}

fn key(revision: &RevisionId) -> ObjectKey {
    ObjectKey::new(revision.namespace(), revision.name())
}

/// The desired scale after a decision, from the one before.
fn decided_scale(
    known: &BTreeMap<ObjectKey, DesiredScale>,
    record: &DecisionRecord,
    now: Timestamp,
) -> DesiredScale {
    let before = known.get(&key(&record.revision));
    let replicas = record.replicas();
    match before.filter(|before| before.replicas == replicas) {
        Some(before) => DesiredScale { as_of: now, ..before.clone() },
        None => DesiredScale {
            replicas,
            decided: Timestamp::from_millis(record.unix_ms),
            as_of: now,
            reason: record.to_string(),
            reporting: before.map_or(0, |before| before.reporting),
            counting: before.map_or(0, |before| before.counting),
            pods: before.map(|before| before.pods.clone()).unwrap_or_default(),
        },
    }
}

/// The desired scale that the status of a revision makes of the one before; `None` before the first
/// decision.
fn polled_scale(
    known: &BTreeMap<ObjectKey, DesiredScale>,
    status: &RevisionStatus,
    now: Timestamp,
) -> Option<DesiredScale> {
    let reporting = i32::try_from(status.ready).unwrap_or(i32::MAX);
    let ready = || status.instances.iter().filter(|instance| instance.phase == Phase::Ready);
    let counting = ready().filter(|instance| instance.counts_connections).count();
    let counting = i32::try_from(counting).unwrap_or(i32::MAX);
    let pods = ready().map(|instance| (instance.name.to_string(), instance.in_flight)).collect();
    let replicas = status.desired;
    if replicas < 0 {
        return None;
    }
    let before = known.get(&key(&status.revision)).filter(|before| before.replicas == replicas);
    let (decided, reason) = match before {
        Some(before) => (before.decided, before.reason.clone()),
        None => (now, status.last_reason.clone()),
    };
    Some(DesiredScale { replicas, decided, as_of: now, reason, reporting, counting, pods })
}
