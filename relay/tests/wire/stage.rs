//! A stage: a scripted app, a proxy in front of it, and a client that speaks raw bytes.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tidegate_relay::forwarded::{add_forwarded, append_forwarded_for};
use tidegate_relay::{
    Address, ConnectPatience, Drain, Exchange, Forward, Guard, Handler, Reply, Server,
    ServerSettings, TimeLimits, Upstream, UpstreamSettings,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio::time::timeout;

/// No scene takes this long unless it is stuck.
const PATIENCE: Duration = Duration::from_secs(20);

/// An answer most apps of these tests give.
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
        let sent = timeout(PATIENCE, self.stream.write_all(bytes.as_ref())).await;
        sent.expect("the peer reads").expect("the connection is open");
    }

    /// Reads more; false at the end of the stream, however it came.
    pub(crate) async fn fill(&mut self) -> bool {
        let read = timeout(PATIENCE, self.stream.read_buf(&mut self.unread)).await;
        matches!(read.expect("something comes"), Ok(1..))
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

    /// Reads so many bytes, or what there is if the stream ends before.
    pub(crate) async fn exactly(&mut self, count: usize) -> String {
        while self.unread.len() < count && self.fill().await {}
        let count = count.min(self.unread.len());
        self.take(count)
    }

    /// Reads so many bytes as they are.
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
            let read = timeout(PATIENCE, self.stream.read_buf(&mut self.unread)).await;
            match read.expect("something comes") {
                Ok(0) => return false,
                Ok(_) => {}
                Err(_) => return true,
            }
        }
    }

    /// Reads one answer with a declared length: head and body.
    pub(crate) async fn answer(&mut self) -> (String, String) {
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

/// An app: a listener whose every connection plays a script.
pub(crate) struct App {
    pub(crate) address: SocketAddr,
    pub(crate) connections: Arc<AtomicUsize>,
}

impl App {
    /// Every connection plays `script`, told how many came before it.
    pub(crate) async fn playing<F, S>(script: S) -> App
    where
        S: Fn(Wire, usize) -> F + Send + 'static,
        F: Future<Output = ()> + Send + 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port is free");
        let address = listener.local_addr().expect("it is bound");
        let connections = Arc::new(AtomicUsize::new(0));
        let counted = connections.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let earlier = counted.fetch_add(1, Ordering::SeqCst);
                tokio::spawn(script(Wire::new(stream), earlier));
            }
        });
        App { address, connections }
    }

    /// Reads heads without bodies, keeps them, and gives each the same answer.
    pub(crate) async fn answering(answer: &'static str) -> (App, Arc<Mutex<Vec<String>>>) {
        let seen = Arc::new(Mutex::new(Vec::new()));
        let kept = seen.clone();
        let app = App::playing(move |mut wire, _| {
            let kept = kept.clone();
            async move {
                loop {
                    let head = wire.head().await;
                    if head.is_empty() {
                        return;
                    }
                    kept.lock().push(head);
                    wire.send(answer).await;
                }
            }
        })
        .await;
        (app, seen)
    }

    /// Plays `script` on one connection and hands over what it returns.
    pub(crate) async fn once<F, S, T>(script: S) -> (App, oneshot::Receiver<T>)
    where
        S: FnOnce(Wire) -> F + Send + 'static,
        F: Future<Output = T> + Send + 'static,
        T: Send + 'static,
    {
        let (done, result) = oneshot::channel();
        let script = Mutex::new(Some((script, done)));
        let app = App::playing(move |wire, _| {
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

/// The proxy between client and app.
pub(crate) struct Proxy {
    pub(crate) address: SocketAddr,
    pub(crate) drain: Drain,
    /// How many exchanges hold their slot.
    pub(crate) held: Arc<AtomicUsize>,
}

struct Stage {
    upstream: Upstream,
    limits: TimeLimits,
    held: Arc<AtomicUsize>,
    hold: Option<Duration>,
}

/// Counts a slot for as long as it lives.
struct Slot {
    held: Arc<AtomicUsize>,
    hold: Option<Duration>,
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.held.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Guard for Slot {
    fn abandoned(&mut self) -> Option<Duration> {
        self.hold
    }
}

impl Handler for Stage {
    async fn handle(&self, exchange: &mut Exchange) {
        let peer = exchange.peer().map_or(IpAddr::from([0, 0, 0, 0]), |peer| peer.ip());
        add_forwarded(&mut exchange.head_mut().headers);
        append_forwarded_for(&mut exchange.head_mut().headers, peer);
        self.held.fetch_add(1, Ordering::SeqCst);
        let guard = Slot { held: self.held.clone(), hold: self.hold };
        let connect = ConnectPatience::default();
        let forward = Forward { limits: self.limits, connect, guard };
        if let Err(error) = exchange.forward(&self.upstream, forward).await
            && !exchange.has_responded()
        {
            let _ = exchange.respond(Reply::error(error.status(), error.to_string())).await;
        }
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

    /// A proxy that holds slots for so long when a client leaves.
    pub(crate) async fn holding(app: SocketAddr, limits: TimeLimits, hold: Duration) -> Proxy {
        Proxy::staged(app, limits, ServerSettings::default(), Some(hold)).await
    }

    pub(crate) async fn with(
        app: SocketAddr,
        limits: TimeLimits,
        settings: ServerSettings,
    ) -> Proxy {
        Proxy::staged(app, limits, settings, None).await
    }

    async fn staged(
        app: SocketAddr,
        limits: TimeLimits,
        settings: ServerSettings,
        hold: Option<Duration>,
    ) -> Proxy {
        let upstream = Upstream::new(Address::Tcp(app), UpstreamSettings::default());
        let held = Arc::new(AtomicUsize::new(0));
        let drain = Drain::new();
        let stage = Stage { upstream, limits, held: held.clone(), hold };
        let server = Server::new(stage, settings, drain.clone());
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port is free");
        let address = listener.local_addr().expect("it is bound");
        tokio::spawn(async move { server.serve_listener(listener).await });
        Proxy { address, drain, held }
    }

    pub(crate) async fn client(&self) -> Wire {
        Wire::new(TcpStream::connect(self.address).await.expect("the proxy listens"))
    }

    /// One raw request on a connection of its own, and everything that comes back until the
    /// proxy closes.
    pub(crate) async fn talk(&self, request: impl AsRef<[u8]>) -> String {
        let mut client = self.client().await;
        client.send(request).await;
        client.rest().await
    }

    /// One request that asks to close, and everything that comes back.
    pub(crate) async fn get(&self, target: &str) -> String {
        self.talk(format!("GET {target} HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")).await
    }

    /// Waits until so many exchanges hold their slot.
    pub(crate) async fn until_held(&self, count: usize) {
        let reached = async {
            while self.held.load(Ordering::SeqCst) != count {
                tokio::task::yield_now().await;
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        timeout(PATIENCE, reached).await.expect("slots come and go");
    }
}
