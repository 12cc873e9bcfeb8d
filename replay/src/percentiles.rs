//! Latencies as a curve over percentiles, in the text that HdrHistogram's tools print and plot.

use std::fmt::Write as _;

use crate::report::Latencies;

/// Rows for each halving of the distance to 100 %, as those tools have by default.
const STEPS_PER_HALVING: u32 = 5;

/// The text of a `.hgrm` file, in milliseconds.
#[must_use]
pub fn hgrm(latencies: &Latencies) -> String {
    let histogram = latencies.histogram();
    let mut text = format!(
        "{:>12} {:>14} {:>10} {:>14}\n\n",
        "Value", "Percentile", "TotalCount", "1/(1-Percentile)"
    );
    for row in histogram.iter_quantiles(STEPS_PER_HALVING) {
        let (value, share) = (row.value_iterated_to() as f64 / 1e3, row.quantile_iterated_to());
        let count = histogram.count_between(0, row.value_iterated_to());
        let _ = match share < 1.0 {
            true => writeln!(
                text,
                "{value:>12.3} {share:>2.12} {count:>10} {:>14.2}",
                1.0 / (1.0 - share)
            ),
            false => writeln!(text, "{value:>12.3} {share:>2.12} {count:>10}"),
        };
    }
    let (mean, deviation) = (histogram.mean() / 1e3, histogram.stdev() / 1e3);
    let _ = writeln!(text, "#[Mean    = {mean:>12.3}, StdDeviation   = {deviation:>12.3}]");
    let (max, total) = (histogram.max() as f64 / 1e3, histogram.len());
    let _ = writeln!(text, "#[Max     = {max:>12.3}, Total count    = {total:>12}]");
    text
}
