//! Whether a request on the main listener is a probe or traffic.
//!
//! Path and method do not matter. The order of the tests does.

use http::{HeaderMap, HeaderValue, StatusCode};
use tidegate_knative::{headers, probe, text};
use tidegate_relay::Reply;

use crate::drain::Draining;
use crate::probe::{ProbeResult, Prober};

/// What a request is.
#[derive(Debug, Clone, PartialEq)]
pub enum Kind {
    /// A probe of the app's readiness.
    Readiness,
    /// A probe for another component; its name is repeated in the response.
    WrongProbe(Vec<u8>),
    /// A network probe; its hash is echoed.
    Network(HeaderValue),
    /// A network probe without a hash.
    NetworkWithoutHash,
    /// For the app.
    Traffic,
}

/// Classifies a request by its headers.
pub fn classify(headers: &HeaderMap) -> Kind {
    let asked = probe::target(headers);
    if probe::is_from_prober(headers) {
        let asks_sidecar = asked == probe::QUEUE.as_bytes();
        return if asks_sidecar { Kind::Readiness } else { Kind::WrongProbe(asked.to_vec()) };
    }
    if asked == probe::NETWORK.as_bytes() {
        return match probe::hash(headers) {
            Some(hash) => Kind::Network(hash.clone()),
            None => Kind::NetworkWithoutHash,
        };
    }
    Kind::Traffic
}

/// The response to a probe. Traffic is never passed here; it would get the response of a probe
/// without a hash. Cancel safe.
pub async fn respond(kind: Kind, draining: &Draining, prober: &Prober) -> Reply {
    if draining.is_on() {
        return Reply::error(StatusCode::SERVICE_UNAVAILABLE, text::SHUTTING_DOWN);
    }
    match kind {
        Kind::Readiness => match prober.check().await {
            ProbeResult::Ready => Reply::text(StatusCode::OK, probe::QUEUE),
            ProbeResult::NotReady => Reply::empty(StatusCode::SERVICE_UNAVAILABLE),
        },
        Kind::WrongProbe(asked) => Reply::error(StatusCode::BAD_REQUEST, probe::unexpected(&asked)),
        Kind::Network(hash) => {
            Reply::empty(StatusCode::OK).with_header(headers::NETWORK_HASH, hash)
        }
        Kind::NetworkWithoutHash | Kind::Traffic => {
            Reply::error(StatusCode::BAD_REQUEST, probe::HASH_IS_MISSING)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kind(lines: &[(&'static str, &'static str)]) -> Kind {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.insert(*name, HeaderValue::from_static(value));
        }
        classify(&headers)
    }

    #[test]
    fn the_user_agent_wins_over_the_header() {
        let wrong = |value: &str| Kind::WrongProbe(value.as_bytes().to_vec());
        assert_eq!(kind(&[("user-agent", "kube-probe/1.30")]), wrong(""));
        for agent in ["kube-probe/1.30", "Knative-Activator-Probe", "Knative-Autoscaling-Probe/x"] {
            assert_eq!(
                kind(&[("user-agent", agent), ("k-network-probe", "queue")]),
                Kind::Readiness
            );
            assert_eq!(
                kind(&[("user-agent", agent), ("k-network-probe", "activator")]),
                wrong("activator")
            );
        }
        assert_eq!(
            kind(&[
                ("user-agent", "kube-probe/1.30"),
                ("k-network-probe", "probe"),
                ("k-network-hash", "deadbeef"),
            ]),
            wrong("probe")
        );
    }

    #[test]
    fn network_probes_need_a_hash() {
        assert_eq!(kind(&[("k-network-probe", "probe")]), Kind::NetworkWithoutHash);
        assert_eq!(
            kind(&[("k-network-probe", "probe"), ("k-network-hash", "deadbeef")]),
            Kind::Network(HeaderValue::from_static("deadbeef"))
        );
    }

    #[test]
    fn everything_else_is_traffic() {
        assert_eq!(kind(&[]), Kind::Traffic);
        assert_eq!(kind(&[("user-agent", "curl"), ("k-network-probe", "queue")]), Kind::Traffic);
        assert_eq!(kind(&[("user-agent", "my kube-probe/1")]), Kind::Traffic);
        assert_eq!(kind(&[("k-kubelet-probe", "x")]), Kind::Traffic);
    }
}
