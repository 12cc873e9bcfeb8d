//! Which responses and which requests are forwarded, compared with Go on the same bytes.
//!
//! Users expect from a sidecar what worked before: an app whose responses are slightly malformed
//! works with Knative's transport, which is Go's, and got a 502 from the relay. So both tables in
//! `verdicts/` hold a corpus, the verdict of Go 1.27.3 on every case (`net/http` and
//! `httputil.ReverseProxy`, observed with the same bytes on the wire), and the relay's; where the
//! two differ, why.
//!
//! For responses the rule is: what Go forwards is forwarded. For requests: what two parsers might
//! read differently is refused, whether or not Go refuses it.
//!
//! A case is its name behind `=`, the bytes behind `>` in Rust's escapes, the method behind `?` if
//! it is not GET, and the verdicts behind `go:`, `ours:` and `why:`, or behind `both:`. A verdict
//! is what the client got and, for requests, behind `<-`, what the app got; fields that every
//! proxy adds or takes are left out of it.

use std::fmt::Write as _;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::harness::{App, HELLO, Proxy};

const RESPONSES: &str = include_str!("verdicts/responses.txt");
const REQUESTS: &str = include_str!("verdicts/requests.txt");

/// Fields that are not part of a verdict.
const LEFT_OUT: [&str; 9] = [
    "accept-encoding",
    "connection",
    // No app of the tables sends one; proxies sniff it.
    "content-type",
    "date",
    "trailer",
    "transfer-encoding",
    "user-agent",
    "x-content-type-options",
    "x-forwarded-for",
];

#[derive(Debug, Default)]
struct Case {
    name: &'static str,
    bytes: Vec<u8>,
    method: &'static str,
    go: &'static str,
    ours: &'static str,
    why: &'static str,
}

fn cases(table: &'static str) -> Vec<Case> {
    let mut cases: Vec<Case> = Vec::new();
    for line in table.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let (mark, text) = line.split_once(' ').unwrap_or((line, ""));
        if mark == "=" {
            cases.push(Case { name: text, method: "GET", ..Case::default() });
            continue;
        }
        let case = cases.last_mut().expect("a name comes first");
        match mark {
            ">" => case.bytes = unescaped(text),
            "?" => case.method = text,
            "go:" => case.go = text,
            "ours:" => case.ours = text,
            "why:" => case.why = text,
            "both:" => (case.go, case.ours) = (text, text),
            other => panic!("{other} is no mark"),
        }
    }
    cases
}

fn unescaped(text: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut rest = text;
    while let Some(byte) = rest.bytes().next() {
        let (value, length) = match (byte, rest.as_bytes().get(1)) {
            (b'\\', Some(b'r')) => (b'\r', 2),
            (b'\\', Some(b'n')) => (b'\n', 2),
            (b'\\', Some(b't')) => (b'\t', 2),
            (b'\\', Some(b'x')) => (u8::from_str_radix(&rest[2..4], 16).expect("hexadecimal"), 4),
            (b'\\', Some(itself)) => (*itself, 2),
            (byte, _) => (byte, 1),
        };
        bytes.push(value);
        rest = &rest[length..];
    }
    bytes
}

#[test]
fn responses_that_go_forwards_are_forwarded() {
    let mut wrong = String::new();
    for case in cases(RESPONSES) {
        let ours = alone(response(&case));
        compare(&mut wrong, &case, &ours);
    }
    assert!(wrong.is_empty(), "{wrong}");
}

#[test]
fn requests_have_one_meaning() {
    let mut wrong = String::new();
    for case in cases(REQUESTS) {
        let ours = alone(request(&case));
        compare(&mut wrong, &case, &ours);
    }
    assert!(wrong.is_empty(), "{wrong}");
}

/// A response that Go forwards is never refused, and every difference from Go states its reason.
#[test]
fn every_difference_has_its_reason() {
    for case in cases(RESPONSES).into_iter().chain(cases(REQUESTS)) {
        assert_eq!(case.why.is_empty(), case.go == case.ours, "{}", case.name);
    }
    for case in cases(RESPONSES) {
        let refused = case.ours == "502" && case.go != "502" && !case.go.is_empty();
        assert!(!refused, "{}: {} is refused", case.name, case.go);
    }
    assert!(cases(RESPONSES).len() > 150 && cases(REQUESTS).len() > 150);
}

/// Runs a case in a runtime of its own, so that its sockets are closed before the next one.
fn alone(case: impl Future<Output = String>) -> String {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.expect("a runtime").block_on(case)
}

fn compare(wrong: &mut String, case: &Case, ours: &str) {
    if ours != case.ours {
        writeln!(wrong, "= {}\nours: {ours}\nnoted: {}", case.name, case.ours).expect("memory");
    }
}

/// The verdict on a response of the app.
async fn response(case: &Case) -> String {
    let bytes = case.bytes.clone();
    let app = App::scripted(move |mut wire, _| {
        let bytes = bytes.clone();
        async move {
            wire.head().await;
            // A proxy that refuses the response may close before all of it is written.
            let _ = wire.stream.write_all(&bytes).await;
            let _ = wire.stream.shutdown().await;
            wire.rest().await;
        }
    })
    .await;
    let proxy = Proxy::before(&app).await;
    let method = case.method;
    let mut client = proxy.client().await;
    client
        .send(format!(
            "{method} / HTTP/1.1\r\nHost: h\r\nConnection: close\r\nTE: trailers\r\n\r\n"
        ))
        .await;
    let mut got = Vec::new();
    let _ = client.stream.read_to_end(&mut got).await;
    responses(&got, Sender::of_response_to(method.as_bytes()))
}

/// The verdict on a request. The client ends its direction behind it, so that the proxy does not
/// wait for more.
async fn request(case: &Case) -> String {
    let seen = Arc::new(Mutex::new(String::new()));
    let kept = seen.clone();
    let app = App::scripted(move |mut wire, _| {
        let kept = kept.clone();
        async move {
            let mut unread = Vec::new();
            while let Ok(1..) = wire.stream.read_buf(&mut unread).await {
                while let Some((text, length)) = message(&unread, Sender::Client) {
                    unread.drain(..length);
                    write!(kept.lock(), " <- {text}").expect("memory");
                    wire.send(HELLO).await;
                }
            }
        }
    })
    .await;
    let proxy = Proxy::before(&app).await;
    let mut client = proxy.client().await;
    client.send(&case.bytes).await;
    let _ = client.stream.shutdown().await;
    let mut got = Vec::new();
    let _ = client.stream.read_to_end(&mut got).await;
    let statuses = responses(&got, Sender::of_response_to(&case.bytes));
    let statuses: Vec<&str> =
        statuses.split(", ").filter_map(|response| response.split(' ').next()).collect();
    let seen = seen.lock().replace(&app.address.to_string(), "APP");
    format!("{}{seen}", statuses.join(", "))
}

/// All responses in `bytes`, in the notation of the tables.
fn responses(mut bytes: &[u8], sender: Sender) -> String {
    let mut all = Vec::new();
    while let Some((text, length)) = message(bytes, sender) {
        // The relay's own refusals are reduced to their status; other tests check their texts.
        let own =
            ["400", "431", "500", "501", "502", "505"].iter().find(|own| text.starts_with(**own));
        all.push(own.map_or(text, |own| (*own).to_owned()));
        bytes = &bytes[length..];
    }
    all.join(", ")
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Sender {
    Client,
    App,
    AppWithoutBody,
}

impl Sender {
    /// The sender of a response to a request that begins with these bytes.
    fn of_response_to(request: &[u8]) -> Sender {
        match request.split(|byte| *byte == b' ').next() {
            Some(b"HEAD") => Sender::AppWithoutBody,
            _ => Sender::App,
        }
    }
}

/// The first message in `bytes`, in the notation of the tables, and its length. A request counts
/// only when it is whole; a response that is not is marked `(cut)`.
fn message(bytes: &[u8], sender: Sender) -> Option<(String, usize)> {
    let mut at = 0;
    let mut fields = Vec::new();
    let first = line(bytes, &mut at)?;
    let (mut length, mut chunked) = (None::<usize>, false);
    loop {
        let field = line(bytes, &mut at)?;
        if field.is_empty() {
            break;
        }
        let (name, value) = field.split_once(": ").unwrap_or((&field, ""));
        let name = name.to_ascii_lowercase();
        length = length.or(value.parse().ok().filter(|_| name == "content-length"));
        chunked |= name == "transfer-encoding";
        fields.push((name, value.to_owned()));
    }
    let mut words = first.split(' ');
    let start = match sender {
        Sender::Client => first.strip_suffix(" HTTP/1.1")?.to_owned(),
        Sender::App | Sender::AppWithoutBody => words.nth(1)?.to_owned(),
    };
    let bodiless = sender == Sender::AppWithoutBody
        || sender == Sender::App && (start.starts_with('1') || start == "204" || start == "304");
    let mut text = format!("{start} {}", rendered(&fields));
    let (mut body, mut whole) = (Vec::new(), true);
    let mut trailers = Vec::new();
    match length {
        _ if bodiless => {}
        _ if chunked => whole = chunks(bytes, &mut at, &mut body, &mut trailers).is_some(),
        Some(length) => {
            let end = bytes.len().min(at + length);
            whole = end == at + length;
            body = bytes[at..end].to_vec();
            at = end;
        }
        None if sender == Sender::App => {
            body = bytes[at..].to_vec();
            at = bytes.len();
        }
        None => {}
    }
    if !whole && sender == Sender::Client {
        return None;
    }
    write!(text, " \"{}\"", body.escape_ascii()).expect("memory");
    if !trailers.is_empty() {
        write!(text, " + {}", rendered(&trailers)).expect("memory");
    }
    if !whole {
        text.push_str(" (cut)");
        at = bytes.len();
    }
    Some((text, at))
}

fn chunks(
    bytes: &[u8],
    at: &mut usize,
    body: &mut Vec<u8>,
    trailers: &mut Vec<(String, String)>,
) -> Option<()> {
    loop {
        let size = usize::from_str_radix(&line(bytes, at)?, 16).ok()?;
        if size == 0 {
            break;
        }
        let data = bytes.get(*at..*at + size)?;
        body.extend_from_slice(data);
        *at += size + 2;
    }
    loop {
        let field = line(bytes, at)?;
        if field.is_empty() {
            return Some(());
        }
        let (name, value) = field.split_once(": ").unwrap_or((&field, ""));
        trailers.push((name.to_ascii_lowercase(), value.to_owned()));
    }
}

/// One line, which proxies end in CRLF, with escapes for what is not text.
fn line(bytes: &[u8], at: &mut usize) -> Option<String> {
    let rest = bytes.get(*at..)?;
    let end = rest.windows(2).position(|two| two == b"\r\n")?;
    *at += end + 2;
    Some(rest[..end].escape_ascii().to_string())
}

fn rendered(fields: &[(String, String)]) -> String {
    let mut shown: Vec<String> = fields
        .iter()
        .filter(|(name, _)| !LEFT_OUT.contains(&name.as_str()))
        .map(|(name, value)| format!("{name}: {value}"))
        .collect();
    shown.sort();
    format!("{{{}}}", shown.join("; "))
}
