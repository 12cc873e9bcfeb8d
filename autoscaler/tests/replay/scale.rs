//! Kind `scale`: decisions from given averages.

use serde_json::{Value, json};
use tidegate_autoscaler::collector::{Averages, Missing};
use tidegate_autoscaler::{
    Decision, Improvements, MetricSpec, Observed, RevisionAutoscaler, RevisionSettings,
    ScalingMetric,
};

use crate::json::{integer, list, number, spec, text, time};

pub(crate) fn replay(base: i64, input: &Value) -> Value {
    let settings = RevisionSettings {
        spec: spec(&input["spec"]),
        metric: MetricSpec::default(),
        improvements: Improvements::none(),
    };
    let start = time(base, input, "start_ms");
    let ready = initial_ready(input);
    let mut autoscaler = RevisionAutoscaler::new(settings, start, ready).unwrap();
    let initial = panic_state(base, &autoscaler);
    let mut ticks = Vec::new();
    for tick in list(input, "ticks") {
        if tick["spec"].is_object() {
            autoscaler.set_spec(spec(&tick["spec"]));
        }
        let averages = match text(tick, "metric_error") {
            "" => match autoscaler.settings().spec.scaling_metric {
                ScalingMetric::Concurrency => Ok(("stable", "panic")),
                ScalingMetric::RequestRate => Ok(("stable_rps", "panic_rps")),
            },
            "no_data" => Err(Missing::NoData),
            "not_collecting" => Err(Missing::NotCollecting),
            _ => Err(Missing::Failed),
        }
        .map(|(s, p)| Averages { stable: number(tick, s), panic: number(tick, p) });
        let now = time(base, tick, "t_ms");
        let decision = autoscaler.tick_with(now, observed(tick), averages, &[]);
        ticks.push(entry(base, input, integer(tick, "t_ms"), tick, &autoscaler, &decision));
    }
    json!({"initial": initial, "ticks": ticks})
}

pub(crate) fn initial_ready(input: &Value) -> u32 {
    let known = text(input, "initial_ready_error").is_empty();
    if known { integer(input, "initial_ready") as u32 } else { 0 }
}

pub(crate) fn observed(tick: &Value) -> Option<Observed> {
    match text(tick, "ready_error") {
        "" => Some(Observed::ready(integer(tick, "ready") as u32)),
        "not_found" => Some(Observed::ready(0)),
        _ => None,
    }
}

pub(crate) fn panic_state(base: i64, autoscaler: &RevisionAutoscaler) -> Value {
    let panic = autoscaler.panic();
    json!({
        "in_panic": panic.since.is_some(),
        "panic_since_ms": panic.since.map(|since| since.as_millis() - base),
        "max_panic_pods": panic.max_instances,
    })
}

pub(crate) fn entry(
    base: i64,
    input: &Value,
    t_ms: i64,
    tick: &Value,
    autoscaler: &RevisionAutoscaler,
    decision: &Decision,
) -> Value {
    let (min, max) = (integer(input, "min_scale"), integer(input, "max_scale"));
    let wish = i64::from(decision.desired);
    let bounded = match wish {
        wish if wish < min => min,
        wish if max != 0 && wish > max => max,
        wish => wish,
    };
    let mut entry = panic_state(base, autoscaler);
    entry["t_ms"] = json!(t_ms);
    entry["valid"] = json!(decision.valid);
    entry["desired"] = json!(decision.desired);
    entry["ebc"] = json!(decision.excess_burst_capacity);
    entry["bounded"] = json!(bounded);
    let ready = integer(tick, "ready") as u32;
    entry["num_activators"] = json!(autoscaler.settings().spec.activators(ready));
    entry
}
