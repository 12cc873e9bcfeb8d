//! Requests over connections of their own, so that every one can be told from its neighbours.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

/// Longest wait for a response; a cold start of a large app under load fits.
const PATIENCE: Duration = Duration::from_secs(120);

/// What came back.
#[derive(Debug, Clone)]
pub struct Answer {
    /// Its status.
    pub status: u16,
    /// Its head, as it came.
    pub head: String,
    /// From the start of the connection to the first byte.
    pub first_byte: Duration,
}

impl Answer {
    /// The value of a header, if it is there.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| {
            let (found, value) = line.split_once(':')?;
            found.eq_ignore_ascii_case(name).then_some(value.trim())
        })
    }
}

/// Asks `address` for `/`.
///
/// # Errors
/// When there is no connection, or no whole response.
pub fn get(address: &str) -> std::io::Result<Answer> {
    let begun = Instant::now();
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_nodelay(true)?;
    write!(stream, "GET / HTTP/1.1\r\nHost: app\r\nConnection: close\r\n\r\n")?;
    let mut bytes = vec![0; 16 * 1_024];
    let read = stream.read(&mut bytes)?;
    let first_byte = begun.elapsed();
    bytes.truncate(read);
    stream.read_to_end(&mut bytes)?;
    let text = String::from_utf8_lossy(&bytes);
    let head = text.split("\r\n\r\n").next().unwrap_or_default().to_owned();
    let status = head.split_whitespace().nth(1).and_then(|status| status.parse().ok());
    let status = status.ok_or_else(|| std::io::Error::other("no response"))?;
    Ok(Answer { status, head, first_byte })
}

/// Asks `count` times at once and returns what came back.
#[must_use]
pub fn burst(address: &str, count: usize) -> Vec<std::io::Result<Answer>> {
    let clients: Vec<_> = (0..count)
        .map(|_| {
            let address = address.to_owned();
            std::thread::spawn(move || get(&address))
        })
        .collect();
    let lost = |_| Err(std::io::Error::other("the client panicked"));
    clients.into_iter().map(|client| client.join().unwrap_or_else(lost)).collect()
}

/// Whether a response is the one that was wanted.
#[must_use]
pub fn is_served(response: &std::io::Result<Answer>) -> bool {
    response.as_ref().is_ok_and(|response| response.status == 200)
}
