//! The fields of a request's head that are between the activator and an instance's sidecar.

use std::net::IpAddr;

use tidegate_knative::headers;
use tidegate_relay::http::header::{HeaderName, HeaderValue};
use tidegate_relay::{Exchange, RequestHead, Scheme, forwarded};

const FRONT_DOOR: HeaderName = HeaderName::from_static(tidegate_proto::FRONT_DOOR_HEADER);
pub(crate) const CREDIT: HeaderName = HeaderName::from_static(tidegate_proto::CREDIT_HEADER);
const FAILURE: HeaderName = HeaderName::from_static(tidegate_proto::FAILURE_HEADER);

/// Adds the secret by which the sidecar recognises its activator, and the scheme of the client's
/// request, which only the first proxy knows.
pub(crate) fn add_activator_fields(exchange: &mut Exchange, secret: &HeaderValue) {
    exchange.decline_marked(FAILURE);
    let head = exchange.head_mut();
    head.headers.insert(FRONT_DOOR, secret.clone());
    add_scheme(head);
}

/// Says by which scheme the client came, unless a proxy in front of this one has said so.
fn add_scheme(head: &mut RequestHead) {
    if !head.headers.contains_key(forwarded::X_FORWARDED_PROTO) {
        let scheme = HeaderValue::from_static(head.scheme.as_str());
        head.headers.insert(forwarded::X_FORWARDED_PROTO, scheme);
    }
}

/// The credit that goes with a request. What a client may have sent in its place is none.
pub(crate) fn show(head: &mut RequestHead, credit: Option<HeaderValue>) {
    match credit {
        Some(credit) => drop(head.headers.insert(CREDIT, credit)),
        None => drop(head.headers.remove(CREDIT)),
    }
}

/// Sets the headers that the instance's sidecar reads and removes those it must not receive.
pub(crate) fn rewrite(head: &mut RequestHead, peer: Option<IpAddr>) {
    headers::strip_routing(&mut head.headers);
    head.headers.insert(headers::PROXY_REQUEST, headers::ACTIVATOR);
    // Without the header an app takes the scheme for `http`, as Knative's apps do.
    if head.scheme == Scheme::Https {
        add_scheme(head);
    }
    if let Some(peer) = peer {
        forwarded::append_forwarded_for(&mut head.headers, peer);
    }
}
