//! Traces of distributed requests: a span of a server is a request to it.
//!
//! [`crate::flatten`] makes one object of each span, with the name of its service and whether it
//! was served.

use crate::description::{Description, Measure, Only, Record, Sign, Term, only, start, time};
use crate::field::Unit::{Micros, Nanos};

/// Spans that are requests to their service: a client's span is the same request seen from outside,
/// an internal one is a part of it. A trace without kinds has only its roots.
const SERVED: [Only; 1] = [only("served", &["true"])];

/// A stamp to be taken away from another one, in nanoseconds when both are bare numbers.
pub(super) const fn less_stamp(field: &'static str) -> Term {
    Term { field, measure: Measure::Time(Nanos), sign: Sign::Minus }
}

pub(crate) const ALL: [Description; 3] = [
    Description {
        signature: &["startTimeUnixNano", "endTimeUnixNano"],
        only: &SERVED,
        stamps: &[start(&["startTimeUnixNano"]).of(Nanos)],
        services: &[&[time("endTimeUnixNano", Nanos), less_stamp("startTimeUnixNano")]],
        revision: &["service"],
        ..Description::new("otlp", Record::Json)
    },
    Description {
        signature: &["traceID", "startTime", "duration"],
        only: &SERVED,
        stamps: &[start(&["startTime"]).of(Micros)],
        services: &[&[time("duration", Micros)]],
        revision: &["service"],
        ..Description::new("jaeger", Record::Json)
    },
    Description {
        signature: &["traceId", "timestamp", "duration"],
        only: &SERVED,
        stamps: &[start(&["timestamp"]).of(Micros)],
        services: &[&[time("duration", Micros)]],
        revision: &["localEndpoint.serviceName"],
        ..Description::new("zipkin", Record::Json)
    },
];
