//! The page for a browser names a command; typed, it gives the page's own figures.

use std::collections::BTreeMap;

use tidegate_sim::SimResult;
use tidegate_sim_browser::{Question, ReadingOptions, Session};

use crate::Desk;

/// Requests to two revisions, the second of which is first seen late.
fn trace() -> String {
    let row = |number: u32| {
        let revision = if number > 700 && number.is_multiple_of(3) { "api" } else { "web" };
        format!("{}.{},0.{},{revision}\n", number / 10, number % 10, 1 + number % 8)
    };
    std::iter::once("arrival,service,revision\n".to_owned()).chain((0..1_000).map(row)).collect()
}

fn typed(desk: &Desk, session: &Session, question: &Question) -> (SimResult, SimResult) {
    let text = session.simulate(question).expect("it can be run");
    let answer: serde_json::Value = serde_json::from_str(&text).expect("it is JSON");
    let command = answer["command"].as_str().expect("a command");
    let arguments = command.strip_prefix("tidegate sim ").expect("it is ours");
    let said = desk.says(&format!("{arguments} --json -"));
    let mut said: SimResult = serde_json::from_str(&said).expect("a result");
    // What the run cost on this machine, which a page does not ask.
    said.wall_seconds = 0.0;
    said.requests_per_wall_second = 0.0;
    said.peak_rss_bytes = 0;
    (session.run(question).expect("it can be run").result, said)
}

fn question(set: &[(&str, &str)], turned: &[(&str, &str)]) -> Question {
    let pair = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
    Question {
        set: set.iter().map(pair).collect(),
        turned: turned.iter().map(pair).collect::<BTreeMap<_, _>>(),
        ..Question::default()
    }
}

#[test]
fn a_page_and_its_command_have_one_result() {
    let desk = Desk::new();
    desk.file("t.csv", &trace());
    let options = ReadingOptions { seed: 3, ..ReadingOptions::default() };
    let session = Session::read("t.csv", trace().into_bytes(), &options).expect("a trace");
    let set = [("policy", "tidegate"), ("cold-start", "exp:2s"), ("service", "const:100ms")];
    for turned in
        [[("concurrency", "1"), ("min-scale", "2")], [("concurrency", "10"), ("min-scale", "0")]]
    {
        let (page, command) = typed(&desk, &session, &question(&set, &turned));
        assert_eq!(page, command);
    }
}

#[test]
fn traffic_that_a_page_makes_up_is_the_commands() {
    let desk = Desk::new();
    let session = Session::make_up("step:5,40,20s,5,40s", "1m", 3).expect("it can be made");
    let set = [("cold-start", "const:1s")];
    let (page, command) = typed(&desk, &session, &question(&set, &[("concurrency", "2")]));
    assert_eq!(page, command);
}
