//! Recorded cold starts: how long each phase was, and a waterfall of some of them.

use std::fmt::Write as _;
use std::time::Duration;

use tidegate_timeline::{Moment, Timeline};

use crate::escape::escape;
use crate::figures;
use crate::plot::round_step;
use crate::scene::{Anchor, Ink, Scene, Shape, Stroke};

/// Rows of a waterfall: more do not fit on a screen.
const ROWS_MAX: usize = 24;
/// Width of a waterfall: that of the charts.
const WIDTH: f32 = crate::chart::CHART_SIZE.0;
/// Space on the left for the time and the instance.
const LEFT: f32 = 220.0;
/// Space on the right for the total.
const RIGHT: f32 = 76.0;
/// Space above for the title and the legend.
const TOP: f32 = 52.0;
/// Space below for the axis.
const AXIS_HEIGHT: f32 = 30.0;
const ROW_HEIGHT: f32 = 20.0;
const BAR_HEIGHT: f32 = 13.0;
/// Letters of an instance's name that fit before the bars.
const NAME_LETTERS_MAX: usize = 22;
/// Grid lines aimed at.
const TICKS: f64 = 6.0;

/// A request that met no ready instance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ColdStart {
    /// When it arrived, after the recording began.
    pub at: Duration,
    /// The instance that it was sent to.
    pub instance: String,
    /// What followed.
    pub timeline: Timeline,
}

/// How long one phase of many cold starts was, in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PhaseFigures {
    /// What it ended with; `None` for all phases together.
    pub moment: Option<Moment>,
    /// Requests of which it is known.
    pub count: usize,
    /// The mean.
    pub mean_ms: f64,
    /// What half of them did not exceed.
    pub p50_ms: f64,
    /// What all but one in a hundred did not exceed.
    pub p99_ms: f64,
    /// The longest.
    pub max_ms: f64,
}

/// The phases that were seen, in their order, and then their sum.
#[must_use]
pub fn phase_figures(starts: &[ColdStart]) -> Vec<PhaseFigures> {
    let mut by_moment: [Vec<Duration>; Moment::COUNT] = Default::default();
    for phase in starts.iter().flat_map(|start| start.timeline.phases()) {
        by_moment[phase.moment as usize].push(phase.length);
    }
    let totals = starts.iter().map(|start| start.timeline.total()).collect();
    let phases = Moment::ALL.into_iter().map(Some).zip(by_moment);
    phases.chain([(None, totals)]).filter_map(|(moment, lengths)| of(moment, lengths)).collect()
}

fn of(moment: Option<Moment>, mut lengths: Vec<Duration>) -> Option<PhaseFigures> {
    lengths.sort_unstable();
    let count = lengths.len();
    let max_ms = millis(*lengths.last()?);
    // The least value that the share does not exceed, as in the other figures.
    let quantile = |percent: usize| millis(lengths[(count * percent).div_ceil(100).max(1) - 1]);
    let sum_ms: f64 = lengths.iter().copied().map(millis).sum();
    let (p50_ms, p99_ms) = (quantile(50), quantile(99));
    Some(PhaseFigures { moment, count, mean_ms: sum_ms / count as f64, p50_ms, p99_ms, max_ms })
}

fn millis(length: Duration) -> f64 {
    length.as_secs_f64() * 1e3
}

impl PhaseFigures {
    /// Its name.
    #[must_use]
    pub fn name(&self) -> &'static str {
        self.moment.map_or("cold start", Moment::phase)
    }

    /// What was waited for.
    #[must_use]
    pub fn meaning(&self) -> &'static str {
        self.moment.map_or("from the request to its first byte", Moment::meaning)
    }
}

/// The cold starts that are drawn: the first request of each instance, those that took longest, in
/// the order in which they came.
fn drawn(starts: &[ColdStart]) -> Vec<&ColdStart> {
    let mut seen = std::collections::BTreeSet::new();
    let mut firsts: Vec<&ColdStart> = starts.iter().collect();
    firsts.sort_by_key(|start| start.at);
    firsts.retain(|start| seen.insert(start.instance.as_str()));
    firsts.sort_by_key(|start| std::cmp::Reverse(start.timeline.total()));
    firsts.truncate(ROWS_MAX);
    firsts.sort_by_key(|start| start.at);
    firsts
}

/// One row for each instance, one bar for each phase of its first request.
#[must_use]
pub fn waterfall(starts: &[ColdStart]) -> Scene {
    let rows = drawn(starts);
    let longest = rows.iter().map(|start| millis(start.timeline.total())).fold(0.0, f64::max);
    let step_ms = round_step((longest / TICKS).max(f64::MIN_POSITIVE));
    let end_ms = (libm::ceil(longest / step_ms) * step_ms).max(step_ms);
    let x = |ms: f64| LEFT + (WIDTH - LEFT - RIGHT) * (ms / end_ms) as f32;
    let bottom = TOP + ROW_HEIGHT * rows.len() as f32;
    let mut shapes = vec![text((16.0, 20.0), Anchor::Start, 13.0, Ink::Text, "Cold starts")];
    let mut key_x = 16.0;
    for moment in Moment::ALL {
        shapes.push(Shape::Rect { at: (key_x, 32.0, 10.0, 10.0), ink: ink(moment), opacity: 1.0 });
        let name = moment.phase();
        shapes.push(text((key_x + 15.0, 41.0), Anchor::Start, 11.0, Ink::Muted, name));
        // Letters of a proportional font at this size are about six pixels wide.
        key_x += 15.0 + 6.4 * name.len() as f32 + 16.0;
    }
    let ticks = libm::round(end_ms / step_ms) as u32;
    for tick in 0..=ticks {
        let ms = f64::from(tick) * step_ms;
        let points = vec![(x(ms), TOP), (x(ms), bottom)];
        shapes.push(Shape::Line { points, stroke: Stroke::solid(Ink::Grid, 1.0) });
        let words = figures::millis(ms);
        shapes.push(text((x(ms), bottom + 18.0), Anchor::Middle, 11.0, Ink::Muted, &words));
    }
    for (nth, start) in rows.iter().enumerate() {
        let top = TOP + ROW_HEIGHT * nth as f32 + (ROW_HEIGHT - BAR_HEIGHT) / 2.0;
        let line = top + BAR_HEIGHT - 2.0;
        let at = figures::seconds(start.at.as_secs_f64());
        shapes.push(text((74.0, line), Anchor::End, 11.0, Ink::Muted, &at));
        let name = shortened(&start.instance);
        shapes.push(text((84.0, line), Anchor::Start, 11.0, Ink::Text, &name));
        for phase in start.timeline.phases() {
            let (from, to) = (x(millis(phase.from)), x(millis(phase.from + phase.length)));
            let at = (from, top, to - from, BAR_HEIGHT);
            shapes.push(Shape::Rect { at, ink: ink(phase.moment), opacity: 1.0 });
        }
        let total = millis(start.timeline.total());
        let words = figures::millis(total);
        shapes.push(text((x(total) + 6.0, line), Anchor::Start, 11.0, Ink::Muted, &words));
    }
    Scene {
        width: WIDTH,
        height: bottom + AXIS_HEIGHT,
        title: "Cold starts".to_owned(),
        description: description(&rows),
        shapes,
    }
}

fn text(at: (f32, f32), anchor: Anchor, size: f32, ink: Ink, text: &str) -> Shape {
    Shape::Text { at, anchor, size, ink, text: text.to_owned() }
}

/// The end of a long name tells instances apart.
fn shortened(name: &str) -> String {
    let letters = name.chars().count();
    match letters > NAME_LETTERS_MAX {
        true => {
            let end: String = name.chars().skip(letters - NAME_LETTERS_MAX + 1).collect();
            format!("…{end}")
        }
        false => name.to_owned(),
    }
}

fn description(rows: &[&ColdStart]) -> String {
    let sentences = rows.iter().map(|start| format!("{}: {}.", start.instance, start.timeline));
    sentences.collect::<Vec<_>>().join(" ")
}

/// What is wanted, starts and is ready has the colours that it has in the charts.
fn ink(moment: Moment) -> Ink {
    match moment {
        Moment::Decided => Ink::Purple,
        Moment::Actuated => Ink::Grey,
        Moment::Started => Ink::Orange,
        Moment::Listening => Ink::Yellow,
        Moment::Ready => Ink::Blue,
        Moment::Forwarded => Ink::Sky,
        Moment::FirstByte => Ink::Green,
    }
}

/// The part of a page about them; nothing without one.
pub(crate) fn section(starts: &[ColdStart]) -> String {
    let mut html = String::new();
    if starts.is_empty() {
        return html;
    }
    // Writing to a String cannot fail.
    let _ = write!(
        html,
        "<section><h2>Cold starts as recorded</h2><p class=\"muted\">{} that met no ready \
         instance: where their time went until the response began. The picture has the first of \
         each instance{}.</p>{}<div class=\"scroll\"><table><thead><tr><th>phase</th>\
         <th>mean</th><th>p50</th><th>p99</th><th>longest</th><th></th></tr></thead><tbody>",
        figures::counted(starts.len() as u64, "request"),
        if drawn(starts).len() == ROWS_MAX { ", of those that took longest" } else { "" },
        crate::svg::svg_body(&waterfall(starts)),
    );
    for phase in phase_figures(starts) {
        let _ = write!(
            html,
            "<tr><th>{}</th><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td></tr>",
            escape(phase.name()),
            figures::millis(phase.mean_ms),
            figures::millis(phase.p50_ms),
            figures::millis(phase.p99_ms),
            figures::millis(phase.max_ms),
            escape(phase.meaning()),
        );
    }
    html.push_str("</tbody></table></div></section>");
    html
}
