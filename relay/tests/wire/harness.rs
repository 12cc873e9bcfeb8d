//! The harness of these tests: a scripted app, a proxy in front of it, and a client that sends and
//! reads raw bytes.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::Duration;

use parking_lot::Mutex;
use tidegate_relay::forwarded::{add_forwarded, append_forwarded_for};
use tidegate_relay::{
    Address, ConnectPatience, Drain, Exchange, Forward, Guard, Handler, ServerSettings, TimeLimits,
    Upstream, UpstreamSettings,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::{oneshot, watch};
use tokio::time::timeout;

use crate::sockets::{self, run_app, run_server};

/// No step of a test takes this long unless it hangs.
pub(crate) const STEP_TIMEOUT: Duration = Duration::from_secs(20);

/// The response of most apps in these tests.
pub(crate) const HELLO: &str =
    "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 5\r\n\r\nhello";

/// A raw connection, of a client to the proxy or of the proxy to an app.
pub(crate) struct Wire {
    pub(crate) stream: TcpStream,
    unread: Vec<u8>,
}

impl Wire {
    pub(crate) fn new(stream: TcpStream) -> Wire {
        Wire { stream, unread: Vec::new() }
    }

    pub(crate) async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        let sent = timeout(STEP_TIMEOUT, self.stream.write_all(bytes.as_ref())).await;
        sent.expect("the peer reads").expect("the connection is open");
    }

    /// Reads more; false at the end of the stream, orderly or by a reset.
    pub(crate) async fn fill(&mut self) -> bool {
        let read = timeout(STEP_TIMEOUT, self.stream.read_buf(&mut self.unread)).await;
        matches!(read.expect("the peer sends or closes"), Ok(1..))
    }

    /// Reads up to and including `mark`, or what there is if the stream ends before.
    pub(crate) async fn until(&mut self, mark: &str) -> String {
        loop {
            let found = self.unread.windows(mark.len()).position(|part| part == mark.as_bytes());
            if let Some(at) = found {
                return self.take(at + mark.len());
            }
            if !self.fill().await {
                let everything = self.unread.len();
                return self.take(everything);
            }
        }
    }

    /// Reads one head.
    pub(crate) async fn head(&mut self) -> String {
        self.until("\r\n\r\n").await
    }

    /// Reads `count` bytes, or what there is if the stream ends before.
    pub(crate) async fn exactly(&mut self, count: usize) -> String {
        while self.unread.len() < count && self.fill().await {}
        let count = count.min(self.unread.len());
        self.take(count)
    }

    /// As [`Wire::exactly`], without decoding them as text.
    pub(crate) async fn raw(&mut self, count: usize) -> Vec<u8> {
        while self.unread.len() < count && self.fill().await {}
        let count = count.min(self.unread.len());
        self.unread.drain(..count).collect()
    }

    /// Reads to the end of the stream.
    pub(crate) async fn rest(&mut self) -> String {
        while self.fill().await {}
        let everything = self.unread.len();
        self.take(everything)
    }

    /// Whether the stream ends with a reset instead of in order, after any rest.
    pub(crate) async fn ends_in_reset(&mut self) -> bool {
        loop {
            let read = timeout(STEP_TIMEOUT, self.stream.read_buf(&mut self.unread)).await;
            match read.expect("the peer sends or closes") {
                Ok(0) => return false,
                Ok(_) => {}
                Err(_) => return true,
            }
        }
    }

    /// Reads one response with a declared length: head and body.
    pub(crate) async fn response(&mut self) -> (String, String) {
        let head = self.head().await;
        let length = field(&head, "content-length").and_then(|text| text.parse().ok());
        let body = self.exactly(length.unwrap_or(0)).await;
        (head, body)
    }

    fn take(&mut self, count: usize) -> String {
        let taken: Vec<u8> = self.unread.drain(..count).collect();
        String::from_utf8_lossy(&taken).into_owned()
    }
}

/// The value of a field in a head, whatever the case of its name.
pub(crate) fn field<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    head.lines().find_map(|line| {
        let (found, value) = line.split_once(':')?;
        found.eq_ignore_ascii_case(name).then(|| value.trim())
    })
}

/// An app: a listener that runs a script on every connection.
pub(crate) struct App {
    pub(crate) address: SocketAddr,
    pub(crate) connections: Arc<AtomicUsize>,
}

impl App {
    /// Runs `script` on every connection, with the number of connections before it.
    pub(crate) async fn scripted<F, S>(script: S) -> App
    where
        S: Fn(Wire, usize) -> F + Send + 'static,
        F: Future<Output = ()> + Send + 'static,
    {
        let run = move |stream, earlier| script(Wire::new(stream), earlier);
        let (address, connections) = run_app(run).await;
        App { address, connections }
    }

    /// Reads heads without bodies, keeps them, and sends the same response to each.
    pub(crate) async fn responding(response: &'static str) -> (App, Arc<Mutex<Vec<String>>>) {
        let seen = Arc::new(Mutex::new(Vec::new()));
        let kept = seen.clone();
        let app = App::scripted(move |mut wire, _| {
            let kept = kept.clone();
            async move {
                loop {
                    let head = wire.head().await;
                    if head.is_empty() {
                        return;
                    }
                    kept.lock().push(head);
                    wire.send(response).await;
                }
            }
        })
        .await;
        (app, seen)
    }

    /// Runs `script` on the first connection, and passes on what it returns.
    pub(crate) async fn once<F, S, T>(script: S) -> (App, oneshot::Receiver<T>)
    where
        S: FnOnce(Wire) -> F + Send + 'static,
        F: Future<Output = T> + Send + 'static,
        T: Send + 'static,
    {
        let (done, result) = oneshot::channel();
        let script = Mutex::new(Some((script, done)));
        let app = App::scripted(move |wire, _| {
            let script = script.lock().take();
            async move {
                if let Some((script, done)) = script {
                    let _ = done.send(script(wire).await);
                }
            }
        })
        .await;
        (app, result)
    }
}

/// An address where nothing ever listens.
pub(crate) fn closed_port() -> SocketAddr {
    tidegate_reserved_port::reserve().expect("a port is free")
}

/// The proxy between client and app.
pub(crate) struct Proxy {
    pub(crate) address: SocketAddr,
    pub(crate) drain: Drain,
    /// How many exchanges hold their slot.
    held: watch::Sender<usize>,
    /// How many exchanges the handler is working on.
    running: watch::Sender<usize>,
}

struct Forwarder {
    upstream: Upstream,
    limits: TimeLimits,
    held: watch::Sender<usize>,
    running: watch::Sender<usize>,
    hold: Option<Duration>,
}

/// Counts one for as long as it lives.
struct Counted(watch::Sender<usize>);

impl Counted {
    fn new(count: &watch::Sender<usize>) -> Counted {
        count.send_modify(|count| *count += 1);
        Counted(count.clone())
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.send_modify(|count| *count -= 1);
    }
}

/// The slot of an exchange.
struct Slot {
    _counted: Counted,
    hold: Option<Duration>,
}

impl Guard for Slot {
    fn abandoned(&mut self) -> Option<Duration> {
        self.hold
    }
}

impl Handler for Forwarder {
    async fn handle(&self, exchange: &mut Exchange) {
        let _running = Counted::new(&self.running);
        let peer = exchange.peer().map_or(IpAddr::from([0, 0, 0, 0]), |peer| peer.ip());
        add_forwarded(&mut exchange.head_mut().headers);
        append_forwarded_for(&mut exchange.head_mut().headers, peer);
        let guard = Slot { _counted: Counted::new(&self.held), hold: self.hold };
        let connect = ConnectPatience::default();
        let forward = Forward { limits: self.limits, connect, guard };
        sockets::forward(exchange, &self.upstream, forward).await;
    }
}

impl Proxy {
    /// A proxy without time limits.
    pub(crate) async fn before(app: &App) -> Proxy {
        Proxy::with(app.address, TimeLimits::default(), ServerSettings::default()).await
    }

    /// A proxy with time limits.
    pub(crate) async fn limited(app: &App, limits: TimeLimits) -> Proxy {
        Proxy::with(app.address, limits, ServerSettings::default()).await
    }

    /// A proxy that holds the slot of an abandoned exchange for at most `hold`.
    pub(crate) async fn holding(app: SocketAddr, limits: TimeLimits, hold: Duration) -> Proxy {
        Proxy::start(app, limits, ServerSettings::default(), Some(hold)).await
    }

    pub(crate) async fn with(
        app: SocketAddr,
        limits: TimeLimits,
        settings: ServerSettings,
    ) -> Proxy {
        Proxy::start(app, limits, settings, None).await
    }

    async fn start(
        app: SocketAddr,
        limits: TimeLimits,
        settings: ServerSettings,
        hold: Option<Duration>,
    ) -> Proxy {
        let upstream = Upstream::new(Address::Tcp(app), UpstreamSettings::default());
        let (held, running) = (watch::Sender::new(0), watch::Sender::new(0));
        let drain = Drain::new();
        let handler =
            Forwarder { upstream, limits, held: held.clone(), running: running.clone(), hold };
        let address = run_server(handler, settings, drain.clone()).await;
        Proxy { address, drain, held, running }
    }

    pub(crate) async fn client(&self) -> Wire {
        Wire::new(TcpStream::connect(self.address).await.expect("the proxy listens"))
    }

    /// Sends one raw request on a connection of its own, and reads until the proxy closes.
    pub(crate) async fn request(&self, request: impl AsRef<[u8]>) -> String {
        let mut client = self.client().await;
        client.send(request).await;
        client.rest().await
    }

    /// Sends one request with `Connection: close`, and reads until the proxy closes.
    pub(crate) async fn get(&self, target: &str) -> String {
        self.request(format!("GET {target} HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")).await
    }

    /// Waits until `count` exchanges hold their slot.
    pub(crate) async fn until_held(&self, count: usize) {
        let mut held = self.held.subscribe();
        let reached = timeout(STEP_TIMEOUT, held.wait_for(|held| *held == count)).await;
        reached.expect("slots are taken and given back").expect("the proxy runs");
    }

    /// Waits until the handler works on no exchange: each has ended, or was abandoned.
    pub(crate) async fn until_handled(&self) {
        let mut running = self.running.subscribe();
        let reached = timeout(STEP_TIMEOUT, running.wait_for(|running| *running == 0)).await;
        reached.expect("exchanges end").expect("the proxy runs");
    }

    /// How many exchanges hold their slot, once the proxy has handled all events so far: it
    /// responds to this request itself, and its event loop takes events in their order.
    pub(crate) async fn held_after_all_events(&self) -> usize {
        let response =
            self.request("OPTIONS * HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n").await;
        assert!(response.starts_with("HTTP/1.1 200 "), "{response}");
        *self.held.borrow()
    }
}
