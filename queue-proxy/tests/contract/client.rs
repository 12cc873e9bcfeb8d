//! HTTP/1, byte by byte.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use crate::sidecar::PATIENCE;

/// One connection to the sidecar.
pub(crate) struct Client {
    pub(crate) stream: TcpStream,
    buffer: Vec<u8>,
}

/// A response.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Response {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
    /// Trailers, when the body was chunked.
    pub(crate) trailers: String,
    /// Whether the message ended as its framing promised.
    pub(crate) whole: bool,
}

/// Sends one request on a connection of its own.
pub(crate) fn get(port: u16, head: &str) -> Response {
    let mut client = Client::connect(port);
    client.send(head);
    client.response()
}

/// A request for `/` with more header lines.
pub(crate) fn root(lines: &str) -> String {
    format!("GET / HTTP/1.1\r\nHost: web.example\r\n{lines}\r\n")
}

impl Client {
    /// Connects.
    pub(crate) fn connect(port: u16) -> Self {
        let stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_nodelay(true).unwrap();
        Self { stream, buffer: Vec::new() }
    }

    /// Writes text; a peer that has hung up shows in the response.
    pub(crate) fn send(&mut self, text: &str) {
        self.send_bytes(text.as_bytes());
    }

    /// Writes bytes.
    pub(crate) fn send_bytes(&mut self, bytes: &[u8]) {
        let _ = self.stream.write_all(bytes);
    }

    /// Sends a request and reads its response.
    pub(crate) fn ask(&mut self, head: &str) -> Response {
        self.send(head);
        self.response()
    }

    /// Reads the next response to a request that is not `HEAD`.
    pub(crate) fn response(&mut self) -> Response {
        let head = self.head();
        let status = head.split(' ').nth(1).and_then(|code| code.parse().ok()).unwrap_or(0);
        let mut response =
            Response { status, head, body: Vec::new(), trailers: String::new(), whole: true };
        if (100..200).contains(&status) || status == 204 || status == 304 || status == 0 {
            response.whole = status != 0;
            return response;
        }
        if response.header("transfer-encoding") == Some("chunked") {
            self.chunked(&mut response);
        } else if let Some(length) = response.header("content-length") {
            let length: usize = length.parse().unwrap();
            while self.buffer.len() < length && self.fill() {}
            response.whole = self.buffer.len() >= length;
            let length = length.min(self.buffer.len());
            response.body = self.buffer.drain(..length).collect();
        } else {
            while self.fill() {}
            response.body = std::mem::take(&mut self.buffer);
        }
        response
    }

    /// Reads a head, status line first; empty when the peer hangs up before it ends.
    pub(crate) fn head(&mut self) -> String {
        loop {
            if let Some(end) = self.buffer.windows(4).position(|bytes| bytes == b"\r\n\r\n") {
                let head: Vec<u8> = self.buffer.drain(..end + 4).collect();
                return String::from_utf8(head).unwrap();
            }
            if !self.fill() {
                return String::new();
            }
        }
    }

    /// Reads until `text` has come, or the peer hangs up.
    pub(crate) fn until(&mut self, text: &str) {
        let seen = |buffer: &[u8]| buffer.windows(text.len()).any(|part| part == text.as_bytes());
        while !seen(&self.buffer) && self.fill() {}
    }

    fn line(&mut self) -> Option<String> {
        loop {
            if let Some(end) = self.buffer.windows(2).position(|bytes| bytes == b"\r\n") {
                let line: Vec<u8> = self.buffer.drain(..end + 2).collect();
                return Some(String::from_utf8_lossy(&line[..end]).into_owned());
            }
            if !self.fill() {
                return None;
            }
        }
    }

    /// The next chunk of a body; `None` at its end.
    pub(crate) fn chunk(&mut self) -> Option<Vec<u8>> {
        let size = usize::from_str_radix(&self.line()?, 16).ok().filter(|size| *size > 0)?;
        let mut chunk = self.bytes(size + 2);
        chunk.truncate(size);
        Some(chunk)
    }

    fn chunked(&mut self, response: &mut Response) {
        response.whole = false;
        while let Some(line) = self.line() {
            let Ok(size) = usize::from_str_radix(&line, 16) else { return };
            if size == 0 {
                while let Some(line) = self.line() {
                    if line.is_empty() {
                        response.whole = true;
                        return;
                    }
                    response.trailers += &format!("{line}\n");
                }
                return;
            }
            while self.buffer.len() < size + 2 && self.fill() {}
            let size = size.min(self.buffer.len());
            response.body.extend(self.buffer.drain(..size));
            if self.buffer.len() < 2 {
                return;
            }
            self.buffer.drain(..2);
        }
    }

    fn fill(&mut self) -> bool {
        let mut chunk = [0; 64 << 10];
        match self.stream.read(&mut chunk) {
            Ok(0) => false,
            Ok(count) => {
                self.buffer.extend_from_slice(&chunk[..count]);
                true
            }
            Err(error) => {
                let reset = error.kind() == std::io::ErrorKind::ConnectionReset;
                assert!(reset, "cannot read from the sidecar: {error}");
                false
            }
        }
    }

    /// Reads at least `count` bytes, whatever they are.
    pub(crate) fn bytes(&mut self, count: usize) -> Vec<u8> {
        while self.buffer.len() < count && self.fill() {}
        let count = count.min(self.buffer.len());
        self.buffer.drain(..count).collect()
    }

    /// Whether the sidecar closes the connection, with or without more bytes before.
    pub(crate) fn is_closed(&mut self) -> bool {
        while self.fill() {}
        true
    }

    /// Whether nothing arrives for a while. For what must not happen; too short a while can only
    /// make a test pass that should fail.
    pub(crate) fn is_silent_for(&mut self, while_ms: u64) -> bool {
        self.stream.set_read_timeout(Some(Duration::from_millis(while_ms))).unwrap();
        let mut chunk = [0; 1];
        let read = self.stream.peek(&mut chunk);
        self.stream.set_read_timeout(Some(PATIENCE)).unwrap();
        self.buffer.is_empty() && read.is_err()
    }
}

impl Response {
    /// The first value of a header, whatever the case of its name.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().skip(1).find_map(|line| {
            let (found, value) = line.split_once(':')?;
            found.eq_ignore_ascii_case(name).then_some(value.trim())
        })
    }

    /// The body as text.
    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }
}

/// How long `work` takes.
pub(crate) fn timed<T>(work: impl FnOnce() -> T) -> (T, Duration) {
    let start = Instant::now();
    let result = work();
    (result, start.elapsed())
}

/// `line` is one of the head's lines, byte for byte.
#[track_caller]
pub(crate) fn assert_line(head: &str, line: &str) {
    assert!(head.lines().any(|found| found == line), "no line {line:?} in\n{head}");
}

/// No line of the head names this header.
#[track_caller]
pub(crate) fn assert_no_header(head: &str, name: &str) {
    let prefix = format!("{}:", name.to_ascii_lowercase());
    let found = head.lines().find(|line| line.to_ascii_lowercase().starts_with(&prefix));
    assert_eq!(found, None, "in\n{head}");
}
