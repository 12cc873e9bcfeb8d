//! Asks a sidecar whether its app is ready, as a kubelet or an activator of Knative's does.
//!
//! Rare: only instances are asked that declined a request because their app refused it.

use std::time::Duration;

use tidegate_knative::{headers, probe};
use tidegate_relay::http::header::USER_AGENT;
use tidegate_relay::http::{Request, StatusCode};
use tidegate_reporter::Credentials;
use tidegate_reporter::transport::{Target, connect};
use tokio::time::timeout;
use tonic::body::Body;
use tonic::codegen::Service;

use super::backend::Backend;

/// Whether the sidecar says within `limit` that its app is ready. One that drains says no.
pub(super) async fn finds_ready(backend: &Backend, limit: Duration) -> bool {
    timeout(limit, ask(backend)).await.ok().flatten() == Some(StatusCode::OK)
}

/// What the sidecar responds, if it does.
async fn ask(backend: &Backend) -> Option<StatusCode> {
    let address = backend.upstream.address().to_string();
    let target = Target::new(&address, &Credentials::default()).ok()?;
    let mut connection = connect(&target).await.ok()?;
    let request = Request::get(target.origin())
        .header(USER_AGENT, probe::ACTIVATOR_AGENT)
        .header(headers::NETWORK_PROBE, probe::QUEUE)
        .body(Body::empty())
        .ok()?;
    Some(connection.call(request).await.ok()?.status())
}
