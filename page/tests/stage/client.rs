//! A client that says what it is told to, and reads what comes.

use std::net::SocketAddr;
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// How long anything may take that has to happen on a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);

/// A response as it came.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    head: String,
    pub(crate) body: String,
}

impl Answer {
    /// The value of a field.
    pub(crate) fn field(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| {
            let (field, value) = line.split_once(':')?;
            field.eq_ignore_ascii_case(name).then(|| value.trim())
        })
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|_| panic!("{self:?} is no JSON"))
    }
}

fn head_of(method: &str, target: &str, fields: &[(&str, &str)]) -> String {
    let mut head = format!("{method} {target} HTTP/1.1\r\n");
    if !fields.iter().any(|(name, _)| name.eq_ignore_ascii_case("host")) {
        head.push_str("Host: localhost\r\n");
    }
    for (name, value) in fields {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    head + "\r\n"
}

/// Asks once, on a connection of its own.
pub(crate) async fn ask(
    address: SocketAddr,
    (method, target): (&str, &str),
    fields: &[(&str, &str)],
) -> Answer {
    let mut stream = TcpStream::connect(address).await.expect("it listens");
    let fields = [fields, &[("Connection", "close")]].concat();
    stream.write_all(head_of(method, target, &fields).as_bytes()).await.expect("it reads");
    let mut bytes = Vec::new();
    let read = timeout(PATIENCE, stream.read_to_end(&mut bytes)).await;
    read.expect("it answers in time").expect("it answers");
    let text = String::from_utf8(bytes).expect("text");
    let (head, body) = text.split_once("\r\n\r\n").expect("a head");
    let status = head.split(' ').nth(1).and_then(|code| code.parse().ok()).expect("a status");
    Answer { status, head: head.to_owned(), body: body.to_owned() }
}

/// A stream of events.
pub(crate) struct Events {
    stream: TcpStream,
    buffer: String,
    pub(crate) head: String,
}

impl Events {
    pub(crate) async fn open(address: SocketAddr, query: &str, fields: &[(&str, &str)]) -> Self {
        let mut stream = TcpStream::connect(address).await.expect("it listens");
        let head = head_of("GET", &format!("/page/events?{query}"), fields);
        stream.write_all(head.as_bytes()).await.expect("it reads");
        let mut events = Self { stream, buffer: String::new(), head: String::new() };
        while !events.buffer.contains("\r\n\r\n") {
            events.more().await;
        }
        let (head, rest) = events.buffer.split_once("\r\n\r\n").expect("a head");
        (events.head, events.buffer) = (head.to_owned(), rest.to_owned());
        events
    }

    async fn more(&mut self) {
        let mut bytes = vec![0; 65_536];
        let read = timeout(PATIENCE, self.stream.read(&mut bytes)).await;
        let count = read.expect("something comes").expect("it is open");
        assert!(count > 0, "the stream ended: {}", self.buffer);
        self.buffer.push_str(std::str::from_utf8(&bytes[..count]).expect("ASCII"));
    }

    /// The next event as it was framed, chunks taken apart.
    pub(crate) async fn frame(&mut self) -> String {
        let mut event = String::new();
        loop {
            if let Some((length, rest)) = self.buffer.split_once("\r\n") {
                let length = usize::from_str_radix(length, 16).expect("a chunk's length");
                if rest.len() >= length + 2 {
                    event.push_str(&rest[..length]);
                    self.buffer = rest[length + 2..].to_owned();
                    if event.ends_with("\n\n") {
                        return event;
                    }
                    continue;
                }
            }
            self.more().await;
        }
    }

    /// The kind and the data of the next event.
    pub(crate) async fn next(&mut self) -> (String, Value) {
        let frame = self.frame().await;
        let lines: Vec<&str> = frame.lines().collect();
        let [kind, data, ""] = lines[..] else { panic!("{frame:?}") };
        let kind = kind.strip_prefix("event: ").expect("a kind");
        let data = data.strip_prefix("data: ").expect("data");
        (kind.to_owned(), serde_json::from_str(data).expect("JSON"))
    }
}
