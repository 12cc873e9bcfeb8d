//! HTTP/2 without TLS: known in advance, by upgrade, and with apps of either kind.

use std::convert::Infallible;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Request, Response, Version};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Empty, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::client::conn::http2::SendRequest;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

use crate::app::App;
use crate::client::{Client, get, root};
use crate::sidecar::{PATIENCE, Sidecar};

type Body = BoxBody<Bytes, Infallible>;

/// Runs `test` on an event loop, within patience.
fn block_on(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        tokio::time::timeout(PATIENCE, test).await.expect("the test ends in time");
    });
}

/// An app that serves HTTP/2 only and responds with the request's version and a trailer.
async fn http2_app() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let _ = hyper::server::conn::http2::Builder::new(TokioExecutor::new())
                    .serve_connection(TokioIo::new(stream), service_fn(respond))
                    .await;
            });
        }
    });
    port
}

async fn respond(request: Request<Incoming>) -> Result<Response<Body>, hyper::Error> {
    let te = request
        .headers()
        .get("te")
        .map_or(String::new(), |te| format!(" te={}", te.to_str().unwrap()));
    if request.uri().path() == "/never" {
        std::future::pending::<()>().await;
    }
    let body = request.into_body().collect().await?.to_bytes();
    let text = format!("h2{te} {}", String::from_utf8_lossy(&body));
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", "0".parse().unwrap());
    let frames =
        [Ok::<_, Infallible>(Frame::data(Bytes::from(text))), Ok(Frame::trailers(trailers))];
    let body = StreamBody::new(tokio_stream::iter(frames)).boxed();
    Ok(Response::new(body))
}

async fn connect(port: u16) -> (SendRequest<Full<Bytes>>, JoinHandle<hyper::Result<()>>) {
    let stream = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    let (sender, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream))
            .await
            .unwrap();
    (sender, tokio::spawn(connection))
}

fn post(path: &str, body: &'static str) -> Request<Full<Bytes>> {
    Request::post(format!("http://web.example{path}"))
        .header("te", "trailers")
        .body(Full::new(Bytes::from_static(body.as_bytes())))
        .unwrap()
}

#[test]
fn prior_knowledge_reaches_the_app_as_http2_with_trailers() {
    block_on(async {
        let sidecar = Sidecar::start(http2_app().await, &[]);
        let (mut sender, _connection) = connect(sidecar.ports.main).await;
        let response = sender.send_request(post("/", "hi")).await.unwrap();
        assert_eq!((response.status().as_u16(), response.version()), (200, Version::HTTP_2));
        let collected = response.into_body().collect().await.unwrap();
        assert_eq!(collected.trailers().unwrap()["grpc-status"], "0");
        assert_eq!(collected.to_bytes(), &b"h2 te=trailers hi"[..]);
    });
}

#[test]
fn probes_are_answered_over_http2() {
    block_on(async {
        let sidecar = Sidecar::start(1, &[]);
        let (mut sender, _connection) = connect(sidecar.ports.main).await;
        let request = Request::get("http://h/")
            .header("user-agent", "kube-probe/1")
            .header("k-network-probe", "queue")
            .body(Full::default())
            .unwrap();
        let response = sender.send_request(request).await.unwrap();
        assert_eq!(response.into_body().collect().await.unwrap().to_bytes(), &b"queue"[..]);
    });
}

/// Knative answers 502 with the bytes it did not understand, on every request.
#[test]
fn clients_and_apps_may_use_different_http_versions() {
    block_on(async {
        let old_app = App::hello();
        let sidecar = Sidecar::start(old_app.port, &[]);
        let (mut sender, _connection) = connect(sidecar.ports.main).await;
        let response = sender.send_request(post("/", "")).await.unwrap();
        assert_eq!(response.into_body().collect().await.unwrap().to_bytes(), &b"hello"[..]);

        let sidecar = Sidecar::start(http2_app().await, &[]);
        let port = sidecar.ports.main;
        let old_client = tokio::task::spawn_blocking(move || get(port, &root("")));
        let response = old_client.await.unwrap();
        assert_eq!((response.status, response.text()), (200, "h2 "));
    });
}

#[test]
fn an_h2c_upgrade_switches_to_http2() {
    let app = App::hello();
    let sidecar = Sidecar::start(app.port, &[]);
    let mut client = Client::connect(sidecar.ports.main);
    client.send(&root(
        "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n\
         HTTP2-Settings: AAMAAABkAAQAAP__\r\n",
    ));
    let head = client.head();
    assert!(head.starts_with("HTTP/1.1 101 Switching Protocols\r\n"), "{head}");
    client.send("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
    client.send_bytes(&[0, 0, 0, 4, 0, 0, 0, 0, 0]);
    // Server frames follow; among them the response to the upgraded request on stream 1.
    let mut seen = Vec::new();
    while !seen.ends_with(b"hello") {
        let byte = client.bytes(1);
        assert!(!byte.is_empty(), "no response in {seen:?}");
        seen.extend_from_slice(&byte);
    }
}

#[test]
fn the_settings_frame_has_knatives_values() {
    let sidecar = Sidecar::start(1, &[]);
    let mut client = Client::connect(sidecar.ports.main);
    client.send("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
    client.send_bytes(&[0, 0, 0, 4, 0, 0, 0, 0, 0]);
    let frame = client.bytes(9);
    assert_eq!(frame[3], 4, "{frame:?}");
    let length = usize::from(frame[2]);
    let payload = client.bytes(length);
    let setting = |wanted: u16| {
        payload.chunks(6).find_map(|entry| {
            let identifier = u16::from_be_bytes([entry[0], entry[1]]);
            let value = u32::from_be_bytes([entry[2], entry[3], entry[4], entry[5]]);
            (identifier == wanted).then_some(value)
        })
    };
    assert_eq!(setting(3), Some(250));
    assert_eq!(setting(4), Some(1 << 20));
    assert_eq!(setting(5), Some(1 << 20));
    assert_eq!(setting(6), Some(1_048_896));
}

#[test]
fn an_app_that_dies_resets_the_stream() {
    block_on(async {
        let app = App::start(|connection| {
            if connection.request().is_some() {
                connection.send("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nsome");
            }
        });
        let sidecar = Sidecar::start(app.port, &[]);
        let (mut sender, _connection) = connect(sidecar.ports.main).await;
        // The reset may overtake the head.
        let error = match sender.send_request(post("/", "")).await {
            Ok(response) => response.into_body().collect().await.unwrap_err(),
            Err(error) => error,
        };
        assert!(format!("{error:?}").contains("INTERNAL_ERROR"), "{error:?}");
    });
}

#[test]
fn a_stream_that_the_client_cancels_is_cancelled_at_the_app() {
    block_on(async {
        let gate = crate::app::Gate::default();
        let told = gate.clone();
        let app = App::start(move |connection| {
            if connection.request().is_none() {
                return;
            }
            assert!(connection.is_closed_by_peer());
            told.open(1);
        });
        let sidecar = Sidecar::start(app.port, &[]);
        let (mut sender, _connection) = connect(sidecar.ports.main).await;
        let request = sender.send_request(post("/", ""));
        let impatient = tokio::time::timeout(Duration::from_millis(200), request).await;
        assert!(impatient.is_err());
        tokio::task::spawn_blocking(move || gate.pass()).await.unwrap();
        drop(sidecar);
    });
}

/// Knative sends no GOAWAY on its HTTP/2 connections before the process ends.
#[test]
fn a_drain_sends_goaway_and_finishes_open_streams() {
    const GOAWAY: u8 = 7;
    const DATA: u8 = 0;
    const END: u8 = u8::MAX;
    let gate = crate::app::Gate::default();
    let app = App::held(&gate);
    let mut sidecar = Sidecar::start(app.port, &[("TIDEGATE_QUIET_PERIOD_MS", "100")]);
    let mut client = Client::connect(sidecar.ports.main);
    client.send("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
    client.send_bytes(&[0, 0, 0, 4, 0, 0, 0, 0, 0]);
    // HEADERS of stream 1, complete: GET http://h/ from the static table.
    client.send_bytes(&[0, 0, 6, 1, 5, 0, 0, 0, 1, 0x82, 0x86, 0x84, 0x41, 1, b'h']);
    // The app is tried in HTTP/2 first.
    app.heads(2);
    sidecar.signal("TERM");
    // The client gets the GOAWAY while its request still runs.
    while frame(&mut client).0 != GOAWAY {}
    gate.open(1);
    let mut body = Vec::new();
    loop {
        match frame(&mut client) {
            (DATA, payload) => body.extend(payload),
            (END, _) => break,
            _ => {}
        }
    }
    assert_eq!(body, b"hello");
    assert_eq!(sidecar.wait().code(), Some(0));
}

/// A client that connects during the drain is served before its GOAWAY, and one that never
/// acknowledges the ping behind the GOAWAY does not delay the end.
#[test]
fn a_drain_serves_new_connections_and_does_not_wait_for_missing_ping_acks() {
    let app = App::start(|connection| {
        while connection.request().is_some() {
            connection.send("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello");
        }
    });
    let mut sidecar = Sidecar::start(app.port, &[("TIDEGATE_QUIET_PERIOD_MS", "1000")]);
    let mut deaf = Client::connect(sidecar.ports.main);
    deaf.send("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
    deaf.send_bytes(&[0, 0, 0, 4, 0, 0, 0, 0, 0]);
    sidecar.signal("TERM");
    block_on(async {
        let (mut sender, _connection) = connect(sidecar.ports.main).await;
        let response = sender.send_request(post("/", "")).await.unwrap();
        assert_eq!(response.into_body().collect().await.unwrap().to_bytes(), &b"hello"[..]);
    });
    assert_eq!(sidecar.wait().code(), Some(0));
    assert!(deaf.is_closed());
}

/// The next frame: its type and its payload; type 255 at the end of the connection. Pings are
/// acknowledged, because a server waits for that after its GOAWAY.
fn frame(client: &mut Client) -> (u8, Vec<u8>) {
    const PING: u8 = 6;
    let header = client.bytes(9);
    if header.len() < 9 {
        return (u8::MAX, Vec::new());
    }
    let length =
        usize::from(header[0]) << 16 | usize::from(header[1]) << 8 | usize::from(header[2]);
    let payload = client.bytes(length);
    if header[3] == PING && header[4] == 0 {
        client.send_bytes(&[0, 0, 8, PING, 1, 0, 0, 0, 0]);
        client.send_bytes(&payload);
    }
    (header[3], payload)
}

#[test]
fn grpc_probes_call_the_health_service() {
    block_on(async {
        let port = App::hello().port;
        let json = format!("{{\"grpc\":{{\"port\":{port}}},\"periodSeconds\":1}}");
        let sidecar = Sidecar::start(1, &[("SERVING_READINESS_PROBE", &json)]);
        let main = sidecar.ports.main;
        let probe = move || {
            get(main, &root("User-Agent: kube-probe/1\r\nK-Network-Probe: queue\r\n")).status
        };
        assert_eq!(tokio::task::spawn_blocking(probe).await.unwrap(), 503);
        for (status, expected, reason) in [
            (1_u8, 200, ""),
            (0, 503, "reports UNKNOWN, expected SERVING"),
            (2, 503, "reports NOT_SERVING, expected SERVING"),
            (3, 503, "reports SERVICE_UNKNOWN, expected SERVING"),
            (UNIMPLEMENTED, 503, "grpc-status 12: the app has no grpc.health.v1.Health"),
        ] {
            let port = health_app(status).await;
            let json =
                format!("{{\"grpc\":{{\"port\":{port},\"service\":\"web\"}},\"periodSeconds\":1}}");
            let sidecar = Sidecar::start(1, &[("SERVING_READINESS_PROBE", &json)]);
            let main = sidecar.ports.main;
            let probe = move || {
                get(main, &root("User-Agent: kube-probe/1\r\nK-Network-Probe: queue\r\n")).status
            };
            assert_eq!(tokio::task::spawn_blocking(probe).await.unwrap(), expected);
            if !reason.is_empty() {
                sidecar.stderr.wait_for(reason);
            }
        }
    });
}

/// Has [`health_app`] refuse the method instead.
const UNIMPLEMENTED: u8 = 255;

/// A health service that reports `status`.
async fn health_app(status: u8) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let service = service_fn(move |request: Request<Incoming>| async move {
                    assert_eq!(request.uri().path(), "/grpc.health.v1.Health/Check");
                    let question = request.into_body().collect().await.unwrap().to_bytes();
                    assert_eq!(question, &b"\0\0\0\0\x05\x0a\x03web"[..]);
                    let code = if status == UNIMPLEMENTED { "12" } else { "0" };
                    let mut trailers = HeaderMap::new();
                    trailers.insert("grpc-status", code.parse().unwrap());
                    let message = Bytes::copy_from_slice(&[0, 0, 0, 0, 2, 8, status]);
                    let frames =
                        [Ok::<_, Infallible>(Frame::data(message)), Ok(Frame::trailers(trailers))];
                    Ok::<_, Infallible>(Response::new(StreamBody::new(tokio_stream::iter(frames))))
                });
                let _ = hyper::server::conn::http2::Builder::new(TokioExecutor::new())
                    .serve_connection(TokioIo::new(stream), service)
                    .await;
            });
        }
    });
    port
}

#[test]
fn spans_are_pushed_over_grpc() {
    block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (told, mut heard) = tokio::sync::mpsc::channel(1);
        tokio::spawn(async move {
            let (stream, _) = listener.accept().await.unwrap();
            let service = service_fn(move |request: Request<Incoming>| {
                let told = told.clone();
                async move {
                    let path = request.uri().path().to_owned();
                    let body = request.into_body().collect().await.unwrap().to_bytes();
                    told.send((path, body)).await.unwrap();
                    let response = Response::builder().header("grpc-status", "0");
                    Ok::<_, Infallible>(response.body(Empty::<Bytes>::new()).unwrap())
                }
            });
            let _ = hyper::server::conn::http2::Builder::new(TokioExecutor::new())
                .serve_connection(TokioIo::new(stream), service)
                .await;
        });
        let app = App::hello();
        let config = format!(
            "{{\"tracing\":{{\"protocol\":\"grpc\",\"endpoint\":\"http://127.0.0.1:{port}\",\
             \"samplingRate\":1}}}}"
        );
        let sidecar = Sidecar::start(app.port, &[("OBSERVABILITY_CONFIG", &config)]);
        let main = sidecar.ports.main;
        tokio::task::spawn_blocking(move || get(main, &root(""))).await.unwrap();
        sidecar.signal("TERM");
        let (path, body) = heard.recv().await.unwrap();
        assert_eq!(path, "/opentelemetry.proto.collector.trace.v1.TraceService/Export");
        let length = u32::from_be_bytes(body[1..5].try_into().unwrap());
        assert_eq!(usize::try_from(length).unwrap(), body.len() - 5);
        let text = String::from_utf8_lossy(&body);
        assert!(text.contains("kn.queueproxy.proxy") && text.contains("web-00001"), "{text}");
        drop(sidecar);
    });
}

#[test]
fn an_empty_body_stays_empty() {
    block_on(async {
        let sidecar = Sidecar::start(http2_app().await, &[]);
        let stream = TcpStream::connect(("127.0.0.1", sidecar.ports.main)).await.unwrap();
        let (mut sender, connection) =
            hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream))
                .await
                .unwrap();
        tokio::spawn(connection);
        let request = Request::get("http://h/").body(Empty::<Bytes>::new()).unwrap();
        let response = sender.send_request(request).await.unwrap();
        assert_eq!(response.into_body().collect().await.unwrap().to_bytes(), &b"h2 "[..]);
    });
}
