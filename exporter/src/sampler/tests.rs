use tidegate_telemetry::{Metric, Registry};

use super::*;

const FAILED: Metric = Metric::counter("failed_total", "").labelled(&["cause"]).scoped(None);
const TIME: Metric = Metric::histogram("time_seconds", "").scoped(None);
const REPEAT: Duration = Duration::from_secs(240);

fn rules(text: &str) -> Rules {
    Rules::parse(text).expect("rules")
}

fn at(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// Name, labels and number of everything that leaves; of a histogram its count.
fn told(leaving: &[Family]) -> Vec<String> {
    let one = |family: &Family, series: &Series| {
        let labels: Vec<String> = series
            .labels
            .iter()
            .map(|label| format!("{}={}", label.key(), label.value()))
            .collect();
        let value = match &series.value {
            Value::Number(number) => *number,
            Value::Buckets(buckets) => buckets.count as f64,
        };
        format!("{}{{{}}} {value}", family.name, labels.join(","))
    };
    leaving.iter().flat_map(|family| family.series.iter().map(move |s| one(family, s))).collect()
}

#[test]
fn what_has_not_changed_is_repeated_before_it_counts_as_gone() {
    let registry = Registry::new();
    let failed = FAILED.register_counter(&registry, &["timeout"]);
    let mut sampler = Sampler::new(rules("[[rule]]\nkeep = \"failed_total\""), REPEAT);
    let mut sample = |seconds| told(&sampler.sample(registry.gather(), at(seconds)));
    assert_eq!(sample(0), ["failed_total{cause=timeout} 0"]);
    assert!(sample(60).is_empty() && sample(120).is_empty() && sample(180).is_empty());
    // A timer that is a little early counts as in time.
    let early = at(240) - Duration::from_millis(1);
    let mut sample = |now| told(&sampler.sample(registry.gather(), now));
    assert_eq!(sample(early), ["failed_total{cause=timeout} 0"]);
    failed.increment(1);
    assert_eq!(sample(at(300)), ["failed_total{cause=timeout} 1"]);
    assert!(sample(at(360)).is_empty());
}

#[test]
fn values_are_added_up_over_labels_that_do_not_leave() {
    let registry = Registry::new();
    FAILED.register_counter(&registry, &["timeout"]).increment(2);
    FAILED.register_counter(&registry, &["refused"]).increment(3);
    FAILED.register_counter(&registry, &["no_route"]).increment(100);
    for path in ["a", "b"] {
        TIME.register_histogram(&registry, vec![Label::new("path", path)]).record(0.3);
    }
    let text = "[[rule]]\nkeep = \"failed_total\"\nlabels = { cause = \"!no_*\" }\n\
                sum_without = [\"cause\"]\n[[rule]]\nkeep = \"time_*\"\nsum_without = [\"path\"]";
    let mut sampler = Sampler::new(rules(text), REPEAT);
    let leaving = sampler.sample(registry.gather(), at(0));
    assert_eq!(told(&leaving), ["failed_total{} 5", "time_seconds{} 2"]);
    let Value::Buckets(buckets) = &leaving[1].series[0].value else { panic!("{leaving:?}") };
    assert_eq!((buckets.sum, *buckets.cumulative.last().unwrap()), (0.6, 2));
    assert!(!sampler.has_collided());
}

#[test]
fn series_that_two_rules_make_alike_leave_once() {
    let registry = Registry::new();
    FAILED.register_counter(&registry, &["timeout"]).increment(2);
    FAILED.register_counter(&registry, &["refused"]).increment(3);
    let text = "[[rule]]\nkeep = \"failed_total\"\nlabels = { cause = \"r*\" }\n\
                sum_without = [\"cause\"]\n[[rule]]\nkeep = \"*\"\nsum_without = [\"cause\"]";
    let mut sampler = Sampler::new(rules(text), REPEAT);
    let leaving = told(&sampler.sample(registry.gather(), at(0)));
    assert!(leaving.contains(&"failed_total{} 3".to_owned()), "{leaving:?}");
    assert!(sampler.has_collided());
}

#[test]
fn a_slow_rule_waits_for_its_turn() {
    let registry = Registry::new();
    let failed = FAILED.register_counter(&registry, &["timeout"]);
    let text = "[[rule]]\nkeep = \"failed_total\"\nperiod = \"5m\"";
    let mut sampler = Sampler::new(rules(text), REPEAT);
    let mut count = 0;
    for minute in 0..60 {
        failed.increment(1);
        count += told(&sampler.sample(registry.gather(), at(minute * 60))).len();
    }
    assert_eq!(count, 12);
}
