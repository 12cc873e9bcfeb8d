use std::time::{Duration, UNIX_EPOCH};

use bytes::Bytes;
use tidegate_proto::otlp::v1::metric::Data;
use tidegate_proto::otlp::v1::number_data_point::Value as PointValue;
use tidegate_proto::otlp::v1::{ExportMetricsServiceRequest, ExportTraceServiceRequest};
use tidegate_telemetry::{Label, Metric, Registry, Scope};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::*;
use crate::otlp::push::OtlpProtocol;
use crate::trace::span::{Kind, Outcome, Parentage, Value};

fn resource() -> Resource {
    Resource { attributes: vec![("service.name", "web".to_owned())] }
}

/// What a registry with one metric of each kind gathers.
fn families() -> Vec<Family> {
    let registry = Registry::new();
    let scope = Some(Scope { name: "s", version: "1" });
    let time = Metric::histogram("a_seconds", "Time.").scoped(scope);
    let status = Label::new("http_response_status_code", "200");
    let time = time.register_histogram(&registry, vec![status]);
    [0.005, 0.005, 60.0].into_iter().for_each(|seconds| time.record(seconds));
    let count = Metric::counter("b_total", "").labelled(&["reason"]).scoped(scope);
    count.register_counter(&registry, &["a \"b\", c"]).increment(7);
    Metric::gauge("c", "").scoped(None).register_gauge(&registry, &[]).set(1.5);
    registry.gather()
}

#[test]
fn gathered_metrics_convert_to_otlp() {
    let now = UNIX_EPOCH + Duration::from_secs(9);
    let request = convert::metrics(&families(), &resource(), UNIX_EPOCH, now);
    let decoded = ExportMetricsServiceRequest::decode(&request.encode_to_vec()[..]).unwrap();
    assert_eq!(decoded, request);
    let scopes = &decoded.resource_metrics[0].scope_metrics;
    let scope = |name: &str| {
        let mut named = scopes.iter().filter(|one| one.scope.as_ref().unwrap().name == name);
        named.next().unwrap()
    };
    assert_eq!(scope("s").scope.as_ref().unwrap().version, "1");
    let metric = |scope_name: &str, name: &str| {
        let mut named = scope(scope_name).metrics.iter().filter(|metric| metric.name == name);
        named.next().unwrap()
    };
    assert_eq!((&metric("s", "a").unit[..], &metric("s", "a").description[..]), ("s", "Time."));
    let Some(Data::Histogram(histogram)) = &metric("s", "a").data else { panic!("{scopes:?}") };
    let point = &histogram.data_points[0];
    assert_eq!((point.count, point.sum), (3, Some(60.01)));
    assert_eq!((point.bucket_counts[0], point.bucket_counts[14]), (2, 1));
    assert_eq!((point.bucket_counts.len(), point.explicit_bounds.len()), (15, 14));
    assert_eq!(point.attributes[0].key, "http.response.status_code");
    let Some(Data::Sum(sum)) = &metric("s", "b").data else { panic!("{scopes:?}") };
    assert!(sum.is_monotonic);
    assert_eq!(sum.data_points[0].value, Some(PointValue::AsDouble(7.0)));
    let text = &sum.data_points[0].attributes[0].value;
    assert!(format!("{text:?}").contains("a \\\"b\\\", c"), "{text:?}");
    let Some(Data::Gauge(gauge)) = &metric("", "c").data else { panic!("{scopes:?}") };
    assert_eq!(gauge.data_points[0].value, Some(PointValue::AsDouble(1.5)));
    // The process metrics are pushed as well.
    assert_eq!(metric("", "process.resident.memory").unit, "By");
}

#[test]
fn spans_convert_to_otlp() {
    let span = Span {
        name: "GET".to_owned(),
        kind: Kind::Server,
        trace: 0x0af7_6519_16cd_43dd_8448_eb21_1c80_319c,
        id: 1,
        parent: None,
        parentage: Parentage::Local,
        scope: "s",
        start: UNIX_EPOCH + Duration::from_nanos(5),
        length: Duration::from_nanos(7),
        attributes: vec![("url.path", Value::Text("/".to_owned()))],
        outcome: Outcome::Error,
    };
    let request = convert::traces(&[span], &resource());
    let decoded = ExportTraceServiceRequest::decode(&request.encode_to_vec()[..]).unwrap();
    let span = &decoded.resource_spans[0].scope_spans[0].spans[0];
    assert_eq!((span.trace_id.len(), span.span_id.len(), span.parent_span_id.len()), (16, 8, 0));
    assert_eq!((span.start_time_unix_nano, span.end_time_unix_nano), (5, 12));
    assert_eq!((span.kind, span.status.as_ref().unwrap().code), (2, 2));
}

/// A collector that follows `script` on each connection.
async fn collector<F: Future<Output = ()> + Send>(
    script: impl Fn(tokio::net::TcpStream) -> F + Send + 'static,
) -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            script(stream).await;
        }
    });
    endpoint
}

async fn pushed(protocol: OtlpProtocol, endpoint: String) -> Result<(), TransportError> {
    let settings = Otlp { protocol, endpoint, interval: Duration::from_secs(1) };
    let transport = Transport::new(&settings, transport::Signal::Traces).unwrap();
    transport.push(vec![1, 2, 3]).await
}

/// Writes the same bytes until the peer stops reading; gives how many were taken.
async fn repeat(stream: &mut tokio::net::TcpStream, bytes: &[u8]) -> usize {
    let mut taken = 0;
    while stream.write_all(bytes).await.is_ok() {
        taken += bytes.len();
    }
    taken
}

#[tokio::test]
async fn an_endless_response_head_is_not_read_to_its_end() {
    for beginning in ["HTTP/1.1 200 OK\r\n", "HTTP/1.1 200 OK"] {
        let endpoint = collector(move |mut stream| async move {
            let _ = stream.write_all(beginning.as_bytes()).await;
            let taken = repeat(&mut stream, &b"X-Again: 1\r\n".repeat(100)).await;
            // What the sockets of both sides hold comes on top of what is read.
            assert!(taken < 16 << 20, "{taken} bytes were taken");
        });
        let error = pushed(OtlpProtocol::Http, endpoint.await).await.unwrap_err();
        assert!(matches!(error, TransportError::Protocol(_)), "{error}");
    }
}

#[tokio::test]
async fn redirects_count_as_refusals_and_bodies_are_not_read() {
    for (response, taken) in [
        ("HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n", false),
        ("HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n", true),
        ("HTTP/1.1 500 No\r\nTransfer-Encoding: chunked\r\n\r\n", false),
    ] {
        let endpoint = collector(move |mut stream| async move {
            // A response that comes before its request is none: the client must have begun.
            let _ = stream.read_u8().await;
            let _ = stream.write_all(response.as_bytes()).await;
            repeat(&mut stream, &[b'1'; 4096]).await;
        });
        let outcome = pushed(OtlpProtocol::Http, endpoint.await).await;
        assert_eq!(outcome.is_ok(), taken, "{response}: {outcome:?}");
    }
}

#[tokio::test]
async fn an_endless_grpc_response_is_not_read_to_its_end() {
    let endpoint = collector(|stream| async move {
        let service = hyper::service::service_fn(|_| async {
            let frames = tokio_stream::iter(std::iter::repeat_with(|| {
                Ok::<_, std::convert::Infallible>(hyper::body::Frame::data(Bytes::from_static(
                    &[0; 16 << 10],
                )))
            }));
            Ok::<_, std::convert::Infallible>(http::Response::new(http_body_util::StreamBody::new(
                frames,
            )))
        });
        let _ = hyper::server::conn::http2::Builder::new(hyper_util::rt::TokioExecutor::new())
            .serve_connection(hyper_util::rt::TokioIo::new(stream), service)
            .await;
    });
    let error = pushed(OtlpProtocol::Grpc, endpoint.await).await.unwrap_err();
    assert!(matches!(error, TransportError::Protocol(_)), "{error}");
}

#[tokio::test(start_paused = true)]
async fn a_push_to_a_silent_collector_times_out_after_ten_seconds() {
    for protocol in [OtlpProtocol::Http, OtlpProtocol::Grpc] {
        let endpoint = collector(|stream| async move {
            std::future::pending::<()>().await;
            drop(stream);
        });
        let start = Instant::now();
        let error = pushed(protocol, endpoint.await).await.unwrap_err();
        assert!(matches!(error, TransportError::TimedOut), "{error}");
        assert!(start.elapsed() >= Duration::from_secs(10));
    }
}

/// A span of the most that a client can make of it.
fn longest_span() -> Span {
    let text = || Value::Text("x".repeat(256));
    Span {
        name: "x".repeat(37),
        kind: Kind::Server,
        trace: 1,
        id: 1,
        parent: None,
        parentage: Parentage::Local,
        scope: "s",
        start: UNIX_EPOCH,
        length: Duration::ZERO,
        attributes: (0..13).map(|_| ("user_agent.original", text())).collect(),
        outcome: Outcome::Unset,
    }
}

#[tokio::test]
async fn queued_spans_are_bounded_in_bytes() {
    let endpoint = collector(|stream| async move { drop(stream) }).await;
    let settings =
        Otlp { protocol: OtlpProtocol::Http, endpoint, interval: Duration::from_secs(1) };
    let (queue, pusher) = spans(&settings, resource()).unwrap();
    for _ in 0..QUEUE_SPANS {
        queue.push(longest_span());
    }
    let held = queue.held.load(Ordering::Relaxed);
    assert!(held <= QUEUE_BYTES && held + longest_span().bytes() > QUEUE_BYTES, "{held}");
    let kept = held / longest_span().bytes();
    assert_eq!(queue.lost() as usize, QUEUE_SPANS - kept);
    println!("a span has {} bytes at most, {kept} of them fit", longest_span().bytes());
    pusher.run(std::future::ready(())).await;
    assert_eq!(queue.held.load(Ordering::Relaxed), 0);
    // This collector takes nothing: what was kept is lost as well.
    assert_eq!(queue.lost() as usize, QUEUE_SPANS);
}
