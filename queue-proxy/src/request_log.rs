//! One line on standard output for each request.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::{Duration, SystemTime};

use http::{HeaderMap, Method, Version, header};
use tidegate_go_text::template::{Data, Template, Value};
use tidegate_logging::push_json;
use tidegate_logging::secrets::QueryRule;
use tidegate_relay::Cause;

use crate::environment::Switch;
use crate::identity::Identity;
use crate::nonblocking_writer::NonBlockingWriter;
use crate::trace::trace_id;

/// The template in force unless the configuration names another. Existing log pipelines parse its
/// lines, so it is Knative's, field for field.
pub const DEFAULT_TEMPLATE: &str = concat!(
    r#"{"httpRequest": {"requestMethod": "{{.Request.Method}}", "#,
    r#""requestUrl": "{{js .Request.RequestURI}}", "#,
    r#""requestSize": "{{.Request.ContentLength}}", "status": {{.Response.Code}}, "#,
    r#""responseSize": "{{.Response.Size}}", "userAgent": "{{js .Request.UserAgent}}", "#,
    r#""remoteIp": "{{js .Request.RemoteAddr}}", "serverIp": "{{.Revision.PodIP}}", "#,
    r#""referer": "{{js .Request.Referer}}", "latency": "{{.Response.Latency}}s", "#,
    r#""protocol": "{{.Request.Proto}}"}, "traceId": "{{.TraceID}}"}"#
);

/// The template of `TIDEGATE_REQUEST_LOG=json`: where the time went, in seconds, and how much
/// moved.
pub const JSON_TEMPLATE: &str = concat!(
    r#"{"start":"{{.Response.Start}}","method":{{.JSON.Request.Method}},"#,
    r#""target":{{.JSON.Request.RequestURI}},"status":{{.Response.Code}},"#,
    r#""wait":{{.Response.Wait}},"app":{{.Response.AppLatency}},"total":{{.Response.Latency}},"#,
    r#""cause":"{{.Response.Cause}}","#,
    r#""request_bytes":{{.Request.Size}},"response_bytes":{{.Response.Size}},"#,
    r#""trace_id":{{.JSON.TraceID}},"revision":{{.JSON.Revision.Name}},"#,
    r#""instance":{{.JSON.Revision.PodName}}}"#
);

/// The longest value that a client may put into a line; what is longer is cut.
pub const LONGEST_VALUE: usize = 2 << 10;
/// The longest line, in bytes; a longer one is dropped, and counted.
const LONGEST_LINE: usize = 64 << 10;

/// The part of a line about the request, taken before it is forwarded.
#[derive(Debug, Clone)]
pub struct RequestFacts {
    /// `GET`.
    pub method: Method,
    /// The target as the client wrote it, cut to [`LONGEST_VALUE`].
    pub target: String,
    /// The protocol that the client speaks.
    pub version: Version,
    /// The host in the request.
    pub host: String,
    /// All headers.
    pub headers: HeaderMap,
    /// The client.
    pub remote: SocketAddr,
    /// Length of the body; `None` when it is not known beforehand.
    pub content_length: Option<u64>,
}

/// The part of a line about the response.
#[derive(Debug, Clone, Copy)]
pub struct ResponseFacts {
    /// The status.
    pub status: u16,
    /// Bytes of the body that were sent.
    pub body_bytes: u64,
    /// Bytes of the request's body that were passed on.
    pub request_bytes: u64,
    /// When the request arrived.
    pub start: SystemTime,
    /// From arrival to the end.
    pub latency: Duration,
    /// In the queue.
    pub wait: Duration,
    /// In the app.
    pub service: Duration,
    /// Why the sidecar responded itself; `None` when the app did.
    pub cause: Option<Cause>,
}

/// What the request log contains.
#[derive(Debug, Clone)]
pub struct RequestLog {
    /// The template of a line.
    pub template: Template,
    /// Whether probes are logged too.
    pub probes: Switch,
}

/// Writes lines.
#[derive(Debug, Clone)]
pub struct RequestLogger {
    template: Template,
    probes: Switch,
    query: QueryRule,
    identity: Identity,
    writer: NonBlockingWriter,
}

impl RequestLogger {
    /// A logger that writes lines by the template of `log` into `writer`.
    pub fn new(
        log: RequestLog,
        query: QueryRule,
        identity: Identity,
        writer: NonBlockingWriter,
    ) -> Self {
        let RequestLog { template, probes } = log;
        Self { template, probes, query, identity, writer }
    }

    /// Whether probes are logged too.
    pub fn logs_probes(&self) -> bool {
        self.probes.is_on()
    }

    /// Writes one line. Never waits.
    pub fn write(&self, request: &RequestFacts, response: &ResponseFacts) {
        let line = self.line(request, response);
        if line.len() <= LONGEST_LINE {
            self.writer.write(line.as_bytes());
        } else {
            self.writer.lose();
        }
    }

    /// Lines that were too long, found the buffer full or were refused by the output.
    pub fn lost(&self) -> u64 {
        self.writer.dropped() + self.writer.failed()
    }

    fn line(&self, request: &RequestFacts, response: &ResponseFacts) -> String {
        let (identity, query) = (&self.identity, &self.query);
        let facts = Facts { request, response, identity, query };
        let mut line = match self.template.render(&facts) {
            Ok(line) => line,
            // Knative's words for a template that fails while it runs.
            Err(_) => format!(
                "Invalid request log template: method: {}, response code: {}, latency: {}, url: {}",
                request.method,
                response.status,
                Value::Float(response.latency.as_secs_f64()).print(),
                query.url(&request.target),
            ),
        };
        if !line.ends_with('\n') {
            line.push('\n');
        }
        line
    }
}

struct Facts<'a> {
    request: &'a RequestFacts,
    response: &'a ResponseFacts,
    identity: &'a Identity,
    query: &'a QueryRule,
}

impl Data for Facts<'_> {
    fn lookup(&self, path: &[&str], arguments: &[Value]) -> Option<Value> {
        let text = |value: &str| Some(Value::Text(value.to_owned()));
        match path {
            ["Request", "Size"] => Some(Value::Int(to_int(self.response.request_bytes))),
            ["Request", rest @ ..] => self.request.lookup(rest, arguments, self.query),
            ["Response", "Code"] => Some(Value::Int(self.response.status.into())),
            ["Response", "Size"] => Some(Value::Int(to_int(self.response.body_bytes))),
            ["Response", "Latency"] => Some(Value::Float(self.response.latency.as_secs_f64())),
            ["Response", "Wait"] => Some(Value::Float(self.response.wait.as_secs_f64())),
            ["Response", "AppLatency"] => Some(Value::Float(self.response.service.as_secs_f64())),
            // The labels need no quoting in JSON.
            ["Response", "Cause"] => {
                Some(Value::Text(self.response.cause.map_or("", Cause::label).to_owned()))
            }
            ["Response", "Start"] => {
                let start = humantime::format_rfc3339_micros(self.response.start);
                Some(Value::Text(start.to_string()))
            }
            ["Revision", "Name"] => text(&self.identity.revision),
            ["Revision", "Namespace"] => text(&self.identity.namespace),
            ["Revision", "Service"] => text(&self.identity.service),
            ["Revision", "Configuration"] => text(&self.identity.configuration),
            ["Revision", "PodName"] => text(&self.identity.pod),
            ["Revision", "PodIP"] => text(&self.identity.pod_ip),
            ["TraceID"] => Some(Value::Text(trace_id(&self.request.headers))),
            // Ours: any field as a string of JSON, which neither `js` nor `%q` makes of all texts.
            ["JSON", rest @ ..] if rest.first() != Some(&"JSON") => {
                let mut quoted = String::new();
                push_json(&mut quoted, &self.lookup(rest, arguments)?.print());
                Some(Value::Text(quoted))
            }
            _ => None,
        }
    }
}

impl RequestFacts {
    fn lookup(&self, path: &[&str], arguments: &[Value], query: &QueryRule) -> Option<Value> {
        let text = |value: &str| Some(Value::Text(cut(value).to_owned()));
        let target = || query.url(&self.target);
        match (path, arguments) {
            (["Method"], []) => text(self.method.as_str()),
            (["RequestURI"] | ["URL"], []) => text(&target()),
            (["URL", "Path"], []) => text(target().split('?').next().unwrap_or("")),
            (["URL", "RawQuery"], []) => {
                text(target().split_once('?').map_or("", |(_, query)| query))
            }
            (["ContentLength"], []) => Some(Value::Int(self.content_length.map_or(-1, to_int))),
            (["Host"], []) => text(&self.host),
            (["Proto"], []) => text(protocol(self.version)),
            (["ProtoMajor"], []) => Some(Value::Int(protocol_numbers(self.version).0)),
            (["ProtoMinor"], []) => Some(Value::Int(protocol_numbers(self.version).1)),
            (["RemoteAddr"], []) => Some(Value::Text(self.remote.to_string())),
            (["UserAgent"], []) => text(first(&self.headers, header::USER_AGENT.as_str())),
            (["Referer"], []) => {
                text(&query.url(cut(first(&self.headers, header::REFERER.as_str()))))
            }
            (["Header"], []) => Some(Value::Map(header_map(&self.headers))),
            (["Header", "Get"], [Value::Text(name)]) => text(first(&self.headers, name)),
            (["Header", "Values"], [Value::Text(name)]) => {
                let values = self.headers.get_all(name.as_str());
                Some(Value::List(values.iter().map(lossy).collect()))
            }
            _ => None,
        }
    }
}

fn to_int(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// The part of a client's value that a line has room for.
fn cut(value: &str) -> &str {
    &value[..value.floor_char_boundary(LONGEST_VALUE)]
}

fn lossy(value: &header::HeaderValue) -> String {
    let bytes = value.as_bytes();
    String::from_utf8_lossy(&bytes[..bytes.len().min(LONGEST_VALUE)]).into_owned()
}

fn first<'a>(headers: &'a HeaderMap, name: &str) -> &'a str {
    headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or("")
}

/// Headers by their canonical names, as Go's `http.Header` holds them; `Host` is not among them.
fn header_map(headers: &HeaderMap) -> BTreeMap<String, Vec<String>> {
    let mut map: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (name, value) in headers {
        if name != header::HOST {
            map.entry(canonical(name.as_str())).or_default().push(lossy(value));
        }
    }
    map
}

fn canonical(name: &str) -> String {
    let mut upper = true;
    name.chars()
        .map(|character| {
            let shown = if upper { character.to_ascii_uppercase() } else { character };
            upper = character == '-';
            shown
        })
        .collect()
}

fn protocol(version: Version) -> &'static str {
    match version {
        Version::HTTP_09 => "HTTP/0.9",
        Version::HTTP_10 => "HTTP/1.0",
        Version::HTTP_2 => "HTTP/2.0",
        Version::HTTP_3 => "HTTP/3.0",
        _ => "HTTP/1.1",
    }
}

fn protocol_numbers(version: Version) -> (i64, i64) {
    match version {
        Version::HTTP_09 => (0, 9),
        Version::HTTP_10 => (1, 0),
        Version::HTTP_2 => (2, 0),
        Version::HTTP_3 => (3, 0),
        _ => (1, 1),
    }
}

#[cfg(test)]
mod tests;
