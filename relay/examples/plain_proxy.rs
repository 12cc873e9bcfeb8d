//! The smallest proxy on this crate: everything on one port goes to another.
//!
//! `cargo run -p tidegate-relay --example plain_proxy -- 127.0.0.1:8012 127.0.0.1:8080`

use std::net::IpAddr;
use std::time::Duration;

use tidegate_relay::forwarded::{add_forwarded, append_forwarded_for};
use tidegate_relay::{
    Address, ConnectPatience, Drain, Exchange, Forward, Handler, Reply, Server, ServerSettings,
    TimeLimits, Upstream, UpstreamSettings,
};
use tokio::net::TcpListener;

struct Plain {
    upstream: Upstream,
}

impl Handler for Plain {
    async fn handle(&self, exchange: &mut Exchange) {
        let peer = exchange.peer().map_or(IpAddr::from([0, 0, 0, 0]), |peer| peer.ip());
        add_forwarded(&mut exchange.head_mut().headers);
        append_forwarded_for(&mut exchange.head_mut().headers, peer);
        let limits =
            TimeLimits { overall: Some(Duration::from_secs(300)), ..TimeLimits::default() };
        let forward = Forward { limits, connect: ConnectPatience::default(), guard: () };
        if let Err(error) = exchange.forward(&self.upstream, forward).await
            && !exchange.has_responded()
        {
            let reply = Reply::error(error.status(), error.to_string());
            // This fails only when the client has gone.
            let _ = exchange.respond(reply).await;
        }
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let usage = "usage: plain_proxy LISTEN UPSTREAM";
    let listen = arguments.next().ok_or(usage)?;
    let upstream = arguments.next().ok_or(usage)?.parse()?;
    let upstream = Upstream::new(Address::Tcp(upstream), UpstreamSettings::default());
    let listener = TcpListener::bind(listen).await?;
    println!("listening on {}", listener.local_addr()?);
    let server = Server::new(Plain { upstream }, ServerSettings::default(), Drain::new());
    server.serve_listener(listener).await;
    Ok(())
}
