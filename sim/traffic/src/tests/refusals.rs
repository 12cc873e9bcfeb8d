//! What is wrong is refused, with its place; or skipped and counted when asked.

use super::*;

/// The message that opening and reading `content` ends with, and how many rows were skipped when
/// bad rows may be.
fn refused(content: &[u8]) -> (String, u64) {
    let files = Files::new();
    let path = files.write("bad.trace", content);
    let message = match TraceFile::open(&path, TraceOptions::default()) {
        Err(error) => error.to_string(),
        Ok(trace) => {
            let mut source = trace.open().expect("the traffic opens");
            loop {
                match source.next() {
                    Some(Ok(_)) => {}
                    Some(Err(error)) => break error.to_string(),
                    None => break String::new(),
                }
            }
        }
    };
    let skip = TraceOptions { bad_rows: BadRows::Skip, ..TraceOptions::default() };
    let skipped = TraceFile::open(&path, skip).map_or(0, |trace| {
        let mut source = trace.open().expect("the traffic opens");
        while let Some(Ok(_)) = source.next() {}
        source.skipped() + trace.skipped()
    });
    let name = path.display().to_string();
    (message.replace(&name, "FILE"), skipped)
}

#[test]
fn bad_rows_name_line_and_column() {
    for (content, expected) in [
        (
            "app,func,end_timestamp,duration\na,f,10.5,abc\na,f,11,1\n",
            "FILE:2:10: expected a service time that is not negative, found \"abc\"",
        ),
        (
            "app,func,end_timestamp,duration\na,f,10.5\n",
            "FILE:2:9: expected a service time in column 4 of 3, found nothing",
        ),
        (
            "arrival,service\n1,0.5\n2,-1\n",
            "FILE:3:3: expected a service time that is not \
          negative, found \"-1\"",
        ),
        (
            "arrival\nsoon\n",
            "FILE:2:1: expected a time (a number, or like \
          2023-11-16T18:17:03.979Z), found \"soon\"",
        ),
        (
            "HashOwner,HashApp,HashFunction,Trigger,1,2\no,a,f,http,5,x\n",
            "FILE:2:14: expected a number of invocations, found \"x\"",
        ),
        (
            "{\"timestamp\": 1, \"input_length\": 1}\n{\"timestamp\": null}\n",
            "FILE:2:2: expected a time (a number, or ISO 8601), found \"null\"",
        ),
        (
            "{\"arrival\": 1}\n{\"arrival\": 2\n",
            "FILE:2:14: expected one JSON object on the line, found nothing",
        ),
        (
            "{\"httpRequest\": {\"latency\": \"0.5s\"}}\n",
            "FILE:1:2: expected a time; Knative's default log template has none, so add one to \
             logging.request-log-template (for example \"startTime\"), found nothing",
        ),
    ] {
        let (message, skipped) = refused(content.as_bytes());
        assert_eq!(message, expected);
        assert_eq!(skipped, 1, "{content}");
    }
}

#[test]
fn files_that_are_no_traces_say_what_to_do() {
    for (content, expected) in [
        (&b"\x80\x04\x95pickle"[..], "is a Python pickle"),
        (b"PK\x03\x04zip", "is a zip archive"),
        (b"PAR1....", "is a Parquet file"),
        (b"", "found an empty file; name the format with --format"),
        (b"hello world\n", "expected the beginning of a known trace format, found \"hello world\""),
        (b"{\"x\": 1}\n", "expected the beginning of a known trace format"),
        (
            b"{\"status\":\"success\",\"data\":{\"resultType\":\"vector\",\"result\":[]}}",
            "ask query_range, not query",
        ),
        (b"{\"log\": {\"entries\": [{\"time\": 1}]}}", "missing field `startedDateTime`"),
    ] {
        let (message, _) = refused(content);
        assert!(message.contains(expected), "{message}");
    }
}

#[test]
fn rows_far_out_of_order_are_refused_with_the_bound() {
    let files = Files::new();
    let path = files.write("late.csv", "arrival\n5\n6\n7\n8\n1\n");
    let options = TraceOptions { reorder_rows: Some(2), ..TraceOptions::default() };
    let trace = TraceFile::open(&path, options).expect("the trace opens");
    let mut source = trace.open().expect("the traffic opens");
    let error = std::iter::from_fn(|| source.next()).find_map(Result::err).expect("one is late");
    let message = error.to_string();
    assert!(message.contains(":6: expected rows at most 2 rows out of order"), "{message}");
    let enough = TraceOptions { reorder_rows: Some(5), ..TraceOptions::default() };
    assert_eq!(arrivals(&path, enough).len(), 5);
}

#[test]
fn broken_packing_is_an_error_not_an_end() {
    let files = Files::new();
    let path = files.write("a.csv.gz", [0x1f, 0x8b, 8, 0, 1, 2, 3]);
    let error = TraceFile::open(&path, TraceOptions::default()).err().expect("it is broken");
    assert!(error.to_string().contains("cannot read"), "{error}");
    let path = files.write("a.csv.zst", [0x28, 0xb5, 0x2f, 0xfd, 0xff, 0xff]);
    let error = TraceFile::open(&path, TraceOptions::default()).err().expect("it is broken");
    assert!(error.to_string().contains("cannot read"), "{error}");
}

#[test]
fn specifications_are_refused_with_what_was_expected() {
    for (spec, expected) in [
        ("poison:70", "found 'poison'; did you mean `poisson`?"),
        ("poisson", "expected poisson:RATE: found 0 arguments"),
        ("poisson:fast", "expected a rate such as 70, 5/m or 2/h, found 'fast'"),
        ("poisson:0", "the rate must be above 0"),
        ("poisson:-1", "expected a rate"),
        ("ramp:1,2,0s", "the time must be above 0"),
        ("diurnal:10,1.5,24h", "the amplitude is a share of the mean, from 0 to 1"),
        ("pareto:10,1", "the shape must be above 1"),
        ("step:1,2", "found 2 arguments"),
        ("step:1,2,10s,3,5s", "each step must begin after the one before it"),
        ("times:2,1", "times must not fall"),
        ("poisson:70,gaps=odd", "gaps= takes const"),
        ("burst:0", "the count must be above 0"),
        ("fitted:/nowhere/at.all", "cannot read"),
    ] {
        let made = Generated::new(spec, 0, SimSpan::from_secs(1), 1);
        let message = made.err().map(|error| error.to_string()).unwrap_or_default();
        assert!(message.contains(expected), "{spec}: {message}");
    }
}
