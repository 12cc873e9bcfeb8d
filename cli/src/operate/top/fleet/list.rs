//! What is shown of revisions: rows in an order, of all sites or of one.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use tidegate_explain::full_name;
use tidegate_explain::site_text::remark;
use tidegate_explain::text::time;
use tidegate_proto::scale::v1 as wire;
use tidegate_sites::SiteName;

use super::super::keys::Key;
use super::super::order::Order;
use super::follow::State;

/// A revision in its row.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Row {
    pub(super) status: wire::RevisionStatus,
    /// Requests a second since the look before.
    pub(super) rate: f64,
    /// When this was so, in Unix milliseconds.
    pub(super) told_ms: i64,
    /// Whether it is not so any more, as far as is known.
    pub(super) is_old: bool,
}

/// Everything that is shown.
#[derive(Debug)]
pub(super) struct List {
    rows: Vec<Row>,
    sites: Vec<wire::SiteStatus>,
    order: Order,
    /// The revision to show alone, as it was typed.
    asked: Option<String>,
    /// The sites to show alone; all of them if there is none.
    only: Vec<SiteName>,
    /// The site that was chosen by key.
    chosen: Option<String>,
    first: usize,
    remarks: Vec<String>,
}

impl List {
    pub(super) fn new(asked: Option<String>, only: Vec<SiteName>) -> Self {
        let (rows, sites, remarks) = (Vec::new(), Vec::new(), Vec::new());
        let (order, chosen, first) = (Order::default(), None, 0);
        Self { rows, sites, order, asked, only, chosen, first, remarks }
    }

    /// Takes in what was told last.
    pub(super) fn update(&mut self, state: &State) {
        let before: BTreeMap<String, Row> = std::mem::take(&mut self.rows)
            .into_iter()
            .map(|row| (full_name(&row.status), row))
            .collect();
        let wire::ListRevisionsResponse { revisions, sites } = &state.told;
        self.sites = sites.iter().filter(|site| self.shows_site(&site.name)).cloned().collect();
        let link = |name: &str| sites.iter().find(|site| site.name == name);
        let row = |status: &wire::RevisionStatus| {
            let site = link(&status.site);
            let told_ms = site.map_or(state.told_ms, |site| site.told_unix_ms);
            let is_cut = site.is_some_and(|site| site.link() != wire::SiteLink::Up);
            let mut row = Row {
                status: status.clone(),
                rate: 0.0,
                told_ms,
                is_old: is_cut || state.cut.is_some(),
            };
            if let Some(before) = before.get(&full_name(status)) {
                row.rate = rate(before, &row);
            }
            row
        };
        let shown = revisions.iter().filter(|it| self.shows_site(&it.site) && self.is_asked(it));
        self.rows = shown.map(row).collect();
        self.remarks = self.sites.iter().filter_map(remark).collect();
        if let Some((since_ms, why)) = &state.cut {
            self.remarks.insert(0, format!("no answer since {}: {why}", time(*since_ms)));
        }
        self.sort();
    }

    fn shows_site(&self, site: &str) -> bool {
        self.only.is_empty() || self.only.iter().any(|only| only.as_str() == site)
    }

    fn is_asked(&self, status: &wire::RevisionStatus) -> bool {
        let Some(asked) = &self.asked else { return true };
        let named = format!("{}/{}", status.namespace, status.name);
        [&full_name(status), &named, &status.name].contains(&asked)
    }

    fn sort(&mut self) {
        self.rows.sort_by(|a, b| {
            let key = |row: &Row| {
                let status = &row.status;
                (status.site.clone(), status.namespace.clone(), status.name.clone())
            };
            let most = |value: fn(&Row) -> u32| Reverse(value(a)).cmp(&Reverse(value(b)));
            let first = match self.order {
                Order::Name => std::cmp::Ordering::Equal,
                Order::InFlight => most(|row| row.status.in_flight),
                Order::Queued => most(|row| row.status.waiting),
                Order::Instances => {
                    most(|row| row.status.ready.saturating_add(row.status.starting))
                }
                Order::Rate => b.rate.total_cmp(&a.rate),
            };
            first.then_with(|| key(a).cmp(&key(b)))
        });
    }

    /// Does what a key says.
    pub(super) fn press(&mut self, key: Key) {
        match key {
            Key::SortBy(order) => {
                self.order = order;
                self.sort();
            }
            Key::Up => self.first = self.first.saturating_sub(1),
            Key::Down => self.first = (self.first + 1).min(self.rows().count().saturating_sub(1)),
            Key::NextSite => {
                let names: Vec<&String> = self.sites.iter().map(|site| &site.name).collect();
                let next = match &self.chosen {
                    None => 0,
                    Some(chosen) => {
                        names.iter().position(|it| *it == chosen).map_or(0, |at| at + 1)
                    }
                };
                self.chosen = names.get(next).map(|name| (*name).clone());
                self.first = 0;
            }
            Key::Enter | Key::Back | Key::Quit => {}
        }
    }

    /// The rows that are shown, in their order.
    pub(super) fn rows(&self) -> impl Iterator<Item = &Row> {
        let is_shown =
            |row: &&Row| self.chosen.as_ref().is_none_or(|chosen| *chosen == row.status.site);
        self.rows.iter().filter(is_shown)
    }

    /// The row to begin with.
    pub(super) fn first(&self) -> usize {
        self.first.min(self.rows().count().saturating_sub(1))
    }

    /// Whether rows are of several sites.
    pub(super) fn has_sites(&self) -> bool {
        !self.sites.is_empty()
    }

    /// The site that was chosen by key.
    pub(super) fn chosen(&self) -> Option<&str> {
        self.chosen.as_deref()
    }

    pub(super) fn sites(&self) -> &[wire::SiteStatus] {
        &self.sites
    }

    pub(super) fn order(&self) -> Order {
        self.order
    }

    /// What there is to say of sites beside their rows.
    pub(super) fn remarks(&self) -> &[String] {
        &self.remarks
    }

    /// What is shown, as a view tells it.
    pub(super) fn shown(&self) -> wire::ListRevisionsResponse {
        wire::ListRevisionsResponse {
            revisions: self.rows().map(|row| row.status.clone()).collect(),
            sites: self.sites.clone(),
        }
    }
}

/// Requests a second between two looks; that before where nothing new has come.
fn rate(before: &Row, now: &Row) -> f64 {
    let passed_ms = now.told_ms - before.told_ms;
    if passed_ms <= 0 {
        return before.rate;
    }
    let requests = now.status.finished.saturating_sub(before.status.finished);
    requests as f64 * 1_000.0 / passed_ms as f64
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    fn revision(site: &str, name: &str, finished: u64) -> wire::RevisionStatus {
        wire::RevisionStatus {
            site: site.into(),
            namespace: "prod".into(),
            name: name.into(),
            in_flight: name.len() as u32,
            finished,
            ..Default::default()
        }
    }

    fn site(name: &str, link: wire::SiteLink, told_unix_ms: i64) -> wire::SiteStatus {
        let name = name.into();
        wire::SiteStatus { name, link: link.into(), told_unix_ms, ..Default::default() }
    }

    /// What a view of two sites told at a time, of which the second is cut.
    pub(in super::super) fn state(told_ms: i64, finished: u64) -> State {
        let told = wire::ListRevisionsResponse {
            revisions: vec![
                revision("oslo", "web", finished),
                revision("paris", "longer-name", 7),
                revision("oslo", "api", 0),
            ],
            sites: vec![
                site("oslo", wire::SiteLink::Up, told_ms),
                site("paris", wire::SiteLink::Cut, 1),
            ],
        };
        State { told, told_ms, cut: None }
    }

    fn names(list: &List) -> Vec<String> {
        list.rows().map(|row| full_name(&row.status)).collect()
    }

    #[test]
    fn rows_are_sorted_and_chosen_by_site() {
        let mut list = List::new(None, Vec::new());
        list.update(&state(1_000, 0));
        assert_eq!(names(&list), ["oslo:prod/api", "oslo:prod/web", "paris:prod/longer-name"]);
        list.press(Key::SortBy(Order::InFlight));
        assert_eq!(names(&list)[0], "paris:prod/longer-name");
        list.press(Key::NextSite);
        assert_eq!((list.chosen(), names(&list).len()), (Some("oslo"), 2));
        list.press(Key::NextSite);
        assert_eq!((list.chosen(), names(&list).len()), (Some("paris"), 1));
        list.press(Key::NextSite);
        assert_eq!((list.chosen(), names(&list).len()), (None, 3));
        let only = vec!["paris".parse().expect("a name")];
        let mut of_one = List::new(None, only);
        of_one.update(&state(1_000, 0));
        assert_eq!((names(&of_one).len(), of_one.sites().len()), (1, 1));
        for asked in ["web", "prod/web", "oslo:prod/web"] {
            let mut of_one = List::new(Some(asked.to_owned()), Vec::new());
            of_one.update(&state(1_000, 0));
            assert_eq!(names(&of_one), ["oslo:prod/web"]);
        }
    }

    #[test]
    fn what_is_old_is_known_as_that_and_has_its_last_rate() {
        let mut list = List::new(None, Vec::new());
        list.update(&state(1_000, 100));
        list.update(&state(3_000, 140));
        let rows: Vec<&Row> = list.rows().collect();
        assert_eq!((rows[1].rate, rows[1].is_old), (20.0, false));
        assert_eq!((rows[2].rate, rows[2].is_old), (0.0, true));
        assert_eq!(list.remarks().len(), 1);
        let cut = Some((4_000, "it hung up".to_owned()));
        list.update(&State { cut, ..state(3_000, 140) });
        assert!(list.rows().all(|row| row.is_old));
        assert_eq!(list.rows().nth(1).map(|row| row.rate), Some(20.0));
        assert!(list.remarks()[0].starts_with("no answer since 1970-01-01T00:00:04"));
    }
}
