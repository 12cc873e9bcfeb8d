//! An app that runs a script of the test for each connection.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use crate::sidecar::PATIENCE;

/// The time between two checks of a condition that is waited for.
const POLL_PERIOD: Duration = Duration::from_millis(2);

/// A listening app. Its threads end with the test process.
pub(crate) struct App {
    pub(crate) port: u16,
    state: Arc<State>,
}

/// What the app has seen.
#[derive(Default)]
struct State {
    heads: Mutex<Vec<String>>,
    seen: Condvar,
    executing: AtomicUsize,
    most_executing: AtomicUsize,
}

/// One connection of the sidecar.
pub(crate) struct Connection {
    pub(crate) stream: TcpStream,
    state: Arc<State>,
    buffer: Vec<u8>,
}

impl App {
    /// Runs `script` for each connection.
    pub(crate) fn start(script: impl Fn(&mut Connection) + Send + Sync + 'static) -> Self {
        Self::serve(TcpListener::bind("127.0.0.1:0").unwrap(), script)
    }

    /// The same where `listener` is.
    pub(crate) fn serve(
        listener: TcpListener,
        script: impl Fn(&mut Connection) + Send + Sync + 'static,
    ) -> Self {
        let port = listener.local_addr().unwrap().port();
        let state = Arc::new(State::default());
        let (script, shared) = (Arc::new(script), state.clone());
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let (script, state) = (script.clone(), shared.clone());
                std::thread::spawn(move || {
                    script(&mut Connection { stream, state, buffer: Vec::new() });
                });
            }
        });
        Self { port, state }
    }

    /// Runs `script` for one connection, and listens no longer.
    pub(crate) fn serve_one(
        listener: TcpListener,
        script: impl FnOnce(&mut Connection) + Send + 'static,
    ) {
        std::thread::spawn(move || {
            let (stream, _) = listener.accept().unwrap();
            drop(listener);
            script(&mut Connection { stream, state: Arc::default(), buffer: Vec::new() });
        });
    }

    /// Sends `response` to every request, byte for byte.
    pub(crate) fn responding(response: &'static str) -> Self {
        Self::start(move |connection| {
            while connection.request().is_some() {
                connection.send(response);
            }
        })
    }

    /// Responds `hello`.
    pub(crate) fn hello() -> Self {
        Self::responding("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello")
    }

    /// Holds every request until `gate` opens, then responds `hello`.
    pub(crate) fn held(gate: &Gate) -> Self {
        let gate = gate.clone();
        Self::start(move |connection| {
            while connection.request().is_some() {
                connection.execute(|| gate.pass());
                connection.send("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello");
            }
        })
    }

    /// A port without a listener, ever.
    pub(crate) fn absent_port() -> u16 {
        tidegate_reserved_port::reserve().unwrap().port()
    }

    /// The heads of all requests, once there are `count` of them.
    pub(crate) fn heads(&self, count: usize) -> Vec<String> {
        let deadline = Instant::now() + PATIENCE;
        let mut heads = self.state.heads.lock().unwrap();
        while heads.len() < count {
            assert!(Instant::now() < deadline, "the app saw {} of {count} requests", heads.len());
            heads = self.state.seen.wait_timeout(heads, PATIENCE).unwrap().0;
        }
        heads.clone()
    }

    /// The head of the first request.
    pub(crate) fn head(&self) -> String {
        self.heads(1).remove(0)
    }

    /// How many requests it has seen now.
    pub(crate) fn requests(&self) -> usize {
        self.state.heads.lock().unwrap().len()
    }

    /// The most requests that executed at the same time.
    pub(crate) fn most_executing(&self) -> usize {
        self.state.most_executing.load(Ordering::SeqCst)
    }
}

impl Connection {
    /// Reads the head of the next request; `None` when the sidecar hangs up, or tries HTTP/2: an
    /// app that does not speak it hangs up too.
    pub(crate) fn request(&mut self) -> Option<String> {
        loop {
            if let Some(end) = self.buffer.windows(4).position(|bytes| bytes == b"\r\n\r\n") {
                let head: Vec<u8> = self.buffer.drain(..end + 4).collect();
                let head = String::from_utf8_lossy(&head).into_owned();
                self.state.heads.lock().unwrap().push(head.clone());
                self.state.seen.notify_all();
                return (!head.starts_with("PRI ")).then_some(head);
            }
            if !self.fill() {
                return None;
            }
        }
    }

    /// Reads exactly `count` bytes of a body; fewer when the sidecar hangs up.
    pub(crate) fn body(&mut self, count: usize) -> Vec<u8> {
        while self.buffer.len() < count && self.fill() {}
        let count = count.min(self.buffer.len());
        self.buffer.drain(..count).collect()
    }

    /// Reads until the text of the body ends in `end`.
    pub(crate) fn body_until(&mut self, end: &str) -> String {
        while !self.buffer.ends_with(end.as_bytes()) && self.fill() {}
        String::from_utf8_lossy(&std::mem::take(&mut self.buffer)).into_owned()
    }

    /// Whether the sidecar closes this connection.
    pub(crate) fn is_closed_by_peer(&mut self) -> bool {
        self.stream.set_read_timeout(Some(PATIENCE)).unwrap();
        matches!(self.stream.read(&mut [0; 64]), Ok(0))
            || self.stream.take_error().unwrap().is_some()
    }

    fn fill(&mut self) -> bool {
        let mut chunk = [0; 64 << 10];
        match self.stream.read(&mut chunk) {
            Ok(0) | Err(_) => false,
            Ok(count) => {
                self.buffer.extend_from_slice(&chunk[..count]);
                true
            }
        }
    }

    /// Writes bytes; a sidecar that has hung up is no failure of the app.
    pub(crate) fn send(&mut self, text: &str) {
        let _ = self.stream.write_all(text.as_bytes());
    }

    /// Counts as executing while `work` runs.
    pub(crate) fn execute(&self, work: impl FnOnce()) {
        let now = self.state.executing.fetch_add(1, Ordering::SeqCst) + 1;
        self.state.most_executing.fetch_max(now, Ordering::SeqCst);
        work();
        self.state.executing.fetch_sub(1, Ordering::SeqCst);
    }
}

/// Something that requests wait for.
#[derive(Clone, Default)]
pub(crate) struct Gate {
    shared: Arc<(Mutex<usize>, Condvar)>,
}

impl Gate {
    /// Lets `count` more through.
    pub(crate) fn open(&self, count: usize) {
        *self.shared.0.lock().unwrap() += count;
        self.shared.1.notify_all();
    }

    /// Waits to be let through.
    pub(crate) fn pass(&self) {
        let mut free = self.shared.0.lock().unwrap();
        while *free == 0 {
            let (guard, waited) = self.shared.1.wait_timeout(free, PATIENCE).unwrap();
            free = guard;
            assert!(*free > 0 || !waited.timed_out(), "the gate does not open");
        }
        *free -= 1;
    }
}

/// Waits until `condition` holds.
pub(crate) fn eventually(what: &str, condition: impl Fn() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !condition() {
        assert!(Instant::now() < deadline, "{what} does not come true");
        std::thread::sleep(POLL_PERIOD);
    }
}
