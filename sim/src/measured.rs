//! A run with what it cost: the one place of the simulator that reads a clock.

use std::time::Instant;

use crate::arrival::Traffic;
use crate::engine::{self, RunError, RunOutput};
use crate::record::Observer;
use crate::scenario::Scenario;

/// As [`engine::run`], and fills in `wall_seconds`, `requests_per_wall_second` and
/// `peak_rss_bytes`.
///
/// # Errors
///
/// As [`engine::run`].
pub fn run<O: Observer>(
    scenario: &Scenario,
    traffic: &dyn Traffic,
    observer: &mut O,
) -> Result<RunOutput, RunError> {
    let begin = Instant::now();
    let mut output = engine::run(scenario, traffic, observer)?;
    let wall_seconds = begin.elapsed().as_secs_f64();
    output.result.wall_seconds = wall_seconds;
    output.result.requests_per_wall_second = output.result.requests as f64 / wall_seconds.max(1e-9);
    output.result.peak_rss_bytes = peak_rss_bytes();
    Ok(output)
}

/// Most memory this process ever held, in bytes; 0 where the system does not report it.
pub fn peak_rss_bytes() -> u64 {
    let Ok(status) = std::fs::read_to_string("/proc/self/status") else { return 0 };
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = line.and_then(|rest| rest.split_whitespace().next()?.parse::<u64>().ok());
    kib.unwrap_or(0) * 1024
}
