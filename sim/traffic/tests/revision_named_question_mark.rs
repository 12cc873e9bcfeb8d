//! The story: a fuzz target took a revision named `?` for one without a name, because asking for
//! the name of an unknown revision answers `?` as well. The trace reader was right, the target was
//! wrong; and the table of requests had made the same mistake, so a trace's own `?` was shown as
//! `revision-0`.

use tidegate_sim::{RevisionNames, Traffic};
use tidegate_sim_traffic::{TraceFile, TraceOptions};

#[test]
fn a_trace_may_name_a_revision_question_mark() {
    let rows = &b"timestamp_ms,revision\n1,?\n2,web\n"[..];
    let trace = TraceFile::from_bytes("marks", rows, TraceOptions::default()).expect("a trace");
    let mut source = trace.open().expect("arrivals");
    let mut seen = Vec::new();
    while let Some(arrival) = source.next() {
        let arrival = arrival.expect("an arrival");
        seen.push(source.names().get(arrival.revision).map(str::to_owned));
    }
    assert_eq!(seen, [Some("?".to_owned()), Some("web".to_owned())]);
}

#[test]
fn a_name_of_its_own_and_no_name_are_told_apart() {
    let mut names = RevisionNames::one("?");
    let marked = names.find("?").expect("it was interned");
    let mut longer = names.clone();
    let unknown_to_the_first = longer.intern("web");
    assert_eq!(names.get(marked), Some("?"));
    assert_eq!(names.get(unknown_to_the_first), None);
    assert_eq!(names.intern("?"), marked);
}
