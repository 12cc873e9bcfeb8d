//! Any bytes as a line of a recording, and what is read of them written again: it reads back.

#![no_main]

use libfuzzer_sys::fuzz_target;
use tidegate_recording::Line;

fuzz_target!(|bytes: &[u8]| {
    let Ok(line) = Line::read(bytes) else { return };
    let written = line.write();
    assert_eq!(Line::read(&written).expect("it reads back"), line);
});
