use std::time::{Duration, UNIX_EPOCH};

use bytes::Bytes;
use tokio::io::AsyncWriteExt;

use super::messages::{ExportMetrics, ExportTraces, MetricKind};
use super::*;
use crate::settings::observability::OtlpProtocol;
use crate::trace::{Kind, Outcome, Parentage, Value};

const PAGE: &str = "# HELP a_seconds Time.
# TYPE a_seconds histogram
a_seconds_bucket{otel_scope_name=\"s\",http_response_status_code=\"200\",le=\"0.5\"} 2
a_seconds_bucket{otel_scope_name=\"s\",http_response_status_code=\"200\",le=\"+Inf\"} 3
a_seconds_sum{otel_scope_name=\"s\",http_response_status_code=\"200\"} 4.5
a_seconds_count{otel_scope_name=\"s\",http_response_status_code=\"200\"} 3

# TYPE b_total counter
b_total{otel_scope_name=\"s\",reason=\"a \\\"b\\\", c\"} 7

# TYPE c gauge
c 1
";

fn resource() -> Resource {
    Resource { attributes: vec![("service.name", "web".to_owned())] }
}

#[test]
fn the_metrics_page_becomes_otlp() {
    let samples = prometheus::parse(PAGE);
    let now = UNIX_EPOCH + Duration::from_secs(9);
    let request = convert::metrics(&samples, &resource(), UNIX_EPOCH, now);
    let decoded = ExportMetrics::decode(&request.encode_to_vec()[..]).unwrap();
    assert_eq!(decoded, request);
    let scopes = &decoded.resource_metrics[0].scope_metrics;
    let scope = scopes.iter().find(|scope| scope.scope.as_ref().unwrap().name == "s").unwrap();
    let metric = |name: &str| scope.metrics.iter().find(|metric| metric.name == name).unwrap();
    assert_eq!(metric("a").unit, "s");
    let Some(MetricKind::Histogram(histogram)) = &metric("a").kind else { panic!("{scope:?}") };
    let point = &histogram.points[0];
    assert_eq!((point.count, point.sum), (3, Some(4.5)));
    assert_eq!((&point.bucket_counts[..], &point.explicit_bounds[..]), (&[2, 1][..], &[0.5][..]));
    assert_eq!(point.attributes[0].key, "http.response.status_code");
    let Some(MetricKind::Sum(sum)) = &metric("b").kind else { panic!("{scope:?}") };
    assert!(sum.is_monotonic);
    assert_eq!(sum.points[0].value, Some(7.0));
    let text = &sum.points[0].attributes[0].value;
    assert!(format!("{text:?}").contains("a \\\"b\\\", c"), "{text:?}");
}

#[test]
fn spans_become_otlp() {
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
    let decoded = ExportTraces::decode(&request.encode_to_vec()[..]).unwrap();
    let span = &decoded.resource_spans[0].scope_spans[0].spans[0];
    assert_eq!((span.trace_id.len(), span.span_id.len(), span.parent_span_id.len()), (16, 8, 0));
    assert_eq!((span.start_time_unix_nano, span.end_time_unix_nano), (5, 12));
    assert_eq!((span.kind, span.status.as_ref().unwrap().code), (2, 2));
}

/// A collector that does what `script` says on each connection.
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

/// Writes the same again and again, as long as somebody reads; tells how much was taken.
async fn repeat(stream: &mut tokio::net::TcpStream, bytes: &[u8]) -> usize {
    let mut taken = 0;
    while stream.write_all(bytes).await.is_ok() {
        taken += bytes.len();
    }
    taken
}

#[tokio::test]
async fn a_head_without_end_is_cut_off() {
    for beginning in ["HTTP/1.1 200 OK\r\n", "HTTP/1.1 200 OK"] {
        let endpoint = collector(move |mut stream| async move {
            stream.write_all(beginning.as_bytes()).await.ok();
            let taken = repeat(&mut stream, &b"X-Again: 1\r\n".repeat(100)).await;
            // What the sockets of both sides hold comes on top of what is read.
            assert!(taken < 16 << 20, "{taken} bytes were taken");
        });
        let error = pushed(OtlpProtocol::Http, endpoint.await).await.unwrap_err();
        assert!(matches!(error, TransportError::Protocol(_)), "{error}");
    }
}

#[tokio::test]
async fn redirects_are_refusals_and_bodies_are_not_read() {
    for (answer, taken) in [
        ("HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n", false),
        ("HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n", true),
        ("HTTP/1.1 500 No\r\nTransfer-Encoding: chunked\r\n\r\n", false),
    ] {
        let endpoint = collector(move |mut stream| async move {
            stream.write_all(answer.as_bytes()).await.ok();
            repeat(&mut stream, &[b'1'; 4096]).await;
        });
        let outcome = pushed(OtlpProtocol::Http, endpoint.await).await;
        assert_eq!(outcome.is_ok(), taken, "{answer}: {outcome:?}");
    }
}

#[tokio::test]
async fn a_grpc_answer_without_end_is_cut_off() {
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
        hyper::server::conn::http2::Builder::new(hyper_util::rt::TokioExecutor::new())
            .serve_connection(hyper_util::rt::TokioIo::new(stream), service)
            .await
            .ok();
    });
    let error = pushed(OtlpProtocol::Grpc, endpoint.await).await.unwrap_err();
    assert!(matches!(error, TransportError::Protocol(_)), "{error}");
}

#[tokio::test(start_paused = true)]
async fn a_silent_collector_costs_ten_seconds() {
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
async fn spans_are_bounded_in_bytes_and_give_them_back() {
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
    assert_eq!(queue.dropped.load(Ordering::Relaxed) as usize, QUEUE_SPANS - kept);
    println!("a span has {} bytes at most, {kept} of them fit", longest_span().bytes());
    pusher.run(std::future::ready(())).await;
    assert_eq!(queue.held.load(Ordering::Relaxed), 0);
}
