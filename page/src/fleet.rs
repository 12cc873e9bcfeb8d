//! All revisions at one moment: what a table of them shows, searched and sorted here, so that no
//! browser ever holds ten thousand rows.

use std::cmp::Ordering;
use std::sync::Arc;

use tidegate_controller::overview::Overview;

use crate::source::{Id, SiteSeen};
use crate::trail::Load;

/// Rows of one page of the table: more than a screen shows.
pub(crate) const ROWS_MAX: usize = 100;

/// Letters of a search: those of the longest name.
pub(crate) const SEARCH_BYTES_MAX: usize = 512;

/// A revision at one moment.
#[derive(Debug, Clone)]
pub(crate) struct Row {
    /// The name of its site; empty where there is one alone.
    pub(crate) site: Arc<str>,
    /// Whether this was so and is not known to be so now.
    pub(crate) is_old: bool,
    pub(crate) overview: Overview,
    /// Requests that ended, a second.
    pub(crate) rate: f32,
    /// Those of them that failed.
    pub(crate) failed: f32,
}

impl Row {
    pub(crate) fn id(&self) -> Id {
        Id { site: Arc::clone(&self.site), revision: self.overview.revision.clone() }
    }

    /// Where it stands beside a revision, in the order of sites and names.
    pub(crate) fn order(&self, id: &Id) -> Ordering {
        (&self.site, &self.overview.revision).cmp(&(&id.site, &id.revision))
    }

    /// Instances wanted; none before the first decision.
    pub(crate) fn wanted(&self) -> u32 {
        u32::try_from(self.overview.desired).unwrap_or(0)
    }

    /// As a point of its trail.
    pub(crate) fn load(&self) -> Load {
        let Overview { windows, .. } = &self.overview;
        Load {
            in_flight: self.overview.in_flight as f32,
            stable: windows.map_or(0.0, |windows| windows.stable as f32),
            panic: windows.map_or(0.0, |windows| windows.panic as f32),
            rate: self.rate,
            failed: self.failed,
            waiting: self.overview.waiting,
            wanted: self.wanted(),
            ready: self.overview.ready,
            starting: self.overview.starting,
            draining: self.overview.draining,
            frozen: self.overview.frozen,
            panicking: self.overview.in_panic.into(),
        }
    }

    fn shows(&self, only: Only) -> bool {
        let of = &self.overview;
        match only {
            Only::All => true,
            Only::Busy => of.in_flight > 0,
            Only::Waiting => of.waiting > 0,
            Only::Panic => of.in_panic,
            Only::Changing => of.starting > 0 || of.draining > 0,
            Only::Hindered => of.is_hindered,
        }
    }

    fn is_named(&self, search: &str) -> bool {
        let id = &self.overview.revision;
        match search.split_once('/') {
            None => contains(id.name(), search) || contains(id.namespace(), search),
            // What stands before the slash ends the namespace, what stands behind begins the name.
            Some((namespace, name)) => ends(id.namespace(), namespace) && begins(id.name(), name),
        }
    }
}

/// Names are ASCII.
fn contains(text: &str, part: &str) -> bool {
    let (text, part) = (text.as_bytes(), part.as_bytes());
    part.is_empty() || text.windows(part.len()).any(|window| window.eq_ignore_ascii_case(part))
}

fn begins(text: &str, part: &str) -> bool {
    text.as_bytes().get(..part.len()).is_some_and(|head| head.eq_ignore_ascii_case(part.as_bytes()))
}

fn ends(text: &str, part: &str) -> bool {
    let from = text.len().checked_sub(part.len());
    from.is_some_and(|from| text.as_bytes()[from..].eq_ignore_ascii_case(part.as_bytes()))
}

/// What a table is sorted by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SortKey {
    Name,
    Site,
    InFlight,
    Waiting,
    Rate,
    Failed,
    Wanted,
    Ready,
    Starting,
    Draining,
}

impl SortKey {
    /// Its name in an address.
    pub(crate) const ALL: [(&'static str, SortKey); 10] = [
        ("name", SortKey::Name),
        ("site", SortKey::Site),
        ("in_flight", SortKey::InFlight),
        ("waiting", SortKey::Waiting),
        ("rate", SortKey::Rate),
        ("failed", SortKey::Failed),
        ("wanted", SortKey::Wanted),
        ("ready", SortKey::Ready),
        ("starting", SortKey::Starting),
        ("draining", SortKey::Draining),
    ];

    fn compare(self, one: &Row, other: &Row) -> Ordering {
        let (a, b) = (&one.overview, &other.overview);
        match self {
            SortKey::Name => a.revision.cmp(&b.revision),
            SortKey::Site => one.site.cmp(&other.site),
            SortKey::InFlight => a.in_flight.cmp(&b.in_flight),
            SortKey::Waiting => a.waiting.cmp(&b.waiting),
            SortKey::Rate => one.rate.total_cmp(&other.rate),
            SortKey::Failed => one.failed.total_cmp(&other.failed),
            SortKey::Wanted => one.wanted().cmp(&other.wanted()),
            SortKey::Ready => a.ready.cmp(&b.ready),
            SortKey::Starting => a.starting.cmp(&b.starting),
            SortKey::Draining => a.draining.cmp(&b.draining),
        }
    }
}

/// In which direction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Direction {
    Up,
    Down,
}

/// Which revisions a table shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Only {
    All,
    Busy,
    Waiting,
    Panic,
    Changing,
    Hindered,
}

impl Only {
    /// Its name in an address.
    pub(crate) const ALL: [(&'static str, Only); 6] = [
        ("all", Only::All),
        ("busy", Only::Busy),
        ("waiting", Only::Waiting),
        ("panic", Only::Panic),
        ("changing", Only::Changing),
        ("hindered", Only::Hindered),
    ];
}

/// One page of a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RowQuery {
    pub(crate) search: String,
    /// The one site that is shown; all of them if empty.
    pub(crate) site: String,
    pub(crate) only: Only,
    pub(crate) sort: SortKey,
    pub(crate) direction: Direction,
    pub(crate) from: usize,
    pub(crate) count: usize,
}

/// All revisions at one moment.
#[derive(Debug, Default)]
pub(crate) struct Snapshot {
    /// When, in Unix milliseconds.
    pub(crate) at_ms: i64,
    /// Time to the next one, in milliseconds.
    pub(crate) period_ms: u64,
    /// In the order of their sites and names.
    pub(crate) rows: Vec<Row>,
    /// The sites, where there are several.
    pub(crate) sites: Vec<SiteSeen>,
    /// Of all together.
    pub(crate) sum: Load,
}

/// Rows of a page, and how many there are on all pages.
pub(crate) struct Selected<'a> {
    pub(crate) found: usize,
    /// The first row: that of the query, or of the last page where it lies behind that.
    pub(crate) from: usize,
    pub(crate) rows: Vec<&'a Row>,
}

impl Snapshot {
    /// Whether nothing was looked at yet.
    pub(crate) fn is_unseen(&self) -> bool {
        self.period_ms == 0
    }

    /// The sum over `rows`.
    pub(crate) fn sum(rows: &[Row]) -> Load {
        rows.iter().map(Row::load).fold(Load::default(), |sum, load| Load {
            in_flight: sum.in_flight + load.in_flight,
            stable: sum.stable + load.stable,
            panic: sum.panic + load.panic,
            rate: sum.rate + load.rate,
            failed: sum.failed + load.failed,
            waiting: sum.waiting.saturating_add(load.waiting),
            wanted: sum.wanted.saturating_add(load.wanted),
            ready: sum.ready.saturating_add(load.ready),
            starting: sum.starting.saturating_add(load.starting),
            draining: sum.draining.saturating_add(load.draining),
            frozen: sum.frozen.saturating_add(load.frozen),
            panicking: sum.panicking.saturating_add(load.panicking),
        })
    }

    /// One page: O(revisions), and only what is shown is sorted.
    pub(crate) fn select(&self, query: &RowQuery) -> Selected<'_> {
        let is_shown = |row: &&Row| {
            let is_there = query.site.is_empty() || *query.site == *row.site;
            is_there && row.shows(query.only) && row.is_named(&query.search)
        };
        let mut rows: Vec<(usize, &Row)> =
            self.rows.iter().enumerate().filter(|(_, row)| is_shown(row)).collect();
        let found = rows.len();
        let count = query.count.clamp(1, ROWS_MAX);
        let last = found.saturating_sub(1) / count * count;
        let from = query.from.min(last);
        // Rows come by name, which decides where all else is equal.
        let order = |(i, a): &(usize, &Row), (j, b): &(usize, &Row)| {
            let by_key = query.sort.compare(a, b);
            let (by_key, by_name) = match (query.direction, query.sort) {
                (Direction::Up, _) => (by_key, i.cmp(j)),
                (Direction::Down, SortKey::Name) => (by_key.reverse(), j.cmp(i)),
                (Direction::Down, _) => (by_key.reverse(), i.cmp(j)),
            };
            by_key.then(by_name)
        };
        let end = (from + count).min(found);
        if end < found {
            rows.select_nth_unstable_by(end, order);
            rows.truncate(end);
        }
        rows.sort_unstable_by(order);
        Selected { found, from, rows: rows.into_iter().skip(from).map(|(_, row)| row).collect() }
    }
}

#[cfg(test)]
mod tests {
    use tidegate_controller::RevisionId;

    use super::*;

    fn row(name: &str, in_flight: u32) -> Row {
        let (namespace, name) = name.split_once('/').expect("a namespace");
        let overview = Overview {
            revision: RevisionId::new(namespace, name).expect("valid"),
            desired: 1,
            ready: 1,
            starting: 0,
            draining: 0,
            frozen: 0,
            waiting: in_flight / 2,
            in_flight,
            windows: None,
            in_panic: in_flight > 90,
            is_hindered: false,
            bounds: (0, 0),
            is_pinned: false,
            container_concurrency: 0,
            finished: 0,
            failed: 0,
            decisions: 0,
        };
        Row { site: "".into(), is_old: false, overview, rate: 0.0, failed: 0.0 }
    }

    fn snapshot() -> Snapshot {
        let rows: Vec<Row> = (0..100)
            .map(|nth| row(&format!("ns-{}/app-{nth:03}", nth % 2), (nth * 37) % 100))
            .collect();
        let mut rows = rows;
        rows.sort_by(|a, b| a.overview.revision.cmp(&b.overview.revision));
        Snapshot { sum: Snapshot::sum(&rows), rows, ..Snapshot::default() }
    }

    fn query() -> RowQuery {
        RowQuery {
            search: String::new(),
            site: String::new(),
            only: Only::All,
            sort: SortKey::Name,
            direction: Direction::Up,
            from: 0,
            count: 10,
        }
    }

    fn names(selected: &Selected<'_>) -> Vec<String> {
        selected.rows.iter().map(|row| row.overview.revision.to_string()).collect()
    }

    #[test]
    fn every_page_in_turn_is_the_whole_in_order() {
        let all = snapshot();
        for (_, sort) in SortKey::ALL {
            for direction in [Direction::Up, Direction::Down] {
                let mut seen = Vec::new();
                for from in (0..100).step_by(10) {
                    let page = all.select(&RowQuery { sort, direction, from, ..query() });
                    assert_eq!((page.found, page.from, page.rows.len()), (100, from, 10));
                    seen.extend(page.rows);
                }
                let mut expected: Vec<&Row> = all.rows.iter().collect();
                match (direction, sort) {
                    (Direction::Up, _) => expected.sort_by(|a, b| sort.compare(a, b)),
                    (Direction::Down, SortKey::Name) => expected.reverse(),
                    (Direction::Down, _) => expected.sort_by(|a, b| sort.compare(b, a)),
                }
                let name = |row: &&Row| row.overview.revision.clone();
                let (seen, expected): (Vec<_>, Vec<_>) =
                    (seen.iter().map(name).collect(), expected.iter().map(name).collect());
                assert_eq!(seen, expected, "{sort:?} {direction:?}");
            }
        }
    }

    #[test]
    fn names_are_found_by_any_part_or_by_both() {
        let all = snapshot();
        let found = |search: &str| {
            let search = search.to_owned();
            all.select(&RowQuery { search, ..query() }).found
        };
        assert_eq!((found("APP-00"), found("ns-1"), found("nothing")), (10, 50, 0));
        assert_eq!((found("ns-1/"), found("ns-1/app-01"), found("1/app-011")), (50, 5, 1));
        assert_eq!(found("/app-011"), 1);
        assert_eq!(found("é"), 0, "names are ASCII, and letters are not cut");
    }

    #[test]
    fn a_page_behind_the_last_is_the_last() {
        let all = snapshot();
        let page = all.select(&RowQuery { from: 1_000, count: 30, ..query() });
        assert_eq!((page.from, page.rows.len()), (90, 10));
        let none = all.select(&RowQuery { search: "x".into(), from: 7, ..query() });
        assert_eq!((none.found, none.from, none.rows.len()), (0, 0, 0));
        let many = all.select(&RowQuery { count: 5_000, ..query() });
        assert_eq!(many.rows.len(), ROWS_MAX);
    }

    #[test]
    fn kinds_are_told_apart_and_summed_up() {
        let all = snapshot();
        let found = |only| all.select(&RowQuery { only, ..query() }).found;
        assert_eq!((found(Only::Panic), found(Only::Hindered), found(Only::Busy)), (9, 0, 99));
        assert_eq!((all.sum.ready, all.sum.panicking, all.sum.in_flight), (100, 9, 4_950.0));
        let first = all.select(&RowQuery { sort: SortKey::InFlight, ..query() });
        assert_eq!(names(&first)[0], "ns-0/app-000");
    }
}
