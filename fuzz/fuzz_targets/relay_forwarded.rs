//! Whatever clients claim about where they come from, the forwarding fields stay sound, and the
//! peer, whom we know, stays last.

#![no_main]

use std::net::IpAddr;

use libfuzzer_sys::fuzz_target;
use tidegate_relay::forwarded::{
    X_FORWARDED_FOR, X_FORWARDED_HOST, X_FORWARDED_PROTO, add_forwarded, append_forwarded_for,
};
use tidegate_relay::http::{HeaderMap, HeaderValue};

fuzz_target!(|input: (Vec<Vec<u8>>, Vec<u8>, Vec<u8>, u128)| {
    let (claims, host, proto, peer) = input;
    let mut headers = HeaderMap::new();
    let lines = claims.iter().map(|claim| (X_FORWARDED_FOR, claim));
    for (name, value) in lines.chain([(X_FORWARDED_HOST, &host), (X_FORWARDED_PROTO, &proto)]) {
        if let Ok(value) = HeaderValue::from_bytes(value) {
            let _ = headers.try_append(name, value);
        }
    }
    let peer = IpAddr::from(peer.to_be_bytes());
    add_forwarded(&mut headers);
    append_forwarded_for(&mut headers, peer);
    assert_eq!(headers.get_all(X_FORWARDED_FOR).iter().count(), 1);
    let expected = peer.to_canonical().to_string();
    assert!(headers[X_FORWARDED_FOR].as_bytes().ends_with(expected.as_bytes()));
});
