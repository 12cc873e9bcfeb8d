//! Any bytes as a trace: read or refused, never a panic, never back in time, never a nameless
//! revision.

#![no_main]

use libfuzzer_sys::fuzz_target;
use tidegate_sim_traffic::{BadRows, Declared, Grouping, Placement, TraceFile, TraceOptions};
use tidegate_sim::{SimTime, Traffic};

/// Arrivals read of one input: a count may stand for millions.
const ARRIVALS_MAX: usize = 10_000;

/// The bit of the second byte that makes the first line the declared format of all others.
const DECLARED: u8 = 0x80;

fuzz_target!(|input: (bool, u8, &[u8])| {
    let (skip, grouping, mut bytes) = input;
    let mut declared = Declared::default();
    if grouping & DECLARED != 0
        && let Some(end) = bytes.iter().position(|byte| *byte == b'\n')
    {
        declared.log_format = Some(String::from_utf8_lossy(&bytes[..end]).into_owned());
        bytes = &bytes[end + 1..];
    }
    let options = TraceOptions {
        bad_rows: if skip { BadRows::Skip } else { BadRows::Refuse },
        grouping: match grouping % 3 {
            0 => Grouping::Function,
            1 => Grouping::App,
            _ => Grouping::All,
        },
        placement: Placement::Start,
        declared,
        ..TraceOptions::default()
    };
    let Ok(trace) = TraceFile::from_bytes("fuzzed", bytes, options) else { return };
    let Ok(mut source) = trace.open() else { return };
    let mut last = SimTime::ZERO;
    for _ in 0..ARRIVALS_MAX {
        let Some(Ok(arrival)) = source.next() else { return };
        assert!(arrival.at >= last);
        // Whatever the trace calls it: a revision may be named `?`.
        assert!(source.names().get(arrival.revision).is_some());
        last = arrival.at;
    }
});
