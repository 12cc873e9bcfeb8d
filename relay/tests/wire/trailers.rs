//! Fields behind a body, in both protocols and both directions.
//!
//! A pseudo-header in trailers, `:path` say, is malformed (RFC 9113, section 8.1). The HTTP/2
//! library removes it before the relay sees it, so it cannot be refused; these tests hold that it
//! reaches neither app nor client. Values that HTTP/1 cannot carry end the stream, and the fields
//! of the configured platform are dropped in both directions.

use tidegate_relay::{ServerSettings, TimeLimits};

use crate::frames::{
    END_HEADERS, END_STREAM, Frame, StreamOutcome, block, frame, headers_frame, next, open, outcome,
};
use crate::harness::{App, Proxy, Wire};
use crate::ways_in::http1_app;

const PLATFORM: &[&str] = &["k-", "knative-"];

async fn proxy_of_a_platform(app: &App) -> Proxy {
    let settings = ServerSettings { platform_fields: PLATFORM, ..ServerSettings::default() };
    Proxy::with(app.address, TimeLimits::default(), settings).await
}

/// Sends a request with these trailers over HTTP/2.
async fn upload(proxy: &Proxy, trailers: &[(&str, &str)]) -> Wire {
    let mut client = open(proxy).await;
    client.send(headers_frame("POST", &[(":path", "/"), (":authority", "h")], END_HEADERS)).await;
    client.send(frame(0, 0, b"ab")).await;
    client.send(frame(1, END_HEADERS | END_STREAM, &block(trailers))).await;
    client
}

#[tokio::test]
async fn pseudo_headers_behind_a_request_reach_no_http1_app() {
    for pseudo in [":path", ":authority", ":method", ":scheme", ":status", ":protocol"] {
        let (app, seen) = http1_app().await;
        let proxy = Proxy::before(&app).await;
        let value = if pseudo == ":status" { "200" } else { "/evil" };
        for trailers in [
            vec![(pseudo, value), ("x-sum", "1")],
            vec![("x-sum", "1"), (pseudo, value)],
            vec![(pseudo, value)],
        ] {
            let mut client = upload(&proxy, &trailers).await;
            let ended = outcome(&mut client).await;
            let seen = std::mem::take(&mut *seen.lock()).join("\n");
            assert!(!seen.contains("evil") && !seen.contains("\n:"), "{trailers:?}: {seen}");
            let whole = seen.ends_with("0\r\nX-Sum: 1\r\n\r\n") || seen.ends_with("0\r\n\r\n");
            assert!(whole || ended != StreamOutcome::Response, "{trailers:?}: {ended:?} {seen:?}");
        }
    }
}

/// An HTTP/2 app that responds with these frames, and reports the frames of its first request.
pub(crate) async fn frame_app(
    response: Vec<Vec<u8>>,
) -> (App, tokio::sync::oneshot::Receiver<Vec<Frame>>) {
    App::once(move |mut wire| async move {
        wire.raw(24).await;
        wire.send([0, 0, 0, 4, 0, 0, 0, 0, 0]).await;
        let mut frames = Vec::new();
        while let Some(frame) = next(&mut wire).await {
            let ended = frame.stream == 1 && frame.kind < 2 && frame.flags & END_STREAM != 0;
            frames.push(frame);
            if ended {
                break;
            }
        }
        for frame in response {
            wire.send(frame).await;
        }
        frames
    })
    .await
}

fn response_with(trailers: &[(&str, &str)]) -> Vec<Vec<u8>> {
    vec![
        frame(1, END_HEADERS, &block(&[(":status", "200"), ("content-type", "a/b")])),
        frame(0, 0, b"ab"),
        frame(1, END_HEADERS | END_STREAM, &block(trailers)),
    ]
}

#[tokio::test]
async fn pseudo_headers_behind_a_request_reach_no_http2_app() {
    let (app, seen) = frame_app(response_with(&[("x-sum", "2")])).await;
    let proxy = Proxy::before(&app).await;
    let mut client = upload(&proxy, &[(":path", "/evil"), ("x-sum", "1")]).await;
    assert_eq!(outcome(&mut client).await, StreamOutcome::Response);
    let frames = seen.await.expect("the app got the request");
    let last = frames.last().expect("there are trailers");
    assert_eq!((last.kind, last.flags & END_STREAM), (1, END_STREAM));
    let holds = |text: &[u8]| last.payload.windows(text.len()).any(|part| part == text);
    assert!(!holds(b"evil") && !holds(b"path"), "{last:?}");
}

#[tokio::test]
async fn pseudo_headers_behind_an_response_reach_no_client() {
    for pseudo in [(":path", "/evil"), (":status", "418")] {
        let (app, _) = frame_app(response_with(&[pseudo, ("x-sum", "2")])).await;
        let proxy = Proxy::before(&app).await;
        let mut client = upload(&proxy, &[("x-sum", "1")]).await;
        let mut bytes = Vec::new();
        while let Some(frame) = next(&mut client).await {
            let ended = frame.stream == 1 && (frame.flags & END_STREAM != 0 || frame.kind == 3);
            bytes.extend(frame.payload);
            if ended || frame.kind == 7 {
                break;
            }
        }
        let holds = |text: &[u8]| bytes.windows(text.len()).any(|part| part == text);
        assert!(!holds(b"evil") && !holds(b"418"), "{}", bytes.escape_ascii());
    }
}

#[tokio::test]
async fn values_that_no_head_may_have_are_refused_behind_a_request() {
    for value in [" a", "a ", "\ta", "a\t", "a\r\nb", "a\nb", "a\0b", "a\x01b", "a\x7fb"] {
        let (app, seen) = http1_app().await;
        let proxy = Proxy::before(&app).await;
        let mut client = upload(&proxy, &[("x-sum", value)]).await;
        assert_ne!(outcome(&mut client).await, StreamOutcome::Response, "{value:?}");
        assert!(!seen.lock().join("\n").contains("X-Sum"), "{value:?}: {:?}", seen.lock());
    }
}

#[tokio::test]
async fn values_that_no_head_may_have_never_reach_a_client() {
    for value in ["a\r\nb: c", "a\nb", "a\0b", "a\x01b", "a\x7fb", " a", "a "] {
        let (app, _) = frame_app(response_with(&[("x-sum", value)])).await;
        let proxy = Proxy::before(&app).await;
        let mut client = upload(&proxy, &[("x-sum", "1")]).await;
        let mut last = None;
        while let Some(frame) = next(&mut client).await {
            let ended = frame.stream == 1 && (frame.flags & END_STREAM != 0 || frame.kind == 3);
            last = Some(frame);
            if ended || last.as_ref().is_some_and(|frame| frame.kind == 7) {
                break;
            }
        }
        let payload = last.map(|frame| frame.payload).unwrap_or_default();
        let control = |byte: &u8| matches!(byte, b'\r' | b'\n');
        assert!(!payload.iter().any(control), "{value:?}: {}", payload.escape_ascii());
    }
}

/// The prefixes of one platform were constants of the relay. They are a setting now.
#[tokio::test]
async fn fields_of_the_platform_do_not_trail() {
    let trailers =
        "K-Original-Host: evil\r\nKnative-Serving-Revision: r\r\nX-Sum: 1\r\nMark-K-: 2\r\n";
    let request = format!(
        "POST / HTTP/1.1\r\nHost: h\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n\
         2\r\nab\r\n0\r\n{trailers}\r\n"
    );
    let response = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: a/b\r\nTransfer-Encoding: chunked\r\n\r\n\
         0\r\n{trailers}\r\n"
    );
    for (platform, kept) in [
        (PLATFORM, "0\r\nX-Sum: 1\r\nMark-K-: 2\r\n\r\n".to_owned()),
        (&[][..], format!("0\r\n{trailers}\r\n")),
    ] {
        let response = response.clone();
        let (app, seen) = App::once(|mut wire| async move {
            let head = wire.head().await;
            let body = wire.until("\r\n0\r\n").await + &wire.head().await;
            wire.send(response).await;
            head + &body
        })
        .await;
        let settings = ServerSettings { platform_fields: platform, ..ServerSettings::default() };
        let proxy = Proxy::with(app.address, TimeLimits::default(), settings).await;
        let response = proxy.request(&request).await;
        assert!(response.ends_with(&kept), "{platform:?}: {response}");
        let seen = seen.await.expect("the app got the request");
        assert!(seen.ends_with(&kept), "{platform:?}: {seen}");
    }
}

#[tokio::test]
async fn fields_of_the_platform_do_not_trail_over_http2_either() {
    let (app, seen) = http1_app().await;
    let proxy = proxy_of_a_platform(&app).await;
    let trailers = [("k-original-host", "evil"), ("knative-x", "y"), ("x-sum", "1")];
    let mut client = upload(&proxy, &trailers).await;
    assert_eq!(outcome(&mut client).await, StreamOutcome::Response);
    let seen = seen.lock().join("\n");
    assert!(seen.ends_with("0\r\nX-Sum: 1\r\n\r\n"), "{seen:?}");
}
