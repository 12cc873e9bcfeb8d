//! The gRPC edge: wire messages in and out, and nothing of them further in.

pub(crate) mod scale;
pub(crate) mod stats;

use std::time::Duration;

use tidegate_proto::scale::v1::scale_service_server::ScaleServiceServer;
use tidegate_proto::stats::v1::stats_service_server::StatsServiceServer;
use tokio::net::TcpListener;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::transport::Server;

use crate::task::Handle;

/// A reporter that answers no ping for this long is gone, whatever its TCP connection says.
const PING_EVERY: Duration = Duration::from_secs(10);
const PING_TIMEOUT: Duration = Duration::from_secs(5);

/// Serves reports and questions on `listener` until `stop` resolves; open streams are then cut,
/// as reporters are made for that.
///
/// # Errors
/// When the listener fails.
pub async fn serve(
    handle: Handle,
    listener: TcpListener,
    stop: impl Future<Output = ()>,
) -> Result<(), tonic::transport::Error> {
    let stats = StatsServiceServer::new(stats::Stats::new(handle.clone()));
    let scale = ScaleServiceServer::new(scale::Scale::new(handle));
    let serving = Server::builder()
        .tcp_nodelay(true)
        .http2_keepalive_interval(Some(PING_EVERY))
        .http2_keepalive_timeout(Some(PING_TIMEOUT))
        .add_service(stats)
        .add_service(scale)
        .serve_with_incoming(TcpListenerStream::new(listener));
    tokio::select! {
        served = serving => served,
        () = stop => Ok(()),
    }
}
