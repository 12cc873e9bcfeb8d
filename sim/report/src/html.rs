//! One page with everything: no network, nothing from traffic interpreted as markup.

use std::fmt::Write as _;

use serde_json::Value;

use tidegate_sim::engine::RunOutput;
use tidegate_sim::price::Prices;
use tidegate_sim::result::SimResult;

use crate::assets::{CHART_SCRIPT, DECISIONS_SCRIPT, PAGE_SCRIPT, PANELS, STYLE};
use crate::cards;
use crate::chart::Chart;
use crate::cold_starts;
use crate::escape::{escape, script_json};
use crate::figures;
use crate::intervals;
use crate::labels;
use crate::page::Page;
use crate::payload;
use crate::svg::svg_body;

/// Steps of the pictures that stand in for charts where there are no scripts.
const STILL_POINTS_MAX: usize = 200;

/// Revisions in the table; the busiest first.
const REVISIONS_MAX: usize = 100;

/// The page as HTML, at most a megabyte.
pub fn html(page: &Page<'_>) -> String {
    let mut text = String::with_capacity(512 << 10);
    head(&mut text, &page.title);
    let results: Vec<(&str, &SimResult)> =
        page.views.iter().map(|view| (view.name.as_str(), &view.run.result)).collect();
    if let Some((first, others)) = results.split_first() {
        header(&mut text, page, first.1);
        if others.is_empty() {
            cards(&mut text, first.1, page.prices);
        } else {
            differences(&mut text, *first, others);
            comparison_table(&mut text, &results);
        }
    }
    over_seeds(&mut text, &results);
    charts(&mut text, page);
    text.push_str(&cold_starts::section(&page.cold_starts));
    if let [only] = &page.views[..] {
        revisions(&mut text, only.run);
    }
    foot(&mut text, &results, &page.command);
    let data = script_json(&payload::data(page));
    // Writing to a String cannot fail, here and below.
    let _ = writeln!(
        text,
        "<script type=\"application/json\" id=\"data\">{data}</script>\
         <script>{CHART_SCRIPT}{DECISIONS_SCRIPT}</script>\
         <script>{PAGE_SCRIPT}Report.start();</script></body></html>"
    );
    text
}

/// Everything before the page's own content. The policy forbids every request to anywhere.
pub(crate) fn head(text: &mut String, title: &str) {
    let _ = write!(
        text,
        "<!DOCTYPE html><html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">\
         <meta name=\"color-scheme\" content=\"light dark\">\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; \
         style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src data:\">\
         <title>{} – Tidegate simulation</title><style>{STYLE}</style></head><body>",
        escape(title)
    );
}

fn header(text: &mut String, page: &Page<'_>, result: &SimResult) {
    let kind = if page.views.len() > 1 { "Comparison" } else { "Simulation" };
    let _ = write!(
        text,
        "<header><p class=\"kind\">{kind}</p><h1>{}</h1><p class=\"muted\">{} of traffic, seed \
         {}</p></header>",
        escape(&page.title),
        figures::seconds(result.simulated_seconds),
        result.seed
    );
}

/// The figures over several seeds, and what of a difference is more than chance.
fn over_seeds(text: &mut String, results: &[(&str, &SimResult)]) {
    match results {
        [(_, only)] => text.extend(only.over_seeds.as_ref().map(intervals::as_html)),
        [(base, _), others @ ..] => text.push_str(&intervals::differences_html(base, others)),
        [] => {}
    }
}

/// One line of large figures; the script writes those of another revision into it.
fn cards(text: &mut String, result: &SimResult, prices: Prices) {
    text.push_str("<dl class=\"cards\" id=\"cards\" aria-live=\"polite\">");
    for (name, value, note) in cards::of_run(result, prices) {
        let _ = write!(
            text,
            "<div><dt>{name}</dt><dd>{value}</dd><dd class=\"muted\">{note}</dd></div>"
        );
    }
    text.push_str("</dl>");
}

fn differences(text: &mut String, first: (&str, &SimResult), others: &[(&str, &SimResult)]) {
    text.push_str("<ul class=\"words\">");
    for other in others {
        let _ = write!(text, "<li>{}</li>", escape(&labels::difference(first, *other)));
    }
    text.push_str("</ul>");
}

fn comparison_table(text: &mut String, results: &[(&str, &SimResult)]) {
    text.push_str("<div class=\"scroll\"><table class=\"figures\"><thead><tr><th></th>");
    for (index, (name, _)) in results.iter().enumerate() {
        let colour = index % 6;
        let _ = write!(text, "<th><span class=\"run run{colour}\"></span>{}</th>", escape(name));
    }
    text.push_str("</tr></thead><tbody>");
    for (name, value) in labels::figure_rows(results) {
        let _ = write!(text, "<tr><th>{name}</th>");
        let first = results.first().map(|(_, result)| value(result));
        for (_, result) in results {
            let value = value(result);
            let class = if Some(&value) == first.as_ref() { "" } else { " class=\"changed\"" };
            let _ = write!(text, "<td{class}>{}</td>", escape(&value));
        }
        text.push_str("</tr>");
    }
    text.push_str("</tbody></table></div>");
}

/// The place of the panels; without a script, the same charts as still pictures.
fn charts(text: &mut String, page: &Page<'_>) {
    text.push_str(PANELS);
    text.push_str("<noscript><p>Without scripts, charts are still pictures.</p>");
    if let Some(series) = page.views.first().and_then(|view| view.run.series.first()) {
        let series = payload::coarser(series, STILL_POINTS_MAX);
        for chart in Chart::ALL {
            text.push_str(&svg_body(&chart.draw_series(&series)));
        }
    }
    text.push_str("</noscript>");
}

fn revisions(text: &mut String, run: &RunOutput) {
    let result = &run.result;
    if result.revisions.len() < 2 {
        return;
    }
    let _ = write!(
        text,
        "<section><h2>Revisions</h2><p class=\"muted\">{} in all; the busiest first.</p>\
         <div class=\"scroll\"><table><thead><tr><th>revision</th><th>requests</th><th>cold</th>\
         <th>lost</th><th>p50</th><th>p99</th><th>instances</th><th>idle</th></tr></thead><tbody>",
        figures::count(result.revisions.len() as u64)
    );
    for one in payload::busiest(run).into_iter().take(REVISIONS_MAX) {
        let _ = write!(
            text,
            "<tr><th>{}</th><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td>\
             <td>{}</td></tr>",
            escape(&one.revision),
            figures::count(one.requests),
            figures::count(one.cold_starts),
            figures::count(one.rejected + one.timed_out + one.failed),
            figures::millis(one.latency_ms.p50),
            figures::millis(one.latency_ms.p99),
            figures::number(one.instances.mean),
            figures::percent(one.idle_share)
        );
    }
    text.push_str("</tbody></table></div></section>");
}

/// The settings that decide, in this order; all others are folded away.
const DECISIVE: [&str; 8] =
    ["traffic", "duration_s", "policy", "set", "concurrency", "service", "cold_start", "in_force"];

/// Settings of the runs, those that differ marked, and what makes the page again.
pub(crate) fn foot(text: &mut String, results: &[(&str, &SimResult)], command: &str) {
    let Some((_, first)) = results.first() else { return };
    text.push_str("<section class=\"settings\"><h2>Settings</h2>");
    let rows = rows(results);
    let (decisive, others): (Vec<_>, Vec<_>) =
        rows.into_iter().partition(|row| row.is_decisive || row.differs);
    settings_table(text, results, &decisive);
    if !others.is_empty() {
        text.push_str("<details><summary>All others</summary>");
        settings_table(text, results, &others);
        text.push_str("</details>");
    }
    // Writing to a String cannot fail.
    let _ = write!(
        text,
        "<h2>The same again</h2><pre>{}</pre><p class=\"muted\">Seed {}; traffic SHA-256 \
         <code>{}</code></p></section>",
        escape(command),
        first.seed,
        escape(&first.trace_sha256)
    );
}

/// A setting and its value in every run.
struct Row {
    name: String,
    values: Vec<Value>,
    differs: bool,
    is_decisive: bool,
}

/// A row for each setting that says anything; what has names of its own has a row for each.
fn rows(results: &[(&str, &SimResult)]) -> Vec<Row> {
    let Some((_, first)) = results.first() else { return Vec::new() };
    let mut names: Vec<&String> = first.settings.keys().collect();
    let place = |name: &str| DECISIVE.iter().position(|known| *known == name);
    names.sort_by_key(|name| place(name).unwrap_or(DECISIVE.len()));
    let mut rows = Vec::new();
    for name in names {
        let values: Vec<&Value> = results
            .iter()
            .map(|(_, result)| result.settings.get(name).unwrap_or(&Value::Null))
            .collect();
        let is_decisive = place(name).is_some();
        let mut row = |name: &str, values: Vec<Value>| {
            let name = name.replace('_', "-");
            let differs = values.iter().any(|value| *value != values[0]);
            if differs || !is_nothing(&values[0]) {
                rows.push(Row { name, values, differs, is_decisive });
            }
        };
        let mut inner: Vec<&String> = values
            .iter()
            .filter_map(|value| value.as_object())
            .flat_map(serde_json::Map::keys)
            .collect();
        if inner.is_empty() {
            row(name, values.into_iter().cloned().collect());
            continue;
        }
        inner.sort();
        inner.dedup();
        for key in inner {
            let of = |value: &&Value| value.get(key).cloned().unwrap_or(Value::Null);
            let words = if name == "set" { format!("--set {key}") } else { key.clone() };
            row(&words, values.iter().map(of).collect());
        }
    }
    rows
}

fn settings_table(text: &mut String, results: &[(&str, &SimResult)], rows: &[Row]) {
    text.push_str("<div class=\"scroll\"><table>");
    if results.len() > 1 {
        text.push_str("<thead><tr><th></th>");
        for (name, _) in results {
            let _ = write!(text, "<th>{}</th>", escape(name));
        }
        text.push_str("</tr></thead>");
    }
    text.push_str("<tbody>");
    for row in rows {
        let class = if row.differs { " class=\"differs\"" } else { "" };
        let _ = write!(text, "<tr{class}><th>{}</th>", escape(&row.name));
        for value in &row.values {
            let _ = write!(text, "<td>{}</td>", escape(&plain(value)));
        }
        text.push_str("</tr>");
    }
    text.push_str("</tbody></table></div>");
}

fn is_nothing(value: &Value) -> bool {
    value.is_null() || value.as_object().is_some_and(serde_json::Map::is_empty)
}

/// A setting's value without the quotes of JSON, numbers as people write them.
fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => "–".to_owned(),
        Value::Number(number) => figures::number(number.as_f64().unwrap_or(f64::NAN)),
        Value::Object(map) => {
            let pairs: Vec<String> =
                map.iter().map(|(key, value)| format!("{key}={}", plain(value))).collect();
            pairs.join(", ")
        }
        other => other.to_string(),
    }
}
