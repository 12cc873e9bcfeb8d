//! Bounds that held for bytes which came slowly, or for one reader only.
//!
//! A trailer section of more than 64 KiB was refused when its end had not come yet, and taken when
//! it came whole. A length of 2^63 and more was waited for, although an app whose lengths have a
//! sign reads a negative one, or none; Go refuses it.

use tidegate_relay::TimeLimits;

use crate::frames::{END_HEADERS, StreamOutcome, frame, headers_frame, open, outcome};
use crate::harness::{App, HELLO, Proxy};
use crate::ways_in::http1_app;

const TRAILERS_MAX: usize = 64 * 1024;

/// A request whose trailer section has so many bytes, its empty line included.
fn upload(trailer_bytes: usize) -> String {
    let value = "a".repeat(trailer_bytes - "X: \r\n\r\n".len());
    format!(
        "POST / HTTP/1.1\r\nHost: h\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n\
         1\r\nx\r\n0\r\nX: {value}\r\n\r\n"
    )
}

#[tokio::test]
async fn a_trailer_section_has_one_bound_however_it_comes() {
    for (bytes, taken) in [(TRAILERS_MAX, true), (TRAILERS_MAX + 1, false), (70_000, false)] {
        let (app, seen) = http1_app().await;
        let proxy = Proxy::limited(&app, TimeLimits::default()).await;
        let response = proxy.request(upload(bytes)).await;
        let status = if taken { "HTTP/1.1 200 " } else { "HTTP/1.1 400 " };
        assert!(response.starts_with(status), "{bytes}: {response}");
        assert_eq!(seen.lock().join("").contains("X: aaa"), taken, "{bytes}");
    }
}

#[tokio::test]
async fn a_length_has_a_bound_that_every_reader_shares() {
    let (app, seen) = App::responding(HELLO).await;
    let proxy = Proxy::before(&app).await;
    for length in ["9223372036854775808", "18446744073709551615"] {
        let head = format!("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: {length}\r\n\r\n");
        let response = proxy.request(head).await;
        assert!(response.starts_with("HTTP/1.1 400 "), "{response}");
        let mut client = open(&proxy).await;
        let fields = [(":path", "/"), (":authority", "h"), ("content-length", length)];
        client.send(headers_frame("POST", &fields, END_HEADERS)).await;
        client.send(frame(0, 0, b"ab")).await;
        assert_ne!(outcome(&mut client).await, StreamOutcome::Response);
    }
    assert!(seen.lock().is_empty(), "{:?}", seen.lock());
}
