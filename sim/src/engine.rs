//! Runs a scenario against traffic.

use crate::arrival::Traffic;
use crate::billing::settle;
use crate::record::Observer;
use crate::scenario::Scenario;
use crate::world::World;

pub use crate::error::RunError;
pub use crate::output::RunOutput;

/// Runs `scenario` against `traffic` from its beginning, telling `observer` what happens.
///
/// `wall_seconds`, `requests_per_wall_second` and `peak_rss_bytes` of the result stay zero: the
/// engine reads no clock. [`crate::measured::run`] fills them.
///
/// # Errors
///
/// [`RunError`] when traffic or scenario cannot be used.
pub fn run<O: Observer>(
    scenario: &Scenario,
    traffic: &dyn Traffic,
    observer: &mut O,
) -> Result<RunOutput, RunError> {
    let mut source = traffic.open().map_err(RunError::Traffic)?;
    let mut output = World::new(scenario, traffic, observer)?.run(source.as_mut())?;
    output.result.trace_sha256 = traffic.sha256();
    settle(&mut output.result, scenario);
    output.result.settings = scenario.settings(traffic);
    Ok(output)
}
