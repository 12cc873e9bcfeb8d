//! From our spans to the messages of OTLP.

use std::collections::BTreeMap;

use tidegate_otlp::Resource;
use tidegate_otlp::attribute::{attribute, nanos};
use tidegate_proto::otlp::v1::span::SpanKind;
use tidegate_proto::otlp::v1::status::StatusCode;
use tidegate_proto::otlp::v1::{
    ExportTraceServiceRequest, InstrumentationScope, ResourceSpans, ScopeSpans,
    Span as SpanMessage, Status,
};

use crate::trace::span::{Kind, Outcome, Span};

/// A request with these spans.
pub(super) fn traces(spans: &[Span], resource: &Resource) -> ExportTraceServiceRequest {
    let mut scopes: BTreeMap<&str, Vec<SpanMessage>> = BTreeMap::new();
    for span in spans {
        scopes.entry(span.scope).or_default().push(span_message(span));
    }
    let scope_spans = scopes.into_iter().map(|(name, spans)| ScopeSpans {
        scope: Some(InstrumentationScope { name: name.to_owned(), version: String::new() }),
        spans,
    });
    ExportTraceServiceRequest {
        resource_spans: vec![ResourceSpans {
            resource: Some(resource.message()),
            scope_spans: scope_spans.collect(),
        }],
    }
}

fn span_message(span: &Span) -> SpanMessage {
    SpanMessage {
        trace_id: span.trace.to_be_bytes().to_vec(),
        span_id: span.id.to_be_bytes().to_vec(),
        parent_span_id: span.parent.map_or_else(Vec::new, |id| id.to_be_bytes().to_vec()),
        name: span.name.clone(),
        kind: match span.kind {
            Kind::Internal => SpanKind::Internal,
            Kind::Server => SpanKind::Server,
            Kind::Client => SpanKind::Client,
        }
        .into(),
        start_time_unix_nano: nanos(span.start),
        end_time_unix_nano: nanos(span.start + span.length),
        attributes: span.attributes.iter().map(|(key, value)| attribute(key, value)).collect(),
        status: (span.outcome == Outcome::Error).then(|| Status { code: StatusCode::Error.into() }),
    }
}
