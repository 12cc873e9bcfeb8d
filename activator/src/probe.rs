//! Questions to the front door itself, by Knative's rules. They are never counted, held or sent on.

use tidegate_relay::http::StatusCode;
use tidegate_relay::http::header::{HeaderName, HeaderValue, USER_AGENT};
use tidegate_relay::{Phase, Reply, RequestHead};

/// Asks a component of the network for its name.
const NETWORK_PROBE: HeaderName = HeaderName::from_static("k-network-probe");
/// What a probe of the ingress configuration wants back.
const NETWORK_HASH: HeaderName = HeaderName::from_static("k-network-hash");
/// Kubernetes' own probes begin their user agent with this.
const KUBELET: &[u8] = b"kube-probe/";

/// The answer to a probe; `None` if the request is for an app.
///
/// Readiness does not depend on the controller: with it gone, requests still flow.
pub fn answer(head: &RequestHead, phase: Phase) -> Option<Reply> {
    let agent = head.headers.get(USER_AGENT).map_or(&b""[..], HeaderValue::as_bytes);
    if agent.starts_with(KUBELET) {
        return Some(match phase {
            Phase::Serving => Reply::empty(StatusCode::OK),
            Phase::Draining | Phase::Closing => {
                Reply::error(StatusCode::SERVICE_UNAVAILABLE, "shutting down")
            }
        });
    }
    let wanted = head.headers.get(NETWORK_PROBE)?;
    Some(match wanted.as_bytes() {
        b"activator" => Reply::text(StatusCode::OK, "activator"),
        b"probe" => match head.headers.get(NETWORK_HASH).filter(|hash| !hash.is_empty()) {
            Some(hash) => Reply::empty(StatusCode::OK).with_header(NETWORK_HASH, hash.clone()),
            None => Reply::error(
                StatusCode::BAD_REQUEST,
                "a probe request must contain a non-empty \"K-Network-Hash\" header",
            ),
        },
        other => {
            let other = String::from_utf8_lossy(other);
            let text = format!("unexpected probe header value: {other}");
            Reply::error(StatusCode::BAD_REQUEST, &text)
        }
    })
}
