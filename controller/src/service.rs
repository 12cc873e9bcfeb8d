//! The gRPC edge: wire types end here.

pub(crate) mod answer;
mod gate;
pub(crate) mod listener;
mod pace;
pub(crate) mod parts;
pub(crate) mod routes;
pub(crate) mod scale;
pub(crate) mod stats;
mod told;
mod unfinished;

use tidegate_proto::routes::v1::route_service_server::RouteServiceServer;
use tidegate_proto::scale::v1::scale_service_server::{ScaleService, ScaleServiceServer};
use tidegate_proto::stats::v1::stats_service_server::StatsServiceServer;
use tidegate_proto::{PING_INTERVAL, PING_TIMEOUT};
use tokio::net::TcpListener;
use tonic::transport::Server;

use self::gate::{Gate, Purpose};
use self::unfinished::{UNFINISHED_BYTES_MAX, UnfinishedBytes};
use crate::access::{Access, Gatekeeper};
use crate::metrics::Metrics;
use crate::task::Handle;

/// Streams of one connection. Tidegate's reporters open one; a mesh that shares connections opens
/// more.
const STREAMS_MAX: u32 = 128;

/// What a connection, or a stream of it, may send that has not been read yet. A report fits
/// hundreds of times, and the longest message takes four turns.
const WINDOW_BYTES: u32 = 64 * 1024;

/// Serves all services on `listener` to the callers that `access` admits, until `stop` resolves;
/// open streams are then cut, as reporters are made for that.
///
/// # Errors
///
/// When the listener fails.
pub async fn serve(
    handle: Handle,
    listener: TcpListener,
    access: Access,
    stop: impl Future<Output = ()>,
) -> Result<(), tonic::transport::Error> {
    let stats = stats::Stats::new(handle.clone(), access.addresses);
    let stats = StatsServiceServer::new(stats).max_decoding_message_size(stats::MESSAGE_BYTES_MAX);
    let metrics = handle.metrics().clone();
    let scale = ScaleServiceServer::new(scale::Scale::new(handle.clone()));
    let routes = RouteServiceServer::new(routes::RouteOffice::new(handle));
    let gatekeeper = Gatekeeper::new(access.secret, access.tokens, metrics);
    let unfinished = UnfinishedBytes::new(UNFINISHED_BYTES_MAX);
    let (incoming, accepting) = listener::connections(listener, access.tls, &gatekeeper);
    let serving = server()
        .add_service(Gate::before(stats, Purpose::Report, &gatekeeper, &unfinished))
        .add_service(Gate::before(scale, Purpose::Ask, &gatekeeper, &unfinished))
        .add_service(Gate::before(routes, Purpose::Ask, &gatekeeper, &unfinished))
        .serve_with_incoming(incoming);
    tokio::select! {
        served = serving => served,
        () = accepting => Ok(()),
        () = stop => Ok(()),
    }
}

/// Serves questions about decisions alone, which `scale` answers in place of a controller, on
/// `listener` to the callers that `access` admits, until `stop` resolves.
///
/// # Errors
///
/// When the listener fails.
pub async fn serve_questions(
    scale: impl ScaleService,
    listener: TcpListener,
    access: Access,
    stop: impl Future<Output = ()>,
) -> Result<(), tonic::transport::Error> {
    let gatekeeper = Gatekeeper::new(access.secret, access.tokens, Metrics::default());
    let unfinished = UnfinishedBytes::new(UNFINISHED_BYTES_MAX);
    let (incoming, accepting) = listener::connections(listener, access.tls, &gatekeeper);
    let scale = ScaleServiceServer::new(scale);
    let serving = server()
        .add_service(Gate::before(scale, Purpose::Ask, &gatekeeper, &unfinished))
        .serve_with_incoming(incoming);
    tokio::select! {
        served = serving => served,
        () = accepting => Ok(()),
        () = stop => Ok(()),
    }
}

/// A server within the bounds of all connections.
fn server() -> Server {
    Server::builder()
        .http2_keepalive_interval(Some(PING_INTERVAL))
        .http2_keepalive_timeout(Some(PING_TIMEOUT))
        .max_concurrent_streams(STREAMS_MAX)
        .initial_stream_window_size(WINDOW_BYTES)
        .initial_connection_window_size(WINDOW_BYTES)
}
