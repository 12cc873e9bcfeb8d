//! One page with everything: no network, nothing from traffic interpreted as markup.

use std::fmt::Write as _;

use serde_json::Value;

use tidegate_sim::result::{RevisionResult, SimResult};

use crate::chart::Chart;
use crate::cost::Prices;
use crate::escape::{escape, script_json};
use crate::figures;
use crate::labels;
use crate::page::Page;
use crate::payload;
use crate::svg::svg_body;

/// The looks.
const STYLE: &str = include_str!("assets/page.css");
/// Draws panels.
const CHART_SCRIPT: &str = include_str!("assets/chart.js");
/// Wires panels, list and keys together.
const PAGE_SCRIPT: &str = include_str!("assets/page.js");

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
            comparison_table(&mut text, &results, page.prices);
        }
    }
    charts(&mut text, page);
    if let [(_, only)] = results[..] {
        revisions(&mut text, only);
    }
    settings(&mut text, page);
    let data = script_json(&payload::payload(page));
    // Writing to a String cannot fail, here and below.
    let _ = writeln!(
        text,
        "<script type=\"application/json\" id=\"data\">{data}</script>\
         <script>{CHART_SCRIPT}</script><script>{PAGE_SCRIPT}</script></body></html>"
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

/// One line of large figures.
fn cards(text: &mut String, result: &SimResult, prices: Prices) {
    let share = |part: u64| part as f64 / result.requests.max(1) as f64;
    let lost = labels::lost(result);
    let mut cards = vec![
        ("requests", figures::count(result.requests), String::new()),
        ("lost", figures::count(lost), figures::percent(share(lost))),
        (
            "cold starts",
            figures::count(result.cold_starts),
            figures::percent(share(result.cold_starts)),
        ),
        ("p50", figures::millis(result.latency_ms.p50), "latency".to_owned()),
        ("p99", figures::millis(result.latency_ms.p99), "latency".to_owned()),
        (
            "instances",
            figures::number(result.instances.mean),
            format!("mean, {} at most", figures::count(result.instances.max)),
        ),
        (
            "instance-hours",
            figures::number(result.instance_seconds / 3_600.0),
            format!("{} idle", figures::percent(result.idle_share)),
        ),
    ];
    if prices.gb_hours > 0.0 {
        cards.push(("memory", figures::number(prices.gb_hours), "GB-hours".to_owned()));
    }
    if let Some(cost) = prices.of(result) {
        cards.push(("cost", figures::money(cost), String::new()));
    }
    text.push_str("<dl class=\"cards\">");
    for (name, value, note) in cards {
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

fn comparison_table(text: &mut String, results: &[(&str, &SimResult)], prices: Prices) {
    text.push_str("<div class=\"scroll\"><table class=\"figures\"><thead><tr><th></th>");
    for (index, (name, _)) in results.iter().enumerate() {
        let colour = index % 6;
        let _ = write!(text, "<th><span class=\"run run{colour}\"></span>{}</th>", escape(name));
    }
    text.push_str("</tr></thead><tbody>");
    for (name, value) in labels::figure_rows(prices) {
        let _ = write!(text, "<tr><th>{name}</th>");
        for (_, result) in results {
            let _ = write!(text, "<td>{}</td>", escape(&value(result)));
        }
        text.push_str("</tr>");
    }
    text.push_str("</tbody></table></div>");
}

/// The place of the panels; without a script, the same charts as still pictures.
fn charts(text: &mut String, page: &Page<'_>) {
    text.push_str(
        "<div class=\"tools\" id=\"tools\" hidden><label>Revision <select id=\"revision\"></select>\
         </label><button id=\"reset\" type=\"button\">Whole time</button><span class=\"muted\" \
         id=\"hint\">Drag across a chart to zoom; arrow keys move, + and − zoom, 0 \
         resets.</span></div>\
         <div class=\"body\"><main id=\"panels\" aria-label=\"Charts over time\"></main>\
         <aside id=\"decisions\" aria-label=\"Decisions\"></aside></div>",
    );
    text.push_str("<noscript><p>Without scripts, charts are still pictures.</p>");
    if let Some(series) = page.views.first().and_then(|view| view.run.series.first()) {
        let series = payload::coarser(series, STILL_POINTS_MAX);
        for chart in Chart::ALL {
            text.push_str(&svg_body(&chart.draw_series(&series)));
        }
    }
    text.push_str("</noscript>");
}

fn revisions(text: &mut String, result: &SimResult) {
    if result.revisions.len() < 2 {
        return;
    }
    let mut busiest: Vec<&RevisionResult> = result.revisions.iter().collect();
    busiest.sort_by(|left, right| {
        right.requests.cmp(&left.requests).then_with(|| left.revision.cmp(&right.revision))
    });
    let _ = write!(
        text,
        "<section><h2>Revisions</h2><p class=\"muted\">{} in all; the busiest first.</p>\
         <div class=\"scroll\"><table><thead><tr><th>revision</th><th>requests</th><th>cold</th>\
         <th>lost</th><th>p50</th><th>p99</th><th>instances</th><th>idle</th></tr></thead><tbody>",
        figures::count(result.revisions.len() as u64)
    );
    for one in busiest.into_iter().take(REVISIONS_MAX) {
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

/// Settings of the runs, those that differ marked, and what makes the page again.
fn settings(text: &mut String, page: &Page<'_>) {
    let Some(first) = page.views.first() else { return };
    text.push_str("<section><h2>Settings</h2><div class=\"scroll\"><table><thead><tr><th></th>");
    for view in &page.views {
        let _ = write!(text, "<th>{}</th>", escape(&view.name));
    }
    text.push_str("</tr></thead><tbody>");
    for (name, value) in &first.run.result.settings {
        let values: Vec<&Value> = page
            .views
            .iter()
            .map(|view| view.run.result.settings.get(name).unwrap_or(&Value::Null))
            .collect();
        let differs = values.iter().any(|other| *other != value);
        if !differs && is_nothing(value) {
            continue;
        }
        let class = if differs { " class=\"differs\"" } else { "" };
        let _ = write!(text, "<tr{class}><th>{}</th>", escape(name));
        for value in values {
            let _ = write!(text, "<td>{}</td>", escape(&plain(value)));
        }
        text.push_str("</tr>");
    }
    let result = &first.run.result;
    let _ = write!(
        text,
        "</tbody></table></div><h2>The same again</h2><pre>{}</pre><p class=\"muted\">Seed {}; \
         traffic SHA-256 <code>{}</code></p></section>",
        escape(&page.command),
        result.seed,
        escape(&result.trace_sha256)
    );
}

fn is_nothing(value: &Value) -> bool {
    value.is_null() || value.as_object().is_some_and(serde_json::Map::is_empty)
}

/// A setting's value without the quotes of JSON.
fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => "–".to_owned(),
        Value::Object(map) => {
            let pairs: Vec<String> =
                map.iter().map(|(key, value)| format!("{key}={}", plain(value))).collect();
            pairs.join(", ")
        }
        other => other.to_string(),
    }
}
