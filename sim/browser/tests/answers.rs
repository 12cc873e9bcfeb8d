//! What a page answers is what the engine answers: the same trace, settings and seed give the same
//! result, read from memory, packed or not, asked once or often.

use std::io::Write as _;

use flate2::Compression;
use flate2::write::GzEncoder;
use tidegate_sim::scenario::StartUp;
use tidegate_sim::{Distribution, Recording, RevisionModel, Scenario, SimSpan, engine};
use tidegate_sim_browser::{KNOBS, Question, ReadingOptions, Session};
use tidegate_sim_traffic::{TraceFile, TraceOptions};

/// Requests to three revisions, the last of which is first seen late.
fn trace() -> Vec<u8> {
    let mut text = "arrival,service,revision\n".to_owned();
    for number in 0..3_000_u32 {
        let revision = match number {
            2_500.. if number % 5 == 0 => "late",
            _ if number % 3 == 0 => "api",
            _ => "web",
        };
        let at = f64::from(number) * 0.1 + f64::from(number % 7) * 0.01;
        text.push_str(&format!("{at:.3},0.{},{revision}\n", 1 + number % 9));
    }
    text.into_bytes()
}

fn session() -> Session {
    Session::read("t.csv", trace(), &options()).expect("it is a trace")
}

fn options() -> ReadingOptions {
    ReadingOptions { seed: 7, ..ReadingOptions::default() }
}

fn question(turned: &[(&str, &str)]) -> Question {
    let turned = turned.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    let set = vec![("cold-start".to_owned(), "const:2s".to_owned())];
    Question { set, turned: turned.collect(), ..Question::default() }
}

#[test]
fn a_page_answers_what_the_engine_answers() {
    let file = TraceFile::from_bytes(
        "t.csv",
        trace(),
        TraceOptions { seed: 7, ..TraceOptions::default() },
    );
    let file = file.expect("it is a trace");
    let mut revision = RevisionModel {
        concurrency: 2,
        start_up: StartUp::total(Distribution::constant(SimSpan::from_secs(2))),
        ..RevisionModel::default()
    };
    revision.settings.insert("min-scale".to_owned(), "1".to_owned());
    let scenario =
        Scenario { seed: 7, revision, recording: Recording::REPORT, ..Scenario::default() };
    let expected = engine::run(&scenario, &file, &mut ()).expect("it can be run");
    let asked = question(&[("concurrency", "2"), ("min-scale", "1")]);
    let session = session();
    assert_eq!(session.run(&asked).expect("it can be run"), expected);
    assert_eq!(session.run(&asked).expect("again"), expected);
}

#[test]
fn a_packed_trace_is_the_same_trace() {
    let mut packer = GzEncoder::new(Vec::new(), Compression::fast());
    packer.write_all(&trace()).expect("memory can be written");
    let packed = packer.finish().expect("memory can be written");
    let packed = Session::read("t.csv.gz", packed, &options()).expect("a trace");
    let asked = question(&[("concurrency", "3")]);
    let (mut one, mut other) = (session().run(&asked).unwrap(), packed.run(&asked).unwrap());
    for result in [&mut one.result, &mut other.result] {
        result.settings.remove("traffic");
        result.trace_sha256.clear();
    }
    assert_eq!(one, other);
}

#[test]
fn points_are_kept_while_the_other_settings_stay() {
    let mut session = session();
    let mut points = |asked: &Question| {
        let text = session.point(asked).expect("it can be run");
        let data: serde_json::Value = serde_json::from_str(&text).expect("it is JSON");
        data["points"].as_array().expect("a list").clone()
    };
    let turned = |concurrency| question(&[("concurrency", concurrency), ("min-scale", "0")]);
    let mut asked = turned("1");
    asked.now = asked.turned.clone();
    assert_eq!(points(&asked).len(), 1);
    let both = points(&Question { now: asked.now.clone(), ..turned("5") });
    assert_eq!(both.len(), 2);
    assert_eq!(both.iter().filter(|point| point["now"] == true).count(), 1);
    assert!(both.iter().any(|point| point["front"] == true));
    assert_eq!(points(&turned("5")).len(), 2, "the same point is one");
    let set = vec![("policy".to_owned(), "hpa".to_owned())];
    assert_eq!(points(&Question { set, ..turned("5") }).len(), 1, "another policy begins anew");
    let other = question(&[("concurrency", "1"), ("max-scale", "3")]);
    assert_eq!(points(&other).len(), 1, "and so do other knobs");
}

#[test]
fn a_page_has_its_data_and_the_command_that_gives_it() {
    let options = ReadingOptions { group: "all".to_owned(), ..options() };
    let session = Session::read("my trace.csv", trace(), &options).expect("it is a trace");
    let text = session.simulate(&question(&[("concurrency", "2")])).expect("it can be run");
    let answer: serde_json::Value = serde_json::from_str(&text).expect("it is JSON");
    assert_eq!(
        answer["command"],
        "tidegate sim run --trace 'my trace.csv' --group all --set cold-start=const:2s --set \
         concurrency=2 --seed 7"
    );
    assert_eq!(answer["page"]["views"][0]["all"][0][0], "3,000");
    let about: serde_json::Value = serde_json::from_str(&session.about()).expect("it is JSON");
    assert_eq!((&about["requests"], &about["hasService"]), (&3_000.into(), &true.into()));
}

#[test]
fn a_price_shows_a_cost_and_the_flag_that_gives_it() {
    let session = Session::read("my trace.csv", trace(), &options()).expect("it is a trace");
    let priced = Question { price: 0.5, ..question(&[]) };
    let run = session.run(&priced).expect("it can be run").result;
    let cost = run.cost.expect("there is a price");
    assert!((cost - 0.5 * run.instance_seconds / 3_600.0).abs() < 1e-9, "{cost}");
    let text = session.simulate(&priced).expect("it can be run");
    assert!(text.contains("--price instance-hour=0.5") && text.contains("\"cost\""), "{text}");
    assert_eq!(session.run(&question(&[])).expect("it can be run").result.cost, None);
}

#[test]
fn every_stop_of_every_knob_is_a_setting() {
    for knob in KNOBS {
        assert!(knob.start < knob.values.len(), "{}", knob.key);
        for value in knob.values {
            let asked = question(&[(knob.key, value)]);
            let checked = asked.whole(Recording::NOTHING);
            assert!(checked.is_ok(), "{}={value}: {:?}", knob.key, checked.err());
        }
    }
}

#[test]
fn mistakes_are_told_in_words() {
    let session = session();
    let told = |asked: &Question| session.run(asked).expect_err("it is wrong").to_string();
    let unknown = told(&question(&[("stable-windw", "30s")]));
    assert!(unknown.contains("did you mean `stable-window`?"), "{unknown}");
    let contrary = told(&question(&[("min-scale", "5"), ("max-scale", "2")]));
    assert!(contrary.contains("min") && contrary.contains("max"), "{contrary}");
    let read = |bytes: &[u8], options: &ReadingOptions| {
        Session::read("x", bytes.to_vec(), options).err().expect("it is wrong").to_string()
    };
    let neither = read(b"\x89PNG\r\n\x1a\n", &ReadingOptions::default());
    assert!(neither.contains('x'), "{neither}");
    let late = read(b"arrival,service\n0,0.1\n1,soon\n", &ReadingOptions::default());
    assert!(late.contains("x:3"), "with the line: {late}");
    let unit = ReadingOptions { time_unit: "weeks".to_owned(), ..ReadingOptions::default() };
    assert!(read(&trace(), &unit).starts_with("time unit=weeks: "));
    let asked = Question::parse(r#"{"sett":[]}"#).expect_err("there is no such name").to_string();
    assert!(asked.contains("sett"), "{asked}");
}

#[test]
fn traffic_can_be_made_up_and_ends() {
    let made = Session::make_up("poisson:20", "1m", 1).expect("it can be made");
    let run = made.run(&question(&[])).expect("it can be run");
    assert!((900..1_500).contains(&run.result.requests), "{}", run.result.requests);
    let refused = |text, duration| Session::make_up(text, duration, 1).err().expect("refused");
    assert!(refused("poisson", "1m").to_string().contains("poisson"));
    assert!(refused("poisson:20", "soon").to_string().starts_with("duration: "));
    assert!(refused("fitted:x.csv", "1m").to_string().contains("a page cannot open"));
}
