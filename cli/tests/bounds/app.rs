//! Apps that mean no good, and one that is held back.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;

/// An app on a port of its own.
pub(crate) struct App {
    port: u16,
    held: Arc<Held>,
}

/// How many requests have come, and whether they may be answered.
#[derive(Default)]
struct Held {
    state: Mutex<(usize, bool)>,
    changed: Condvar,
}

impl App {
    /// Each connection is given to `serve`, in a thread of its own.
    pub(crate) fn start(serve: fn(TcpStream)) -> App {
        App::listen(Arc::default(), move |stream, _| serve(stream))
    }

    /// Answers nobody until it is told to.
    pub(crate) fn start_held() -> App {
        App::listen(Arc::default(), |mut stream, held| {
            if !read_head(&mut stream) {
                return;
            }
            let mut state = held.state.lock().unwrap();
            state.0 += 1;
            held.changed.notify_all();
            let state = held.changed.wait_while(state, |state| !state.1).unwrap();
            drop(state);
            let _ = stream.write_all(OK);
        })
    }

    fn listen(held: Arc<Held>, serve: impl Fn(TcpStream, &Held) + Send + Copy + 'static) -> App {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let shared = held.clone();
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let held = shared.clone();
                thread::Builder::new()
                    .stack_size(64 << 10)
                    .spawn(move || serve(stream, &held))
                    .unwrap();
            }
        });
        App { port, held }
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    pub(crate) fn until_asked(&self, count: usize) {
        let state = self.held.state.lock().unwrap();
        drop(self.held.changed.wait_while(state, |state| state.0 < count).unwrap());
    }

    pub(crate) fn tell(&self) {
        self.held.state.lock().unwrap().1 = true;
        self.held.changed.notify_all();
    }
}

const OK: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nhi";

fn read_head(stream: &mut TcpStream) -> bool {
    let (mut seen, mut piece) = (Vec::new(), vec![0; 16 << 10]);
    while !seen.windows(4).any(|four| four == b"\r\n\r\n") {
        match stream.read(&mut piece) {
            Ok(count @ 1..) => {
                seen.extend_from_slice(&piece[..count]);
                // Enough to find the end in what comes next.
                seen.drain(..seen.len().saturating_sub(8 << 10));
            }
            _ => return false,
        }
    }
    true
}

fn repeat(mut stream: TcpStream, first: &[u8], then: &[u8]) {
    if read_head(&mut stream) && stream.write_all(first).is_ok() {
        while stream.write_all(then).is_ok() {}
    }
}

/// Takes connections and nothing else; ends when the peer does.
pub(crate) fn is_silent(stream: TcpStream) {
    while stream.take_error().is_ok_and(|error| error.is_none()) {
        thread::park();
    }
}

/// Takes connections, and reads what comes until its peer ends its direction.
pub(crate) fn reads_and_says_nothing(mut stream: TcpStream) {
    let _ = std::io::copy(&mut stream, &mut std::io::sink());
}

/// Sends without being asked, and without end.
pub(crate) fn pours(mut stream: TcpStream) {
    while stream.write_all(&[b'x'; 64 << 10]).is_ok() {}
}

pub(crate) fn answers(mut stream: TcpStream) {
    if read_head(&mut stream) {
        let _ = stream.write_all(OK);
    }
}

pub(crate) fn never_ends(stream: TcpStream) {
    repeat(stream, b"HTTP/1.1 200 OK\r\nContent-Type: a/b\r\n\r\n", &[b'x'; 64 << 10]);
}

/// Speaks HTTP/2 and sends 48 kB on each stream, whatever it is told that it may send.
pub(crate) fn ignores_windows(mut stream: TcpStream) {
    const PREFACE_LEN: usize = 24;
    const THOUSAND_STREAMS: [u8; 15] = [0, 0, 6, 4, 0, 0, 0, 0, 0, 0, 3, 0, 0, 3, 0xe8];
    const SETTINGS_TAKEN: [u8; 9] = [0, 0, 0, 4, 1, 0, 0, 0, 0];
    const OK: [u8; 1] = [0x88];
    if stream.read_exact(&mut [0; PREFACE_LEN]).is_err() {
        return;
    }
    let _ = stream.write_all(&[&THOUSAND_STREAMS[..], &SETTINGS_TAKEN].concat());
    let mut head = [0; 9];
    while stream.read_exact(&mut head).is_ok() {
        let [_, l1, l0, kind, _, id @ ..] = head;
        let length = u64::from(l1) << 8 | u64::from(l0);
        let _ = std::io::copy(&mut (&mut stream).take(length), &mut std::io::sink());
        if kind == 1 {
            let mut response = [&[0, 0, 1, 1, 4], &id[..], &OK].concat();
            let data = [&[0, 0x40, 0, 0, 0], &id[..], &[b'x'; 0x4000]].concat();
            response.extend(data.repeat(3));
            let _ = stream.write_all(&response);
        }
    }
}

/// Opens a tunnel and sends everything back.
pub(crate) fn switches_and_echoes(mut stream: TcpStream) {
    const SWITCHED: &[u8] =
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n";
    if !read_head(&mut stream) {
        return;
    }
    let _ = stream.write_all(SWITCHED);
    let mut piece = [0; 1024];
    while let Ok(count @ 1..) = stream.read(&mut piece) {
        let _ = stream.write_all(&piece[..count]);
    }
}

/// Opens a WebSocket for whoever asks properly, and sends everything back.
pub(crate) fn opens_websockets(mut stream: TcpStream) {
    let mut head = [0; 8 << 10];
    let mut length = 0;
    while !head[..length].windows(4).any(|four| four == b"\r\n\r\n") {
        match stream.read(&mut head[length..]) {
            Ok(count @ 1..) => length += count,
            _ => return,
        }
    }
    let head = String::from_utf8_lossy(&head[..length]).into_owned();
    let key = head.lines().find_map(|line| {
        let (name, value) = line.split_once(": ")?;
        name.eq_ignore_ascii_case("sec-websocket-key").then_some(value)
    });
    let Some(key) = key else {
        let _ = stream.write_all(OK);
        return;
    };
    let accept = tokio_tungstenite::tungstenite::handshake::derive_accept_key(key.as_bytes());
    let switched = format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Accept: {accept}\r\n\r\n"
    );
    let _ = stream.write_all(switched.as_bytes());
    let mut piece = [0; 1024];
    while let Ok(count @ 1..) = stream.read(&mut piece) {
        if stream.write_all(&piece[..count]).is_err() {
            return;
        }
    }
}

pub(crate) fn repeats_103(stream: TcpStream) {
    let hints = b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n".repeat(1000);
    repeat(stream, b"", &hints);
}

pub(crate) fn repeats_trailers(stream: TcpStream) {
    let head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n";
    repeat(stream, head, &b"a: b\r\n".repeat(1000));
}

pub(crate) fn sends_ten_mebibytes_of_head(mut stream: TcpStream) {
    if !read_head(&mut stream) {
        return;
    }
    let field = [b"X: ", &[b'a'; 100_000][..], b"\r\n"].concat();
    let head = [b"HTTP/1.1 200 OK\r\n", &field.repeat(104)[..], b"\r\n"].concat();
    let _ = stream.write_all(&head);
    while matches!(stream.read(&mut [0; 1024]), Ok(1..)) {}
}
