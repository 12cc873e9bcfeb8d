//! What clients may do to a server. HTTP/2 is written by hand: no library would say these things.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::thread;
use std::time::Duration;

/// Connections that stay open until this is dropped.
pub(crate) struct Kept(pub(crate) Vec<TcpStream>);

impl Kept {
    pub(crate) fn none() -> Self {
        Self(Vec::new())
    }

    pub(crate) fn streams_mut(&mut self) -> &mut [TcpStream] {
        &mut self.0
    }

    pub(crate) fn into_streams(self) -> Vec<TcpStream> {
        self.0
    }
}

/// Heads that name one entry of the compression table many times.
#[derive(Clone, Copy)]
pub(crate) struct Bomb {
    pub(crate) connections: usize,
    pub(crate) streams: u32,
    pub(crate) entry_bytes: usize,
    pub(crate) named: usize,
}

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// How long a peer may take to do what it has to; and to take no more of what it is sent.
const PATIENCE: Duration = Duration::from_secs(20);
pub(crate) const STALLED: Duration = Duration::from_millis(200);

pub(crate) const DATA: u8 = 0;
pub(crate) const HEADERS: u8 = 1;
pub(crate) const SETTINGS: u8 = 4;
pub(crate) const WINDOW_UPDATE: u8 = 8;
const CONTINUATION: u8 = 9;

pub(crate) fn head_bomb(port: u16, bomb: Bomb) -> Kept {
    let mut bytes = open(&[]);
    for number in 0..bomb.streams {
        let mut block = base("GET");
        if number == 0 {
            block.push(0x40);
            block.extend(string(b"x"));
            block.extend(string(&vec![b'a'; bomb.entry_bytes]));
        }
        block.resize(block.len() + bomb.named, 0xBE);
        bytes.extend(frame(HEADERS, 5, 2 * number + 1, &block));
    }
    everywhere(port, bomb.connections, &bytes)
}

/// Trailers that name one entry of the compression table many times.
pub(crate) fn trailer_bomb(port: u16, bomb: Bomb) -> Kept {
    let mut bytes = open(&[]);
    for number in 0..bomb.streams {
        let mut block = Vec::new();
        if number == 0 {
            block.push(0x40);
            block.extend(string(b"x"));
            block.extend(string(&vec![b'a'; bomb.entry_bytes]));
        }
        block.resize(block.len() + bomb.named, 0xBE);
        bytes.extend(frame(HEADERS, 4, 2 * number + 1, &base("POST")));
        bytes.extend(frame(HEADERS, 5, 2 * number + 1, &block));
    }
    everywhere(port, bomb.connections, &bytes)
}

pub(crate) fn small_fields(port: u16, connections: usize, streams: u32, fields: usize) -> Kept {
    let mut block = base("GET");
    for number in 0..fields {
        block.extend(literal(format!("{number:x}").as_bytes(), b""));
    }
    let mut bytes = open(&[]);
    for number in 0..streams {
        bytes.extend(frame(HEADERS, 5, 2 * number + 1, &block));
    }
    everywhere(port, connections, &bytes)
}

pub(crate) fn http1_heads(port: u16, connections: usize, bytes: usize, end: &str) -> Kept {
    let head = format!("GET / HTTP/1.1\r\nHost: a\r\nX: {}{end}", "a".repeat(bytes));
    everywhere(port, connections, head.as_bytes())
}

pub(crate) fn http1_requests(port: u16, connections: usize) -> Kept {
    everywhere(port, connections, b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
}

/// Tunnels that are open, nothing in them yet.
pub(crate) fn websockets(port: u16, connections: usize) -> Kept {
    let ask = b"GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n";
    let mut kept = everywhere(port, connections, ask);
    for stream in &mut kept.0 {
        let response = read_head(stream);
        assert!(response.starts_with("HTTP/1.1 101"), "{response}");
    }
    kept
}

/// Sends a frame and waits until it is back.
pub(crate) fn has_echo(stream: &mut TcpStream) {
    const HELLO: [u8; 7] = [0x82, 5, b'h', b'e', b'l', b'l', b'o'];
    let mut echo = [0; HELLO.len()];
    stream.write_all(&HELLO).unwrap();
    stream.read_exact(&mut echo).unwrap();
    assert_eq!(echo, HELLO);
}

pub(crate) fn half_heads(port: u16, connections: usize) -> Kept {
    let mut bytes = open(&[]);
    bytes.extend(frame(HEADERS, 1, 1, &base("GET")));
    for name in [b"a", b"b", b"c", b"d"] {
        bytes.extend(frame(CONTINUATION, 0, 1, &literal(name, &[b'a'; 16_000])));
    }
    everywhere(port, connections, &bytes)
}

/// A frame of 1 MiB that is announced and begun.
pub(crate) fn half_frames(port: u16, connections: usize) -> Kept {
    let mut bytes = open(&[]);
    bytes.extend(frame(HEADERS, 4, 1, &base("POST")));
    bytes.extend([0x10, 0, 0, DATA, 0, 0, 0, 0, 1]);
    bytes.resize(bytes.len() + 60_000, b'x');
    everywhere(port, connections, &bytes)
}

pub(crate) fn http1_uploads(port: u16, connections: usize) -> Kept {
    let mut bytes = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100000000\r\n\r\n".to_vec();
    bytes.resize(bytes.len() + (4 << 20), b'x');
    everywhere(port, connections, &bytes)
}

/// As much as the first window of a connection takes.
pub(crate) fn http2_uploads(port: u16, connections: usize) -> Kept {
    let mut bytes = open(&[]);
    bytes.extend(frame(HEADERS, 4, 1, &base("POST")));
    for _ in 0..4 {
        bytes.extend(frame(DATA, 0, 1, &[b'x'; 16_000]));
    }
    everywhere(port, connections, &bytes)
}

/// Clients that open streams with windows of this size, and read nothing.
pub(crate) fn readers_that_do_not(
    port: u16,
    connections: usize,
    streams: u32,
    window: u32,
) -> Kept {
    let [w3, w2, w1, w0] = window.to_be_bytes();
    let mut bytes = open(&[0, 4, w3, w2, w1, w0]);
    if window > 65_535 {
        bytes.extend(frame(WINDOW_UPDATE, 0, 0, &(window - 65_535).to_be_bytes()));
    }
    for number in 0..streams {
        bytes.extend(frame(HEADERS, 5, 2 * number + 1, &base("GET")));
    }
    everywhere(port, connections, &bytes)
}

/// Beginnings of HTTP/2 that have no end.
pub(crate) fn unfinished() -> Vec<(&'static str, Vec<u8>)> {
    let mut begun = open(&[]);
    let settings_only = begun.clone();
    begun.extend(frame(HEADERS, 1, 1, &base("GET")));
    let half_head = begun.clone();
    begun.extend(frame(CONTINUATION, 0, 1, &literal(b"a", b"b")));
    let half_frame = [&settings_only[..], &[0, 0, 100, HEADERS, 5, 0, 0, 0, 1, 0x82]].concat();
    let half_ping = [&settings_only[..], &[0, 0, 8, 6, 0, 0, 0, 0, 0, 1]].concat();
    vec![
        ("the preface", PREFACE.to_vec()),
        ("half a preface", PREFACE[..20].to_vec()),
        ("a connection with SETTINGS only", settings_only),
        ("an unfinished head", half_head),
        ("an unfinished continuation", begun),
        ("half a frame", half_frame),
        ("half a PING", half_ping),
    ]
}

/// Whether the server closes a connection on which nothing but `bytes` comes.
pub(crate) fn is_closed(port: u16, bytes: &[u8]) -> bool {
    let mut stream = connect(port);
    stream.write_all(bytes).unwrap();
    let mut piece = [0; 4096];
    loop {
        match stream.read(&mut piece) {
            Ok(0) => return true,
            Ok(_) => {}
            Err(error) => return error.kind() == std::io::ErrorKind::ConnectionReset,
        }
    }
}

/// A request over HTTP/2, and some bytes behind it.
pub(crate) fn http2_request_then(port: u16, bytes: &[u8]) -> TcpStream {
    let mut stream = connect(port);
    let request = [open(&[]), frame(HEADERS, 5, 1, &base("GET")), bytes.to_vec()].concat();
    stream.write_all(&request).unwrap();
    stream
}

/// Whether a response's head comes before the end.
pub(crate) fn has_response(stream: &mut TcpStream) -> bool {
    let mut head = [0; 9];
    while stream.read_exact(&mut head).is_ok() {
        let length = u64::from(head[1]) << 8 | u64::from(head[2]);
        std::io::copy(&mut stream.take(length), &mut std::io::sink()).unwrap();
        if head[3] == HEADERS {
            return true;
        }
    }
    false
}

/// Asks with a head of so many bytes. Gives back the response's head.
pub(crate) fn ask(port: u16, head_bytes: usize) -> String {
    let mut stream = connect(port);
    let field = format!("GET / HTTP/1.1\r\nHost: a\r\nX: {}\r\n\r\n", "a".repeat(head_bytes - 40));
    stream.write_all(field.as_bytes()).unwrap();
    read_head(&mut stream)
}

/// Asks on a connection that stays open, and takes the whole response.
pub(crate) fn ask_on(stream: &mut TcpStream) {
    stream.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    let response = read_whole(stream);
    assert!(response.starts_with("HTTP/1.1 200"), "{response}");
}

/// A response with a body of two bytes, as the apps here give.
pub(crate) fn read_whole(stream: &mut TcpStream) -> String {
    let mut response = read_head(stream);
    while !response.ends_with("\r\n\r\nhi") {
        let mut piece = [0; 16];
        let count = stream.read(&mut piece).unwrap_or(0);
        if count == 0 {
            break;
        }
        response.push_str(&String::from_utf8_lossy(&piece[..count]));
    }
    response
}

/// Whether a response comes before the connection ends or its peer has had time for one.
pub(crate) fn begins_with_a_response(stream: &mut TcpStream) -> bool {
    stream.set_read_timeout(Some(STALLED)).unwrap();
    let mut begin = [0; 5];
    stream.read_exact(&mut begin).is_ok() && begin.starts_with(b"HTTP/")
}

/// The head of a response that has come by now.
pub(crate) fn response_that_is_there(stream: &mut TcpStream) -> Option<String> {
    const A_MOMENT: Duration = Duration::from_millis(20);
    stream.set_read_timeout(Some(A_MOMENT)).unwrap();
    let mut piece = [0; 1024];
    match stream.read(&mut piece) {
        Ok(count @ 1..) => Some(String::from_utf8_lossy(&piece[..count]).into_owned()),
        _ => None,
    }
}

pub(crate) fn read_head(stream: &mut TcpStream) -> String {
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut response = Vec::new();
    let mut piece = [0; 4096];
    while !response.windows(4).any(|four| four == b"\r\n\r\n") {
        match stream.read(&mut piece) {
            Ok(count @ 1..) => response.extend_from_slice(&piece[..count]),
            _ => break,
        }
    }
    String::from_utf8_lossy(&response).into_owned()
}

/// Sends `bytes` on many connections, as far as the peer takes them.
pub(crate) fn everywhere(port: u16, connections: usize, bytes: &[u8]) -> Kept {
    on_all((0..connections).map(|_| connect(port)).collect(), bytes)
}

/// Sends `bytes` on these connections, as far as the peer takes them.
pub(crate) fn on_all(mut streams: Vec<TcpStream>, bytes: &[u8]) -> Kept {
    const AT_A_TIME: usize = 50;
    for some in streams.chunks_mut(AT_A_TIME) {
        thread::scope(|scope| {
            for stream in some {
                scope.spawn(move || {
                    stream.set_write_timeout(Some(STALLED)).unwrap();
                    // A peer that reads no more, or closes, has had enough: so be it.
                    let _ = stream.write_all(bytes);
                });
            }
        });
    }
    Kept(streams)
}

pub(crate) fn connect(port: u16) -> TcpStream {
    let stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream
}

/// What a connection opens with.
pub(crate) fn open(settings: &[u8]) -> Vec<u8> {
    [PREFACE, &frame(SETTINGS, 0, 0, settings)].concat()
}

pub(crate) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

pub(crate) fn base(method: &str) -> Vec<u8> {
    [
        literal(b":method", method.as_bytes()),
        literal(b":scheme", b"http"),
        literal(b":authority", b"a"),
        literal(b":path", b"/"),
    ]
    .concat()
}

/// Streams of HTTP/2 that ask for a WebSocket (RFC 8441), each with so many bytes behind it that
/// nobody takes back.
pub(crate) fn websockets_over_http2(port: u16, connections: usize, streams: u32) -> Kept {
    const BYTES: usize = 4_000;
    let block = [
        literal(b":method", b"CONNECT"),
        literal(b":protocol", b"websocket"),
        literal(b":scheme", b"http"),
        literal(b":authority", b"a"),
        literal(b":path", b"/"),
        literal(b"sec-websocket-version", b"13"),
    ]
    .concat();
    // No window for what comes back.
    let mut bytes = open(&[0, 4, 0, 0, 0, 0]);
    for number in 0..streams {
        bytes.extend(frame(HEADERS, 4, 2 * number + 1, &block));
        // A frame of a WebSocket that begins and does not end.
        let mut piece = vec![0x82, 0xFF, 0, 0, 0, 0, 0, 1, 0, 0, 1, 2, 3, 4];
        piece.resize(BYTES, b'x');
        bytes.extend(frame(DATA, 0, 2 * number + 1, &piece));
    }
    everywhere(port, connections, &bytes)
}

/// A field that enters no table (RFC 7541, section 6.2.2).
fn literal(name: &[u8], value: &[u8]) -> Vec<u8> {
    [vec![0], string(name), string(value)].concat()
}

fn string(text: &[u8]) -> Vec<u8> {
    const PREFIX_MAX: usize = 0x7f;
    let mut out = vec![text.len().min(PREFIX_MAX) as u8];
    if let Some(mut rest) = text.len().checked_sub(PREFIX_MAX) {
        while rest >= 0x80 {
            out.push((rest & 0x7f) as u8 | 0x80);
            rest >>= 7;
        }
        out.push(rest as u8);
    }
    out.extend_from_slice(text);
    out
}
