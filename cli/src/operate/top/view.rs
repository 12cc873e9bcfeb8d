//! Draws the board: a table of services, or the last minutes of one, in any width from 20 columns
//! on.

use tidegate_proto::operate::v1 as wire;

use super::super::ps;
use super::super::table::{self, Side};
use super::board::{Board, Page, Row};
use super::order::Order;
use crate::chart::{self, Ink};
use crate::terminal::{BLUE, Colour, GREEN, Surface, VERMILION, counted, cut, wrap};

/// Widest name that is shown whole in a narrow terminal.
const NAME_COLUMNS: usize = 16;

/// From this width on there is room for latencies, and for why.
pub(super) const WIDE: usize = 90;

/// Columns of a chart's labels.
const LABEL_COLUMNS: usize = 8;

/// Lines of a chart, at least and at most.
const CHART_LINES: std::ops::RangeInclusive<usize> = 2..=10;

/// Lines of the last reason below the charts.
const REASON_LINES: usize = 3;

/// The whole screen.
pub(super) fn screen(
    board: &Board,
    (width, height): (usize, usize),
    surface: Surface,
    ink: Ink,
) -> Vec<String> {
    let mut lines = match board.page() {
        Page::Services => services(board, (width, height), surface),
        Page::History { pid, service } => {
            let row = board.rows().iter().find(|it| it.pid == *pid && it.service.name == *service);
            history(board, (service, row), (width, height), (surface, ink))
        }
    };
    lines.truncate(height.saturating_sub(1).max(1));
    lines.iter().map(|line| cut(line, width)).collect()
}

fn services(board: &Board, (width, height): (usize, usize), surface: Surface) -> Vec<String> {
    let marks = Marks::of(surface);
    let room = width.saturating_sub(marks.columns());
    let rows: Vec<Vec<String>> = board.rows().iter().map(|row| cells(row, width)).collect();
    let mut table = table::lines(&headings(width), &rows).into_iter();
    let heading = marks.other(&cut(&table.next().unwrap_or_default(), room));
    let count = counted(board.rows().len() as u64, "service");
    let mut lines = vec![format!("{count}, by {}", named(board.order())), String::new()];
    lines.push(surface.paint("1", &heading));
    // The heading, what stands around it, and the keys.
    let shown = height.saturating_sub(6).max(1);
    let marked = board.marked_index();
    let first = (marked + 1).saturating_sub(shown);
    for (number, line) in table.enumerate().skip(first).take(shown) {
        let line = cut(&line, room);
        let is_waiting = board.rows()[number].service.queued > 0;
        lines.push(match (number == marked, is_waiting) {
            (true, _) => marks.marked(surface, &format!("{line:<room$}")),
            (false, true) => surface.paint(VERMILION, &marks.other(&line)),
            (false, false) => marks.other(&line),
        });
    }
    lines.push(String::new());
    lines.extend(keys(width, "sort: n name, f in flight, w queued, r rate, i instances"));
    lines.push("enter: last minutes   q: leave".to_owned());
    lines
}

/// How the marked row is told from the others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Marks {
    /// By its colours.
    Inverse,
    /// By a sign before it, where there are no colours.
    Sign,
}

impl Marks {
    fn of(surface: Surface) -> Self {
        match surface {
            Surface::Terminal(Colour::On) => Self::Inverse,
            _ => Self::Sign,
        }
    }

    /// Columns before every row.
    fn columns(self) -> usize {
        if self == Self::Sign { 2 } else { 0 }
    }

    fn marked(self, surface: Surface, line: &str) -> String {
        match self {
            Self::Inverse => surface.paint("7", line),
            Self::Sign => format!("> {}", line.trim_end()),
        }
    }

    fn other(self, line: &str) -> String {
        format!("{:1$}{line}", "", self.columns())
    }
}

pub(super) fn keys(width: usize, long: &str) -> Option<String> {
    if long.chars().count() <= width {
        Some(long.to_owned())
    } else {
        Some("sort: n f w r i".to_owned())
    }
}

pub(super) fn named(order: Order) -> &'static str {
    match order {
        Order::Name => "name",
        Order::InFlight => "requests in flight",
        Order::Queued => "requests that wait",
        Order::Rate => "requests a second",
        Order::Instances => "instances",
    }
}

fn headings(width: usize) -> Vec<(&'static str, Side)> {
    let mut headings = vec![
        ("SERVICE", Side::Left),
        ("WANTED", Side::Right),
        ("READY", Side::Right),
        ("FLIGHT", Side::Right),
        ("QUEUED", Side::Right),
        ("REQ/S", Side::Right),
    ];
    if width >= WIDE {
        headings.extend([("P99 MS", Side::Right), ("WHY", Side::Left)]);
    }
    headings
}

fn cells(row: &Row, width: usize) -> Vec<String> {
    let Row { service, rate, .. } = row;
    let wire::ServiceStatus { ready, in_flight, queued, .. } = service;
    let mut cells = vec![
        if width >= WIDE { service.name.clone() } else { cut(&service.name, NAME_COLUMNS) },
        ps::wanted(service.desired),
        ready.to_string(),
        in_flight.to_string(),
        queued.to_string(),
        format!("{rate:.1}"),
    ];
    if width >= WIDE {
        let p99_ms = service.p99_us as f64 / 1e3;
        cells.push(if service.p99_us == 0 { String::new() } else { format!("{p99_ms:.1}") });
        cells.push(service.last_reason.clone());
    }
    cells
}

/// The last minutes of one service, as charts.
fn history(
    board: &Board,
    (name, row): (&str, Option<&Row>),
    (width, height): (usize, usize),
    (surface, ink): (Surface, Ink),
) -> Vec<String> {
    let samples = board.history();
    let mut lines = vec![match row {
        Some(row) => format!("{name}  {}", ps::scale(&row.service, row.unix_ms)),
        None => format!("{name} has ended"),
    }];
    // Three charts, a heading above each, and what stands around them.
    let room = height.saturating_sub(6 + REASON_LINES) / 3;
    let chart_lines = room.saturating_sub(1).clamp(*CHART_LINES.start(), *CHART_LINES.end());
    let chart_width = width.saturating_sub(LABEL_COLUMNS).max(1);
    type Figure = fn(&wire::Sample) -> f64;
    let charts: [(&str, &str, Figure); 3] = [
        ("requests a second", BLUE, |sample| sample.requests_per_second),
        ("requests in the system", BLUE, |sample| {
            sample.in_flight as f64 + f64::from(sample.queued)
        }),
        ("instances that are ready", GREEN, |sample| f64::from(sample.ready)),
    ];
    for (heading, colour, value) in charts {
        let values: Vec<f64> = samples.iter().map(value).collect();
        let now = values.last().copied().unwrap_or_default();
        lines.push(format!("{heading}: {now:.1} now"));
        let chart = chart::columns(&values, chart_width, chart_lines, ink);
        lines.extend(chart.iter().map(|line| surface.paint(colour, line)));
    }
    lines.push(format!("the last {} s", samples.len()));
    if let Some(row) = row {
        lines.extend(wrap("why  ", &row.service.last_reason, width, REASON_LINES));
    }
    lines.push("backspace: all services   q: leave".to_owned());
    lines
}

/// A round of plain rows; the heading before the first.
pub(super) fn plain(board: &Board, round: u32) -> Vec<String> {
    let rows: Vec<Vec<String>> = board.rows().iter().map(timed_cells).collect();
    let mut headings = vec![("TIME", Side::Left)];
    headings.extend(self::headings(WIDE));
    let lines = table::lines(&headings, &rows);
    let skipped = if round == 0 { 0 } else { 1 };
    lines.into_iter().skip(skipped).collect()
}

fn timed_cells(row: &Row) -> Vec<String> {
    let mut all = vec![tidegate_explain::text::time(row.unix_ms)];
    all.extend(cells(row, WIDE));
    all
}

#[cfg(test)]
mod tests {
    use super::super::board::tests::board;
    use super::super::keys::Key;
    use super::*;

    fn sample(second: i64) -> wire::Sample {
        wire::Sample {
            unix_ms: second * 1_000,
            requests_per_second: second as f64,
            ready: 2,
            ..Default::default()
        }
    }

    #[test]
    fn every_page_fits_every_width() {
        let mut board = board(&["web", "a-service-with-a-rather-long-name-that-goes-on", "db"]);
        for page in 0..2 {
            for (width, height) in [(20, 10), (60, 24), (80, 24), (120, 40), (250, 8)] {
                let surface = Surface::Terminal(Colour::Off);
                let lines = screen(&board, (width, height), surface, Ink::Blocks);
                assert!(lines.len() < height, "{} lines in {height}", lines.len());
                for line in &lines {
                    assert!(line.chars().count() <= width, "{width}: {line}");
                }
                assert_eq!(page == 0, lines[0].contains("3 services"), "{}", lines[0]);
            }
            board.press(Key::Enter);
            board.note_history((0..300).map(sample).collect());
        }
    }

    #[test]
    fn sixty_columns_have_every_number() {
        let board = board(&["web"]);
        let lines = screen(&board, (60, 24), Surface::Terminal(Colour::Off), Ink::Ascii);
        for heading in ["SERVICE", "WANTED", "READY", "FLIGHT", "QUEUED", "REQ/S"] {
            assert!(lines.iter().any(|line| line.contains(heading)), "{heading}: {lines:#?}");
        }
    }

    #[test]
    fn the_marked_row_stays_in_sight() {
        let names: Vec<String> = (0..50).map(|number| format!("s{number:02}")).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let mut board = board(&names);
        for _ in 0..40 {
            board.press(Key::Down);
        }
        let lines = screen(&board, (60, 15), Surface::Terminal(Colour::Off), Ink::Ascii);
        assert!(lines.iter().any(|line| line.starts_with("> s40")), "{lines:#?}");
    }

    #[test]
    fn plain_rows_have_one_heading() {
        let board = board(&["web", "db"]);
        assert_eq!((plain(&board, 0).len(), plain(&board, 1).len()), (3, 2));
    }
}
