//! What the variables of log formats mean: nginx's `$name`, Apache's `%D`, Envoy's `%DURATION%`,
//! and those of the proxies whose lines [`crate::catalogue`] describes.
//!
//! Each name means one thing wherever it stands. What is not here has no meaning for a simulation,
//! but may still have a shape ([`shape`]) that tells one format from another.

use crate::description::{Stamped, Term, end, less, start, time};
use crate::field::{self, Unit};

/// Variables that hold a moment. Exact ones come before those cut to a second.
pub(crate) const STAMPS: [Stamped; 19] = [
    end(&["msec"]).of(Unit::Seconds),
    end(&["time_iso8601"]),
    end(&["time_local"]),
    start(&["START_TIME"]),
    start(&["%t.usec"]).of(Unit::Micros),
    start(&["%t.msec"]).of(Unit::Millis),
    start(&["%t.sec"]).of(Unit::Seconds),
    end(&["%t.end.usec"]).of(Unit::Micros),
    end(&["%t.end.msec"]).of(Unit::Millis),
    end(&["%t.end.sec"]).of(Unit::Seconds),
    start(&["%t"]),
    start(&["time_start"]),
    start(&["accept_date"]),
    start(&["request_creation_time"]),
    start(&["elb_timestamp"]),
    start(&["context.requestTimeEpoch"]).of(Unit::Millis),
    start(&["context.requestTime"]),
    end(&["gin_time"]),
    end(&["router_time"]),
];

/// Variables, or sums of them, that say how long a request took.
pub(crate) const SERVICES: [&[Term]; 19] = [
    &[time("request_time", Unit::Seconds)],
    &[time("upstream_response_time", Unit::Seconds)],
    // Without the wait for the client's request, for a place in the queue and for a connection.
    &[
        time("Ta", Unit::Millis),
        less("TR", Unit::Millis),
        less("Tw", Unit::Millis),
        less("Tc", Unit::Millis),
    ],
    &[time("Tt", Unit::Millis), less("Tw", Unit::Millis), less("Tc", Unit::Millis)],
    // The upstream's time leaves out what was spent waiting in Envoy.
    &[time("UPSTREAM_SERVICE_TIME", Unit::Millis)],
    &[time("RESP(X-ENVOY-UPSTREAM-SERVICE-TIME)", Unit::Millis)],
    &[time("DURATION", Unit::Millis)],
    &[time("%D", Unit::Micros)],
    &[time("%T.us", Unit::Micros)],
    &[time("%T.ms", Unit::Millis)],
    &[time("%T", Unit::Seconds)],
    &[time("duration_ms", Unit::Millis)],
    &[time("target_processing_time", Unit::Seconds)],
    &[time("backend_processing_time", Unit::Seconds)],
    &[time("context.integrationLatency", Unit::Millis)],
    &[time("context.integration.latency", Unit::Millis)],
    &[time("context.responseLatency", Unit::Millis)],
    // Always written with its unit.
    &[time("gin_latency", Unit::Seconds)],
    &[time("upstream_header_time", Unit::Seconds)],
];

/// Variables that name what a request was for.
pub(crate) const REVISIONS: [&str; 12] = [
    "proxy_upstream_name",
    "AUTHORITY",
    "REQ(:AUTHORITY)",
    "router_name",
    "backend",
    "host",
    "server_name",
    "http_host",
    "%v",
    "%V",
    "context.domainName",
    "context.apiId",
];

/// What the text of a variable must look like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Shape {
    /// A moment.
    Stamp,
    /// Three digits, or what stands for "none".
    Status,
    /// Digits, or a dash.
    Whole,
    /// Seconds with three decimals, as nginx writes them, perhaps several; or a dash.
    Decimals,
    /// A number, perhaps negative.
    Number,
    /// One of the kinds of connection of a load balancer.
    LoadBalancer,
    /// A word with its unit at the end.
    Suffixed,
    /// Letters and digits of a termination state, or dashes.
    State,
}

/// The variables whose text has a shape.
const SHAPES: [(&str, Shape); 47] = [
    ("time_local", Shape::Stamp),
    ("time_start", Shape::Stamp),
    ("START_TIME", Shape::Stamp),
    ("accept_date", Shape::Stamp),
    ("request_creation_time", Shape::Stamp),
    ("elb_timestamp", Shape::Stamp),
    ("lb_time", Shape::Stamp),
    ("gin_time", Shape::Stamp),
    ("router_time", Shape::Stamp),
    ("status", Shape::Status),
    ("RESPONSE_CODE", Shape::Status),
    ("haproxy_status", Shape::Status),
    ("elb_status_code", Shape::Status),
    ("target_status_code", Shape::Status),
    ("backend_status_code", Shape::Status),
    ("body_bytes_sent", Shape::Whole),
    ("request_length", Shape::Whole),
    ("response_length", Shape::Whole),
    ("request_count", Shape::Whole),
    ("BYTES_RECEIVED", Shape::Whole),
    ("BYTES_SENT", Shape::Whole),
    ("DURATION", Shape::Whole),
    ("UPSTREAM_SERVICE_TIME", Shape::Whole),
    ("received_bytes", Shape::Whole),
    ("sent_bytes", Shape::Whole),
    ("client_port", Shape::Whole),
    ("actconn", Shape::Whole),
    ("feconn", Shape::Whole),
    ("beconn", Shape::Whole),
    ("srv_queue", Shape::Whole),
    ("request_time", Shape::Decimals),
    ("upstream_response_time", Shape::Decimals),
    ("TR", Shape::Number),
    ("Tw", Shape::Number),
    ("Tc", Shape::Number),
    ("Tr", Shape::Number),
    ("Ta", Shape::Number),
    ("Tt", Shape::Number),
    ("bytes_read", Shape::Number),
    ("duration_ms", Shape::Number),
    ("request_processing_time", Shape::Number),
    ("target_processing_time", Shape::Number),
    ("backend_processing_time", Shape::Number),
    ("response_processing_time", Shape::Number),
    ("lb_type", Shape::LoadBalancer),
    ("gin_latency", Shape::Suffixed),
    ("termination_state", Shape::State),
];

/// Whether `text` may stand where the variable `name` does.
pub(crate) fn fits(name: &str, text: &[u8]) -> bool {
    let Some((_, shape)) = SHAPES.iter().find(|(known, _)| *known == name) else { return true };
    let text = text.trim_ascii();
    let digits = |text: &[u8]| !text.is_empty() && text.iter().all(u8::is_ascii_digit);
    match shape {
        Shape::Stamp => field::stamp(text, None).is_some(),
        Shape::Status => matches!(text, b"-" | b"0" | b"-1") || (text.len() == 3 && digits(text)),
        Shape::Whole => text == b"-" || digits(text),
        Shape::Decimals => decimals(text),
        // HAProxy puts a plus before what it has not yet seen the end of.
        Shape::Number => text == b"-" || field::nanos(text, Unit::Nanos).is_some(),
        Shape::LoadBalancer => {
            matches!(text, b"http" | b"https" | b"h2" | b"grpcs" | b"ws" | b"wss")
        }
        Shape::Suffixed => {
            text.last() == Some(&b's') && text.first().is_some_and(u8::is_ascii_digit)
        }
        Shape::State => {
            (2..=4).contains(&text.len())
                && text.iter().all(|byte| byte.is_ascii_alphabetic() || *byte == b'-')
        }
    }
}

/// Whether `text` is one or several times as nginx writes them: `0.204`, `0.100, 0.104`, `-`.
pub(crate) fn decimals(text: &[u8]) -> bool {
    text.split(|byte| matches!(byte, b',' | b':' | b' ')).filter(|part| !part.is_empty()).all(
        |part| {
            part == b"-"
                || memchr::memchr(b'.', part).is_some_and(|dot| {
                    part.len() == dot + 4
                        && dot > 0
                        && part.iter().enumerate().all(|(at, b)| at == dot || b.is_ascii_digit())
                })
        },
    ) && !text.is_empty()
}
