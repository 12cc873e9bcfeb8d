//! Figures over several seeds, as text and as a table of a page.

use std::fmt::Write as _;

use tidegate_sim::figure::Figure;
use tidegate_sim::interval::{Interval, OverSeeds};
use tidegate_sim::result::SimResult;

use crate::escape::escape;
use crate::figures;

/// The figures over seeds, in the order in which they are shown.
fn rows(over_seeds: &OverSeeds) -> Vec<(Figure, &Interval)> {
    Figure::all()
        .filter_map(|figure| Some((figure, over_seeds.figures.get(figure.name())?)))
        .collect()
}

/// The ends of an interval in the figure's unit: `1.63 s to 1.87 s`.
fn ends(figure: Figure, interval: &Interval) -> String {
    let shown = |value| figures::figure(figure, value);
    format!("{} to {}", shown(interval.low), shown(interval.high))
}

/// What a table over seeds is about.
fn heading(over_seeds: &OverSeeds) -> String {
    format!("over {} seeds", over_seeds.seeds.len())
}

/// A table of all figures, mean, 95 % interval and extremes: its header, and its rows.
pub(crate) fn as_text(over_seeds: &OverSeeds) -> (String, String) {
    let mut text = String::new();
    let header = format!(
        "{:<16}{:>12}{:>26}{:>12}{:>12}",
        heading(over_seeds),
        "mean",
        "95 % interval",
        "least",
        "most"
    );
    for (figure, interval) in rows(over_seeds) {
        let shown = |value| figures::figure(figure, value);
        let _ = writeln!(
            text,
            "{:<16}{:>12}{:>26}{:>12}{:>12}",
            figure.name(),
            shown(interval.mean),
            ends(figure, interval),
            shown(interval.least),
            shown(interval.most)
        );
    }
    (header, text)
}

/// The same for a page.
pub(crate) fn as_html(over_seeds: &OverSeeds) -> String {
    let mut text = format!(
        "<section><h2>{}</h2><p class=\"muted\">Charts and figures above are those of seed {}. The \
         interval holds the true mean with 95 % (Student\u{2019}s t over the seeds).</p>\
         <div class=\"scroll\"><table class=\"figures\"><thead><tr><th></th><th>mean</th>\
         <th>95 % interval</th><th>least</th><th>most</th></tr></thead><tbody>",
        heading(over_seeds).replacen('o', "O", 1),
        over_seeds.seeds.first().copied().unwrap_or_default()
    );
    for (figure, interval) in rows(over_seeds) {
        let shown = |value| escape(&figures::figure(figure, value));
        let _ = write!(
            text,
            "<tr><th>{}</th><td>{}</td><td>{}</td><td>{}</td><td>{}</td></tr>",
            figure.name(),
            shown(interval.mean),
            escape(&ends(figure, interval)),
            shown(interval.least),
            shown(interval.most)
        );
    }
    text.push_str("</tbody></table></div></section>");
    text
}

/// What differs from the first run in each figure, and whether that is more than chance.
pub(crate) fn differences_html(base: &str, others: &[(&str, &SimResult)]) -> String {
    let mut text = String::new();
    let Some(seeds) = others.iter().find_map(|(_, result)| result.over_seeds.as_ref()) else {
        return text;
    };
    let _ = write!(
        text,
        "<section><h2>Differences from {}</h2><p class=\"muted\">{}</p><div class=\"scroll\">\
         <table class=\"figures\"><thead><tr><th></th>",
        escape(base),
        paired_note(seeds.seeds.len()).trim_end()
    );
    for (name, _) in others {
        let _ = write!(text, "<th>{}</th>", escape(name));
    }
    text.push_str("</tr></thead><tbody>");
    for figure in Figure::all() {
        let _ = write!(text, "<tr><th>{}</th>", figure.name());
        for (_, result) in others {
            let cell = figure.difference(result).map_or_else(String::new, |interval| {
                let within = if interval.covers_zero() { ", within chance" } else { "" };
                format!("{}{within}", ends(figure, interval))
            });
            let _ = write!(text, "<td>{}</td>", escape(&cell));
        }
        text.push_str("</tr>");
    }
    text.push_str("</tbody></table></div></section>");
    text
}

/// What intervals and differences of a comparison mean.
pub(crate) fn paired_note(seeds: usize) -> String {
    format!(
        "over {seeds} seeds: means, \u{b1} half of the 95 % interval. Differences are paired by \
         seed; where their\n95 % interval (Student's t) holds 0, they are within chance.\n"
    )
}
