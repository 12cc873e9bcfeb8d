//! Kind `collector`: decisions from recorded statistics.

use serde_json::{Value, json};
use tidegate_autoscaler::collector::Missing;
use tidegate_autoscaler::{
    Improvements, Origin, RevisionAutoscaler, RevisionSettings, Sample, Timestamp,
};

use crate::json::{integer, list, metric, number, spec, text, time};
use crate::scale::{entry, initial_ready, observed, panic_state};

pub(crate) fn sample(stat: &Value) -> Sample {
    let figure = |field| number(stat, field);
    Sample::new(figure("c"), figure("pc"), figure("r"), figure("pr")).unwrap()
}

pub(crate) fn missing(error: Missing) -> &'static str {
    match error {
        Missing::NoData => "no_data",
        Missing::NotCollecting => "not_collecting",
        Missing::Failed => "other",
    }
}

pub(crate) fn replay(base: i64, input: &Value) -> Value {
    let settings = RevisionSettings {
        spec: spec(&input["spec"]),
        metric: metric(&input["metric"]),
        improvements: Improvements::none(),
    };
    let start = time(base, input, "scaler_start_ms");
    let ready = initial_ready(input);
    let mut autoscaler = RevisionAutoscaler::new(settings, start, ready).unwrap();
    let initial = panic_state(base, &autoscaler);
    let mut pods = json!({"ready": ready});
    let mut ticks = Vec::new();
    for event in list(input, "events") {
        let now = time(base, event, "t_ms");
        match text(event, "type") {
            "record" => {
                let at = event["stat_t_ms"].as_i64().unwrap_or(integer(event, "t_ms"));
                let at = Timestamp::from_millis(base + at);
                autoscaler.record(at, Origin::Instances, &sample(&event["stat"]));
            }
            "ready" => pods = event.clone(),
            "spec" => autoscaler.set_spec(spec(&event["spec"])),
            "metric" => autoscaler.set_metric(now, metric(&event["metric"])).unwrap(),
            "delete_metric" => autoscaler.stop_collecting(),
            _ => {
                let averages = autoscaler.averages(now);
                let decision = autoscaler.tick(now, observed(&pods), &[]);
                let t_ms = integer(event, "t_ms");
                let mut tick = entry(base, input, t_ms, &pods, &autoscaler, &decision);
                let known = averages.unwrap_or_default();
                tick["stable"] = json!(known.stable);
                tick["panic"] = json!(known.panic);
                tick["metric_error"] = json!(averages.err().map_or("", missing));
                ticks.push(tick);
            }
        }
    }
    json!({"initial": initial, "ticks": ticks})
}
