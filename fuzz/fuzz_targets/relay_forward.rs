//! Whatever a client asks and whatever the app answers to it, the exchange ends on both sides and
//! what admitted it is given back: HTTP/1 answers, trailers, upgrades and their tunnels, HTTP/2. No
//! request becomes two, none is answered twice, and what the app gets is framed beyond doubt.

#![no_main]

use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use libfuzzer_sys::fuzz_target;
use tidegate_fuzz::messages;
use tidegate_fuzz::stage::{Road, assert_sound, play, talk};
use tidegate_relay::http::StatusCode;
use tidegate_relay::{
    Address, ConnectPatience, Drain, Exchange, Forward, Guard, Handler, Reply, Server,
    ServerSettings, TimeLimits, Upstream, UpstreamSettings,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};

struct Forwarder {
    upstream: Upstream,
    slot: Arc<()>,
    asked: Arc<AtomicUsize>,
}

/// Held beyond its exchange, as a sidecar with a limit does.
struct Slot {
    _taken: Arc<()>,
}

impl Guard for Slot {
    fn abandoned(&mut self) -> Option<Duration> {
        Some(HOLD)
    }
}

/// Time is paused, so this takes none.
const HOLD: Duration = Duration::from_secs(60);

impl Handler for Forwarder {
    async fn handle(&self, exchange: &mut Exchange) {
        self.asked.fetch_add(1, Ordering::Relaxed);
        assert_sound(exchange.head());
        let forward = Forward {
            limits: TimeLimits::default(),
            connect: ConnectPatience::default(),
            guard: Slot { _taken: Arc::clone(&self.slot) },
        };
        let outcome = exchange.forward(&self.upstream, forward).await;
        if outcome.is_err() && !exchange.has_responded() {
            let _ = exchange.respond(Reply::text(StatusCode::BAD_GATEWAY, "failed\n")).await;
        }
    }
}

/// What an app was sent, connection by connection.
type Sent = Arc<Mutex<Vec<Vec<u8>>>>;

/// Says the same on every connection, once it was asked something, closes its half, and keeps what
/// it is sent.
async fn answer(mut stream: UnixStream, bytes: Arc<[u8]>, sent: Sent) {
    let mut asked = Vec::new();
    if stream.read_buf(&mut asked).await.is_ok_and(|length| length > 0) {
        let _ = stream.write_all(&bytes).await;
        let _ = stream.shutdown().await;
        let _ = stream.read_to_end(&mut asked).await;
    }
    sent.lock().expect("nobody panics with it").push(asked);
}

fuzz_target!(|input: (&[u8], &[u8])| {
    let (asked, answered) = input;
    let path: PathBuf = std::env::temp_dir().join(format!("relay-fuzz-{}", std::process::id()));
    let _ = std::fs::remove_file(&path);
    let slot = Arc::new(());
    let (requests, sent) = (Arc::new(AtomicUsize::new(0)), Sent::default());
    // Ports are few; most rounds need none.
    let road = if asked.len() % 8 == 7 { Road::Tcp } else { Road::Pipe };
    let answers = play(async {
        let app = UnixListener::bind(&path).expect("a socket in the temporary directory");
        let bytes: Arc<[u8]> = answered.into();
        let kept = Arc::clone(&sent);
        tokio::spawn(async move {
            while let Ok((stream, _)) = app.accept().await {
                tokio::spawn(answer(stream, Arc::clone(&bytes), Arc::clone(&kept)));
            }
        });
        let upstream = Upstream::new(Address::Unix(path), UpstreamSettings::default());
        let (asked_so_far, taken) = (Arc::clone(&requests), Arc::clone(&slot));
        let forwarder = Forwarder { upstream, slot: taken, asked: asked_so_far };
        let server = Server::new(forwarder, ServerSettings::default(), Drain::new());
        let answers = talk(&server, asked, road).await;
        tokio::time::sleep(2 * HOLD).await;
        // One here and one in the handler: no exchange kept its own.
        assert_eq!(Arc::strong_count(&slot), 2);
        answers
    });
    let requests = requests.load(Ordering::Relaxed);
    let sent = sent.lock().expect("nobody panicked with it");
    let passed_on: usize = sent.iter().map(|bytes| messages::requests(bytes).messages).sum();
    assert!(passed_on <= requests, "{requests} requests became {passed_on}");
    if messages::is_http2(&answers) || occurrences(asked, b"HEAD ") > 0 {
        return;
    }
    let count = messages::answers(&answers).messages;
    // These are answered before the handler; a refusal ends the connection.
    let others = occurrences(asked, b"*") + occurrences(asked, b"expect") + 1;
    let switched = occurrences(asked, b"h2c");
    assert!(count <= requests + others + switched, "{requests} requests, {count} answers");
});

fn occurrences(bytes: &[u8], mark: &[u8]) -> usize {
    bytes.windows(mark.len()).filter(|part| part.eq_ignore_ascii_case(mark)).count()
}
