//! The page of a recommendation was called a sweep, had an empty front, and drew nothing of what
//! had to be kept; in the picture three labels lay over each other.

use std::collections::BTreeMap;

use tidegate_sim::recommend::Objective;
use tidegate_sim::sweep::{SweepPoint, mark_front};

use crate::scene::{Anchor, Shape};

use super::*;

fn point(min_scale: u32, hours: f64, p99_ms: f64) -> SweepPoint {
    let mut result = SimResult { requests: 100, seed: 42, ..SimResult::default() };
    result.instance_seconds = hours * 3_600.0;
    result.latency_ms.p99 = p99_ms;
    result.trace_sha256 = "c0ffee".to_owned();
    let settings = [("policy", "kpa"), ("service", "const:100ms")];
    result.settings =
        settings.into_iter().map(|(key, value)| (key.to_owned(), value.into())).collect();
    let label = format!("min-scale={min_scale} a-setting-with-a-long-name=of-some-value");
    SweepPoint {
        cost: None,
        settings: BTreeMap::from([("min-scale".to_owned(), min_scale.to_string())]),
        label,
        instance_seconds: result.instance_seconds,
        p99_ms,
        cold_share: 0.0,
        lost_share: 0.0,
        on_front: false,
        result,
    }
}

fn points() -> Vec<SweepPoint> {
    let mut points: Vec<SweepPoint> = (0..30)
        .map(|n| point(n, 3.0 + f64::from(n) * 0.02, 1_500.0 - f64::from(n) * 4.0))
        .chain([point(90, 9.0, 9_000.0)])
        .collect();
    mark_front(&mut points.iter_mut().collect::<Vec<_>>());
    points
}

#[test]
fn a_recommendation_shows_what_must_be_kept_and_what_it_rests_on() {
    let points = points();
    let page = SweepPage {
        title: "made up".to_owned(),
        subtitle: "30 combinations".to_owned(),
        command: "tidegate sim recommend".to_owned(),
        points: &points,
        objectives: vec![Objective::parse("p99<1450ms").expect("it is one")],
        best: Some(points[13].label.clone()),
        now: None,
        runs: Vec::new(),
    };
    let text = sweep_html(&page);
    assert!(text.contains("<p class=\"kind\">Recommendation</p>"));
    assert!(text.contains("p99 ≤ 1.45 s") && text.contains("<td>kept</td>"));
    assert!(text.contains("Seed 42") && text.contains("c0ffee") && text.contains("const:100ms"));
    let data: serde_json::Value = serde_json::from_str(&sweep_data(&page)).expect("JSON");
    assert_eq!(data["bounds"][0]["axis"], "p99");
    let all = data["points"].as_array().expect("a list");
    assert_eq!(all.iter().filter(|point| point["front"] == true).count(), 30);
    assert_eq!(all.iter().filter(|point| point["best"] == true).count(), 1);
    let plain = SweepPage { objectives: Vec::new(), best: None, ..page };
    assert!(sweep_html(&plain).contains("<p class=\"kind\">Sweep</p>"));
}

#[test]
fn no_label_of_a_picture_lies_over_another() {
    let points = points();
    let kept = [Objective::parse("p99<1450ms").expect("it is one")];
    let scene = scatter("made up", &points, &kept);
    // Letters of this font are six tenths as wide as they are high.
    let area = |shape: &Shape| match shape {
        Shape::Text { at, anchor, size, text, .. } => {
            let width = text.chars().count() as f32 * size * 0.6;
            let left = match anchor {
                Anchor::Start => at.0,
                Anchor::Middle => at.0 - width / 2.0,
                Anchor::End => at.0 - width,
            };
            Some((left, at.1 - size * 0.8, left + width, at.1 + size * 0.2))
        }
        _ => None,
    };
    let areas: Vec<_> = scene.shapes.iter().filter_map(area).collect();
    assert!(areas.len() > 12, "there are labels: {}", areas.len());
    for (number, one) in areas.iter().enumerate() {
        assert!(one.0 >= 0.0 && one.2 <= scene.width, "{one:?} is on the paper");
        for other in &areas[number + 1..] {
            let apart =
                one.2 <= other.0 || one.0 >= other.2 || one.3 <= other.1 || one.1 >= other.3;
            assert!(apart, "{one:?} and {other:?}");
        }
    }
}
