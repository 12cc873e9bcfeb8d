//! Any request by any names: one row of nine fields that reads back as what was written.

#![no_main]

use std::time::{Duration, UNIX_EPOCH};

use libfuzzer_sys::fuzz_target;
use tidegate_queue_proxy::record::{Cold, Row, quote};

fuzz_target!(|input: (u32, u32, u32, u16, u64, u64, &str, &str, bool)| {
    let (start, wait, service, status, request_bytes, response_bytes, revision, instance, cold) =
        input;
    let row = Row {
        start: UNIX_EPOCH + Duration::from_micros(start.into()),
        wait: Duration::from_micros(wait.into()),
        service: Duration::from_micros(service.into()),
        status,
        request_bytes,
        response_bytes,
        cold: if cold { Cold::Yes } else { Cold::No },
    };
    let names = format!(",{},{},", quote(revision), quote(instance));
    let line = row.line(&names);
    let fields = read_csv(&line);
    assert_eq!(fields.len(), 9, "{line}");
    assert_eq!(fields[0], start.to_string());
    assert_eq!(fields[5], response_bytes.to_string());
    assert_eq!((fields[6].as_str(), fields[7].as_str()), (revision, instance));
});

/// One row as RFC 4180 has it.
fn read_csv(line: &str) -> Vec<String> {
    let mut fields = vec![String::new()];
    let mut quoted = false;
    let mut characters = line.strip_suffix('\n').expect("a newline").chars().peekable();
    while let Some(character) = characters.next() {
        match character {
            '"' if quoted && characters.peek() == Some(&'"') => {
                characters.next();
                fields.last_mut().expect("never empty").push('"');
            }
            '"' => quoted = !quoted,
            ',' if !quoted => fields.push(String::new()),
            other => fields.last_mut().expect("never empty").push(other),
        }
    }
    fields
}
