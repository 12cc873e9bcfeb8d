//! One HTTP/2 connection to the controller, as small as a sidecar needs it: no pool, no balancer,
//! no buffer task.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use http::{Request, Response, Uri};
use hyper::body::Incoming;
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tidegate_proto::stats::v1::stats_service_client::StatsServiceClient;
use tokio::net::TcpStream;
use tonic::body::Body;
use tonic::codegen::Service;

use crate::ConfigError;

/// A peer that answers no ping for this long is gone, whatever its TCP connection says.
const PING_EVERY: Duration = Duration::from_secs(10);
const PING_TIMEOUT: Duration = Duration::from_secs(5);

/// Enough for the answers of a controller; the default of 2 MB would be most of a sidecar.
const STREAM_WINDOW_BYTES: u32 = 64 * 1024;

/// Where a controller listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Address {
    authority: String,
    origin: Uri,
}

impl Address {
    /// Reads `host:port` or `http://host:port`.
    ///
    /// # Errors
    /// When there is no port, or this is no address.
    pub fn parse(given: &str) -> Result<Self, ConfigError> {
        let refuse = |problem| ConfigError { given: given.to_owned(), problem };
        let bare = given.trim();
        if bare.starts_with("https://") {
            return Err(refuse("TLS to the controller is not supported"));
        }
        let bare = bare.strip_prefix("http://").unwrap_or(bare).trim_end_matches('/');
        let origin: Uri =
            format!("http://{bare}").parse().map_err(|_| refuse("it is no network address"))?;
        if origin.path() != "/" || origin.query().is_some() {
            return Err(refuse("it has a path"));
        }
        if origin.host().is_none_or(str::is_empty) {
            return Err(refuse("it has no host"));
        }
        match origin.port_u16() {
            None => Err(refuse("it has no port")),
            Some(0) => Err(refuse("port 0 cannot be connected to")),
            Some(_) => Ok(Self { authority: bare.to_owned(), origin }),
        }
    }
}

/// Why a connection could not be made.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// No TCP connection.
    #[error("cannot connect")]
    Tcp(#[from] std::io::Error),
    /// The peer does not speak HTTP/2.
    #[error("the peer does not speak HTTP/2")]
    Http(#[from] hyper::Error),
}

/// A client stub over one fresh connection. Dropping every clone of it closes the connection.
///
/// # Errors
/// When the connection cannot be made. Cancel safe: dropping the future drops the connection.
pub(crate) async fn connect(
    address: &Address,
) -> Result<StatsServiceClient<Connection>, ConnectError> {
    let tcp = TcpStream::connect(&address.authority).await?;
    // Reports are small and a wake-up must not wait for an acknowledgement of the one before.
    tcp.set_nodelay(true)?;
    let (sender, connection) = http2::Builder::new(TokioExecutor::new())
        .timer(TokioTimer::new())
        .keep_alive_interval(PING_EVERY)
        .keep_alive_timeout(PING_TIMEOUT)
        .keep_alive_while_idle(true)
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(STREAM_WINDOW_BYTES)
        .handshake(TokioIo::new(tcp))
        .await?;
    // The stream over the connection sees the same error, so this one tells nothing new.
    tokio::spawn(async move { drop(connection.await) });
    Ok(StatsServiceClient::with_origin(Connection { sender }, address.origin.clone()))
}

/// Sends gRPC requests over one connection.
#[derive(Debug, Clone)]
pub(crate) struct Connection {
    sender: http2::SendRequest<Body>,
}

impl Service<Request<Body>> for Connection {
    type Response = Response<Incoming>;
    type Error = hyper::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.sender.poll_ready(context)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        Box::pin(self.sender.send_request(request))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_hosts_with_ports() {
        for good in ["127.0.0.1:9400", "http://controller.tidegate:80/", "[::1]:1", " a:1 "] {
            assert!(Address::parse(good).is_ok(), "{good}");
        }
        for bad in
            ["", "host", "host:", "host:x", ":80", "host:0", "h:1/path", "https://h:1", "h:99999"]
        {
            let error = Address::parse(bad).expect_err(bad);
            assert!(error.to_string().contains("expected host:port"), "{error}");
        }
    }
}
