//! Looks at what there is each second, once for all who watch.

use std::cmp::Ordering;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::watch;

use crate::fleet::{Row, Snapshot};
use crate::source::{Id, Look, Seen, Source};
use crate::trail::{Load, POINTS_IN_ALL_MAX, POINTS_MAX, POINTS_MIN, Trail};

/// Time between two looks: reporters tell their load each second.
const PERIOD_MS: u64 = 1_000;

/// Revisions that are looked at in a second. With more the looks are rarer, so that they never take
/// more of the controller's time.
const REVISIONS_PER_SECOND: usize = 10_000;

/// What was seen so far.
#[derive(Debug, Default)]
pub(crate) struct Trails {
    /// In the order of their names.
    all: Vec<Traced>,
    /// Of all together.
    pub(crate) sum: Trail,
    last_ms: Option<i64>,
}

/// One revision.
#[derive(Debug)]
struct Traced {
    id: Id,
    trail: Trail,
    finished: u64,
    failed: u64,
}

impl Trails {
    /// The trail of a revision.
    pub(crate) fn of(&self, id: &Id) -> Option<&Trail> {
        let place = self.all.binary_search_by(|traced| traced.id.cmp(id)).ok()?;
        self.all.get(place).map(|traced| &traced.trail)
    }

    /// Adds what is seen, in the order of sites and names, and returns it with its rates. What is
    /// seen no more is forgotten.
    pub(crate) fn record(&mut self, Look { at_ms, revisions, sites }: Look) -> Snapshot {
        self.align(&revisions);
        let most = (POINTS_IN_ALL_MAX / revisions.len().max(1)).clamp(POINTS_MIN, POINTS_MAX);
        let seconds = self.last_ms.map(|last| (at_ms - last).max(1) as f32 / 1e3);
        self.last_ms = Some(at_ms);
        let mut rows = Vec::with_capacity(revisions.len());
        for (traced, Seen { site, is_old, overview }) in self.all.iter_mut().zip(revisions) {
            let rate = |now: u64, before: u64| match seconds {
                // Somebody who counts anew has no rate yet.
                Some(seconds) => now.saturating_sub(before) as f32 / seconds,
                None => 0.0,
            };
            let row = Row {
                rate: rate(overview.finished, traced.finished),
                failed: rate(overview.failed, traced.failed),
                site,
                is_old,
                overview,
            };
            (traced.finished, traced.failed) = (row.overview.finished, row.overview.failed);
            traced.trail.push(at_ms, row.load(), most);
            rows.push(row);
        }
        let sum: Load = Snapshot::sum(&rows);
        self.sum.push(at_ms, sum, POINTS_MAX);
        Snapshot { at_ms, period_ms: period_ms(rows.len()), rows, sites, sum }
    }

    /// Makes the trails those of what is `seen`, one for each, in their order.
    fn align(&mut self, seen: &[Seen]) {
        let is_of = |(traced, of): (&Traced, &Seen)| {
            traced.id.revision == of.overview.revision && traced.id.site == of.site
        };
        let is_same = self.all.len() == seen.len() && self.all.iter().zip(seen).all(is_of);
        if is_same {
            return;
        }
        let mut before = std::mem::take(&mut self.all).into_iter().peekable();
        for Seen { site, overview, .. } in seen {
            let of = Id { site: Arc::clone(site), revision: overview.revision.clone() };
            while before.next_if(|traced| traced.id.cmp(&of) == Ordering::Less).is_some() {}
            let known = before.next_if(|traced| traced.id == of);
            self.all.push(known.unwrap_or_else(|| Traced {
                id: of,
                trail: Trail::default(),
                finished: overview.finished,
                failed: overview.failed,
            }));
        }
    }
}

/// Time to the next look at so many revisions.
fn period_ms(revisions: usize) -> u64 {
    PERIOD_MS * revisions.div_ceil(REVISIONS_PER_SECOND).max(1) as u64
}

/// Looks until there is nothing to look at any more.
pub(crate) async fn sample(
    source: Arc<dyn Source>,
    trails: Arc<Mutex<Trails>>,
    told: watch::Sender<Arc<Snapshot>>,
) {
    while let Ok(look) = source.look().await {
        let snapshot = trails.lock().record(look);
        let period_ms = snapshot.period_ms;
        // There may be nobody who watches.
        told.send_replace(Arc::new(snapshot));
        tokio::time::sleep(Duration::from_millis(period_ms)).await;
    }
}

#[cfg(test)]
mod tests {
    use tidegate_controller::RevisionId;
    use tidegate_controller::overview::Overview;

    use super::*;

    fn look(at_ms: i64, overviews: Vec<Overview>) -> Look {
        let seen = |overview| Seen { site: "".into(), is_old: false, overview };
        Look { at_ms, revisions: overviews.into_iter().map(seen).collect(), sites: Vec::new() }
    }

    fn overview(name: &str, finished: u64) -> Overview {
        Overview {
            revision: RevisionId::new("default", name).expect("valid"),
            desired: -1,
            ready: 0,
            starting: 0,
            draining: 0,
            frozen: 0,
            waiting: 0,
            in_flight: u32::try_from(finished).expect("few"),
            windows: None,
            in_panic: false,
            is_hindered: false,
            bounds: (0, 0),
            is_pinned: false,
            container_concurrency: 0,
            finished,
            failed: finished / 10,
            decisions: 0,
        }
    }

    #[test]
    fn rates_are_those_of_the_time_between_and_none_at_first() {
        let mut trails = Trails::default();
        let first = trails.record(look(1_000, vec![overview("a", 500)]));
        assert_eq!((first.rows[0].rate, first.rows[0].wanted()), (0.0, 0));
        let second = trails.record(look(3_000, vec![overview("a", 520), overview("b", 900)]));
        assert_eq!((second.rows[0].rate, second.rows[0].failed), (10.0, 1.0));
        assert_eq!(second.rows[1].rate, 0.0, "what ended before it was seen is no rate");
        let third = trails.record(look(4_000, vec![overview("b", 0)]));
        assert_eq!(third.rows[0].rate, 0.0, "it counts anew");
    }

    #[test]
    fn a_trail_stays_with_its_revision_and_goes_with_it() {
        let revision = |name: &str| RevisionId::new("default", name).expect("valid");
        let id = |name: &str| Id::of_controller(revision(name));
        let mut trails = Trails::default();
        trails.record(look(1_000, vec![overview("a", 1), overview("c", 3)]));
        trails.record(look(2_000, vec![overview("a", 2), overview("b", 7), overview("c", 3)]));
        let flight = |trails: &Trails, name: &str| {
            trails.of(&id(name)).map(|trail| trail.in_flight(2_000, 1_000, 2))
        };
        assert_eq!(flight(&trails, "a"), Some(vec![1.0, 2.0]));
        assert_eq!(flight(&trails, "b"), Some(vec![0.0, 7.0]));
        assert_eq!(flight(&trails, "c"), Some(vec![3.0, 3.0]));
        trails.record(look(3_000, vec![overview("b", 7)]));
        assert_eq!(flight(&trails, "a"), None);
        assert_eq!(flight(&trails, "b"), Some(vec![0.0, 7.0]));
    }

    #[test]
    fn many_revisions_are_looked_at_more_rarely_and_share_the_room() {
        assert_eq!((period_ms(0), period_ms(10_000), period_ms(10_001)), (1_000, 1_000, 2_000));
        let mut trails = Trails::default();
        for second in 0..200 {
            let all = (0..10_000).map(|nth| overview(&format!("app-{nth:05}"), second));
            trails.record(look(i64::try_from(second).expect("few") * 1_000, all.collect()));
        }
        let points: usize = trails.all.iter().map(|traced| traced.trail.len()).sum();
        assert!(points <= POINTS_IN_ALL_MAX, "{points}");
        assert!(points >= POINTS_IN_ALL_MAX / 2, "{points}");
    }
}
