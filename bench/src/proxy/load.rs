//! HTTP/1 clients: closed loop, open loop, and connections that only wait.

use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nHost: bench\r\n\r\n";

/// What a run of clients saw.
#[derive(Debug)]
pub struct Tally {
    /// Answers that were what they should be.
    pub answers: u64,
    /// Anything else.
    pub failures: u64,
    /// From when a request was due to when its response was whole, in microseconds.
    pub latency_us: Histogram<u64>,
}

impl Tally {
    fn new() -> Tally {
        let latency_us = Histogram::new_with_bounds(1, 60_000_000, 3).expect("sound bounds");
        Tally { answers: 0, failures: 0, latency_us }
    }

    fn add(&mut self, other: &Tally) {
        self.answers += other.answers;
        self.failures += other.failures;
        self.latency_us.add(&other.latency_us).expect("same bounds");
    }
}

/// One keep-alive connection.
pub struct Connection {
    stream: TcpStream,
    buffer: Vec<u8>,
}

impl Connection {
    /// Connects.
    ///
    /// # Errors
    /// When that fails.
    pub async fn open(address: SocketAddr) -> io::Result<Connection> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(Connection { stream, buffer: vec![0; 4096] })
    }

    /// One exchange.
    ///
    /// # Errors
    /// When the connection breaks or the response is not a 200.
    pub async fn exchange(&mut self) -> io::Result<()> {
        self.stream.write_all(REQUEST).await?;
        let mut filled = 0;
        loop {
            let count = self.stream.read(&mut self.buffer[filled..]).await?;
            if count == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            filled += count;
            if let Some(whole) = answer_length(&self.buffer[..filled])? {
                return match filled == whole {
                    true => Ok(()),
                    false if filled < whole => continue,
                    false => Err(io::ErrorKind::InvalidData.into()),
                };
            }
        }
    }
}

/// The length of the response that begins here, when its head is all there.
fn answer_length(bytes: &[u8]) -> io::Result<Option<usize>> {
    let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") else {
        return Ok(None);
    };
    if !bytes.starts_with(b"HTTP/1.1 200") {
        return Err(io::ErrorKind::InvalidData.into());
    }
    let head = &bytes[..end];
    const NAME: &[u8] = b"content-length: ";
    let at = head.windows(NAME.len()).position(|part| part.eq_ignore_ascii_case(NAME));
    let digits = at.map(|at| &head[at + NAME.len()..]).unwrap_or_default();
    let length = digits
        .iter()
        .take_while(|byte| byte.is_ascii_digit())
        .fold(0, |length, digit| length * 10 + usize::from(digit - b'0'));
    Ok(Some(end + 4 + length))
}

/// Every connection asks again as soon as it is answered.
pub async fn closed_loop(address: SocketAddr, connections: usize, time: Duration) -> Tally {
    let until = Instant::now() + time;
    let mut clients = JoinSet::new();
    for _ in 0..connections {
        clients.spawn(async move {
            let mut tally = Tally::new();
            let Ok(mut connection) = Connection::open(address).await else {
                tally.failures += 1;
                return tally;
            };
            let mut due = Instant::now();
            while due < until {
                match connection.exchange().await {
                    Ok(()) => tally.answers += 1,
                    Err(_) => {
                        tally.failures += 1;
                        return tally;
                    }
                }
                let now = Instant::now();
                tally.latency_us.saturating_record((now - due).as_micros() as u64);
                due = now;
            }
            tally
        });
    }
    gather(clients).await
}

/// Requests are due at fixed times, whether earlier ones are answered or not; a late start
/// counts as latency.
pub async fn open_loop(
    address: SocketAddr,
    connections: usize,
    per_second: u32,
    time: Duration,
) -> Tally {
    let begin = Instant::now() + Duration::from_millis(20);
    let step = Duration::from_secs(1) * connections as u32 / per_second;
    let mut clients = JoinSet::new();
    for number in 0..connections {
        let offset = Duration::from_secs(1) * number as u32 / per_second;
        clients.spawn(async move {
            let mut tally = Tally::new();
            let Ok(mut connection) = Connection::open(address).await else {
                tally.failures += 1;
                return tally;
            };
            let mut due = begin + offset;
            while due < begin + time {
                // The wheel is coarse; the last millisecond is spent asking.
                let early = due.saturating_duration_since(Instant::now());
                tokio::time::sleep(early.saturating_sub(Duration::from_millis(1))).await;
                while Instant::now() < due {
                    tokio::task::yield_now().await;
                }
                match connection.exchange().await {
                    Ok(()) => tally.answers += 1,
                    Err(_) => {
                        tally.failures += 1;
                        return tally;
                    }
                }
                tally.latency_us.saturating_record(due.elapsed().as_micros() as u64);
                due += step;
            }
            tally
        });
    }
    gather(clients).await
}

/// Connections that have each made one request and now wait.
///
/// # Errors
/// When one cannot be opened or answered.
pub async fn idle_connections(
    address: SocketAddr,
    count: usize,
) -> anyhow::Result<Vec<Connection>> {
    let mut connections = Vec::with_capacity(count);
    for _ in 0..count {
        let mut connection = Connection::open(address).await?;
        connection.exchange().await?;
        connection.buffer = Vec::new();
        connections.push(connection);
    }
    Ok(connections)
}

async fn gather(mut clients: JoinSet<Tally>) -> Tally {
    let mut total = Tally::new();
    while let Some(tally) = clients.join_next().await {
        match tally {
            Ok(tally) => total.add(&tally),
            Err(_) => total.failures += 1,
        }
    }
    total
}
