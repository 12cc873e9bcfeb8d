//! Probes of the activator itself, by Knative's rules. They are never counted, held or forwarded.

use tidegate_knative::{headers, probe, text};
use tidegate_relay::http::StatusCode;
use tidegate_relay::{Phase, Reply, RequestHead};

/// The response to a probe; `None` if the request is for an app.
///
/// Readiness does not depend on the controller: with it gone, requests still flow.
pub fn respond(head: &RequestHead, phase: Phase) -> Option<Reply> {
    if probe::is_from_kubelet(&head.headers) {
        return Some(match phase {
            Phase::Serving => Reply::empty(StatusCode::OK),
            Phase::Draining | Phase::Closing => {
                Reply::error(StatusCode::SERVICE_UNAVAILABLE, text::SHUTTING_DOWN)
            }
        });
    }
    if !head.headers.contains_key(headers::NETWORK_PROBE) {
        return None;
    }
    let asked = probe::target(&head.headers);
    if asked == probe::ACTIVATOR.as_bytes() {
        return Some(Reply::text(StatusCode::OK, probe::ACTIVATOR));
    }
    if asked != probe::NETWORK.as_bytes() {
        return Some(Reply::error(StatusCode::BAD_REQUEST, probe::unexpected(asked)));
    }
    Some(match probe::hash(&head.headers) {
        Some(hash) => Reply::empty(StatusCode::OK).with_header(headers::NETWORK_HASH, hash.clone()),
        None => Reply::error(StatusCode::BAD_REQUEST, probe::HASH_IS_MISSING),
    })
}
