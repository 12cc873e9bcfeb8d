//! What is shown and chosen: rows in an order, one of them marked, a page.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use tidegate_proto::operate::v1 as wire;

use super::super::reach::Found;
use super::keys::Key;
use super::order::Order;

/// What is on the screen.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) enum Page {
    /// Every service.
    #[default]
    Services,
    /// The last minutes of one.
    History {
        /// The process that runs it.
        pid: i32,
        /// Its name.
        service: String,
    },
}

/// A service in its row.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct Row {
    pub(super) pid: i32,
    pub(super) unix_ms: i64,
    pub(super) service: wire::ServiceStatus,
    /// Requests a second since the look before.
    pub(super) rate: f64,
}

/// Everything that is shown.
#[derive(Debug, Default)]
pub(super) struct Board {
    rows: Vec<Row>,
    order: Order,
    /// The marked service.
    marked: Option<(i32, String)>,
    page: Page,
    history: Vec<wire::Sample>,
}

impl Board {
    /// Takes in the states of a look.
    pub(super) fn update(&mut self, found: &[Found]) {
        let before: BTreeMap<(i32, String), Row> = std::mem::take(&mut self.rows)
            .into_iter()
            .map(|row| ((row.pid, row.service.name.clone()), row))
            .collect();
        let row = |found: &Found| {
            let key = (found.run.pid, found.service.name.clone());
            let rate = before.get(&key).map_or(0.0, |row| rate(row, found));
            let (pid, unix_ms, service) = (found.run.pid, found.unix_ms, found.service.clone());
            Row { pid, unix_ms, service, rate }
        };
        self.rows = found.iter().map(row).collect();
        self.sort();
    }

    fn sort(&mut self) {
        self.rows.sort_by(|a, b| {
            let by_name = (&a.service.name, a.pid).cmp(&(&b.service.name, b.pid));
            let most = |value: fn(&Row) -> u64| Reverse(value(a)).cmp(&Reverse(value(b)));
            let first = match self.order {
                Order::Name => by_name,
                Order::InFlight => most(|row| row.service.in_flight),
                Order::Queued => most(|row| row.service.queued.into()),
                Order::Instances => {
                    most(|row| u64::from(row.service.ready) + u64::from(row.service.starting))
                }
                Order::Rate => b.rate.total_cmp(&a.rate),
            };
            first.then(by_name)
        });
    }

    /// Does what a key says.
    pub(super) fn press(&mut self, key: Key) {
        match (key, &self.page) {
            (Key::Enter, Page::Services) => {
                if let Some(row) = self.rows.get(self.marked_index()) {
                    let service = row.service.name.clone();
                    self.page = Page::History { pid: row.pid, service };
                    self.history.clear();
                }
            }
            (Key::Back | Key::Enter, Page::History { .. }) => self.page = Page::Services,
            (Key::Up, Page::Services) => self.mark(self.marked_index().saturating_sub(1)),
            (Key::Down, Page::Services) => self.mark(self.marked_index() + 1),
            (Key::SortBy(order), _) => {
                self.order = order;
                self.sort();
            }
            (Key::Up | Key::Down | Key::Back | Key::NextSite | Key::Quit, _) => {}
        }
    }

    fn mark(&mut self, index: usize) {
        let last = self.rows.len().saturating_sub(1);
        let row = self.rows.get(index.min(last));
        self.marked = row.map(|row| (row.pid, row.service.name.clone()));
    }

    /// The row of the marked service: the first one where that is gone or none was marked.
    pub(super) fn marked_index(&self) -> usize {
        let is_it = |row: &Row| {
            self.marked
                .as_ref()
                .is_some_and(|(pid, name)| *pid == row.pid && *name == row.service.name)
        };
        self.rows.iter().position(is_it).unwrap_or(0)
    }

    /// Takes in the samples of the page's service.
    pub(super) fn note_history(&mut self, history: Vec<wire::Sample>) {
        self.history = history;
    }

    pub(super) fn rows(&self) -> &[Row] {
        &self.rows
    }

    pub(super) fn order(&self) -> Order {
        self.order
    }

    pub(super) fn page(&self) -> &Page {
        &self.page
    }

    pub(super) fn history(&self) -> &[wire::Sample] {
        &self.history
    }
}

/// Requests a second between two looks; that before where nothing new has come.
fn rate(before: &Row, now: &Found) -> f64 {
    let passed_ms = now.unix_ms - before.unix_ms;
    if passed_ms <= 0 {
        return before.rate;
    }
    let requests = now.service.requests.saturating_sub(before.service.requests);
    requests as f64 * 1_000.0 / passed_ms as f64
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A board with services of these names; each has one request more in flight than the one
    /// before.
    pub(in super::super) fn board(names: &[&str]) -> Board {
        let mut board = Board::default();
        for (number, name) in names.iter().enumerate() {
            let service = wire::ServiceStatus {
                name: (*name).to_owned(),
                in_flight: number as u64,
                ready: 1,
                last_reason: "1 instance: because of a reason that is rather long.".to_owned(),
                ..Default::default()
            };
            board.rows.push(Row { pid: 7, service, ..Row::default() });
        }
        board.sort();
        board
    }

    fn names(board: &Board) -> Vec<&str> {
        board.rows().iter().map(|row| row.service.name.as_str()).collect()
    }

    #[test]
    fn keys_sort_mark_and_open() {
        let mut board = board(&["web", "api", "db"]);
        assert_eq!(names(&board), ["api", "db", "web"]);
        board.press(Key::Down);
        assert_eq!(board.marked_index(), 1);
        board.press(Key::SortBy(Order::InFlight));
        assert_eq!(names(&board), ["db", "api", "web"]);
        assert_eq!(board.marked_index(), 0, "the mark stays with its service");
        board.press(Key::Up);
        board.press(Key::Enter);
        assert_eq!(*board.page(), Page::History { pid: 7, service: "db".into() });
        board.press(Key::Back);
        assert_eq!(*board.page(), Page::Services);
        for _ in 0..9 {
            board.press(Key::Down);
        }
        assert_eq!(board.marked_index(), 2);
        board.press(Key::Enter);
        assert!(matches!(board.page(), Page::History { service, .. } if service == "web"));
        let mut empty = Board::default();
        for key in [Key::Up, Key::Down, Key::Enter, Key::Back] {
            empty.press(key);
        }
        assert_eq!(*empty.page(), Page::Services);
    }
}
