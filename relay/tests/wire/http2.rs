//! HTTP/2 on either side, and the translation between it and HTTP/1.

use bytes::Bytes;
use h2::client::SendRequest;
use h2::{Reason, RecvStream};
use http::{HeaderMap, Request, Response, StatusCode, Version};
use tokio::net::TcpStream;
use tokio::sync::mpsc;

use crate::harness::{App, HELLO, Proxy, Wire, field};

/// Opens an HTTP/2 connection to the proxy.
pub(crate) async fn client(proxy: &Proxy) -> SendRequest<Bytes> {
    let stream = TcpStream::connect(proxy.address).await.expect("the proxy listens");
    let (requests, connection) = h2::client::handshake(stream).await.expect("it supports HTTP/2");
    tokio::spawn(async move {
        let _ = connection.await;
    });
    requests.ready().await.expect("there is room for a stream")
}

fn get(path: &str) -> Request<()> {
    let uri = format!("http://h.example{path}");
    Request::builder().uri(uri).version(Version::HTTP_2).body(()).expect("a request")
}

/// Reads a body to its end.
async fn read(mut body: RecvStream) -> Result<(Vec<u8>, Option<HeaderMap>), h2::Error> {
    let mut whole = Vec::new();
    while let Some(piece) = body.data().await {
        let piece = piece?;
        let _ = body.flow_control().release_capacity(piece.len());
        whole.extend_from_slice(&piece);
    }
    Ok((whole, body.trailers().await?))
}

/// An HTTP/2 app that echoes body and trailers, and reports its requests.
async fn echo(wire: Wire, shown: mpsc::UnboundedSender<Request<()>>) {
    let Ok(mut connection) = h2::server::handshake(wire.stream).await else { return };
    while let Some(Ok((request, mut respond))) = connection.accept().await {
        let (parts, mut body) = request.into_parts();
        let _ = shown.send(Request::from_parts(parts, ()));
        tokio::spawn(async move {
            let mut sending =
                respond.send_response(Response::new(()), false).expect("the client is there");
            while let Some(Ok(piece)) = body.data().await {
                let _ = body.flow_control().release_capacity(piece.len());
                let _ = sending.send_data(piece, false);
            }
            let mut trailers = body.trailers().await.ok().flatten().unwrap_or_default();
            trailers.insert("grpc-status", http::HeaderValue::from_static("0"));
            let _ = sending.send_trailers(trailers);
        });
    }
}

async fn echoing() -> (App, mpsc::UnboundedReceiver<Request<()>>) {
    let (shown, seen) = mpsc::unbounded_channel();
    (App::scripted(move |wire, _| echo(wire, shown.clone())).await, seen)
}

#[tokio::test]
async fn a_unary_call_keeps_its_trailers_and_te() {
    let (app, mut seen) = echoing().await;
    let proxy = Proxy::before(&app).await;
    let mut requests = client(&proxy).await;
    let mut request = get("/pkg.Service/Call");
    *request.method_mut() = http::Method::POST;
    request.headers_mut().insert("te", http::HeaderValue::from_static("trailers"));
    request
        .headers_mut()
        .insert("content-type", http::HeaderValue::from_static("application/grpc"));
    let (response, mut sending) = requests.send_request(request, false).expect("it is sent");
    sending.send_data(Bytes::from_static(b"message"), false).expect("it is sent");
    let mut trailers = HeaderMap::new();
    trailers.insert("x-sum", http::HeaderValue::from_static("7"));
    sending.send_trailers(trailers).expect("they are sent");
    let response = response.await.expect("a response");
    assert_eq!(response.status(), StatusCode::OK);
    let (body, trailers) = read(response.into_body()).await.expect("a whole body");
    assert_eq!(body, b"message");
    let trailers = trailers.expect("trailers");
    assert_eq!(trailers["grpc-status"], "0");
    assert_eq!(trailers["x-sum"], "7");
    let request = seen.recv().await.expect("the app got the request");
    assert_eq!(request.version(), Version::HTTP_2);
    assert_eq!(request.uri().path(), "/pkg.Service/Call");
    assert_eq!(request.uri().authority().map(|host| host.as_str()), Some("h.example"));
    assert_eq!(request.headers()["te"], "trailers");
    assert_eq!(request.headers()["x-forwarded-for"], "127.0.0.1");
    proxy.until_held(0).await;
}

#[tokio::test]
async fn cookie_fields_are_joined() {
    let (app, mut seen) = echoing().await;
    let proxy = Proxy::before(&app).await;
    let mut requests = client(&proxy).await;
    let mut request = get("/");
    for pair in ["a=1", "b=2", "c=3"] {
        request.headers_mut().append("cookie", http::HeaderValue::from_static(pair));
    }
    let (response, _) = requests.send_request(request, true).expect("it is sent");
    response.await.expect("a response");
    let request = seen.recv().await.expect("the app got the request");
    let cookies: Vec<_> = request.headers().get_all("cookie").iter().collect();
    assert_eq!(cookies, ["a=1; b=2; c=3"]);
}

#[tokio::test]
async fn large_bodies_respect_both_windows() {
    let (app, _seen) = echoing().await;
    let proxy = Proxy::before(&app).await;
    let mut requests = client(&proxy).await;
    let mut request = get("/");
    *request.method_mut() = http::Method::POST;
    let (response, mut sending) = requests.send_request(request, false).expect("it is sent");
    let upload = async move {
        for n in 0u32..256 {
            let mut piece = Bytes::from(n.to_be_bytes().repeat(4096));
            while !piece.is_empty() {
                sending.reserve_capacity(piece.len());
                let room = std::future::poll_fn(|cx| sending.poll_capacity(cx)).await;
                let room = room.expect("the stream lives").expect("and flows").min(piece.len());
                sending.send_data(piece.split_to(room), false).expect("it is sent");
            }
        }
        sending.send_data(Bytes::new(), true).expect("it ends");
    };
    let download = async { read(response.await.expect("a response").into_body()).await };
    let ((), body) = tokio::join!(upload, download);
    let (body, _) = body.expect("a whole body");
    let expected: Vec<u8> = (0u32..256).flat_map(|n| n.to_be_bytes().repeat(4096)).collect();
    assert!(body == expected, "{} bytes came back, not the same {}", body.len(), expected.len());
}

#[tokio::test]
async fn an_http1_app_is_detected_and_gets_http1() {
    let app = App::scripted(|mut wire, _| async move {
        loop {
            let head = wire.head().await;
            if head.is_empty() || head.starts_with("PRI") {
                if head.starts_with("PRI") {
                    wire.send("HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n").await;
                }
                return;
            }
            let body = match field(&head, "transfer-encoding") {
                Some(_) => wire.until("0\r\n\r\n").await,
                None => String::new(),
            };
            let length = body.len();
            wire.send(format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n{body}")).await;
        }
    })
    .await;
    let proxy = Proxy::before(&app).await;
    let mut requests = client(&proxy).await;
    for _ in 0..3 {
        let (response, mut sending) = requests.send_request(get("/"), false).expect("it is sent");
        sending.send_data(Bytes::from_static(b"abc"), true).expect("it is sent");
        let response = response.await.expect("a response");
        assert_eq!(response.status(), StatusCode::OK);
        let (body, _) = read(response.into_body()).await.expect("a whole body");
        assert_eq!(body, b"3\r\nabc\r\n0\r\n\r\n");
        requests = requests.ready().await.expect("the connection is alive");
    }
}

#[tokio::test]
async fn an_http2_only_app_is_detected_and_gets_http2() {
    let (app, mut seen) = echoing().await;
    let proxy = Proxy::before(&app).await;
    for _ in 0..2 {
        let response = proxy.get("/from-h1").await;
        assert!(response.starts_with("HTTP/1.1 200 OK\r\n"), "{response}");
        assert!(response.ends_with("0\r\nGrpc-Status: 0\r\n\r\n"), "{response}");
        let request = seen.recv().await.expect("the app got the request");
        assert_eq!(request.uri().path(), "/from-h1");
    }
}

#[tokio::test]
async fn an_app_that_resets_or_dies_resets_the_stream() {
    for dies in [false, true] {
        let app = App::scripted(move |wire, _| async move {
            let Ok(mut connection) = h2::server::handshake(wire.stream).await else { return };
            while let Some(Ok((_, mut respond))) = connection.accept().await {
                let mut sending =
                    respond.send_response(Response::new(()), false).expect("the client is there");
                let _ = sending.send_data(Bytes::from_static(b"half"), false);
                if dies {
                    let _ = std::future::poll_fn(|cx| {
                        let _ = connection.poll_closed(cx);
                        std::task::Poll::Ready(())
                    })
                    .await;
                    return;
                }
                sending.send_reset(Reason::ENHANCE_YOUR_CALM);
            }
        })
        .await;
        let proxy = Proxy::before(&app).await;
        let mut requests = client(&proxy).await;
        let (response, _) = requests.send_request(get("/"), true).expect("it is sent");
        let error = match response.await {
            Ok(response) => {
                if response.status() == StatusCode::BAD_GATEWAY {
                    continue;
                }
                read(response.into_body()).await.expect_err("half a body")
            }
            Err(error) => error,
        };
        assert_eq!(error.reason(), Some(Reason::INTERNAL_ERROR), "dies: {dies}");
        proxy.until_held(0).await;
    }
}

#[tokio::test]
async fn a_client_that_cancels_cancels_at_the_app() {
    let (reset, mut reason) = mpsc::unbounded_channel();
    let app = App::scripted(move |wire, _| {
        let reset = reset.clone();
        async move {
            let Ok(mut connection) = h2::server::handshake(wire.stream).await else { return };
            while let Some(Ok((_, mut respond))) = connection.accept().await {
                let reset = reset.clone();
                tokio::spawn(async move {
                    let _ = reset.send(None);
                    let reason = std::future::poll_fn(|cx| respond.poll_reset(cx)).await;
                    let _ = reset.send(reason.ok());
                });
            }
        }
    })
    .await;
    let proxy = Proxy::before(&app).await;
    let mut requests = client(&proxy).await;
    let (response, mut sending) = requests.send_request(get("/"), false).expect("it is sent");
    assert_eq!(reason.recv().await, Some(None), "the app has it");
    proxy.until_held(1).await;
    sending.send_reset(Reason::CANCEL);
    drop(response);
    assert_eq!(reason.recv().await, Some(Some(Reason::CANCEL)));
    proxy.until_held(0).await;
}

#[tokio::test]
async fn hints_reach_http2_clients_and_the_status_is_kept() {
    let (app, _) = App::responding(
        "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n\
         HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n",
    )
    .await;
    let proxy = Proxy::before(&app).await;
    // The response to the preface shows the proxy that this app supports HTTP/1 only.
    let mut requests = client(&proxy).await;
    let (mut response, _) = requests.send_request(get("/"), true).expect("it is sent");
    let hint = std::future::poll_fn(|cx| response.poll_informational(cx)).await;
    let hint = hint.expect("a hint").expect("a valid one");
    assert_eq!(hint.status(), StatusCode::EARLY_HINTS);
    assert_eq!(hint.headers()["link"], "</a>");
    assert_eq!(response.await.expect("a response").status(), StatusCode::NOT_FOUND);
}

/// A request to switch to HTTP/2.
const UPGRADE_REQUEST: &str = "POST /up HTTP/1.1\r\nHost: h.example\r\n\
     Connection: Upgrade, HTTP2-Settings\r\n\
     Upgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAoAAAAAIAAAAA\r\nContent-Length: 3\r\n\r\nabc";

#[tokio::test]
async fn an_upgrade_serves_the_first_request_as_stream_one() {
    let (app, mut seen) = echoing().await;
    let proxy = Proxy::before(&app).await;
    let mut wire = proxy.client().await;
    wire.send(UPGRADE_REQUEST).await;
    let head = wire.head().await;
    assert_eq!(
        head,
        "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n"
    );
    wire.send(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0").await;
    let frames = read_frames(&mut wire).await;
    let of_stream_one = |kind: u8| frames.iter().filter(|f| f.0 == kind && f.2 == 1).count();
    assert_eq!(of_stream_one(1), 2, "a head and trailers: {frames:?}");
    let data: Vec<u8> = frames.iter().filter(|f| f.0 == 0).flat_map(|f| f.3.clone()).collect();
    assert_eq!(data, b"abc");
    let acknowledged = frames.iter().filter(|f| f.0 == 4 && f.1 & 1 == 1).count();
    assert_eq!(acknowledged, 1, "one SETTINGS came, one is acknowledged: {frames:?}");
    let request = seen.recv().await.expect("the app got the request");
    assert_eq!(request.uri().path(), "/up");
    assert_eq!(request.headers().get("upgrade"), None);
    assert_eq!(request.headers().get("http2-settings"), None);
}

type Frame = (u8, u8, u32, Vec<u8>);

/// Reads frames until stream 1 has ended.
async fn read_frames(wire: &mut Wire) -> Vec<Frame> {
    let mut frames: Vec<Frame> = Vec::new();
    loop {
        let head = wire.raw(9).await;
        if head.len() < 9 {
            return frames;
        }
        let length = usize::from(head[0]) << 16 | usize::from(head[1]) << 8 | usize::from(head[2]);
        let stream = u32::from_be_bytes([head[5], head[6], head[7], head[8]]);
        let payload = wire.raw(length).await;
        let ended = head[4] & 1 == 1 && stream == 1 && head[3] < 2;
        frames.push((head[3], head[4], stream, payload));
        if ended {
            return frames;
        }
    }
}

#[tokio::test]
async fn an_upgrade_that_cannot_be_made_is_served_over_http1() {
    let (app, seen) = App::responding(HELLO).await;
    let proxy = Proxy::before(&app).await;
    for request in [
        // No settings, malformed settings.
        "GET / HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: h\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n\
         HTTP2-Settings: !!!\r\n\r\n",
    ] {
        let mut client = proxy.client().await;
        client.send(request).await;
        let (head, body) = client.response().await;
        assert!(head.starts_with("HTTP/1.1 200 OK"), "{head}");
        assert_eq!(body, "hello");
        let head = seen.lock().pop().expect("the app got the request").to_lowercase();
        assert!(!head.contains("h2c") && !head.contains("http2-settings"), "{head}");
    }
}

#[tokio::test]
async fn the_settings_are_those_of_the_contract() {
    let (app, _) = App::responding(HELLO).await;
    let proxy = Proxy::before(&app).await;
    let mut wire = proxy.client().await;
    wire.send(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0").await;
    let head = wire.raw(9).await;
    assert_eq!(head[3], 4, "SETTINGS comes first");
    let length = usize::from(head[1]) << 8 | usize::from(head[2]);
    let payload = wire.raw(length).await;
    let settings: std::collections::BTreeMap<u16, u32> = payload
        .chunks_exact(6)
        .map(|one| {
            let id = u16::from_be_bytes([one[0], one[1]]);
            (id, u32::from_be_bytes([one[2], one[3], one[4], one[5]]))
        })
        .collect();
    assert_eq!(settings.get(&3), Some(&250), "concurrent streams");
    assert_eq!(settings.get(&4), Some(&(1 << 20)), "stream window");
    assert_eq!(settings.get(&5), Some(&(1 << 20)), "frame size");
    assert_eq!(settings.get(&6), Some(&1_048_896), "header list");
    assert_eq!(settings.get(&8), Some(&1), "extended CONNECT, for WebSockets");
}

/// Opens and resets streams as fast as it can.
#[tokio::test]
async fn a_rapid_reset_flood_ends_the_connection() {
    let (app, _) = App::responding(HELLO).await;
    let proxy = Proxy::before(&app).await;
    let mut wire = proxy.client().await;
    let mut flood = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0".to_vec();
    for n in 0u32..20_000 {
        let stream = (n * 2 + 1).to_be_bytes();
        // :method GET, :scheme http, :path /, :authority h
        let block = b"\x82\x86\x84\x41\x01h";
        flood.extend_from_slice(&[0, 0, block.len() as u8, 1, 5]);
        flood.extend_from_slice(&stream);
        flood.extend_from_slice(block);
        flood.extend_from_slice(&[0, 0, 4, 3, 0]);
        flood.extend_from_slice(&stream);
        flood.extend_from_slice(&[0, 0, 0, 8]);
    }
    use tokio::io::AsyncWriteExt as _;
    let _ = wire.stream.write_all(&flood).await;
    while wire.fill().await {}
    proxy.until_held(0).await;
}

/// A field block that never ends.
#[tokio::test]
async fn a_continuation_flood_ends_the_connection() {
    let (app, _) = App::responding(HELLO).await;
    let proxy = Proxy::before(&app).await;
    let mut wire = proxy.client().await;
    wire.send(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0").await;
    wire.send(b"\0\0\x01\x01\x01\0\0\0\x01\x82").await;
    let mut frame = vec![0, 0x40, 0, 9, 0, 0, 0, 0, 1];
    frame.extend(b"\x40\x01a\x7f\x80\x7e".iter().chain([b'x'; 16_378].iter()));
    use tokio::io::AsyncWriteExt as _;
    for _ in 0..2000 {
        if wire.stream.write_all(&frame).await.is_err() {
            break;
        }
    }
    while wire.fill().await {}
}
