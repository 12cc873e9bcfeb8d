//! What would have been, where it is known what that is.

use std::collections::BTreeMap;

use tidegate_autoscaler::settings::{Config, Strictness};
use tidegate_controller::{RevisionId, Template};

use super::*;

fn declaration(settings: &[(&str, &str)]) -> Declaration {
    let config: BTreeMap<String, String> =
        settings.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
    let template = Template {
        config: Config::from_map(&config, Strictness::Strict).expect("valid"),
        annotations: BTreeMap::new(),
        improvements: Improvements::all(),
    };
    let id = RevisionId::new("default", "web").expect("a name");
    template.declare(id, 10).expect("valid")
}

/// Ten minutes of 20 requests in flight, 100 of which end in each second, then ten of nothing.
fn past(settings: &[(&str, &str)]) -> Past {
    let moment = |at_ms: i64, in_flight: f64, rate: f64| Moment {
        at_ms,
        in_flight,
        waiting: 0.0,
        rate,
        ready: 3,
    };
    Past {
        declaration: declaration(settings),
        moments: vec![moment(1_000_000, 20.0, 100.0), moment(1_600_000, 0.0, 0.0)],
        until_ms: 2_200_000,
        cold_starts: Vec::new(),
    }
}

fn replay(past: &Past, settings: &[(&str, &str)]) -> Result<Replay, String> {
    let pairs: Vec<(String, String)> =
        settings.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
    Simulator.replay(past, &pairs)
}

#[test]
fn the_same_settings_make_no_difference_and_others_do() {
    let past = past(&[]);
    let same = replay(&past, &[]).expect("it can be replayed");
    assert_eq!(same.present, same.other);
    assert!((59_000..61_000).contains(&same.present.requests), "{}", same.present.requests);
    // 20 at a time, at 7 of 10 each, are three instances.
    let busy: Vec<&Step> = same.present.steps.iter().filter(|step| step.at < 1_590_000).collect();
    let mean = busy.iter().map(|step| step.ready).sum::<f64>() / busy.len() as f64;
    assert!((2.9..4.6).contains(&mean), "{mean} instances for 20 requests at a time");
    let (first, last) = (same.present.steps[0], same.present.steps.last().expect("some"));
    assert_eq!((first.at, last.ready), (1_000_000, 0.0), "it begins where it began, and ends idle");
    let kept = replay(&past, &[("min-scale", "9")]).expect("it can be replayed");
    assert_eq!(kept.present, same.present);
    assert!(kept.other.steps.iter().skip(60).all(|step| step.ready >= 9.0));
    assert!(kept.other.instance_hours > 2.0 * kept.present.instance_hours);
    assert!(same.assumed.contains("200 ms in the mean"), "{}", same.assumed);
    assert!(same.assumed.contains("no cold start was seen"), "{}", same.assumed);
}

#[test]
fn what_is_declared_is_what_is_simulated() {
    let settings = [
        ("stable-window", "30s"),
        ("panic-window-percentage", "20"),
        ("panic-threshold-percentage", "300"),
        ("container-concurrency-target-percentage", "50"),
        ("max-scale-up-rate", "10"),
        ("scale-to-zero-grace-period", "40s"),
        ("target-burst-capacity", "-1"),
    ];
    let declared = declaration(&settings);
    let pairs = model(&declared).expect("Knative's").settings;
    let config = |key: &str| pairs.get(key).map(String::as_str);
    assert_eq!(config("stable-window"), Some("30000ms"));
    assert_eq!(config("panic-window-percentage"), Some("20"));
    assert_eq!(config("panic-threshold-percentage"), Some("300"));
    assert_eq!(
        (config("target"), config("target-utilization-percentage")),
        (Some("10"), Some("50"))
    );
    assert_eq!(config("max-scale-up-rate"), Some("10"));
    assert_eq!(config("scale-to-zero-grace-period"), Some("40s"));
    assert_eq!(config("target-burst-capacity"), Some("-1"));
}

#[test]
fn what_cannot_be_said_is_told() {
    let told = |past: &Past, settings: &[(&str, &str)]| {
        replay(past, settings).expect_err("it cannot be said")
    };
    let good = past(&[]);
    assert!(told(&good, &[("stable-windw", "30s")]).contains("stable-window"));
    assert!(told(&good, &[("min-scale", "many")]).contains("min-scale"));
    assert!(told(&good, &[("start-up", "soon")]).contains("start-up"));
    let mut silent = past(&[]);
    silent.moments.iter_mut().for_each(|moment| moment.rate = 0.0);
    assert!(told(&silent, &[]).contains("no request was seen to end"));
    let young = Past { moments: Vec::new(), ..past(&[]) };
    assert!(told(&young, &[]).contains("too little"));
    let declaration = Declaration { policy: Decides::Fixed { instances: 3 }, ..declaration(&[]) };
    assert!(told(&Past { declaration, ..past(&[]) }, &[]).contains("Knative's algorithm"));
}

#[test]
fn so_many_requests_are_simulated_and_no_more() {
    let mut flood = past(&[]);
    flood.moments = (0..60)
        .map(|minute| Moment {
            at_ms: minute * 60_000,
            in_flight: 500.0,
            waiting: 0.0,
            rate: 5_000.0,
            ready: 50,
        })
        .collect();
    flood.until_ms = 3_600_000;
    let demand = Demand::of(&flood).expect("it has demand");
    assert_eq!(demand.length_s(), 180.0, "three minutes have 900,000 requests");
}
