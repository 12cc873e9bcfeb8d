//! The platform's headers: their names, and what they mean for the route.

use http::HeaderMap;
use http::header::{HeaderName, HeaderValue};

/// Marks probes; its value names the component that is probed.
pub const NETWORK_PROBE: HeaderName = HeaderName::from_static("k-network-probe");
/// The hash that a probe of the ingress' configuration expects in the response.
pub const NETWORK_HASH: HeaderName = HeaderName::from_static("k-network-hash");
/// Marks the kubelet's probes that a mesh rewrote.
pub const KUBELET_PROBE: HeaderName = HeaderName::from_static("k-kubelet-probe");
/// `activator` when one forwarded the request, and so has counted it as well.
pub const PROXY_REQUEST: HeaderName = HeaderName::from_static("k-proxy-request");
/// The value of [`PROXY_REQUEST`].
pub const ACTIVATOR: HeaderValue = HeaderValue::from_static("activator");
/// The host that the client requested, when an ingress replaced it.
pub const ORIGINAL_HOST: HeaderName = HeaderName::from_static("k-original-host");
/// Names the revision. Set by an ingress for each weighted backend, and never sent on.
pub const SERVING_REVISION: HeaderName = HeaderName::from_static("knative-serving-revision");
/// Names the namespace of the revision. Set and removed together with [`SERVING_REVISION`].
pub const SERVING_NAMESPACE: HeaderName = HeaderName::from_static("knative-serving-namespace");
/// The tag of the route.
pub const SERVING_TAG: HeaderName = HeaderName::from_static("knative-serving-tag");
/// Whether the default route was taken.
pub const SERVING_DEFAULT_ROUTE: HeaderName =
    HeaderName::from_static("knative-serving-default-route");

/// The prefixes of the header fields that Knative and this project route by and trust. Trailers
/// must not contain one.
pub const PLATFORM_FIELDS: &[&str] = &["k-", "knative-", "tidegate-"];

/// Removes the fields that routed the request to this component.
pub fn strip_routing(headers: &mut HeaderMap) {
    headers.remove(SERVING_REVISION);
    headers.remove(SERVING_NAMESPACE);
}

/// The value of the `kn.route.tag` attribute.
pub fn route_tag(headers: &HeaderMap) -> &str {
    let value = |name: HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
    let tag = value(SERVING_TAG).unwrap_or("");
    let default_route = value(SERVING_DEFAULT_ROUTE).unwrap_or("");
    match (tag, default_route) {
        ("", "") => "kn:disabled",
        ("", _) => "kn:default",
        (_, "true") => "kn:undefined",
        (tag, _) => tag,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_route_tag_follows_both_headers() {
        for (tag, default_route, expected) in [
            (None, None, "kn:disabled"),
            (None, Some("true"), "kn:default"),
            (Some("blue"), Some("true"), "kn:undefined"),
            (Some("blue"), Some("false"), "blue"),
            (Some("blue"), None, "blue"),
        ] {
            let mut headers = HeaderMap::new();
            if let Some(tag) = tag {
                headers.insert(SERVING_TAG, tag.parse().unwrap());
            }
            if let Some(default_route) = default_route {
                headers.insert(SERVING_DEFAULT_ROUTE, default_route.parse().unwrap());
            }
            assert_eq!(route_tag(&headers), expected);
        }
    }
}
