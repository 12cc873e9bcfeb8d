//! What a request on the main listener is: somebody's question whether we live, or traffic.
//!
//! Path and method do not matter. The order of the tests does.

use http::header::USER_AGENT;
use http::{HeaderMap, HeaderValue, StatusCode};
use tidegate_relay::Reply;

use crate::drain::Draining;
use crate::knative::names;
use crate::probe::{Prober, Verdict};

/// User agents of those who ask for readiness: the kubelet, activators, the autoscaler.
const PROBERS: [&[u8]; 3] =
    [b"kube-probe/", b"Knative-Activator-Probe", b"Knative-Autoscaling-Probe"];
/// What readiness probes say in `K-Network-Probe`.
const QUEUE: &[u8] = b"queue";
/// What network probes say in `K-Network-Probe`.
const PROBE: &[u8] = b"probe";

/// What a request is.
#[derive(Debug, Clone, PartialEq)]
pub enum Kind {
    /// Is the app ready?
    Readiness,
    /// A prober that asks for somebody else than us; its question is repeated to it.
    WrongProbe(Vec<u8>),
    /// Is this the network that it should be? The hash is echoed.
    Network(HeaderValue),
    /// The same question without a hash.
    NetworkWithoutHash,
    /// For the app.
    Traffic,
}

/// Tells what a request is from its headers.
pub fn classify(headers: &HeaderMap) -> Kind {
    let probe = headers.get(names::NETWORK_PROBE).map_or(&b""[..], HeaderValue::as_bytes);
    if is_from_prober(headers) {
        return if probe == QUEUE { Kind::Readiness } else { Kind::WrongProbe(probe.to_vec()) };
    }
    if probe == PROBE {
        return match headers.get(names::NETWORK_HASH) {
            Some(hash) if !hash.is_empty() => Kind::Network(hash.clone()),
            _ => Kind::NetworkWithoutHash,
        };
    }
    Kind::Traffic
}

/// Whether a request is a probe, or marks itself as one, whoever sent it: it is then no part of
/// metrics and logs, even when it is forwarded.
pub fn is_probe(headers: &HeaderMap) -> bool {
    let marked = |name| headers.get(name).is_some_and(|value: &HeaderValue| !value.is_empty());
    marked(names::NETWORK_PROBE) || marked(names::KUBELET_PROBE) || is_from_prober(headers)
}

fn is_from_prober(headers: &HeaderMap) -> bool {
    let agent = headers.get(USER_AGENT).map_or(&b""[..], HeaderValue::as_bytes);
    PROBERS.iter().any(|prober| agent.starts_with(prober))
}

/// The answer to a probe. Traffic is not asked here; it would get what a probe without a hash gets.
/// Cancel safe.
pub async fn answer(kind: Kind, draining: &Draining, prober: &Prober) -> Reply {
    if draining.is_on() {
        return Reply::error(StatusCode::SERVICE_UNAVAILABLE, "shutting down");
    }
    match kind {
        Kind::Readiness => match prober.check().await {
            Verdict::Ready => Reply::text(StatusCode::OK, &b"queue"[..]),
            Verdict::NotReady => Reply::empty(StatusCode::SERVICE_UNAVAILABLE),
        },
        Kind::WrongProbe(value) => {
            let mut message = b"unexpected probe header value: ".to_vec();
            message.extend_from_slice(&value);
            let mut reply = Reply::error(StatusCode::BAD_REQUEST, "");
            message.push(b'\n');
            reply.body = message.into();
            reply
        }
        Kind::Network(hash) => Reply::empty(StatusCode::OK).with_header(names::NETWORK_HASH, hash),
        Kind::NetworkWithoutHash | Kind::Traffic => Reply::error(
            StatusCode::BAD_REQUEST,
            "a probe request must contain a non-empty \"K-Network-Hash\" header",
        ),
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
