//! Reports of runs made up for the purpose: what is kept when there is too much, and that nothing
//! is wider, larger or more trusting than it may be.

mod choices;
mod sweeps;

use tidegate_sim::engine::RunOutput;
use tidegate_sim::record::DecisionRecord;
use tidegate_sim::result::{RevisionResult, SimResult};
use tidegate_sim::series::{SeriesPoint, TimeSeries};
use tidegate_timeline::Timeline;

use super::*;

/// A run of `steps` seconds with `decisions` decisions, every tenth of which changes much.
fn run(steps: u32, decisions: u32, name: &str) -> RunOutput {
    let points = (0..steps).map(|step| SeriesPoint {
        at_s: f64::from(step),
        length_s: 1.0,
        arrivals: u64::from(step % 50),
        concurrency_mean: f64::from(step % 7) * 1.234_567,
        ready_mean: f64::from(step % 11) + 0.5,
        busy_mean: 0.25,
        wanted_mean: f64::from(step % 11),
        p50_ms: 12.345_678,
        p99_ms: f64::from(step % 90) * 1.1,
        cold_starts: u64::from(step % 3 == 0),
        ..SeriesPoint::default()
    });
    let series = |revision: Option<&str>| TimeSeries {
        revision: revision.map(str::to_owned),
        step_s: 1.0,
        points: points.clone().collect(),
    };
    let decisions = (0..decisions).map(|number| DecisionRecord {
        at_s: f64::from(number),
        revision: name.to_owned(),
        trigger: "tick".to_owned(),
        desired: 1,
        wanted: if number % 10 == 0 { 50 } else { 1 + u64::from(number % 2) },
        ready: 1,
        stable: 0.5,
        panic: 0.5,
        panicking: false,
        proxied: true,
        excess_burst_capacity: -1.0,
        reason: format!("reason {number} of {name}, in some words that are long enough to count"),
    });
    let revision = RevisionResult { revision: name.to_owned(), ..RevisionResult::default() };
    RunOutput {
        result: SimResult {
            requests: 1_000,
            revisions: vec![revision.clone(), revision],
            ..SimResult::default()
        },
        series: vec![series(None), series(Some(name))],
        decisions: decisions.collect(),
        ..RunOutput::default()
    }
}

fn page<'a>(runs: &[&'a RunOutput]) -> Page<'a> {
    let view = |(number, run): (usize, &&'a RunOutput)| View { name: format!("run {number}"), run };
    Page {
        title: "made up".to_owned(),
        command: "tidegate sim run".to_owned(),
        prices: Prices::default(),
        origin_unix_s: None,
        cold_starts: Vec::new(),
        views: runs.iter().enumerate().map(view).collect(),
    }
}

/// The data that a page's script reads.
fn data(page: &Page<'_>) -> serde_json::Value {
    let text = html(page);
    let begin = "id=\"data\">";
    let from = text.find(begin).expect("there is data") + begin.len();
    let to = from + text[from..].find("</script>").expect("it ends");
    serde_json::from_str(&text[from..to]).expect("it is JSON")
}

fn cold_start(nth: u64, listen_ms: u64) -> ColdStart {
    let at_ms = |ms: u64| Some(ms * 1_000);
    let ends = [1, 1, 3, 3 + listen_ms, 5 + listen_ms, 6 + listen_ms, 9 + listen_ms];
    ColdStart {
        at: std::time::Duration::from_secs(nth),
        instance: format!("<b>web-{nth}"),
        timeline: Timeline::from_micros(ends.map(at_ms)).expect("sorted"),
    }
}

#[test]
fn recorded_cold_starts_are_a_waterfall_and_a_table() {
    let lone = run(10, 1, "web");
    let starts: Vec<ColdStart> = (1..=100).map(|nth| cold_start(nth, nth)).collect();
    let with = Page { cold_starts: starts.clone(), ..page(&[&lone]) };
    let text = html(&with);
    assert!(text.contains("Cold starts as recorded"));
    assert!(!text.contains("<b>web"), "names are escaped");
    assert!(text.contains("web-100") && !text.contains("web-76<"), "the slowest 24 are drawn");
    assert!(!html(&page(&[&lone])).contains("Cold starts as recorded"));
    let figures = phase_figures(&starts);
    let names: Vec<&str> = figures.iter().map(PhaseFigures::name).collect();
    let phases = ["decide", "actuate", "start", "listen", "ready", "forward", "respond"];
    assert_eq!(names, [&phases[..], &["cold start"]].concat());
    let listen = figures[3];
    assert_eq!((listen.p50_ms, listen.p99_ms, listen.max_ms), (50.0, 99.0, 100.0));
    assert_eq!((figures[7].mean_ms, figures[7].count), (59.5, 100));
}

#[test]
fn a_waterfall_of_nothing_is_an_empty_picture() {
    let scene = waterfall(&[]);
    assert!(scene.width.is_finite() && scene.height.is_finite());
    assert!(svg(&scene).starts_with("<svg"));
    let instant = ColdStart {
        at: std::time::Duration::ZERO,
        instance: "web-1".into(),
        timeline: Timeline::default(),
    };
    assert!(!svg(&waterfall(&[instant])).contains("NaN"));
}

#[test]
fn a_page_is_at_most_a_megabyte_and_keeps_what_changed_the_most() {
    let crowded = run(1_024, 20_000, "crowded");
    let page = page(&[&crowded]);
    assert!(html(&page).len() <= 1_000_000);
    let decisions = &data(&page)["views"][0]["decisions"];
    let times = decisions["at"].as_array().expect("a column");
    let wanted = decisions["wanted"].as_array().expect("a column");
    assert!(times.is_sorted_by(|left, right| left.as_f64() <= right.as_f64()));
    let large = wanted.iter().filter(|count| count.as_u64() == Some(50)).count();
    assert!(large * 4 > wanted.len(), "{large} of {} are large changes", wanted.len());
    let last = times.last().and_then(serde_json::Value::as_f64).expect("some are kept");
    assert!(last > 15_000.0, "those that are kept reach the end, not {last}");
    let left_out = decisions["left_out"].as_u64().expect("a number");
    assert_eq!(left_out + times.len() as u64, 20_000);
}

#[test]
fn columns_keep_four_digits_and_their_names() {
    let plain = run(10, 2, "plain");
    let series = &data(&page(&[&plain]))["views"][0]["series"][0];
    let columns = &series["columns"];
    assert_eq!(columns["p50"][0], serde_json::json!([12.35, 10]), "ten equal ones in one");
    assert_eq!(columns["rate"][9], 9);
    assert_eq!(columns["idle"][0], 0.5);
    assert_eq!((&series["step"], &series["count"]), (&1.0.into(), &10.into()));
    assert_eq!(series["end"], 10.0);
}

#[test]
fn several_runs_share_one_page_and_speak_first() {
    let (one, mut two) = (run(100, 5, "a"), run(100, 5, "a"));
    two.result.instance_seconds = 3_600.0;
    let page = page(&[&one, &two]);
    let text = html(&page);
    assert!(text.contains("Comparison") && text.contains("compared with run 0"));
    assert_eq!(data(&page)["views"].as_array().map(Vec::len), Some(2));
}

#[test]
fn hostile_names_stay_text_everywhere() {
    let evil = "</script><b>\u{1b}[2J\"'&=cmd()";
    let hostile = run(20, 3, evil);
    let text = html(&page(&[&hostile]));
    assert!(!text.contains("<b>") && !text.contains('\u{1b}'));
    assert_eq!(text.matches("</script>").count(), 3, "data, drawing, wiring");
    let terminal = Terminal { width: 80, colour: Colour::Off };
    assert!(!summary(&hostile, terminal, Prices::default()).contains('\u{1b}'));
    let mut rows = Vec::new();
    series_csv(&hostile.series, &mut rows).expect("memory can be written");
    assert!(String::from_utf8_lossy(&rows).contains("\"\"'&=cmd()\""));
}

#[test]
fn summaries_fit_their_terminal() {
    let plain = run(300, 3, "a-rather-long-name-of-a-revision-that-goes-on");
    for width in [40, 60, 72, 100, 200] {
        let terminal = Terminal { width, colour: Colour::Off };
        let text = summary(&plain, terminal, Prices::default());
        let widest = text.lines().map(|line| line.chars().count()).max();
        assert!(widest <= Some(width.max(60) + 20), "{width}: {widest:?}");
        assert!(text.lines().last().is_some_and(|line| line.starts_with("latency p99")));
    }
    let colours = Terminal { width: 80, colour: Colour::On };
    assert!(summary(&plain, colours, Prices::default()).contains("\u{1b}[38;5;"));
}

#[test]
fn pictures_are_the_same_every_time() {
    let plain = run(200, 3, "a");
    for chart in Chart::ALL {
        let scene = chart.draw(&plain);
        assert!(svg(&scene).ends_with("</svg>\n"));
        if chart != Chart::Instances {
            // One picture tells; unoptimised builds take a second for each.
            continue;
        }
        let picture = png(&scene).expect("the size is sensible");
        assert_eq!(picture, png(&scene).expect("the size is sensible"), "{}", chart.name());
    }
    // Without a series there is still a frame.
    assert!(svg(&Chart::Latency.draw(&RunOutput::default())).contains("Latency"));
}

#[test]
fn what_was_used_and_what_it_cost_are_told() {
    use tidegate_sim::usage::{NodeUsage, Usage};

    let mut plain = run(10, 1, "a");
    let nodes = NodeUsage { hours: 3.0, most: 2, joined: 1, lost: 1 };
    plain.result.usage = Usage {
        gb_hours: Some(1.5),
        node_hours: Some(3.0),
        gpu_hours: Some(12.0),
        nodes: [("large".to_owned(), nodes)].into(),
    };
    plain.result.cost = Some(7.25);
    let terminal = Terminal { width: 100, colour: Colour::Off };
    let text = summary(&plain, terminal, Prices::parse("node-hour=2").expect("is a price"));
    assert!(text.contains("large 3 h, 2 at most, 1 lost"), "{text}");
    assert!(text.contains("7.25  at 2 a node-hour"), "{text}");
    let text = html(&page(&[&plain]));
    assert!(text.contains("<dt>GPU-hours</dt><dd>12</dd>") && text.contains("<dt>cost</dt>"));
    let other = run(10, 1, "b");
    let both = [("a", &plain.result), ("b", &other.result)];
    let text = comparison(&both, terminal);
    assert!(text.contains("node-hours"), "{text}");
}
