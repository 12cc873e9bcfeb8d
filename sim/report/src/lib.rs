//! A simulated run for people: as text, CSV, charts, and one self-contained page.
//!
//! It shows what [`RunOutput`](tidegate_sim::RunOutput) holds. It must never: decide or simulate;
//! let a browser, a terminal or a spreadsheet take for markup what comes from traffic, a setting or
//! a path; write a file or fetch anything.
//!
//! Modules in reading order: [`figures`] (numbers as people read them), `labels` and `intervals`
//! (over several seeds); `terminal` ([`summary`], [`comparison`]); `table` (CSV); [`scene`] (a
//! drawing), `plot` and `chart` (what is drawn), `cold_starts` (those of a recording), `svg` and
//! `png` (how it is written); `page`, `payload` and `html` (one page), `scatter` and `sweep_page`
//! (a sweep); [`assets`] (what every page carries).

pub mod assets;
mod cards;
mod chart;
mod cold_starts;
mod escape;
pub mod figures;
mod html;
mod intervals;
mod labels;
mod page;
mod payload;
mod plot;
mod png;
mod scatter;
pub mod scene;
mod svg;
mod sweep_page;
mod table;
mod terminal;

#[cfg(test)]
mod tests;

pub use chart::{CHART_SIZE, Chart};
pub use cold_starts::{ColdStart, PhaseFigures, phase_figures, waterfall};
pub use html::html;
pub use page::{Page, View};
pub use payload::data;
pub use png::{PngError, png};
pub use scatter::{front_text, scatter};
pub use svg::svg;
pub use sweep_page::{SweepPage, sweep_data, sweep_html};
pub use table::{MINUTE_COLUMNS, MinuteRows, REQUEST_COLUMNS, RequestRows, series_csv};
pub use tidegate_sim::price::Prices;

pub use terminal::{Colour, REVISIONS_LISTED_MAX, Terminal, comparison, summary};
