//! Listeners on free ports: for apps that run a script on each connection, and for the proxy.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tidegate_relay::{
    Drain, Exchange, Forward, Guard, Handler, Reply, Server, ServerSettings, Upstream,
};
use tokio::net::{TcpListener, TcpStream};

async fn bind() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port is free");
    let address = listener.local_addr().expect("it is bound");
    (listener, address)
}

/// Runs `script` on every connection, with the number of connections before it. Gives the address
/// and the number of connections.
pub(crate) async fn run_app<F, S>(script: S) -> (SocketAddr, Arc<AtomicUsize>)
where
    S: Fn(TcpStream, usize) -> F + Send + 'static,
    F: Future<Output = ()> + Send + 'static,
{
    let (listener, address) = bind().await;
    let connections = Arc::new(AtomicUsize::new(0));
    let counter = connections.clone();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            stream.set_nodelay(true).expect("it is a TCP socket");
            let earlier = counter.fetch_add(1, Ordering::SeqCst);
            tokio::spawn(script(stream, earlier));
        }
    });
    (address, connections)
}

/// Runs a server, and gives its address.
pub(crate) async fn run_server<H: Handler>(
    handler: H,
    settings: ServerSettings,
    drain: Drain,
) -> SocketAddr {
    let server = Server::new(handler, settings, drain);
    let (listener, address) = bind().await;
    tokio::spawn(async move { server.serve_listener(listener).await });
    address
}

/// Forwards the exchange, and reports a failure to the client if it has got no response yet.
pub(crate) async fn forward<G: Guard>(
    exchange: &mut Exchange,
    upstream: &Upstream,
    forward: Forward<G>,
) {
    if let Err(error) = exchange.forward(upstream, forward).await
        && !exchange.has_responded()
    {
        // This fails only when the client has gone.
        let _ = exchange.respond(Reply::error(error.status(), error.to_string())).await;
    }
}
