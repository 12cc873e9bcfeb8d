//! Many settings at once: cost against tail latency, with the front drawn.

use std::fmt::Write as _;

use serde_json::{Value, json};

use tidegate_sim::sweep::SweepPoint;

use crate::escape::{escape, script_json};
use crate::figures;
use crate::html::head;
use crate::plot::{Scale, round_step};
use crate::scene::{Anchor, Dash, Ink, Scene, Shape, Stroke};
use crate::svg::svg_body;

const SCATTER_SCRIPT: &str = include_str!("assets/scatter.js");

/// Points of a page at most; the front is always kept. A page of so many is half a megabyte.
const POINTS_MAX: usize = 2_500;
/// Points of the front that are labelled in a picture; more would cover each other.
const LABELS_MAX: usize = 12;
/// Size of the picture.
const SIZE: (f32, f32) = (960.0, 540.0);
const MARGIN: (f32, f32, f32, f32) = (70.0, 54.0, 24.0, 46.0);

/// What a page of a sweep shows.
pub struct SweepPage<'a> {
    /// What was simulated, in a few words.
    pub title: String,
    /// What was searched or varied, in a sentence.
    pub subtitle: String,
    /// The command that makes the same page again.
    pub command: String,
    /// The points.
    pub points: &'a [SweepPoint],
    /// Label of the point that is recommended.
    pub best: Option<String>,
    /// Page of single runs, by the label of their point, relative to this page.
    pub runs: Vec<(String, String)>,
}

/// Points worth drawing: the front, and evenly chosen others.
fn chosen(points: &[SweepPoint]) -> Vec<&SweepPoint> {
    let stride = points.len().div_ceil(POINTS_MAX).max(1);
    let keep = |(index, point): &(usize, &SweepPoint)| point.on_front || index % stride == 0;
    points.iter().enumerate().filter(keep).map(|(_, point)| point).collect()
}

fn hours(point: &SweepPoint) -> f64 {
    point.instance_seconds / 3_600.0
}

/// The scatter as a picture: instance-hours against p99, the front joined and labelled.
pub fn scatter(title: &str, points: &[SweepPoint]) -> Scene {
    let (left, top, right, bottom) = MARGIN;
    let (width, height) = (SIZE.0 - left - right, SIZE.1 - top - bottom);
    let most = points.iter().map(hours).fold(0.0, f64::max);
    let least = points.iter().map(|p| p.p99_ms).filter(|v| *v > 0.0).fold(f64::INFINITY, f64::min);
    let slowest = points.iter().map(|p| p.p99_ms).fold(0.0, f64::max);
    let (x_scale, y_scale) = (Scale::linear(most), Scale::log(least, slowest));
    let x = |value: f64| left + width * x_scale.share(value) as f32;
    let y = |value: f64| top + height * (1.0 - y_scale.share(value) as f32);
    let mut shapes =
        vec![Shape::Rect { at: (0.0, 0.0, SIZE.0, SIZE.1), ink: Ink::Paper, opacity: 1.0 }];
    let mut text = |at, anchor, size, ink, words: &str| {
        shapes.push(Shape::Text { at, anchor, size, ink, text: words.to_owned() });
    };
    text((left, 22.0), Anchor::Start, 14.0, Ink::Text, title);
    let axis = "instance-hours against 99th percentile of latency; lower left is better";
    text((left, 40.0), Anchor::Start, 11.0, Ink::Muted, axis);
    for tick in y_scale.ticks() {
        text((left - 8.0, y(tick) + 4.0), Anchor::End, 11.0, Ink::Muted, &figures::millis(tick));
    }
    for tick in x_scale.ticks() {
        let at = (x(tick), SIZE.1 - bottom + 20.0);
        text(at, Anchor::Middle, 11.0, Ink::Muted, &figures::number(tick));
    }
    for tick in y_scale.ticks() {
        let points = vec![(left, y(tick)), (left + width, y(tick))];
        shapes.push(Shape::Line { points, stroke: Stroke::solid(Ink::Grid, 1.0) });
    }
    for point in chosen(points).into_iter().filter(|point| !point.on_front) {
        let at = (x(hours(point)), y(point.p99_ms));
        shapes.push(Shape::Disc { at, radius: 3.0, ink: Ink::Grey, opacity: 0.45 });
    }
    shapes.extend(front(points, x, y));
    let description = format!(
        "{} combinations of settings, {} of them on the front",
        points.len(),
        points.iter().filter(|point| point.on_front).count()
    );
    Scene { width: SIZE.0, height: SIZE.1, title: title.to_owned(), description, shapes }
}

/// Points of the front that no other dominates in cost and tail latency alone, cheapest first.
fn staircase(points: &[SweepPoint]) -> Vec<&SweepPoint> {
    let mut front: Vec<&SweepPoint> = points.iter().filter(|point| point.on_front).collect();
    front.sort_by(|left, right| {
        let by_cost = left.instance_seconds.total_cmp(&right.instance_seconds);
        by_cost.then(left.p99_ms.total_cmp(&right.p99_ms))
    });
    let mut best = f64::INFINITY;
    front.retain(|point| {
        let better = point.p99_ms < best;
        best = best.min(point.p99_ms);
        better
    });
    front
}

fn front(points: &[SweepPoint], x: impl Fn(f64) -> f32, y: impl Fn(f64) -> f32) -> Vec<Shape> {
    let mut shapes = Vec::new();
    let stairs = staircase(points);
    let mut line: Vec<(f32, f32)> = Vec::new();
    for point in &stairs {
        let at = (x(hours(point)), y(point.p99_ms));
        if let Some(&(_, before)) = line.last() {
            line.push((at.0, before));
        }
        line.push(at);
    }
    if line.len() > 1 {
        let stroke = Stroke::solid(Ink::Blue, 1.5).dashed(Dash::Dashed);
        shapes.push(Shape::Line { points: line, stroke });
    }
    for point in points.iter().filter(|point| point.on_front) {
        let at = (x(hours(point)), y(point.p99_ms));
        shapes.push(Shape::Disc { at, radius: 4.5, ink: Ink::Blue, opacity: 1.0 });
    }
    let stride = stairs.len().div_ceil(LABELS_MAX).max(1);
    for point in stairs.iter().step_by(stride) {
        let at = (x(hours(point)) + 8.0, y(point.p99_ms) - 6.0);
        let (anchor, at) = if at.0 > SIZE.0 * 0.7 {
            (Anchor::End, (at.0 - 16.0, at.1))
        } else {
            (Anchor::Start, at)
        };
        let text = point.label.clone();
        shapes.push(Shape::Text { at, anchor, size: 11.0, ink: Ink::Text, text });
    }
    shapes
}

/// The page of a sweep or a recommendation.
pub fn sweep_html(page: &SweepPage<'_>) -> String {
    let mut text = String::with_capacity(256 << 10);
    head(&mut text, &page.title);
    // Writing to a String cannot fail, here and below.
    let _ = write!(
        text,
        "<header><p class=\"kind\">Sweep</p><h1>{}</h1><p class=\"muted\">{}</p></header>",
        escape(&page.title),
        escape(&page.subtitle)
    );
    text.push_str(
        "<div class=\"tools\" id=\"tools\" hidden><label>Across <select \
         id=\"across\"></select></label>\
         <label>Up <select id=\"up\"></select></label><span class=\"muted\">Lower left is better; \
         the front is joined. Choose a point to see its settings.</span></div>\
         <div class=\"body\"><main id=\"panels\"></main><aside id=\"details\" \
         aria-live=\"polite\"></aside></div>",
    );
    let _ = write!(text, "<noscript>{}</noscript>", svg_body(&scatter(&page.title, page.points)));
    front_table(&mut text, page);
    let _ = write!(
        text,
        "<section><h2>The same again</h2><pre>{}</pre></section>",
        escape(&page.command)
    );
    let data = script_json(&payload(page).to_string());
    let _ = writeln!(
        text,
        "<script type=\"application/json\" id=\"data\">{data}</script>\
         <script>{SCATTER_SCRIPT}</script></body></html>"
    );
    text
}

fn payload(page: &SweepPage<'_>) -> Value {
    let points: Vec<Value> = chosen(page.points)
        .into_iter()
        .map(|point| {
            let run = page.runs.iter().find(|(label, _)| *label == point.label);
            json!({
                "label": point.label,
                "settings": point.settings,
                "hours": hours(point),
                "p99": point.p99_ms,
                "p50": point.result.latency_ms.p50,
                "cold": point.cold_share,
                "lost": point.lost_share,
                "instances": point.result.instances.mean,
                "most": point.result.instances.max,
                "idle": point.result.idle_share,
                "front": point.on_front,
                "best": page.best.as_ref() == Some(&point.label),
                "run": run.map(|(_, path)| path),
            })
        })
        .collect();
    json!({ "points": points, "command": page.command })
}

/// The front as a table, cheapest first.
fn front_table(text: &mut String, page: &SweepPage<'_>) {
    let mut front: Vec<&SweepPoint> = page.points.iter().filter(|point| point.on_front).collect();
    front.sort_by(|left, right| left.instance_seconds.total_cmp(&right.instance_seconds));
    text.push_str(
        "<section><h2>The front</h2><p class=\"muted\">No other settings are better in all of \
         cost, p99, cold starts and losses.</p><div class=\"scroll\"><table><thead><tr>\
         <th>settings</th><th>instance-hours</th><th>p99</th><th>cold</th><th>lost</th>\
         <th>instances</th></tr></thead><tbody>",
    );
    for point in front {
        let best = if page.best.as_ref() == Some(&point.label) { " class=\"differs\"" } else { "" };
        let _ = write!(
            text,
            "<tr{best}><th>{}</th><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td></tr>",
            escape(&point.label),
            figures::number(hours(point)),
            figures::millis(point.p99_ms),
            figures::percent(point.cold_share),
            figures::percent(point.lost_share),
            figures::number(point.result.instances.mean)
        );
    }
    text.push_str("</tbody></table></div></section>");
}

/// The front of a sweep as text, cheapest first, at most `most` rows.
pub fn front_text(points: &[SweepPoint], most: usize) -> String {
    let mut front: Vec<&SweepPoint> = points.iter().filter(|point| point.on_front).collect();
    front.sort_by(|left, right| left.instance_seconds.total_cmp(&right.instance_seconds));
    let mut text =
        format!("{:>14}{:>10}{:>10}{:>10}  settings\n", "instance-hours", "p99", "cold", "lost");
    let stride = round_step((front.len() as f64 / most.max(1) as f64).max(1.0)) as usize;
    for point in front.iter().step_by(stride.max(1)) {
        let label: String =
            point.label.chars().map(|c| if c.is_control() { '?' } else { c }).collect();
        let _ = writeln!(
            text,
            "{:>14}{:>10}{:>10}{:>10}  {label}",
            figures::number(hours(point)),
            figures::millis(point.p99_ms),
            figures::percent(point.cold_share),
            figures::percent(point.lost_share)
        );
    }
    text
}
