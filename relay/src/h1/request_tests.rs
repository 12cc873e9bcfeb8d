use super::*;
use crate::h1::encoder;
use proptest::prelude::*;

fn parsed(head: &[u8]) -> Result<ParsedRequest, HeadRefusal> {
    parse(&Bytes::copy_from_slice(head), Scheme::Http, HeaderMap::new())
}

#[test]
fn a_plain_head_is_parsed() {
    let parsed = parsed(
        b"POST /x?y HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\nX-A: 1\r\n\
          Connection: keep-alive\r\nTE: trailers\r\nExpect: 100-Continue\r\n\r\n",
    )
    .map_err(|refusal| refusal.status)
    .expect("a valid head");
    let head = parsed.head;
    assert_eq!(head.method, Method::POST);
    assert_eq!(head.target, "/x?y");
    assert_eq!(head.path(), b"/x");
    assert_eq!(head.host.as_ref().map(|host| host.as_bytes()), Some(&b"h"[..]));
    assert_eq!(head.body, BodyLength::Known(3));
    assert!(head.te_trailers && head.expect_continue && parsed.persistent);
    assert_eq!(head.headers.len(), 1);
}

#[test]
fn who_may_be_replayed() {
    let replayable = |head: &[u8]| parsed(head).map(|parsed| parsed.head.is_replayable()).ok();
    assert_eq!(replayable(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n"), Some(true));
    assert_eq!(replayable(b"GET / HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\n\r\n"), Some(false));
    assert_eq!(replayable(b"PUT / HTTP/1.1\r\nHost: h\r\n\r\n"), Some(false));
    assert_eq!(replayable(b"PUT / HTTP/1.1\r\nHost: h\r\nIdempotency-Key: k\r\n\r\n"), Some(true));
}

#[test]
fn an_upgrade_to_http2_is_not_forwarded() {
    let parsed = parsed(
        b"GET / HTTP/1.1\r\nHost: h\r\nConnection: Upgrade, HTTP2-Settings\r\n\
          Upgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n\r\n",
    );
    let parsed = parsed.map_err(|refusal| refusal.status).expect("a valid head");
    assert!(parsed.http2_settings.is_some());
    assert_eq!(parsed.head.upgrade, None);
    assert!(parsed.head.headers.is_empty());
}

/// Lines that smuggling attacks combine.
fn line() -> impl Strategy<Value = String> {
    prop_oneof![
        Just("Content-Length: 3".to_owned()),
        Just("Content-Length: 03".to_owned()),
        Just("Transfer-Encoding: chunked".to_owned()),
        Just("Transfer-Encoding: identity".to_owned()),
        Just("Host: h".to_owned()),
        Just("Connection: close, X-A".to_owned()),
        Just("Connection: Upgrade".to_owned()),
        Just("Upgrade: websocket".to_owned()),
        Just("X-A: 1".to_owned()),
        Just(" folded".to_owned()),
        Just(String::new()),
        "[ -~]{0,20}",
        "[A-Za-z-]{1,8}:[ \t]?[ -~]{0,12}",
    ]
}

proptest! {
    /// A strict parser reads from what is written to the app exactly what was parsed: one request,
    /// one framing, no field that appears only on one side.
    #[test]
    fn the_app_reads_what_was_parsed(
        start in prop_oneof![Just("GET /a?b HTTP/1.1"), Just("POST http://o/p HTTP/1.1"),
            Just("CONNECT a:1 HTTP/1.1"), Just("GET / HTTP/1.0"), Just("PUT /%zz//.. HTTP/1.1")],
        lines in proptest::collection::vec(line(), 0..8),
        ends in proptest::collection::vec(prop_oneof![4 => Just("\r\n"), 1 => Just("\n")], 10),
    ) {
        let mut text = format!("{start}\r\n");
        for (line, end) in lines.iter().zip(&ends) {
            text.push_str(line);
            text.push_str(end);
        }
        text.push_str("\r\n");
        let Ok(first) = parsed(text.as_bytes()) else { return Ok(()) };
        let mut wire = Vec::new();
        let address = HeaderValue::from_static("127.0.0.1:8080");
        let host = first.head.host.clone().unwrap_or(address);
        encoder::request(&mut wire, &first.head, &host);
        let heads = wire.windows(4).filter(|four| four == b"\r\n\r\n").count();
        prop_assert_eq!(heads, 1, "{}", wire.escape_ascii());
        prop_assert!(!wire.windows(2).any(|two| two[1] == b'\n' && two[0] != b'\r'));
        let second = parsed(&wire);
        let second = second.map_err(|_| TestCaseError::fail(wire.escape_ascii().to_string()))?;
        prop_assert_eq!(first.head.method, second.head.method);
        prop_assert_eq!(first.head.target, second.head.target);
        let bytes = |body| if body == BodyLength::Empty { BodyLength::Known(0) } else { body };
        prop_assert_eq!(bytes(first.head.body), bytes(second.head.body));
        prop_assert_eq!(first.head.upgrade, second.head.upgrade);
        prop_assert_eq!(first.head.headers, second.head.headers);
    }

    /// Arbitrary bytes are parsed or refused, and never cause a panic.
    #[test]
    fn garbage_is_refused(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = parsed(&bytes);
    }
}
