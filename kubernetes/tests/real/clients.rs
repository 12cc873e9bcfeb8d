//! Who sends requests, and what became of every one of them.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::app::micros;

/// A request that takes longer is lost.
pub(crate) const LOST_AFTER: Duration = Duration::from_secs(240);

/// Time until a client asks again that got no response.
const RETRY: Duration = Duration::from_millis(100);

/// A response: when it came, and what the app says of itself.
#[derive(Debug, Clone)]
pub(crate) struct Answered {
    /// Time from the connection's beginning to the response's end.
    pub(crate) took: Duration,
    /// When its last byte came, in microseconds since 1970.
    pub(crate) at_micros: u64,
    /// When the app's process began, in microseconds since 1970.
    pub(crate) app_begun_micros: u64,
    /// When the app began to listen, in microseconds since 1970.
    pub(crate) app_listening_micros: u64,
}

/// One request on a connection of its own.
///
/// # Errors
/// What became of it instead of a response with status 200.
pub(crate) async fn ask(address: SocketAddr, ms: u64) -> Result<Answered, String> {
    ask_within(address, ms, LOST_AFTER).await
}

/// The same, for a request that counts as lost after `patience`.
///
/// # Errors
/// What became of it instead of a response with status 200.
pub(crate) async fn ask_within(
    address: SocketAddr,
    ms: u64,
    patience: Duration,
) -> Result<Answered, String> {
    let begin = Instant::now();
    let exchange = async {
        let mut stream = TcpStream::connect(address).await.map_err(|e| format!("connect: {e}"))?;
        let request = format!("GET /?ms={ms} HTTP/1.1\r\nHost: app\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.map_err(|e| format!("write: {e}"))?;
        let mut response = String::new();
        stream.read_to_string(&mut response).await.map_err(|e| format!("read: {e}"))?;
        Ok::<_, String>(response)
    };
    let response = tokio::time::timeout(patience, exchange)
        .await
        .map_err(|_| format!("no response within {patience:?}"))??;
    let (took, at_micros) = (begin.elapsed(), micros());
    if !response.starts_with("HTTP/1.1 200") {
        let line = response.lines().next().unwrap_or("closed without a response");
        return Err(line.to_owned());
    }
    let body = response.split_once("\r\n\r\n").map_or("", |(_, body)| body);
    let mut words = body.split_whitespace().map(|word| word.parse().unwrap_or_default());
    let app_begun_micros = words.next().unwrap_or_default();
    let app_listening_micros = words.next().unwrap_or_default();
    Ok(Answered { took, at_micros, app_begun_micros, app_listening_micros })
}

/// What became of requests.
#[derive(Debug, Clone, Default)]
pub(crate) struct Count {
    pub(crate) answered: u64,
    pub(crate) lost: Vec<String>,
    pub(crate) slowest: Duration,
    /// When the last of those that were lost was sent, and why it was.
    pub(crate) last_lost: Option<(Instant, String)>,
}

impl Count {
    fn take(&mut self, sent: Instant, result: Result<Answered, String>) {
        match result {
            Ok(answered) => {
                self.answered += 1;
                self.slowest = self.slowest.max(answered.took);
            }
            Err(why) => {
                self.last_lost = Some((sent, why.clone()));
                self.lost.push(why);
            }
        }
    }

    /// As a line for a reader.
    pub(crate) fn line(&self) -> String {
        let sent = self.answered + self.lost.len() as u64;
        let first = self.lost.first().map(|why| format!("; the first lost: {why}"));
        let (answered, slowest) = (self.answered, self.slowest.as_secs_f64());
        format!(
            "{answered} of {sent} requests answered, the slowest after {slowest:.2} s{}",
            first.unwrap_or_default()
        )
    }
}

/// Clients that send one request after another until they are ended.
pub(crate) struct Clients {
    count: Arc<Mutex<Count>>,
    end: watch::Sender<bool>,
    tasks: JoinSet<()>,
}

impl Clients {
    /// `number` clients whose requests take `ms` at the app.
    pub(crate) fn start(address: SocketAddr, number: usize, ms: u64) -> Self {
        let count = Arc::new(Mutex::new(Count::default()));
        let (end, ended) = watch::channel(false);
        let mut tasks = JoinSet::new();
        for _ in 0..number {
            let (count, ended) = (Arc::clone(&count), ended.clone());
            tasks.spawn(async move {
                while !*ended.borrow() {
                    let sent = Instant::now();
                    let result = ask(address, ms).await;
                    let is_lost = result.is_err();
                    count.lock().take(sent, result);
                    if is_lost {
                        tokio::time::sleep(RETRY).await;
                    }
                }
            });
        }
        Self { count, end, tasks }
    }

    /// What became of requests so far.
    pub(crate) fn so_far(&self) -> Count {
        self.count.lock().clone()
    }

    /// Ends the clients after the requests that they wait for.
    pub(crate) async fn end(mut self) -> Count {
        self.end.send_replace(true);
        while self.tasks.join_next().await.is_some() {}
        self.so_far()
    }
}

/// The median of some times, in seconds.
pub(crate) fn median(mut times: Vec<f64>) -> f64 {
    times.sort_by(f64::total_cmp);
    times.get(times.len() / 2).copied().unwrap_or(f64::NAN)
}
