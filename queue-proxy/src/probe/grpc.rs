//! gRPC probes: the standard health service, `grpc.health.v1.Health/Check`.

use http::{HeaderMap, HeaderValue, Request, header};
use http_body_util::{BodyExt, Full};
use hyper::body::Bytes;
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use prost::Message;
use tidegate_dial::Host;

use super::ProbeFailure;
use super::dial::connect;
use super::http::{USER_AGENT, WINDOW};

/// The longest response that is read; a real one has 7 bytes.
const LONGEST_RESPONSE: usize = 4 << 10;
/// `HealthCheckResponse.ServingStatus.SERVING`.
const SERVING: i32 = 1;
/// A gRPC message is prefixed by a compression flag and a length of four bytes.
const PREFIX: usize = 5;

#[derive(Clone, PartialEq, Message)]
struct HealthCheckRequest {
    #[prost(string, tag = "1")]
    service: String,
}

#[derive(Clone, PartialEq, Message)]
struct HealthCheckResponse {
    #[prost(int32, tag = "1")]
    status: i32,
}

/// Passes when the service reports `SERVING`.
pub(super) async fn probe(port: u16, service: &str) -> Result<(), ProbeFailure> {
    let stream = connect(&Host::new("127.0.0.1"), port).await?;
    let (mut sender, connection) = http2::Builder::new(TokioExecutor::new())
        .initial_stream_window_size(WINDOW)
        .initial_connection_window_size(WINDOW)
        .max_header_list_size(WINDOW)
        .handshake(TokioIo::new(stream))
        .await
        .map_err(ProbeFailure::protocol)?;
    let request = request(port, service)?;
    let response = async {
        let response = sender.send_request(request).await.map_err(ProbeFailure::protocol)?;
        if response.status() != http::StatusCode::OK {
            return Err(ProbeFailure::NotGrpc(response.status().as_u16()));
        }
        let early_status = grpc_status(response.headers());
        let body = http_body_util::Limited::new(response.into_body(), LONGEST_RESPONSE);
        let collected = body.collect().await.map_err(ProbeFailure::Protocol)?;
        let status = collected.trailers().and_then(grpc_status).or(early_status);
        Ok((status, collected.to_bytes()))
    };
    let mut response = std::pin::pin!(response);
    let (status, body) = tokio::select! {
        biased;
        response = &mut response => response?,
        // What was read before the end has been handed over; the end alone decides nothing.
        _ended = connection => response.await?,
    };
    match status.as_deref() {
        Some("0") => {}
        other => {
            // It is a number of two digits unless the app makes something up.
            let status = other.unwrap_or("missing").chars().take(8).collect();
            return Err(ProbeFailure::Refused { status });
        }
    }
    let message = body.get(PREFIX..).unwrap_or_default();
    let response = HealthCheckResponse::decode(message).map_err(ProbeFailure::protocol)?;
    if response.status == SERVING { Ok(()) } else { Err(ProbeFailure::NotServing(response.status)) }
}

fn request(port: u16, service: &str) -> Result<Request<Full<Bytes>>, ProbeFailure> {
    let message = HealthCheckRequest { service: service.to_owned() }.encode_to_vec();
    let length = u32::try_from(message.len()).unwrap_or(u32::MAX);
    let mut body = vec![0];
    body.extend_from_slice(&length.to_be_bytes());
    body.extend_from_slice(&message);
    Request::post(format!("http://127.0.0.1:{port}/grpc.health.v1.Health/Check"))
        .header(header::CONTENT_TYPE, HeaderValue::from_static("application/grpc"))
        .header(header::TE, HeaderValue::from_static("trailers"))
        .header(header::USER_AGENT, HeaderValue::from_static(USER_AGENT))
        .body(Full::new(Bytes::from(body)))
        .map_err(ProbeFailure::request)
}

fn grpc_status(headers: &HeaderMap) -> Option<String> {
    headers.get("grpc-status").and_then(|value| value.to_str().ok()).map(str::to_owned)
}
