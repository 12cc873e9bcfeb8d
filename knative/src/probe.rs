//! Probes by Knative's rules: which requests are probes, of which component, and the errors for
//! malformed ones.
//!
//! A sidecar and an activator respond to probes in their own ways; what distinguishes a probe from
//! traffic must be the same in both, or a request is a probe for one and traffic for the other.

use http::HeaderMap;
use http::header::{HeaderValue, USER_AGENT};

use crate::headers::{KUBELET_PROBE, NETWORK_HASH, NETWORK_PROBE};

/// The prefix of the kubelet's user agent.
pub const KUBELET_AGENT: &str = "kube-probe/";
/// The user agent of an autoscaler that probes whether activators are in a revision's path.
pub const AUTOSCALER_AGENT: &str = "Knative-Autoscaling-Probe";
/// The user agent of an activator that probes whether an instance is ready.
pub const ACTIVATOR_AGENT: &str = "Knative-Activator-Probe";
/// The prefixes of the user agents that probe a sidecar for readiness: the kubelet, activators, the
/// autoscaler.
const PROBERS: [&str; 3] = [KUBELET_AGENT, ACTIVATOR_AGENT, AUTOSCALER_AGENT];

/// The user agent of a sidecar that probes its app: Knative's leaves the version empty.
pub const SIDECAR_AGENT: &str = "kube-probe//";

/// The header's value for a sidecar, and the body of a ready one's response.
pub const QUEUE: &str = "queue";
/// The header's value for an activator, and the body of its response.
pub const ACTIVATOR: &str = "activator";
/// The header's value for a check of the network's configuration.
pub const NETWORK: &str = "probe";

/// The error for a probe without a hash.
pub const HASH_IS_MISSING: &str =
    "a probe request must contain a non-empty \"K-Network-Hash\" header";

/// The component that a request probes: the value of its [`NETWORK_PROBE`] header; empty without
/// one.
pub fn target(headers: &HeaderMap) -> &[u8] {
    headers.get(NETWORK_PROBE).map_or(b"", HeaderValue::as_bytes)
}

/// The hash that is to be echoed; `None` when there is none, which is the prober's error.
pub fn hash(headers: &HeaderMap) -> Option<&HeaderValue> {
    headers.get(NETWORK_HASH).filter(|hash| !hash.is_empty())
}

/// Whether the kubelet sent this, by its user agent.
pub fn is_from_kubelet(headers: &HeaderMap) -> bool {
    agent(headers).starts_with(KUBELET_AGENT.as_bytes())
}

/// Whether a prober of sidecars' readiness sent this, by its user agent.
pub fn is_from_prober(headers: &HeaderMap) -> bool {
    PROBERS.iter().any(|prober| agent(headers).starts_with(prober.as_bytes()))
}

/// Whether a request is a probe, or marks itself as one: it is then left out of metrics and logs,
/// even when it is forwarded.
pub fn is_probe(headers: &HeaderMap) -> bool {
    let marked = |name| headers.get(name).is_some_and(|value: &HeaderValue| !value.is_empty());
    marked(NETWORK_PROBE) || marked(KUBELET_PROBE) || is_from_prober(headers)
}

/// The error for a probe of another component: its value is repeated, byte for byte.
pub fn unexpected(value: &[u8]) -> Vec<u8> {
    [b"unexpected probe header value: ", value].concat()
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
    fn a_prober_is_recognised_by_its_user_agent() {
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
    fn a_request_that_is_marked_as_a_probe_is_one() {
        assert!(is_probe(&headers(&[("k-network-probe", "anything")])));
        assert!(is_probe(&headers(&[("k-kubelet-probe", "x")])));
        assert!(!is_probe(&headers(&[("k-network-probe", ""), ("k-network-hash", "x")])));
    }

    #[test]
    fn an_empty_hash_is_none() {
        assert_eq!(hash(&headers(&[("k-network-hash", "")])), None);
        let probe = headers(&[("k-network-probe", "probe"), ("k-network-hash", "deadbeef")]);
        assert_eq!(target(&probe), NETWORK.as_bytes());
        assert_eq!(hash(&probe), Some(&HeaderValue::from_static("deadbeef")));
        assert_eq!(target(&HeaderMap::new()), b"");
    }
}
