//! Whatever a client asks and whatever the app answers to it, the exchange ends on both sides and
//! what admitted it is given back: HTTP/1 answers, trailers, upgrades and their tunnels, HTTP/2.

#![no_main]

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use libfuzzer_sys::fuzz_target;
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

/// Says the same on every connection, once it was asked something, and closes its half.
async fn answer(mut stream: UnixStream, bytes: Arc<[u8]>) {
    let mut asked = [0; 4096];
    if stream.read(&mut asked).await.is_ok_and(|length| length > 0) {
        let _ = stream.write_all(&bytes).await;
        let _ = stream.shutdown().await;
        while stream.read(&mut asked).await.is_ok_and(|length| length > 0) {}
    }
}

fuzz_target!(|input: (&[u8], &[u8])| {
    let (asked, answered) = input;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .start_paused(true)
        .build()
        .expect("a runtime");
    let path: PathBuf = std::env::temp_dir().join(format!("relay-fuzz-{}", std::process::id()));
    let _ = std::fs::remove_file(&path);
    let slot = Arc::new(());
    runtime.block_on(async {
        let app = UnixListener::bind(&path).expect("a socket in the temporary directory");
        let bytes: Arc<[u8]> = answered.into();
        tokio::spawn(async move {
            while let Ok((stream, _)) = app.accept().await {
                tokio::spawn(answer(stream, Arc::clone(&bytes)));
            }
        });
        let upstream = Upstream::new(Address::Unix(path), UpstreamSettings::default());
        let (mut client, stream) = tokio::io::duplex(1 << 16);
        let forwarder = Forwarder { upstream, slot: Arc::clone(&slot) };
        let server = Server::new(forwarder, ServerSettings::default(), Drain::new());
        let serving = server.serve_stream(stream, None);
        let talking = async {
            let _ = client.write_all(asked).await;
            let _ = client.shutdown().await;
            let mut answers = Vec::new();
            let _ = client.read_to_end(&mut answers).await;
        };
        tokio::join!(serving, talking);
        tokio::time::sleep(2 * HOLD).await;
        // One here and one in the handler: no exchange kept its own.
        assert_eq!(Arc::strong_count(&slot), 2);
    });
});
