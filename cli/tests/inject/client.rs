//! Clients of a Service: connections that are kept, and endpoints that change under them.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use crate::kubelet::PATIENCE;

/// The pause of a client whose request was lost.
const RETRY_PAUSE: std::time::Duration = std::time::Duration::from_millis(10);

/// The ports that a Service leads to now, and what became of the requests to it.
#[derive(Default)]
pub(crate) struct Service {
    pub(crate) endpoints: Mutex<Vec<u16>>,
    pub(crate) answered: AtomicUsize,
    pub(crate) lost: Mutex<Vec<String>>,
    pub(crate) is_over: AtomicBool,
}

/// Ends the load when dropped: also where a test fails, whose threads are waited for.
pub(crate) struct Load<'s>(pub(crate) &'s Service);

impl Drop for Load<'_> {
    fn drop(&mut self) {
        self.0.is_over.store(true, Ordering::SeqCst);
    }
}

struct Connection {
    reader: BufReader<TcpStream>,
    is_used: bool,
}

/// Why a request has no response.
enum Failed {
    /// The connection was kept, and closed before the request: every client tries again.
    WasClosed,
    /// The request is lost.
    Lost(String),
}

impl Service {
    /// Sends one request after the other until it is all over, over connections that are kept.
    pub(crate) fn load(&self, number: usize) {
        let mut kept: Option<Connection> = None;
        let mut turn = number;
        while !self.is_over.load(Ordering::SeqCst) {
            turn += 1;
            let asked = match kept.take() {
                Some(connection) => connection.ask(),
                None => self.connect(turn).and_then(Connection::ask),
            };
            match asked {
                Ok(next) => {
                    self.answered.fetch_add(1, Ordering::SeqCst);
                    // Some are kept, some are new: both have to end well.
                    kept = next.filter(|_| !turn.is_multiple_of(5));
                }
                Err(Failed::WasClosed) => {}
                Err(Failed::Lost(why)) => {
                    self.lost.lock().unwrap().push(why);
                    // What is lost once is lost often: no more than a test can tell.
                    std::thread::sleep(RETRY_PAUSE);
                }
            }
        }
    }

    fn connect(&self, turn: usize) -> Result<Connection, Failed> {
        let port = {
            let endpoints = self.endpoints.lock().unwrap();
            endpoints[turn % endpoints.len()]
        };
        let stream = TcpStream::connect(("127.0.0.1", port))
            .map_err(|error| Failed::Lost(format!("connect to {port}: {error}")))?;
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_nodelay(true).unwrap();
        Ok(Connection { reader: BufReader::new(stream), is_used: false })
    }
}

impl Connection {
    /// Asks, and returns the connection if it may be used again.
    fn ask(mut self) -> Result<Option<Self>, Failed> {
        let request = b"GET /work HTTP/1.1\r\nHost: web\r\n\r\n";
        let mut head = String::new();
        let mut read = self.reader.get_mut().write_all(request);
        while read.is_ok() && !head.ends_with("\r\n\r\n") {
            match self.reader.read_line(&mut head) {
                Ok(0) => read = Err(std::io::ErrorKind::UnexpectedEof.into()),
                Ok(_) => {}
                Err(error) => read = Err(error),
            }
        }
        if let Err(error) = read {
            let was_closed = self.is_used && head.is_empty();
            return Err(match was_closed {
                true => Failed::WasClosed,
                false => Failed::Lost(format!("no response: {error}, after {head:?}")),
            });
        }
        let mut body = [0; 5];
        if !head.starts_with("HTTP/1.1 200 ") || self.reader.read_exact(&mut body).is_err() {
            return Err(Failed::Lost(format!("answered {head:?}")));
        }
        self.is_used = true;
        let closes = head.to_ascii_lowercase().contains("connection: close");
        Ok((!closes).then_some(self))
    }
}
