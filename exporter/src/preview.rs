//! What would leave, and what that would weigh: for whoever writes rules.

use std::time::{Duration, UNIX_EPOCH};

use tidegate_telemetry::{Family, Value};

use crate::message::{Encoder, Format, Identity, Reading};
use crate::rules::{Rules, Verdict};
use crate::sampler::Sampler;

/// What a message costs beside its body, both ways, without TLS: some 250 bytes of a request's
/// head and 100 of a response's.
const MESSAGE_OVERHEAD_BYTES: f64 = 350.0;
const DAY: Duration = Duration::from_secs(24 * 3600);

/// How it would be sent.
#[derive(Debug, Clone, Copy)]
pub struct Pace {
    /// What is written.
    pub format: Format,
    /// Time between two readings.
    pub interval: Duration,
    /// Readings in one message.
    pub readings_per_message: usize,
    /// Time after which an unchanged value is repeated.
    pub repeat_after: Duration,
}

/// What one rule does.
#[derive(Debug, Clone, PartialEq)]
pub struct Effect {
    /// Series that it is the first to match.
    pub matched: usize,
    /// Series that leave because of it.
    pub leaving: usize,
    /// What they weigh.
    pub weight: Weight,
}

/// Bytes a day of bodies and heads.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Weight {
    /// When no value changes.
    pub at_rest: f64,
    /// When every value changes between two readings.
    pub busiest: f64,
}

/// What rules make of what is served.
#[derive(Debug, Clone, PartialEq)]
pub struct Preview {
    /// The effect of each rule, in their order.
    pub rules: Vec<Effect>,
    /// Series that no rule matches.
    pub unmatched: usize,
    /// What leaves, all together.
    pub total: Effect,
    /// Whether two rules make series that look the same.
    pub has_collided: bool,
}

/// Tries rules on what was gathered.
#[must_use]
pub fn preview(rules: &Rules, gathered: &[Family], pace: Pace) -> Preview {
    let mut effects = Vec::new();
    let mut total = Effect { matched: 0, leaving: 0, weight: Weight::default() };
    for (number, rule) in rules.as_slice().iter().enumerate() {
        let matched = matched_by(rules, gathered, Some(number));
        let count = matched.iter().map(|family| family.series.len()).sum();
        let leaving = match rule.verdict {
            Verdict::Keep => Sampler::new(rules.clone(), DAY).sample(matched, Duration::ZERO),
            Verdict::Drop => Vec::new(),
        };
        let interval = pace.interval.max(rule.period);
        let effect = Effect {
            matched: count,
            leaving: leaving.iter().map(|family| family.series.len()).sum(),
            weight: weight(&leaving, Pace { interval, ..pace }),
        };
        total.matched += effect.matched;
        total.leaving += effect.leaving;
        total.weight.at_rest += effect.weight.at_rest;
        total.weight.busiest += effect.weight.busiest;
        effects.push(effect);
    }
    let mut sampler = Sampler::new(rules.clone(), DAY);
    sampler.sample(gathered.to_vec(), Duration::ZERO);
    let unmatched = matched_by(rules, gathered, None);
    let unmatched = unmatched.iter().map(|family| family.series.len()).sum();
    // The heads of messages are shared: they count once.
    let heads = messages_a_day(pace) * MESSAGE_OVERHEAD_BYTES;
    if total.leaving > 0 {
        total.weight.at_rest += heads;
        total.weight.busiest += heads;
    }
    Preview { rules: effects, unmatched, total, has_collided: sampler.has_collided() }
}

/// The series whose first match is this rule, or none.
fn matched_by(rules: &Rules, gathered: &[Family], number: Option<usize>) -> Vec<Family> {
    let mut matched = gathered.to_vec();
    for family in &mut matched {
        let name = family.name.clone();
        family.series.retain(|series| rules.first_match(&name, series) == number);
    }
    matched.retain(|family| !family.series.is_empty());
    matched
}

/// Something changes at every reading: the process itself takes time.
fn messages_a_day(pace: Pace) -> f64 {
    DAY.as_secs_f64() / (pace.interval.as_secs_f64() * pace.readings_per_message as f64)
}

fn weight(leaving: &[Family], pace: Pace) -> Weight {
    if leaving.is_empty() {
        return Weight::default();
    }
    let once = body_bytes(vec![reading(leaving, 0)], pace.format);
    let repeats = DAY.as_secs_f64() / pace.repeat_after.max(pace.interval).as_secs_f64();
    let count = pace.readings_per_message.clamp(1, 60);
    let many = (0..count).map(|step| reading(leaving, step as u64)).collect();
    let messages = DAY.as_secs_f64() / (pace.interval.as_secs_f64() * count as f64);
    Weight { at_rest: once * repeats, busiest: body_bytes(many, pace.format) * messages }
}

/// The same values a little later: each has risen by another number, so that they do not compress
/// better than real ones.
fn reading(leaving: &[Family], step: u64) -> Reading {
    let mut families = leaving.to_vec();
    let mut rise = step;
    for family in &mut families {
        family.help = "".into();
        for series in &mut family.series {
            rise = rise.wrapping_mul(31).wrapping_add(step) % 1_009;
            match &mut series.value {
                Value::Number(number) => *number += rise as f64,
                Value::Buckets(buckets) => {
                    buckets.cumulative.iter_mut().for_each(|count| *count += rise);
                    buckets.count += rise;
                    buckets.sum += rise as f64 / 7.0;
                }
            }
        }
    }
    Reading { at: UNIX_EPOCH + Duration::from_secs(60 * step), families }
}

fn body_bytes(readings: Vec<Reading>, format: Format) -> f64 {
    let identity = Identity {
        service: "tidegate-activator".to_owned(),
        instance: "activator-7d9f8b6c5-x2x4z".to_owned(),
        labels: Vec::new(),
    };
    let mut encoder = Encoder::new(format, identity, UNIX_EPOCH);
    encoder.encode(readings).iter().map(|message| message.body.len() as f64).sum()
}

#[cfg(test)]
mod tests {
    use tidegate_telemetry::{Metric, Registry};

    use super::*;

    #[test]
    fn each_series_counts_for_the_rule_that_decides() {
        let registry = Registry::new();
        let failed = Metric::counter("tidegate_failed_total", "").labelled(&["cause"]);
        for cause in ["timeout", "refused", "no_route"] {
            failed.register_counter(&registry, &[cause]).increment(1);
        }
        Metric::gauge("load", "").register_gauge(&registry, &[]).set(1.0);
        let mut gathered = registry.gather();
        gathered.retain(|family| ["tidegate_failed_total", "load"].contains(&&family.name[..]));
        let text = "[[rule]]\nkeep = \"tidegate_*\"\nsum_without = [\"cause\"]\n\
                    [[rule]]\ndrop = \"process_*\"";
        let pace = Pace {
            format: Format::Otlp,
            interval: Duration::from_secs(60),
            readings_per_message: 1,
            repeat_after: Duration::from_secs(240),
        };
        let preview = preview(&Rules::parse(text).expect("rules"), &gathered, pace);
        let counts: Vec<_> =
            preview.rules.iter().map(|effect| (effect.matched, effect.leaving)).collect();
        assert_eq!(counts, [(3, 1), (0, 0)]);
        assert_eq!((preview.unmatched, preview.total.leaving), (1, 1));
        let weight = preview.total.weight;
        assert!(weight.at_rest > 0.0 && weight.at_rest < weight.busiest, "{weight:?}");
    }
}
