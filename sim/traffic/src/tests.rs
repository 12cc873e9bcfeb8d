//! Each format by a small file of it: found by its content, read to the nanosecond, and refused
//! with file, line and column where it is wrong.

use std::io::Write;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use super::*;
use tidegate_sim::arrival::{Arrival, Traffic};
use tidegate_sim::time::SimSpan;

mod changes;
mod counting;
mod formats;
mod mutations;
mod populations;
mod refusals;
mod standstill;

/// A directory of files made for one test.
struct Files(TempDir);

impl Files {
    fn new() -> Self {
        Files(TempDir::new().expect("a temporary directory can be made"))
    }

    fn write(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.0.path().join(name);
        let mut file = std::fs::File::create(&path).expect("the file can be made");
        file.write_all(content.as_ref()).expect("the file can be written");
        path
    }
}

/// Arrivals of a file as (seconds, service seconds or -1, revision).
fn arrivals(path: &Path, options: TraceOptions) -> Vec<(f64, f64, String)> {
    let trace = TraceFile::open(path, options).expect("the trace opens");
    played(&trace)
}

fn played(traffic: &dyn Traffic) -> Vec<(f64, f64, String)> {
    let mut source = traffic.open().expect("the traffic opens");
    let mut all = Vec::new();
    while let Some(arrival) = source.next() {
        let Arrival { at, service, revision } = arrival.expect("the row is good");
        let name = source.names().name(revision).to_owned();
        all.push((at.as_secs_f64(), service.map_or(-1.0, SimSpan::as_secs_f64), name));
    }
    assert!(all.is_sorted_by(|left, right| left.0 <= right.0), "arrivals are in order");
    all
}

/// Checks that `content` is told to be `format` and read as `expected`.
fn check(format: Format, content: &str, expected: &[(f64, f64, &str)]) {
    let files = Files::new();
    let path = files.write("trace", content);
    let trace = TraceFile::open(&path, TraceOptions::default()).expect("the trace opens");
    assert_eq!(trace.format(), format);
    let found = played(&trace);
    let expected: Vec<(f64, f64, String)> =
        expected.iter().map(|(at, service, name)| (*at, *service, (*name).to_owned())).collect();
    assert_eq!(found, expected);
    assert_eq!(played(&trace), expected, "a second replay is the same");
}
