//! Any text as a generator: refused in words, or a stream of arrivals that never goes back in time.

#![no_main]

use libfuzzer_sys::fuzz_target;
use tidegate_sim_traffic::Generated;
use tidegate_sim::{SimSpan, SimTime, Traffic};

/// Arrivals read of one input: a rate may be enormous.
const ARRIVALS_MAX: usize = 10_000;

fuzz_target!(|spec: &str| {
    // Fitting reads a file, whose readers have a target of their own.
    // So do populations from a trace; and large ones take memory, not care.
    if spec.contains("fitted:") || spec.contains("population:") {
        return;
    }
    let Ok(made) = Generated::new(spec, 0, SimSpan::from_secs(60), 1) else { return };
    let mut source = made.open().expect("a parsed generator opens");
    let mut last = SimTime::ZERO;
    for _ in 0..ARRIVALS_MAX {
        let Some(arrival) = source.next() else { return };
        let at = arrival.expect("generators do not fail").at;
        assert!(at >= last);
        last = at;
    }
});
