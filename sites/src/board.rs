//! What is known of all sites. Time is an argument.

use std::collections::BTreeMap;
use std::sync::Arc;

use tidegate_call::SiteName;
use tidegate_proto::scale::v1 as wire;

use crate::known::{Known, LINE_CHARS_MAX, line};
use crate::shares::shares;

/// Revisions of all sites together that are known: as many as a page looks at each second. With a
/// kilobyte for names and a reason, they hold ten megabytes.
pub const REVISIONS_MAX: usize = 10_000;

/// Whether a site answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Link {
    /// It was not heard of yet.
    Awaited,
    /// It does.
    Up,
    /// It does not, and why.
    Cut(String),
}

/// What is known of one site.
#[derive(Debug, Clone, PartialEq)]
pub struct SiteState {
    /// Its name.
    pub name: SiteName,
    /// Whether it answers.
    pub link: Link,
    /// Since when that is so, in Unix milliseconds.
    pub since_ms: i64,
    /// When it last told of its revisions.
    pub told_ms: Option<i64>,
    /// What it last told, in the order of the names.
    pub revisions: Arc<[Known]>,
    /// How many more it has than are known.
    pub left_out: usize,
}

impl SiteState {
    /// What is shown of it is not what is so now.
    #[must_use]
    pub fn is_old(&self) -> bool {
        self.link != Link::Up
    }

    /// The same as a view tells it.
    #[must_use]
    pub fn to_wire(&self) -> wire::SiteStatus {
        let count = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
        let (link, why) = match &self.link {
            Link::Awaited => (wire::SiteLink::Awaited, ""),
            Link::Up => (wire::SiteLink::Up, ""),
            Link::Cut(why) => (wire::SiteLink::Cut, why.as_str()),
        };
        wire::SiteStatus {
            name: self.name.to_string(),
            link: link.into(),
            since_unix_ms: self.since_ms,
            told_unix_ms: self.told_ms.unwrap_or(0),
            why: why.to_owned(),
            revisions: count(self.revisions.len()),
            left_out: count(self.left_out),
        }
    }
}

/// What is known of all sites at one moment. Clones share it.
#[derive(Debug, Clone, Default)]
pub struct Snapshot {
    /// The sites, in the order of their names.
    pub sites: Vec<SiteState>,
}

impl Snapshot {
    /// The same as a view tells it.
    #[must_use]
    pub fn to_wire(&self) -> wire::ListRevisionsResponse {
        let of_site = |site: &SiteState| -> Vec<wire::RevisionStatus> {
            site.revisions.iter().map(|known| known.to_wire(site.name.as_str())).collect()
        };
        wire::ListRevisionsResponse {
            revisions: self.sites.iter().flat_map(of_site).collect(),
            sites: self.sites.iter().map(SiteState::to_wire).collect(),
        }
    }

    /// A site by its name.
    #[must_use]
    pub fn site(&self, name: &SiteName) -> Option<&SiteState> {
        let place = self.sites.binary_search_by(|site| site.name.cmp(name)).ok()?;
        self.sites.get(place)
    }
}

/// Keeps what is known. Nothing that a site tells makes it hold more than [`REVISIONS_MAX`] of all,
/// nor less of the others than their share.
#[derive(Debug)]
pub struct Board {
    sites: BTreeMap<SiteName, Entry>,
}

#[derive(Debug)]
struct Entry {
    link: Link,
    since_ms: i64,
    told_ms: Option<i64>,
    revisions: Arc<[Known]>,
    /// How many it told of, shown or not.
    told: usize,
}

impl Board {
    /// Knows nothing yet of these sites.
    #[must_use]
    pub fn new(names: impl IntoIterator<Item = SiteName>, now_ms: i64) -> Self {
        let entry = || Entry {
            link: Link::Awaited,
            since_ms: now_ms,
            told_ms: None,
            revisions: Arc::default(),
            told: 0,
        };
        Self { sites: names.into_iter().map(|name| (name, entry())).collect() }
    }

    /// A site has told of its revisions, and of `left_out` more that were not read. Returns whether
    /// it had not answered before.
    pub fn answered(
        &mut self,
        site: &SiteName,
        mut revisions: Vec<Known>,
        left_out: usize,
        now_ms: i64,
    ) -> bool {
        revisions.sort_by(|one, other| one.overview.revision.cmp(&other.overview.revision));
        revisions.dedup_by(|one, other| one.overview.revision == other.overview.revision);
        let Some(entry) = self.sites.get_mut(site) else { return false };
        entry.told = revisions.len().saturating_add(left_out);
        entry.told_ms = Some(now_ms);
        let is_news = entry.link != Link::Up;
        if is_news {
            (entry.link, entry.since_ms) = (Link::Up, now_ms);
        }
        let needs: Vec<usize> = self.sites.values().map(|entry| entry.told).collect();
        let rooms = shares(&needs, REVISIONS_MAX);
        for ((name, entry), room) in self.sites.iter_mut().zip(rooms) {
            if name == site {
                revisions.truncate(room);
                entry.revisions = std::mem::take(&mut revisions).into();
            } else if entry.revisions.len() > room {
                entry.revisions = entry.revisions.iter().take(room).cloned().collect();
            }
        }
        is_news
    }

    /// A site does not answer. What it last told stays. Returns whether it did before, or had not
    /// been heard of.
    pub fn cut(&mut self, site: &SiteName, why: &str, now_ms: i64) -> bool {
        let Some(entry) = self.sites.get_mut(site) else { return false };
        let is_news = !matches!(entry.link, Link::Cut(_));
        if is_news {
            entry.since_ms = now_ms;
        }
        entry.link = Link::Cut(line(why, LINE_CHARS_MAX));
        is_news
    }

    /// What is known now.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        let state = |(name, entry): (&SiteName, &Entry)| SiteState {
            name: name.clone(),
            link: entry.link.clone(),
            since_ms: entry.since_ms,
            told_ms: entry.told_ms,
            revisions: Arc::clone(&entry.revisions),
            left_out: entry.told.saturating_sub(entry.revisions.len()),
        };
        Snapshot { sites: self.sites.iter().map(state).collect() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn site(name: &str) -> SiteName {
        name.parse().expect("a good name")
    }

    fn revisions(count: usize) -> Vec<Known> {
        let known = |nth: usize| {
            Known::of_wire(&wire::RevisionStatus {
                namespace: "a".into(),
                name: format!("app-{nth:05}"),
                ..Default::default()
            })
        };
        (0..count).rev().filter_map(known).collect()
    }

    fn counts(board: &Board) -> Vec<(usize, usize)> {
        let snapshot = board.snapshot();
        snapshot.sites.iter().map(|site| (site.revisions.len(), site.left_out)).collect()
    }

    #[test]
    fn what_a_site_last_told_stays_as_old_while_it_is_cut() {
        let mut board = Board::new([site("a"), site("b")], 1_000);
        assert_eq!(board.snapshot().sites[0].link, Link::Awaited);
        assert!(board.answered(&site("a"), revisions(2), 0, 2_000));
        assert!(!board.answered(&site("a"), revisions(3), 0, 3_000), "it goes on");
        assert!(board.cut(&site("a"), "no answer\u{1b}", 9_000));
        assert!(!board.cut(&site("a"), "still none", 10_000));
        let a = board.snapshot().sites[0].clone();
        assert!(a.is_old());
        assert_eq!(
            (a.link, a.since_ms, a.told_ms),
            (Link::Cut("still none".into()), 9_000, Some(3_000))
        );
        assert_eq!(a.revisions.len(), 3);
        assert!(a.revisions.is_sorted_by_key(|known| known.overview.revision.clone()));
        assert!(board.answered(&site("a"), revisions(1), 0, 12_000));
        let a = board.snapshot().sites[0].clone();
        assert_eq!((a.link.clone(), a.since_ms, a.is_old()), (Link::Up, 12_000, false));
        assert!(!board.answered(&site("stranger"), revisions(1), 0, 12_000));
        assert!(!board.cut(&site("stranger"), "", 12_000));
    }

    #[test]
    fn no_site_takes_the_room_of_the_others() {
        let mut board = Board::new([site("a"), site("b"), site("c")], 0);
        board.answered(&site("a"), revisions(REVISIONS_MAX), 7, 1);
        assert_eq!(counts(&board)[0], (REVISIONS_MAX, 7));
        board.answered(&site("b"), revisions(100), 0, 2);
        board.answered(&site("c"), revisions(6_000), 0, 3);
        let all = counts(&board);
        assert_eq!(all[1], (100, 0));
        assert_eq!(all.iter().map(|(known, _)| known).sum::<usize>(), REVISIONS_MAX);
        assert_eq!((all[0].0, all[2].0), (4_950, 4_950));
        board.answered(&site("c"), revisions(10), 0, 4);
        board.answered(&site("a"), revisions(REVISIONS_MAX), 0, 5);
        assert_eq!(counts(&board), [(9_890, 110), (100, 0), (10, 0)]);
    }

    #[test]
    fn a_name_is_known_once() {
        let mut board = Board::new([site("a")], 0);
        let twice = [revisions(3), revisions(3)].concat();
        board.answered(&site("a"), twice, 0, 1);
        assert_eq!(counts(&board), [(3, 0)]);
    }
}
