//! The page of a sweep or a recommendation: cost against tail latency, and the front as a table.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde_json::{Map, Value, json};

use tidegate_sim::figure::Figure;
use tidegate_sim::recommend::Objective;
use tidegate_sim::result::SimResult;
use tidegate_sim::sweep::SweepPoint;

use crate::assets::{CHART_SCRIPT, SCATTER, SCATTER_SCRIPT};
use crate::escape::{escape, script_json};
use crate::figures;
use crate::html::{foot, head};
use crate::scatter::{chosen, hours, named, price, scatter};
use crate::svg::svg_body;

/// Rows of the table of the front at most; a page of so many stays readable.
const FRONT_ROWS_MAX: usize = 200;

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
    /// What had to be kept, when settings were searched for.
    pub objectives: Vec<Objective>,
    /// Label of the point that is recommended.
    pub best: Option<String>,
    /// Label of the point that is in force now, for a page that changes.
    pub now: Option<String>,
    /// Page of single runs, by the label of their point, relative to this page.
    pub runs: Vec<(String, String)>,
}

/// The page of a sweep or a recommendation.
pub fn sweep_html(page: &SweepPage<'_>) -> String {
    let mut text = String::with_capacity(256 << 10);
    head(&mut text, &page.title);
    let kind = if page.objectives.is_empty() { "Sweep" } else { "Recommendation" };
    // Writing to a String cannot fail, here and below.
    let _ = write!(
        text,
        "<header><p class=\"kind\">{kind}</p><h1>{}</h1><p class=\"muted\">{}</p></header>",
        escape(&page.title),
        escape(&page.subtitle)
    );
    text.push_str(SCATTER);
    let picture = scatter(&page.title, page.points, &page.objectives);
    let _ = write!(text, "<noscript>{}</noscript>", svg_body(&picture));
    front_table(&mut text, page);
    if let Some(first) = page.points.first() {
        let shared = SimResult { settings: shared(page.points), ..first.result.clone() };
        foot(&mut text, &[("", &shared)], &page.command);
    }
    let data = script_json(&sweep_data(page));
    let _ = writeln!(
        text,
        "<script type=\"application/json\" id=\"data\">{data}</script>\
         <script>{CHART_SCRIPT}</script><script>{SCATTER_SCRIPT}\
         Scatter.show(JSON.parse(document.getElementById(\"data\").textContent));</script>\
         </body></html>"
    );
    text
}

/// The settings that all points have alike.
fn shared(points: &[SweepPoint]) -> BTreeMap<String, Value> {
    let Some((first, others)) = points.split_first() else { return BTreeMap::new() };
    let mut shared = first.result.settings.clone();
    for settings in others.iter().map(|point| &point.result.settings) {
        shared.retain(|name, value| match (value, settings.get(name)) {
            (Value::Object(inner), Some(Value::Object(other))) => {
                inner.retain(|key, value| other.get(key) == Some(value));
                true
            }
            (value, other) => other == Some(value),
        });
    }
    shared
}

/// The data that `Scatter.show` of [`SCATTER_SCRIPT`] draws, as JSON.
pub fn sweep_data(page: &SweepPage<'_>) -> String {
    let points: Vec<Value> =
        chosen(page.points).into_iter().map(|point| point_data(page, point)).collect();
    let bounds: Vec<Value> = page
        .objectives
        .iter()
        .map(|one| {
            let (axis, text) = (one.figure.name(), named(one));
            json!({ "axis": axis, "at_most": one.at_most, "text": text })
        })
        .collect();
    json!({ "points": points, "bounds": bounds }).to_string()
}

fn point_data(page: &SweepPage<'_>, point: &SweepPoint) -> Value {
    let is = |label: &Option<String>| label.as_ref() == Some(&point.label);
    let run = page.runs.iter().find(|(label, _)| *label == point.label);
    let mut data = Map::new();
    for figure in Figure::all().filter(|figure| figure.is_known(&point.result)) {
        data.insert(figure.name().to_owned(), json!(figure.mean(&point.result)));
    }
    for (name, value) in [
        ("label", json!(point.label)),
        ("settings", json!(point.settings)),
        ("hours", json!(hours(point))),
        ("ready", json!(Figure::InstancesMean.mean(&point.result))),
        ("idle", json!(point.result.idle_share)),
        ("front", json!(point.on_front)),
        ("best", json!(is(&page.best))),
        ("now", json!(is(&page.now))),
        ("base", json!(point.label.is_empty())),
        ("run", json!(run.map(|(_, path)| path))),
    ] {
        data.insert(name.to_owned(), value);
    }
    Value::Object(data)
}

/// The front as a table, cheapest first.
fn front_table(text: &mut String, page: &SweepPage<'_>) {
    let mut front: Vec<&SweepPoint> = page.points.iter().filter(|point| point.on_front).collect();
    front.sort_by(|left, right| left.price().total_cmp(&right.price()));
    text.push_str(
        "<section><h2>The front</h2><p class=\"muted\">No other settings are better in all of \
         cost, p99, cold starts and losses.</p><div class=\"scroll\"><table class=\"front\"><thead>\
         <tr><th>settings</th>",
    );
    let price = price(page.points);
    let _ = write!(
        text,
        "<th>{}</th><th>p99</th><th>cold</th><th>lost</th><th>instances</th>",
        price.name()
    );
    for objective in &page.objectives {
        let _ = write!(text, "<th>{}</th>", escape(&named(objective)));
    }
    text.push_str("</tr></thead><tbody>");
    for point in front.iter().take(FRONT_ROWS_MAX) {
        let best = if page.best.as_ref() == Some(&point.label) { " class=\"differs\"" } else { "" };
        let label = if point.label.is_empty() { "as it is" } else { &point.label };
        let _ = write!(
            text,
            "<tr{best}><th>{}</th><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td>",
            escape(label),
            figures::figure_of(price, &point.result),
            figures::figure_of(Figure::P99, &point.result),
            figures::figure_of(Figure::Cold, &point.result),
            figures::figure_of(Figure::Lost, &point.result),
            figures::figure_of(Figure::InstancesMean, &point.result)
        );
        for objective in &page.objectives {
            let kept = objective.is_kept_by(objective.figure.worst(&point.result));
            let _ = write!(text, "<td>{}</td>", if kept { "kept" } else { "missed" });
        }
        text.push_str("</tr>");
    }
    text.push_str("</tbody></table></div>");
    if let Some(more @ 1..) = front.len().checked_sub(FRONT_ROWS_MAX) {
        let more = figures::count(more as u64);
        let _ = write!(text, "<p class=\"muted\">and {more} more; --csv has all of them</p>");
    }
    text.push_str("</section>");
}
