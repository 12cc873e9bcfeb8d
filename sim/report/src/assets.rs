//! What every page carries: its looks and what draws it, as text to be put into a page.

/// The looks.
pub const STYLE: &str = include_str!("assets/page.css");
/// Draws one panel over time.
pub const CHART_SCRIPT: &str = include_str!("assets/chart.js");
/// Lists decisions and marks them in a panel. Needs [`CHART_SCRIPT`].
pub const DECISIONS_SCRIPT: &str = include_str!("assets/decisions.js");
/// Wires panels, list and keys together: `Report.show(data)` draws what [`crate::data`] made.
/// Needs [`CHART_SCRIPT`] and [`DECISIONS_SCRIPT`].
pub const PAGE_SCRIPT: &str = include_str!("assets/page.js");
/// Draws cost against latency: `Scatter.show(data)` draws what [`crate::sweep_data`] made. Needs
/// [`CHART_SCRIPT`].
pub const SCATTER_SCRIPT: &str = include_str!("assets/scatter.js");

/// The place of the panels, of what is set for all of them, and of the decisions.
pub const PANELS: &str = include_str!("assets/panels.html");
/// The place of a scatter, of what lies on its axes, and of the point that is looked at.
pub const SCATTER: &str = include_str!("assets/scatter.html");
