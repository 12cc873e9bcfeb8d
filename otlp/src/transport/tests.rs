use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::Instant;

use super::*;

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

async fn pushed(protocol: Protocol, endpoint: String) -> Result<(), TransportError> {
    let transport = Transport::otlp(protocol, &endpoint, Signal::Traces).unwrap();
    transport.push(Message::plain(vec![1, 2, 3]), None).await.map(drop)
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
        let error = pushed(Protocol::Http, endpoint.await).await.unwrap_err();
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
        let outcome = pushed(Protocol::Http, endpoint.await).await;
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
            Ok::<_, std::convert::Infallible>(Response::new(http_body_util::StreamBody::new(
                frames,
            )))
        });
        let _ = hyper::server::conn::http2::Builder::new(TokioExecutor::new())
            .serve_connection(TokioIo::new(stream), service)
            .await;
    });
    let error = pushed(Protocol::Grpc, endpoint.await).await.unwrap_err();
    assert!(matches!(error, TransportError::Protocol(_)), "{error}");
}

#[tokio::test(start_paused = true)]
async fn a_push_to_a_silent_collector_times_out_after_ten_seconds() {
    for protocol in [Protocol::Http, Protocol::Grpc] {
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

#[test]
fn an_address_of_ipv6_is_named_with_brackets() {
    for (endpoint, authority) in [
        ("http://[fd00::1]:4317", "[fd00::1]:4317"),
        ("https://collector", "collector:443"),
        ("http://10.0.0.1/x", "10.0.0.1:80"),
    ] {
        for protocol in [Protocol::Grpc, Protocol::Http] {
            let transport = Transport::otlp(protocol, endpoint, Signal::Metrics).unwrap();
            assert_eq!(transport.authority(), authority);
            assert!(authority.parse::<http::uri::Authority>().is_ok());
        }
    }
}
