//! Whatever a client sends, a connection is answered, refused or closed: HTTP/1, HTTP/2 and the
//! way from one to the other.

#![no_main]

use libfuzzer_sys::fuzz_target;
use tidegate_relay::http::StatusCode;
use tidegate_relay::{Drain, Exchange, Handler, Reply, Server, ServerSettings};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

struct Mirror;

impl Handler for Mirror {
    async fn handle(&self, exchange: &mut Exchange) {
        let target = exchange.head().target.clone();
        let _ = exchange.respond(Reply::text(StatusCode::OK, target)).await;
    }
}

fuzz_target!(|bytes: &[u8]| {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .start_paused(true)
        .build()
        .expect("a runtime");
    runtime.block_on(async {
        let (mut client, stream) = tokio::io::duplex(1 << 16);
        let server = Server::new(Mirror, ServerSettings::default(), Drain::new());
        let serving = server.serve_stream(stream, None);
        let talking = async {
            let _ = client.write_all(bytes).await;
            let _ = client.shutdown().await;
            let mut answers = Vec::new();
            let _ = client.read_to_end(&mut answers).await;
        };
        tokio::join!(serving, talking);
    });
});
