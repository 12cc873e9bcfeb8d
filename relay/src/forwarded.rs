//! The fields that give an app its client's address: `X-Forwarded-For` and `Forwarded`.
//!
//! Pure functions over a header map, with the semantics of Go's reverse proxy and of Knative's
//! shim in front of it.

use std::cell::RefCell;
use std::net::IpAddr;

use http::HeaderMap;
use http::header::{FORWARDED, HeaderName, HeaderValue};

use crate::host;

/// `X-Forwarded-For`: the addresses of the client and of every proxy so far.
pub const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
/// `X-Forwarded-Host`: the host that the first client requested.
pub const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
/// `X-Forwarded-Proto`: the scheme the first client used.
pub const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");

/// Adds the standard `Forwarded` field, made from the `X-Forwarded-*` fields, when there is
/// none yet and there is something to make it from. Call it before
/// [`append_forwarded_for`]: the peer itself is not part of it.
///
/// Only the first line of each field counts. A client chooses these values, so what is no host, no
/// scheme or no address does not become a parameter of a field that is made here: a host and a
/// scheme are left out, an address is `unknown` (RFC 7239, section 6.2).
pub fn add_forwarded(headers: &mut HeaderMap) {
    let is_empty = |value: &HeaderValue| value.is_empty();
    if headers.get(FORWARDED).is_some_and(|value| !is_empty(value)) {
        return;
    }
    let nodes = headers.get(&X_FORWARDED_FOR).filter(|value| !is_empty(value));
    let host = headers.get(&X_FORWARDED_HOST).filter(|host| {
        // A name may hold a semicolon, but then it would end the parameter here.
        host::is_valid(host.as_bytes()) && is_plain(host.as_bytes())
    });
    let proto = headers.get(&X_FORWARDED_PROTO).filter(|proto| is_scheme(proto.as_bytes()));
    if nodes.is_none() && host.is_none() && proto.is_none() {
        return;
    }
    let value = forwarded(
        nodes.map(HeaderValue::as_bytes),
        host.map(HeaderValue::as_bytes),
        proto.map(HeaderValue::as_bytes),
    );
    if let Ok(value) = HeaderValue::from_maybe_shared(bytes::Bytes::from(value)) {
        headers.insert(FORWARDED, value);
    }
}

fn forwarded(nodes: Option<&[u8]>, host: Option<&[u8]>, proto: Option<&[u8]>) -> Vec<u8> {
    let mut value = Vec::with_capacity(64);
    // A comma at the very end opens no further node.
    let nodes = nodes.map(|nodes| nodes.strip_suffix(b",").unwrap_or(nodes));
    let mut nodes = nodes.map(|nodes| nodes.split(|byte| *byte == b',')).into_iter().flatten();
    if let Some(first) = nodes.next() {
        node(&mut value, first);
    }
    for (name, text) in [(&b"host="[..], host), (&b"proto="[..], proto)] {
        if let Some(text) = text {
            if !value.is_empty() {
                value.push(b';');
            }
            value.extend_from_slice(name);
            value.extend_from_slice(text);
        }
    }
    for next in nodes {
        value.extend_from_slice(b", ");
        node(&mut value, next);
    }
    value
}

/// One `for=`; an IPv6 address is quoted and bracketed (RFC 7239, section 6).
fn node(value: &mut Vec<u8>, address: &[u8]) {
    let address = address.trim_ascii();
    value.extend_from_slice(b"for=");
    if !is_plain(address) {
        value.extend_from_slice(b"unknown");
    } else if memchr::memchr(b':', address).is_some() {
        value.extend_from_slice(b"\"[");
        value.extend_from_slice(address);
        value.extend_from_slice(b"]\"");
    } else {
        value.extend_from_slice(address);
    }
}

/// Whether a value of `Forwarded` can hold `text` and nothing of it ends the parameter.
fn is_plain(text: &[u8]) -> bool {
    text.iter().all(|byte| byte.is_ascii_alphanumeric() || b".:-_[]".contains(byte))
}

fn is_scheme(text: &[u8]) -> bool {
    let is_byte = |byte: &u8| byte.is_ascii_alphanumeric() || b"+-.".contains(byte);
    text.first().is_some_and(u8::is_ascii_alphabetic) && text.iter().all(is_byte)
}

/// Appends the peer to `X-Forwarded-For`, joining several lines into one.
pub fn append_forwarded_for(headers: &mut HeaderMap, peer: IpAddr) {
    let peer = peer_value(peer.to_canonical());
    let mut earlier = headers.get_all(&X_FORWARDED_FOR).iter().peekable();
    let value = match earlier.peek() {
        None => peer,
        Some(_) => {
            let mut joined = Vec::new();
            for value in earlier {
                joined.extend_from_slice(value.as_bytes());
                joined.extend_from_slice(b", ");
            }
            joined.extend_from_slice(peer.as_bytes());
            HeaderValue::from_maybe_shared(bytes::Bytes::from(joined)).unwrap_or(peer)
        }
    };
    headers.insert(X_FORWARDED_FOR, value);
}

/// An address as a value. Few peers make many requests, so the last one is remembered.
fn peer_value(peer: IpAddr) -> HeaderValue {
    thread_local! {
        static LAST: RefCell<Option<(IpAddr, HeaderValue)>> = const { RefCell::new(None) };
    }
    LAST.with_borrow_mut(|last| match last {
        Some((address, value)) if *address == peer => value.clone(),
        _ => {
            let text = peer.to_string();
            let value = HeaderValue::try_from(text).expect("an address is digits and colons");
            *last = Some((peer, value.clone()));
            value
        }
    })
}

#[cfg(test)]
#[path = "forwarded_tests.rs"]
mod tests;
