//! Sends requests to the API server and reads its responses.

use std::time::Duration;

use http_body_util::{BodyExt, Limited};
use kube::client::Body;
use serde_json::Value;

use crate::reconciler::Response;
use crate::request::{ApiRequest, Method};

/// How long a request may take. Every request of a holder of the Lease is over before another can
/// hold it: see [`RENEW_DEADLINE_MS`](crate::lease::RENEW_DEADLINE_MS).
pub(crate) const REQUEST_TIMEOUT: Duration = Duration::from_secs(4);

/// Longest response that is read: etcd keeps no object of more than 1.5 MiB.
const RESPONSE_BYTES_MAX: usize = 4 << 20;

/// The API server.
#[derive(Clone)]
pub(crate) struct Cluster {
    pub(crate) client: kube::Client,
}

impl Cluster {
    /// Sends a request. Cancelling it leaves open whether it is done.
    pub(crate) async fn send(&self, request: &ApiRequest) -> Response {
        match tokio::time::timeout(REQUEST_TIMEOUT, self.exchange(request)).await {
            Ok(Ok(response)) => response,
            Ok(Err(why)) => Response::Failed { why, wait_ms: 0 },
            Err(_) => {
                let why = format!("the API server did not answer within {REQUEST_TIMEOUT:?}");
                Response::Failed { why, wait_ms: 0 }
            }
        }
    }

    async fn exchange(&self, request: &ApiRequest) -> Result<Response, String> {
        let method = match request.method {
            Method::Get => http::Method::GET,
            Method::Post => http::Method::POST,
            Method::Put => http::Method::PUT,
            Method::Patch => http::Method::PATCH,
            Method::Delete => http::Method::DELETE,
        };
        let mut builder = http::Request::builder().method(method).uri(&request.path);
        builder = builder.header(http::header::ACCEPT, "application/json");
        let body = match request.content_type {
            Some(kind) => {
                builder = builder.header(http::header::CONTENT_TYPE, kind);
                serde_json::to_vec(&request.body).map_err(|error| error.to_string())?
            }
            None => Vec::new(),
        };
        let request = builder.body(Body::from(body)).map_err(|error| error.to_string())?;
        let response = self.client.send(request).await.map_err(|error| error.to_string())?;
        let status = response.status();
        let wait_ms = wait_ms(response.headers());
        let body = Limited::new(response.into_body(), RESPONSE_BYTES_MAX);
        let body = body.collect().await.map_err(|error| error.to_string())?.to_bytes();
        let object: Value = serde_json::from_slice(&body).unwrap_or_default();
        Ok(interpret(status.as_u16(), object, wait_ms))
    }
}

/// What a response means.
fn interpret(status: u16, object: Value, wait_ms: u64) -> Response {
    match status {
        200..=299 => Response::Done(object),
        404 => Response::NotFound,
        409 => Response::Conflict,
        _ => {
            let message = object.get("message").and_then(Value::as_str).unwrap_or_default();
            Response::Failed { why: format!("{status} {message}").trim().to_owned(), wait_ms }
        }
    }
}

/// `Retry-After` in milliseconds; the API server gives it in seconds.
fn wait_ms(headers: &http::HeaderMap) -> u64 {
    let value = headers.get(http::header::RETRY_AFTER).and_then(|value| value.to_str().ok());
    value.and_then(|text| text.trim().parse::<u64>().ok()).unwrap_or(0).saturating_mul(1_000)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn how_long_a_server_asks_to_wait_is_read_in_seconds() {
        let wait = |value: &str| {
            let mut headers = http::HeaderMap::new();
            let value = http::HeaderValue::from_str(value).expect("a value");
            headers.insert(http::header::RETRY_AFTER, value);
            wait_ms(&headers)
        };
        assert_eq!(wait("2"), 2_000);
        assert_eq!(wait(" 1 "), 1_000);
        // A date says nothing that could be compared with our clock, and waits as if unsaid.
        assert_eq!(wait("Wed, 21 Oct 2026 07:28:00 GMT"), 0);
        assert_eq!(wait("18446744073709551615"), u64::MAX);
        assert_eq!(wait_ms(&http::HeaderMap::new()), 0);
        let busy = interpret(429, json!({"message": "too many requests"}), 2_000);
        let why = "429 too many requests".to_owned();
        assert_eq!(busy, Response::Failed { why, wait_ms: 2_000 });
        assert_eq!(interpret(409, json!({}), 0), Response::Conflict);
    }
}
