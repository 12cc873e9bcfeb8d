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
            stream.write_all(OK).ok();
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

pub(crate) fn answers(mut stream: TcpStream) {
    if read_head(&mut stream) {
        stream.write_all(OK).ok();
    }
}

pub(crate) fn never_ends(stream: TcpStream) {
    repeat(stream, b"HTTP/1.1 200 OK\r\nContent-Type: a/b\r\n\r\n", &[b'x'; 64 << 10]);
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
    stream.write_all(&head).ok();
    while matches!(stream.read(&mut [0; 1024]), Ok(1..)) {}
}
