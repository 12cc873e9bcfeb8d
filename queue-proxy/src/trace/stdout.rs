//! One JSON line for each span, in the shape of OpenTelemetry's exporter to standard output.

use serde_json::{Value as Json, json};

use super::span::{Kind, Outcome, Parentage, Resource, Span, Value};

/// The line, with its newline.
pub(super) fn line(span: &Span, resource: &Resource) -> String {
    let attributes: Vec<Json> =
        span.attributes.iter().map(|(key, value)| attribute(key, value)).collect();
    let about: Vec<Json> = resource
        .attributes
        .iter()
        .map(|(key, value)| attribute(key, &Value::Text(value.clone())))
        .collect();
    let kind = match span.kind {
        Kind::Internal => 1,
        Kind::Server => 2,
        Kind::Client => 3,
    };
    let status = match span.outcome {
        Outcome::Unset => "Unset",
        Outcome::Error => "Error",
    };
    let parent_trace = if span.parent.is_some() { span.trace } else { 0 };
    let parent = context(
        parent_trace,
        span.parent.unwrap_or(0),
        if span.parent.is_some() { "01" } else { "00" },
        span.parentage,
    );
    let record = json!({
        "Name": span.name,
        "SpanContext": context(span.trace, span.id, "01", Parentage::Local),
        "Parent": parent,
        "SpanKind": kind,
        "StartTime": humantime::format_rfc3339_nanos(span.start).to_string(),
        "EndTime": humantime::format_rfc3339_nanos(span.start + span.length).to_string(),
        "Attributes": attributes,
        "Events": null,
        "Links": null,
        "Status": { "Code": status, "Description": "" },
        "DroppedAttributes": 0,
        "DroppedEvents": 0,
        "DroppedLinks": 0,
        "Resource": about,
        "InstrumentationScope": { "Name": span.scope, "Version": "", "SchemaURL": "" },
    });
    let mut line = record.to_string();
    line.push('\n');
    line
}

fn context(trace: u128, span: u64, flags: &str, parentage: Parentage) -> Json {
    json!({
        "TraceID": format!("{trace:032x}"),
        "SpanID": format!("{span:016x}"),
        "TraceFlags": flags,
        "TraceState": "",
        "Remote": parentage == Parentage::Remote,
    })
}

fn attribute(key: &str, value: &Value) -> Json {
    match value {
        Value::Text(text) => json!({ "Key": key, "Value": { "Type": "STRING", "Value": text } }),
        Value::Int(number) => json!({ "Key": key, "Value": { "Type": "INT64", "Value": number } }),
    }
}
