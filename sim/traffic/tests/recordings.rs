//! A recording began where a sidecar received a request: the time at the front door was lost, and
//! what had waited for a cold start arrived in one burst. Replayed, a quarter of the arrivals were
//! off by up to seconds (instances + 29 %).
//!
//! A recording has each request's arrival at the front door, counted from a beginning that is the
//! simulation's own, and is written when the request ends: a long one far behind younger ones.

use tidegate_recording::{End, Head, InstanceEvent, InstancePhase, Line, Place, Request, VERSION};
use tidegate_sim::Traffic;
use tidegate_sim_traffic::{BadRows, Grouping, TraceFile, TraceOptions};

const BEGAN_US: u64 = 1_700_000_000_000_000;

fn head(recorded_at: Place) -> Line<'static> {
    Line::Head(Head {
        version: VERSION,
        recorded_at,
        began_unix_us: BEGAN_US,
        revision: "local/web".into(),
        concurrency: 2,
        adaptive: false,
        scaling: None,
    })
}

fn request(after_us: u64, wait_us: u64, service_us: Option<u64>) -> Line<'static> {
    Line::Request(Request {
        arrived_unix_us: BEGAN_US + after_us,
        wait_us,
        service_us,
        status: 200,
        request_bytes: 3,
        response_bytes: 5,
        cold: Some(wait_us > 0),
        timeline: None,
        revision: "local/web".into(),
        instance: Some("web-1".into()),
    })
}

fn written(lines: &[Line<'_>]) -> Vec<u8> {
    lines.iter().flat_map(Line::write).collect()
}

fn open(lines: &[u8], options: TraceOptions) -> Result<TraceFile, String> {
    TraceFile::from_bytes("r.jsonl", lines, options).map_err(|error| error.to_string())
}

/// Arrivals and service times in microseconds, with revisions.
fn arrivals(file: &TraceFile) -> Vec<(u64, Option<u64>, String)> {
    let mut source = file.open().expect("opens");
    let mut found = Vec::new();
    while let Some(arrival) = source.next() {
        let arrival = arrival.expect("a row");
        let service = arrival.service.map(|span| span.as_nanos() / 1_000);
        let name = source.names().name(arrival.revision).to_owned();
        found.push((arrival.at.as_nanos() / 1_000, service, name));
    }
    found
}

#[test]
fn arrivals_are_those_at_the_front_door() {
    let lines = written(&[
        head(Place::FrontDoor),
        // Two that came half a second apart waited for the same instance, and began together.
        request(2_500_000, 0, Some(10_000)),
        request(1_500_001, 500_000, Some(700_000)),
        request(1_000_000, 1_000_001, Some(900_000)),
        request(2_600_000, 0, None),
    ]);
    let file = open(&lines, TraceOptions::default()).expect("a recording");
    assert_eq!(file.format().name(), "recording");
    let web = || "local/web".to_owned();
    assert_eq!(
        arrivals(&file),
        [
            (1_000_000, Some(900_000), web()),
            (1_500_001, Some(700_000), web()),
            (2_500_000, Some(10_000), web()),
            (2_600_000, None, web()),
        ]
    );
    let recorded = file.recorded().expect("a recording");
    assert_eq!((recorded.requests, recorded.cold), (4, 2));
    assert_eq!(file.origin_unix_s(), Some(BEGAN_US as f64 / 1e6));
    let together = TraceOptions { grouping: Grouping::All, ..TraceOptions::default() };
    let file = open(&lines, together).expect("a recording");
    assert!(arrivals(&file).iter().all(|(_, _, name)| name == "traffic"));
}

#[test]
fn a_long_request_is_found_far_behind_those_that_came_later() {
    let mut lines = vec![head(Place::FrontDoor)];
    let count = 200_000;
    lines.extend((1..=count).map(|number| request(number * 1_000, 0, Some(10))));
    lines.push(request(0, 0, Some(count * 1_000)));
    let file = open(&written(&lines), TraceOptions::default()).expect("a recording");
    let found = arrivals(&file);
    assert_eq!(found.len() as u64, count + 1);
    assert_eq!(found[0].1, Some(count * 1_000));
}

#[test]
fn what_is_missing_is_said() {
    let cut_off = open(&written(&[head(Place::FrontDoor)]), TraceOptions::default());
    let warnings = cut_off.expect("a recording").reading().warnings.join("; ");
    assert!(warnings.contains("no end"), "{warnings}");
    let end = Line::End(End { at_unix_us: BEGAN_US + 5, lost: 7 });
    let lossy = open(&written(&[head(Place::FrontDoor), end]), TraceOptions::default());
    let warnings = lossy.expect("a recording").reading().warnings.join("; ");
    assert!(warnings.starts_with("7 lines could not be written"), "{warnings}");
    let sidecar = open(&written(&[head(Place::Sidecar)]), TraceOptions::default());
    assert!(sidecar.expect("a recording").reading().warnings.is_empty());
}

#[test]
fn bad_lines_are_refused_with_their_place_or_left_out() {
    let mut lines = written(&[head(Place::FrontDoor), request(5, 0, None)]);
    lines.extend_from_slice(b"{\"kind\":\"request\",\"arrived_unix_us\":1700");
    let error = open(&lines, TraceOptions::default()).err().expect("refused");
    assert!(error.starts_with("r.jsonl:3:"), "{error}");
    let skip = TraceOptions { bad_rows: BadRows::Skip, ..TraceOptions::default() };
    let file = open(&lines, skip).expect("a recording");
    assert_eq!(arrivals(&file).len(), 1);
}

#[test]
fn two_runs_in_one_file_are_refused() {
    let lines = written(&[head(Place::FrontDoor), head(Place::FrontDoor)]);
    let error = open(&lines, TraceOptions::default()).err().expect("refused");
    assert!(error.starts_with("r.jsonl:2:1: expected one recording"), "{error}");
}

#[test]
fn other_versions_and_rows_of_older_releases_are_refused_with_what_to_do() {
    let newer = b"{\"kind\":\"head\",\"tidegate_recording\":9}\n";
    let error = open(newer, TraceOptions::default()).err().expect("refused");
    assert!(error.contains("version 9") && error.contains("record anew"), "{error}");
    let old = b"start_unix_us,wait_us,service_us,status,request_bytes,response_bytes,revision,\
        instance,cold\n1700000000000001,5,1250,200,0,12,default/web,web-1,1\n";
    let error = open(old, TraceOptions::default()).err().expect("refused");
    assert!(error.contains("older release") && error.contains("--format csv"), "{error}");
}

#[test]
fn changes_of_instances_are_kept() {
    let change = |after_us, phase| {
        Line::Instance(InstanceEvent {
            at_unix_us: BEGAN_US + after_us,
            phase,
            revision: "local/web".into(),
            instance: "web-1".into(),
        })
    };
    let lines = [
        head(Place::FrontDoor),
        change(100, InstancePhase::Starting),
        change(600, InstancePhase::Ready),
    ];
    let file = open(&written(&lines), TraceOptions::default()).expect("a recording");
    let starts = file.recorded().expect("a recording").starts();
    assert_eq!((starts[0].from_us, starts[0].until_us), (100, 600));
}
