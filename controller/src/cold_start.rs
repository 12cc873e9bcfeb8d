//! Cold starts as activators tell of them, and the last of them as they are kept.

use std::collections::{BTreeMap, VecDeque};

use tidegate_proto::COLD_STARTS_PER_REPORT_MAX;
use tidegate_proto::stats::v1 as wire;
use tidegate_timeline::Timeline;

use crate::identity::{InstanceName, RevisionId};

/// Cold starts kept of each revision: enough to tell a slow one from the usual.
pub const COLD_STARTS_MAX: usize = 8;

/// Cold starts kept of all revisions together: a thousand that are woken at once leave theirs
/// several times over, and all of them take two megabytes.
pub const COLD_STARTS_IN_ALL_MAX: usize = 8_192;

/// The way of a request, or of a connection, that met no ready instance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ColdStart {
    /// The instance that it was sent to.
    pub instance: InstanceName,
    /// When it was seen, in Unix milliseconds by the activator's clock.
    pub seen_unix_ms: i64,
    /// What followed.
    pub timeline: Timeline,
}

impl ColdStart {
    /// Reads those of a report. One that names no instance, or runs backwards, is left out.
    pub(crate) fn read(starts: Vec<wire::ColdStart>) -> Vec<Self> {
        let starts = starts.into_iter().take(COLD_STARTS_PER_REPORT_MAX);
        let read = |start: wire::ColdStart| {
            let timeline = Timeline::from_micros(start.timeline?.into())?;
            let instance = InstanceName::new(&start.instance).ok()?;
            Some(Self { instance, seen_unix_ms: start.seen_unix_ms, timeline })
        };
        starts.filter_map(read).collect()
    }
}

impl From<&ColdStart> for wire::ColdStart {
    fn from(start: &ColdStart) -> Self {
        Self {
            instance: start.instance.to_string(),
            seen_unix_ms: start.seen_unix_ms,
            timeline: Some(start.timeline.micros().into()),
        }
    }
}

/// The last cold starts of every revision, bounded for each and in all.
#[derive(Debug, Default)]
pub(crate) struct ColdStarts {
    /// By their numbers, the oldest first.
    kept: BTreeMap<RevisionId, VecDeque<(u64, ColdStart)>>,
    /// In the order in which they were told. What is kept no longer may still stand here.
    order: VecDeque<(RevisionId, u64)>,
    noted: u64,
}

/// Whether a cold start was told before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Told {
    First,
    Again,
}

impl ColdStarts {
    /// Keeps one, and forgets the oldest where there are too many.
    pub(crate) fn note(&mut self, revision: &RevisionId, start: &ColdStart) -> Told {
        let of_revision = self.kept.entry(revision.clone()).or_default();
        // A reporter that reconnects sends again what may not have arrived.
        if of_revision.iter().any(|(_, known)| known == start) {
            return Told::Again;
        }
        self.noted += 1;
        of_revision.push_back((self.noted, start.clone()));
        if of_revision.len() > COLD_STARTS_MAX {
            of_revision.pop_front();
        }
        self.order.push_back((revision.clone(), self.noted));
        if self.order.len() > COLD_STARTS_IN_ALL_MAX
            && let Some((oldest, number)) = self.order.pop_front()
            && let Some(of_oldest) = self.kept.get_mut(&oldest)
        {
            of_oldest.retain(|(kept, _)| *kept != number);
            if of_oldest.is_empty() {
                self.kept.remove(&oldest);
            }
        }
        Told::First
    }

    /// Those of a revision, newest first.
    pub(crate) fn newest(&self, revision: &RevisionId) -> Vec<ColdStart> {
        let of_revision = self.kept.get(revision).into_iter().flatten().rev();
        of_revision.map(|(_, start)| start.clone()).collect()
    }

    /// A revision is none any more.
    pub(crate) fn forget(&mut self, revision: &RevisionId) {
        self.kept.remove(revision);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn revision(nth: usize) -> RevisionId {
        RevisionId::new("default", &format!("app-{nth}")).expect("valid")
    }

    fn start(seen_unix_ms: i64) -> ColdStart {
        let instance = InstanceName::new("app-1").expect("valid");
        ColdStart { instance, seen_unix_ms, timeline: Timeline::default() }
    }

    #[test]
    fn the_newest_are_kept_of_each_revision_and_of_all() {
        let mut kept = ColdStarts::default();
        for seen in 0..20 {
            assert_eq!(kept.note(&revision(0), &start(seen)), Told::First);
        }
        assert_eq!(kept.note(&revision(0), &start(19)), Told::Again);
        let newest: Vec<i64> =
            kept.newest(&revision(0)).iter().map(|start| start.seen_unix_ms).collect();
        assert_eq!(newest, (12..20).rev().collect::<Vec<_>>());
        for nth in 1..=COLD_STARTS_IN_ALL_MAX {
            kept.note(&revision(nth), &start(0));
        }
        assert_eq!((kept.order.len(), kept.kept.len()), (8_192, 8_192), "the first is forgotten");
        assert_eq!(kept.newest(&revision(0)), []);
        kept.forget(&revision(1));
        assert_eq!(kept.newest(&revision(1)), []);
    }

    #[test]
    fn what_runs_backwards_or_names_nobody_is_left_out() {
        let good: wire::ColdStart = (&start(7)).into();
        let timeline = wire::Timeline {
            decided_us: Some(2),
            first_byte_us: Some(1),
            ..wire::Timeline::default()
        };
        let backwards = wire::ColdStart { timeline: Some(timeline), ..good.clone() };
        let nameless = wire::ColdStart { instance: "a\nb".to_owned(), ..good };
        let empty = wire::ColdStart { timeline: None, ..good.clone() };
        let read = ColdStart::read(vec![backwards, good.clone(), nameless, empty]);
        assert_eq!(read, [start(7)]);
        assert_eq!(ColdStart::read(vec![good; 100]).len(), COLD_STARTS_PER_REPORT_MAX);
    }
}
