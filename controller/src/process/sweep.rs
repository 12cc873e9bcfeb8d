//! Killing all processes of an instance or of a run: those with its tag, and those in its control
//! group, which may have cleared it.

use std::collections::BTreeSet;
use std::time::Duration;

use rustix::process::{Signal, kill_process};

use super::control_group;
use super::process_tag::{Scope, find, is_one_between_programs};

/// Rounds of searching for processes that appear while others are being killed. This does not
/// outrun a fork bomb; anything else has ended after two.
const SWEEPS_MAX: usize = 20;

/// A killed process takes a moment to go.
const SWEEP_PAUSE: Duration = Duration::from_millis(5);

/// Kills every process of `of`, including those that appear meanwhile. Gives their number. Blocks
/// until they have ended, for a tenth of a second at most.
pub fn sweep(of: Scope<'_>) -> usize {
    let mut seen = BTreeSet::new();
    for round in 0..SWEEPS_MAX {
        let mut found = find(of);
        found.extend(control_group::kill(of));
        // One that has just been started may show its tag a moment later.
        if found.is_empty() && (round > 0 || !is_one_between_programs()) {
            break;
        }
        for pid in found {
            // It may have ended by itself, or be about to.
            let _ = kill_process(pid, Signal::KILL);
            seen.insert(pid.as_raw_nonzero());
        }
        std::thread::sleep(SWEEP_PAUSE);
    }
    control_group::remove(of);
    seen.len()
}
