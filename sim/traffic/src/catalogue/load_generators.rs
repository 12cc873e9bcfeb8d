//! Results of load generators and browsers.

use crate::description::{
    Description, Measure, Record, Sign, Term, end, less, never, only, start, time,
};
use crate::field::Unit::{Millis, Nanos, Seconds};

/// Tokens as a service time, when `--token-times` says what they take.
pub(crate) const TOKENS: [Term; 2] = [
    Term { field: "input_length", measure: Measure::PromptTokens, sign: Sign::Plus },
    Term { field: "output_length", measure: Measure::AnswerTokens, sign: Sign::Plus },
];

/// JMeter's `timeStamp` is the beginning: `sampleresult.timestamp.start` is true as shipped.
const JMETER: Description = Description {
    // A transaction controller's row sums its samples up: they are the requests.
    only: &[never("responseMessage", &["Number of samples in transaction*"])],
    stamps: &[start(&["timeStamp"])],
    services: &[&[time("elapsed", Millis)]],
    ..Description::new("jmeter", Record::Columns)
};

/// Names of JMeter's columns as they are shipped, for files without a header.
const JMETER_COLUMNS: [&str; 17] = [
    "timeStamp",
    "elapsed",
    "label",
    "responseCode",
    "responseMessage",
    "threadName",
    "dataType",
    "success",
    "failureMessage",
    "bytes",
    "sentBytes",
    "grpThreads",
    "allThreads",
    "URL",
    "Latency",
    "IdleTime",
    "Connect",
];

/// Names for the columns of `vegeta encode --to csv`, which writes no header.
const VEGETA_COLUMNS: [&str; 12] = [
    "timestamp",
    "code",
    "latency",
    "bytes_out",
    "bytes_in",
    "error",
    "body",
    "attack",
    "seq",
    "method",
    "url",
    "headers",
];

const GATLING: Description = Description {
    only: &[only("record", &["REQUEST"])],
    stamps: &[start(&["start"]).of(Millis)],
    services: &[&[time("end", Millis), less("start", Millis)]],
    ..Description::new("gatling", Record::Columns)
};

const K6: Description = Description {
    only: &[only("metric_name", &["http_req_duration"])],
    stamps: &[end(&["timestamp"])],
    services: &[&[time("metric_value", Millis)]],
    ..Description::new("k6", Record::Columns)
};

pub(crate) const ALL: [Description; 16] = [
    Description { signature: &["metric_name", "timestamp", "metric_value"], ..K6 },
    Description {
        signature: &["metric", "type", "data"],
        only: &[only("type", &["Point"]), only("metric", &["http_req_duration"])],
        stamps: &[end(&["data.time"])],
        services: &[&[time("data.value", Millis)]],
        ..Description::new("k6", Record::Json)
    },
    Description {
        signature: &["timestamp", "latency", "seq", "code"],
        stamps: &[start(&["timestamp"])],
        services: &[&[time("latency", Nanos)]],
        ..Description::new("vegeta", Record::Json)
    },
    Description {
        signature: &["timestamp", "latency", "seq", "code"],
        stamps: &[start(&["timestamp"]).of(Nanos)],
        services: &[&[time("latency", Nanos)]],
        ..Description::new("vegeta", Record::Bare(&VEGETA_COLUMNS))
    },
    Description {
        signature: &["response-time", "offset"],
        stamps: &[start(&["offset"]).of(Seconds)],
        services: &[&[time("response-time", Seconds)]],
        ..Description::new("hey", Record::Columns)
    },
    Description {
        signature: &["request-start", "request-duration"],
        stamps: &[start(&["request-start"]).of(Seconds)],
        services: &[&[time("request-duration", Seconds)]],
        ..Description::new("oha", Record::Columns)
    },
    Description { signature: &["timeStamp", "elapsed"], ..JMETER },
    Description {
        signature: &["timeStamp", "elapsed", "success"],
        record: Record::Bare(&JMETER_COLUMNS),
        ..JMETER
    },
    Description {
        // An XML result file: `<httpSample t="205" lt="180" ts="1795600800000" …>`.
        signature: &["t", "ts", "lb", "rc"],
        stamps: &[start(&["ts"]).of(Millis)],
        services: &[&[time("t", Millis)]],
        ..Description::new("jmeter", Record::Pairs)
    },
    Description {
        signature: &["record", "start", "end", "verdict"],
        record: Record::Bare(&["record", "groups", "name", "start", "end", "verdict", "message"]),
        ..GATLING
    },
    Description {
        signature: &["record", "start", "end", "verdict"],
        record: Record::Bare(&[
            "record", "user", "groups", "name", "start", "end", "verdict", "message",
        ]),
        ..GATLING
    },
    Description {
        signature: &["record", "start", "end", "verdict"],
        record: Record::Bare(&[
            "record", "scenario", "user", "groups", "name", "start", "end", "verdict", "message",
        ]),
        ..GATLING
    },
    Description {
        // `ab -g`: one row a request, sorted by how long they took.
        signature: &["starttime", "seconds", "ctime", "ttime"],
        stamps: &[start(&["seconds"]).of(Seconds)],
        services: &[&[time("ttime", Millis)]],
        ..Description::new("ab", Record::Columns)
    },
    Description {
        signature: &["startedDateTime"],
        stamps: &[start(&["startedDateTime"])],
        services: &[&[time("time", Millis)]],
        ..Description::new("har", Record::Json)
    },
    Description {
        signature: &["start_time", "response_time", "request_type"],
        stamps: &[start(&["start_time"])],
        services: &[&[time("response_time", Millis)]],
        ..Description::new("locust-requests", Record::Columns)
    },
    Description {
        signature: &["start_time", "response_time", "request_type"],
        stamps: &[start(&["start_time"])],
        services: &[&[time("response_time", Millis)]],
        ..Description::new("locust-requests", Record::Json)
    },
];
