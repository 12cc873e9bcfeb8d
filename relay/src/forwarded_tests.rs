use super::*;
use proptest::prelude::*;

fn map(fields: &[(&HeaderName, &str)]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in fields {
        headers.append(*name, HeaderValue::from_str(value).expect("a valid value"));
    }
    headers
}

fn forwarded_of(fields: &[(&HeaderName, &str)]) -> Option<String> {
    let mut headers = map(fields);
    add_forwarded(&mut headers);
    headers.get(FORWARDED).map(|value| value.to_str().expect("ASCII").to_owned())
}

#[test]
fn no_field_is_made_from_empty_ones() {
    assert_eq!(forwarded_of(&[]), None);
    assert_eq!(forwarded_of(&[(&X_FORWARDED_FOR, "")]), None);
}

#[test]
fn nodes_host_and_proto_are_put_in_order() {
    let (from, host, proto) = (&X_FORWARDED_FOR, &X_FORWARDED_HOST, &X_FORWARDED_PROTO);
    for (fields, expected) in [
        (vec![(from, "1.2.3.4")], "for=1.2.3.4"),
        (
            vec![(from, "1.2.3.4, ::1"), (proto, "https"), (host, "ext")],
            "for=1.2.3.4;host=ext;proto=https, for=\"[::1]\"",
        ),
        (vec![(from, ",,,")], "for=, for=, for="),
        (vec![(host, "h")], "host=h"),
        (vec![(proto, "http")], "proto=http"),
        (vec![(proto, "http"), (host, "h")], "host=h;proto=http"),
        (vec![(from, "1.1.1.1"), (from, "2.2.2.2")], "for=1.1.1.1"),
    ] {
        assert_eq!(forwarded_of(&fields).as_deref(), Some(expected), "{fields:?}");
    }
}

/// A value of one parameter cannot add another parameter.
#[test]
fn values_cannot_inject_parameters() {
    let (from, host, proto) = (&X_FORWARDED_FOR, &X_FORWARDED_HOST, &X_FORWARDED_PROTO);
    for (fields, expected) in [
        (vec![(host, "a b")], None),
        (vec![(host, "h;proto=https")], None),
        (vec![(host, "u@h")], None),
        (vec![(host, "h\"")], None),
        (vec![(proto, "https;host=evil")], None),
        (vec![(proto, "https, for=1")], None),
        (vec![(from, "1.1.1.1;host=evil"), (host, "h")], Some("for=unknown;host=h")),
        (vec![(from, "\"x\", 2.2.2.2")], Some("for=unknown, for=2.2.2.2")),
        (vec![(from, "1.1.1.1"), (host, "a/b"), (proto, "http")], Some("for=1.1.1.1;proto=http")),
        (vec![(host, "[::1]:80")], Some("host=[::1]:80")),
    ] {
        assert_eq!(forwarded_of(&fields).as_deref(), expected, "{fields:?}");
    }
}

#[test]
fn an_existing_field_is_left_alone() {
    let mut headers = map(&[(&FORWARDED, "for=9.9.9.9"), (&X_FORWARDED_FOR, "1.2.3.4")]);
    add_forwarded(&mut headers);
    assert_eq!(headers[FORWARDED], "for=9.9.9.9");
}

#[test]
fn the_peer_is_appended_last() {
    let peer = IpAddr::from([10, 0, 0, 7]);
    let mut headers = map(&[]);
    append_forwarded_for(&mut headers, peer);
    assert_eq!(headers[X_FORWARDED_FOR], "10.0.0.7");
    let mut headers = map(&[(&X_FORWARDED_FOR, "1.1.1.1"), (&X_FORWARDED_FOR, "2.2.2.2, 3.3.3.3")]);
    append_forwarded_for(&mut headers, peer);
    let lines: Vec<_> = headers.get_all(X_FORWARDED_FOR).iter().collect();
    assert_eq!(lines, ["1.1.1.1, 2.2.2.2, 3.3.3.3, 10.0.0.7"]);
    let mapped: IpAddr = "::ffff:10.0.0.7".parse().expect("an address");
    let mut headers = map(&[]);
    append_forwarded_for(&mut headers, mapped);
    assert_eq!(headers[X_FORWARDED_FOR], "10.0.0.7");
}

proptest! {
    /// For any fields of a client, the result is valid and the peer is last.
    #[test]
    fn no_claim_breaks_a_field(
        claims in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..40), 0..4),
        host in proptest::collection::vec(any::<u8>(), 0..20),
        peer in any::<u32>(),
    ) {
        let mut headers = HeaderMap::new();
        for claim in &claims {
            if let Ok(value) = HeaderValue::from_bytes(claim) {
                headers.append(X_FORWARDED_FOR, value);
            }
        }
        if let Ok(value) = HeaderValue::from_bytes(&host) {
            headers.insert(X_FORWARDED_HOST, value);
        }
        let peer = IpAddr::from(peer.to_be_bytes());
        add_forwarded(&mut headers);
        append_forwarded_for(&mut headers, peer);
        prop_assert_eq!(headers.get_all(X_FORWARDED_FOR).iter().count(), 1);
        let line = headers[X_FORWARDED_FOR].as_bytes();
        prop_assert!(line.ends_with(peer.to_string().as_bytes()));
    }
}
