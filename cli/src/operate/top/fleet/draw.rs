//! Draws the list, in any width from 20 columns on.

use std::time::Duration;

use tidegate_explain::text::time;
use tidegate_proto::scale::v1 as wire;
use tidegate_sites::follow::unix_ms;
use tidegate_words::time::compact;

use super::super::super::ps;
use super::super::super::table::{self, Side};
use super::super::view::{WIDE, keys, named};
use super::list::{List, Row};
use crate::terminal::{Surface, VERMILION, counted, cut};

/// Widest name that is shown whole in a narrow terminal.
const NAME_COLUMNS: usize = 24;

/// Lines about sites that do not answer, beside the rows.
const REMARKS_MAX: usize = 8;

/// The whole screen.
pub(super) fn screen(
    list: &List,
    (width, height): (usize, usize),
    surface: Surface,
) -> Vec<String> {
    let rows: Vec<&Row> = list.rows().collect();
    let cells: Vec<Vec<String>> = rows.iter().map(|row| cells(list, row, width)).collect();
    let mut table = table::lines(&headings(list, width), &cells).into_iter();
    let heading = table.next().unwrap_or_default();
    let mut lines = vec![title(list, rows.len()), String::new()];
    lines.push(surface.paint("1", &cut(&heading, width)));
    let remarks = list.remarks();
    let said = remarks.len().min(REMARKS_MAX);
    // The heading, what stands around it, the remarks, and the keys.
    let shown = height.saturating_sub(7 + said).max(1);
    for (row, line) in rows.iter().zip(table).skip(list.first()).take(shown) {
        let line = cut(&line, width);
        lines.push(match (row.is_old, row.status.waiting > 0) {
            (true, _) => surface.paint("2", &line),
            (false, true) => surface.paint(VERMILION, &line),
            (false, false) => line,
        });
    }
    lines.push(String::new());
    let remarks = remarks.iter().take(said);
    lines.extend(remarks.map(|remark| surface.paint(VERMILION, &cut(remark, width))));
    lines.extend(keys(width, "sort: n name, f in flight, w waiting, r rate, i instances"));
    lines.push(cut("s: next site   arrows: more rows   q: leave", width));
    lines.truncate(height.saturating_sub(1).max(1));
    lines.iter().map(|line| cut(line, width)).collect()
}

fn title(list: &List, rows: usize) -> String {
    let count = counted(rows as u64, "revision");
    let by = named(list.order());
    match (list.has_sites(), list.chosen()) {
        (false, _) => format!("{count}, by {by}"),
        (true, Some(site)) => format!("{count} of {site}, by {by}"),
        (true, None) => {
            let up = list.sites().iter().filter(|site| site.link() == wire::SiteLink::Up).count();
            let all = counted(list.sites().len() as u64, "site");
            format!("{count} of {all}, {up} of which answer, by {by}")
        }
    }
}

fn headings(list: &List, width: usize) -> Vec<(&'static str, Side)> {
    let mut headings = Vec::new();
    if list.has_sites() {
        headings.push(("SITE", Side::Left));
    }
    headings.extend([
        ("REVISION", Side::Left),
        ("WANTED", Side::Right),
        ("READY", Side::Right),
        ("FLIGHT", Side::Right),
        ("WAITING", Side::Right),
        ("REQ/S", Side::Right),
    ]);
    if list.has_sites() {
        headings.push(("AGE", Side::Right));
    }
    if width >= WIDE {
        headings.push(("WHY", Side::Left));
    }
    headings
}

fn cells(list: &List, row: &Row, width: usize) -> Vec<String> {
    let Row { status, rate, .. } = row;
    let wire::RevisionStatus { site, namespace, name, ready, in_flight, waiting, .. } = status;
    let named = format!("{namespace}/{name}");
    let mut cells = Vec::new();
    if list.has_sites() {
        cells.push(if width >= WIDE { site.clone() } else { cut(site, NAME_COLUMNS / 2) });
    }
    cells.extend([
        if width >= WIDE { named } else { cut(&named, NAME_COLUMNS) },
        ps::wanted(status.desired),
        ready.to_string(),
        in_flight.to_string(),
        waiting.to_string(),
        format!("{rate:.1}"),
    ]);
    if list.has_sites() {
        cells.push(age(row));
    }
    if width >= WIDE {
        cells.push(status.last_reason.clone());
    }
    cells
}

/// How old a row is, where it is old.
fn age(row: &Row) -> String {
    match row.is_old {
        false => "now".to_owned(),
        true => {
            let ms = u64::try_from(unix_ms() - row.told_ms).unwrap_or(0);
            compact(Duration::from_secs(ms / 1_000))
        }
    }
}

/// A round of plain rows; the heading before the first.
pub(super) fn plain(list: &List, round: u32) -> Vec<String> {
    let timed = |row: &Row| {
        let mut all = vec![time(row.told_ms)];
        all.extend(cells(list, row, WIDE));
        all
    };
    let rows: Vec<Vec<String>> = list.rows().map(timed).collect();
    let mut headings = vec![("TIME", Side::Left)];
    headings.extend(self::headings(list, WIDE));
    let lines = table::lines(&headings, &rows);
    let skipped = usize::from(round > 0);
    lines.into_iter().skip(skipped).chain(list.remarks().iter().cloned()).collect()
}

#[cfg(test)]
mod tests {
    use super::super::list::tests::state;
    use super::*;
    use crate::terminal::Colour;

    #[test]
    fn every_width_fits_and_every_silent_site_is_named() {
        let mut list = List::new(None, Vec::new());
        list.update(&state(1_000, 0));
        for (width, height) in [(20, 10), (60, 24), (80, 24), (120, 40), (250, 12)] {
            let lines = screen(&list, (width, height), Surface::Terminal(Colour::Off));
            assert!(lines.len() < height, "{} lines in {height}", lines.len());
            for line in &lines {
                assert!(line.chars().count() <= width, "{width}: {line}");
            }
        }
        let lines = screen(&list, (120, 40), Surface::Terminal(Colour::Off));
        assert!(lines[0].starts_with("3 revisions of 2 sites, 1 of which answer"), "{}", lines[0]);
        assert!(lines.iter().any(|line| line.starts_with("paris: no answer since")), "{lines:#?}");
    }

    #[test]
    fn plain_rows_have_one_heading_and_a_line_for_each_silent_site() {
        let mut list = List::new(None, Vec::new());
        list.update(&state(1_000, 0));
        assert_eq!((plain(&list, 0).len(), plain(&list, 1).len()), (5, 4));
        assert!(plain(&list, 0)[0].contains("SITE"));
    }
}
