use std::time::{Duration, UNIX_EPOCH};

use tidegate_otlp::Resource;
use tidegate_proto::otlp::v1::ExportTraceServiceRequest;

use super::*;
use crate::otlp::push::OtlpProtocol;
use crate::trace::span::{Kind, Outcome, Parentage, Value};

fn resource() -> Resource {
    Resource { attributes: vec![("service.name".into(), "web".to_owned())] }
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
