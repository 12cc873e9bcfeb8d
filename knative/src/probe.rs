//! Probes by Knative's rules: who asks, whom they ask, and what a wrong question is told.
//!
//! What a sidecar or an activator makes of a probe is its own affair; how one is told from traffic
//! must be the same everywhere, or a request is a probe to one and traffic to the other.

use http::HeaderMap;
use http::header::{HeaderValue, USER_AGENT};

use crate::headers::{KUBELET_PROBE, NETWORK_HASH, NETWORK_PROBE};

/// How the kubelet's user agent begins.
pub const KUBELET_AGENT: &str = "kube-probe/";
/// How user agents begin of those who ask a sidecar for readiness: the kubelet, activators, the
/// autoscaler.
const PROBERS: [&str; 3] = [KUBELET_AGENT, "Knative-Activator-Probe", "Knative-Autoscaling-Probe"];

/// What a sidecar calls itself when it probes its app: Knative's never fills in the version.
pub const SIDECAR_AGENT: &str = "kube-probe//";

/// What the header says that asks a sidecar, and what a ready one answers.
pub const QUEUE: &str = "queue";
/// What the header says that asks an activator, and what it answers.
pub const ACTIVATOR: &str = "activator";
/// What the header says that asks whether this is the network that it should be.
pub const NETWORK: &str = "probe";

/// What a question without a hash is told.
pub const HASH_IS_MISSING: &str =
    "a probe request must contain a non-empty \"K-Network-Hash\" header";

/// Whom a request asks: the value of its [`NETWORK_PROBE`] header; empty without one.
pub fn asks(headers: &HeaderMap) -> &[u8] {
    headers.get(NETWORK_PROBE).map_or(b"", HeaderValue::as_bytes)
}

/// The hash that is to be echoed; `None` when there is none, which is an error of the one who asks.
pub fn hash(headers: &HeaderMap) -> Option<&HeaderValue> {
    headers.get(NETWORK_HASH).filter(|hash| !hash.is_empty())
}

/// Whether the kubelet sent this, by its own word.
pub fn is_from_kubelet(headers: &HeaderMap) -> bool {
    agent(headers).starts_with(KUBELET_AGENT.as_bytes())
}

/// Whether one sent this who asks sidecars for readiness.
pub fn is_from_prober(headers: &HeaderMap) -> bool {
    PROBERS.iter().any(|prober| agent(headers).starts_with(prober.as_bytes()))
}

/// Whether a request is a probe, or marks itself as one, whoever sent it: it is then no part of
/// metrics and logs, even when it is forwarded.
pub fn is_probe(headers: &HeaderMap) -> bool {
    let marked = |name| headers.get(name).is_some_and(|value: &HeaderValue| !value.is_empty());
    marked(NETWORK_PROBE) || marked(KUBELET_PROBE) || is_from_prober(headers)
}

/// What one is told who asks for somebody else: the question is repeated, byte for byte.
pub fn unexpected(asked: &[u8]) -> Vec<u8> {
    [b"unexpected probe header value: ", asked].concat()
}

fn agent(headers: &HeaderMap) -> &[u8] {
    headers.get(USER_AGENT).map_or(b"", HeaderValue::as_bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(lines: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.insert(*name, HeaderValue::from_static(value));
        }
        headers
    }

    #[test]
    fn a_prober_is_told_by_how_its_user_agent_begins() {
        for (agent, kubelet, prober) in [
            ("kube-probe/1.30", true, true),
            ("Knative-Activator-Probe", false, true),
            ("Knative-Autoscaling-Probe/x", false, true),
            ("my kube-probe/1", false, false),
            ("curl/8", false, false),
        ] {
            let headers = headers(&[("user-agent", agent)]);
            assert_eq!(is_from_kubelet(&headers), kubelet, "{agent}");
            assert_eq!(is_from_prober(&headers), prober, "{agent}");
            assert_eq!(is_probe(&headers), prober, "{agent}");
        }
    }

    #[test]
    fn who_marks_a_request_as_a_probe_keeps_it_out_of_metrics() {
        assert!(is_probe(&headers(&[("k-network-probe", "anything")])));
        assert!(is_probe(&headers(&[("k-kubelet-probe", "x")])));
        assert!(!is_probe(&headers(&[("k-network-probe", ""), ("k-network-hash", "x")])));
    }

    #[test]
    fn an_empty_hash_is_none() {
        assert_eq!(hash(&headers(&[("k-network-hash", "")])), None);
        let asked = headers(&[("k-network-probe", "probe"), ("k-network-hash", "deadbeef")]);
        assert_eq!(asks(&asked), NETWORK.as_bytes());
        assert_eq!(hash(&asked), Some(&HeaderValue::from_static("deadbeef")));
        assert_eq!(asks(&HeaderMap::new()), b"");
    }
}
