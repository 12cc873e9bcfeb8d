//! What the page's script draws from: figures, columns of numbers and decisions, cut to what a
//! screen can show.

mod columns;
mod decisions;

use serde::Serialize;
use serde_json::value::{RawValue, to_raw_value};

use tidegate_sim::engine::RunOutput;
use tidegate_sim::result::RevisionResult;
use tidegate_sim::series::TimeSeries;

use crate::cards;
use crate::page::{Page, View};

use columns::{Columns, Short};
use decisions::{Decisions, decisions};

pub(crate) use columns::coarser;

/// All data of a page together: with the script and the tables it stays below a megabyte.
const PAYLOAD_BYTES_MAX: usize = 640_000;
/// Decisions of a page at most: more markers than pixel columns tell nothing.
const DECISIONS_BYTES_MAX: usize = 200_000;
/// Cold starts marked at most, spread over the whole time.
const COLD_STARTS_MAX: usize = 2_000;
/// Revisions that can be chosen: the busiest; a row of the cards is about 150 bytes.
const REVISIONS_MAX: usize = 1_000;
/// Steps of a single revision's series, coarsest first: all are drawn as coarsely before any is
/// drawn more finely, and the busiest are the first of whom there is more. The sum of all keeps
/// every step.
const REVISION_POINTS: [usize; 6] = [16, 32, 64, 128, 256, 512];

/// The page's data.
#[derive(Serialize)]
struct Data<'a> {
    views: Vec<ViewData<'a>>,
    origin: Option<f64>,
}

/// The data of one run.
#[derive(Serialize)]
struct ViewData<'a> {
    name: &'a str,
    /// Names of the large figures.
    cards: Vec<&'static str>,
    /// Their values and notes, all together.
    all: Vec<(String, String)>,
    /// The revisions that can be chosen, busiest first.
    revisions: Vec<Choice<'a>>,
    cold: Vec<Short>,
    decisions: Decisions<'a>,
    bounds: Bounds,
    /// The sum of all, then single revisions.
    series: Vec<Box<RawValue>>,
}

/// A revision that can be chosen.
#[derive(Serialize)]
struct Choice<'a> {
    name: &'a str,
    cards: Vec<(String, String)>,
    /// Which of the series is its own.
    series: Option<usize>,
}

/// The scale bounds that were set, to be drawn as faint lines.
#[derive(Serialize)]
struct Bounds {
    min: Option<u32>,
    max: Option<u32>,
}

/// The data that `Report.show` of [`crate::assets::PAGE_SCRIPT`] draws, as JSON.
pub fn data(page: &Page<'_>) -> String {
    let count = page.views.len().max(1);
    let views = page.views.iter().map(|view| ViewData::new(view, page, count)).collect();
    // Strings, numbers and lists of them are always JSON.
    serde_json::to_string(&Data { views, origin: page.origin_unix_s }).unwrap_or_default()
}

impl<'a> ViewData<'a> {
    fn new(view: &'a View<'a>, page: &Page<'_>, views: usize) -> Self {
        let run = view.run;
        let (mut names, mut all) = (Vec::new(), Vec::new());
        for (name, value, note) in cards::of_run(&run.result, page.prices) {
            names.push(name);
            all.push((value, note));
        }
        let mut data = ViewData {
            name: &view.name,
            cards: names,
            all,
            revisions: Vec::new(),
            cold: thinned(&run.cold_starts_s, COLD_STARTS_MAX / views),
            decisions: decisions(run, DECISIONS_BYTES_MAX / views),
            bounds: bounds(run),
            series: run
                .series
                .first()
                .and_then(|all| packed(all, usize::MAX))
                .into_iter()
                .collect(),
        };
        // A comparison shows all revisions together.
        if views == 1 && run.result.revisions.len() > 1 {
            data.revisions = choices(run, page);
            let used = serde_json::to_string(&data).map_or(0, |text| text.len());
            data.add_series(run, PAYLOAD_BYTES_MAX.saturating_sub(used));
        }
        data
    }

    /// Adds the series of single revisions, as fine as there is room for in `bytes`.
    fn add_series(&mut self, run: &RunOutput, bytes: usize) {
        let own: Vec<Option<&TimeSeries>> =
            self.revisions.iter().map(|choice| series_of(run, choice.name)).collect();
        let mut packed_all: Vec<Option<Box<RawValue>>> = own.iter().map(|_| None).collect();
        let mut left = bytes;
        let mut before = 0;
        'all: for points in REVISION_POINTS {
            for (series, text) in own.iter().zip(&mut packed_all) {
                // One that is drawn with every step already gains nothing.
                let Some(series) = series.filter(|series| series.points.len() > before) else {
                    continue;
                };
                let Some(finer) = packed(series, points) else { continue };
                let room = left + text.as_ref().map_or(0, |text| text.get().len());
                let Some(rest) = room.checked_sub(finer.get().len()) else { break 'all };
                left = rest;
                *text = Some(finer);
            }
            before = points;
        }
        for (choice, text) in self.revisions.iter_mut().zip(packed_all) {
            let Some(text) = text else { continue };
            choice.series = Some(self.series.len());
            self.series.push(text);
        }
    }
}

fn packed(series: &TimeSeries, points: usize) -> Option<Box<RawValue>> {
    to_raw_value(&Columns::new(series, points)).ok()
}

fn series_of<'a>(run: &'a RunOutput, name: &str) -> Option<&'a TimeSeries> {
    run.series.iter().find(|series| series.revision.as_deref() == Some(name))
}

/// The revisions, busiest first.
pub(crate) fn busiest(run: &RunOutput) -> Vec<&RevisionResult> {
    let mut busiest: Vec<&RevisionResult> = run.result.revisions.iter().collect();
    busiest.sort_by(|left, right| {
        right.requests.cmp(&left.requests).then_with(|| left.revision.cmp(&right.revision))
    });
    busiest
}

fn choices<'a>(run: &'a RunOutput, page: &Page<'_>) -> Vec<Choice<'a>> {
    let choice = |one: &'a RevisionResult| {
        let cards = cards::of_revision(one, &run.result, page.prices);
        let cards = cards.into_iter().map(|(_, value, note)| (value, note)).collect();
        Choice { name: &one.revision, cards, series: None }
    };
    busiest(run).into_iter().take(REVISIONS_MAX).map(choice).collect()
}

/// At most `most` of `values`, evenly chosen.
fn thinned(values: &[f64], most: usize) -> Vec<Short> {
    let stride = values.len().div_ceil(most.max(1)).max(1);
    values.iter().copied().step_by(stride).map(Short).collect()
}

fn bounds(run: &RunOutput) -> Bounds {
    let set = run.result.settings.get("set").and_then(serde_json::Value::as_object);
    let find = |names: [&str; 2]| {
        let text = names.iter().find_map(|name| {
            set?.iter().find(|(key, _)| key.ends_with(name)).and_then(|(_, value)| value.as_str())
        });
        text.and_then(|text| text.parse::<u32>().ok()).filter(|bound| *bound > 0)
    };
    Bounds { min: find(["min-scale", "minScale"]), max: find(["max-scale", "maxScale"]) }
}
