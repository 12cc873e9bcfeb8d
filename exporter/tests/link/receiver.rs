//! A receiver of metrics over real sockets that behaves as it is told.

use std::io::Read as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::Mutex;
use tidegate_proto::Message as _;
use tidegate_proto::otlp::v1::ExportMetricsServiceRequest;
use tidegate_proto::otlp::v1::metric::Data;
use tidegate_proto::otlp::v1::number_data_point::Value;
use tidegate_proto::prometheus::v1::WriteRequest;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

/// What it does with a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Behavior {
    /// Takes it.
    Take,
    /// Closes the connection before it has read anything.
    Cut,
    /// Reads it, and answers this without keeping it.
    Answer(&'static str),
    /// Takes it, and answers this.
    TakeAndAnswer(&'static [u8]),
    /// Reads it and says nothing.
    Silent,
    /// Answers a head that does not end.
    EndlessHead,
}

/// One value: the metric, milliseconds since 1970, and what it is.
pub(crate) type Point = (String, u64, f64);

#[derive(Debug, Clone)]
pub(crate) struct Receiver {
    pub(crate) address: String,
    behavior: Arc<Mutex<Behavior>>,
    points: Arc<Mutex<Vec<Point>>>,
    heads: Arc<Mutex<Vec<String>>>,
    requests: Arc<AtomicUsize>,
}

impl Receiver {
    pub(crate) async fn start(behavior: Behavior) -> Self {
        let (receiver, listener) = Self::listen("http", behavior).await;
        let serving = receiver.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let one = serving.clone();
                tokio::spawn(async move { one.serve(stream).await });
            }
        });
        receiver
    }

    /// The same over TLS.
    pub(crate) async fn start_tls(config: rustls::ServerConfig) -> Self {
        let (receiver, listener) = Self::listen("https", Behavior::Take).await;
        let (serving, acceptor) = (receiver.clone(), TlsAcceptor::from(Arc::new(config)));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                if let Ok(stream) = acceptor.accept(stream).await {
                    serving.serve(stream).await;
                }
            }
        });
        receiver
    }

    /// One that speaks gRPC.
    pub(crate) async fn start_grpc() -> Self {
        let (receiver, listener) = Self::listen("http", Behavior::Take).await;
        let serving = receiver.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                // A client that has gone wants no answer.
                let _ = serving.serve_grpc(stream).await;
            }
        });
        receiver
    }

    async fn listen(scheme: &str, behavior: Behavior) -> (Self, TcpListener) {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let receiver = Self {
            address: format!("{scheme}://localhost:{port}"),
            behavior: Arc::new(Mutex::new(behavior)),
            points: Arc::default(),
            heads: Arc::default(),
            requests: Arc::default(),
        };
        (receiver, listener)
    }

    pub(crate) fn behave(&self, behavior: Behavior) {
        *self.behavior.lock() = behavior;
    }

    /// Every point of the metric that was taken, as it came.
    pub(crate) fn taken(&self, metric: &str) -> Vec<Point> {
        let points = self.points.lock();
        points.iter().filter(|(name, ..)| name == metric).cloned().collect()
    }

    pub(crate) fn count(&self) -> usize {
        self.points.lock().len()
    }

    pub(crate) fn requests(&self) -> usize {
        self.requests.load(Ordering::Relaxed)
    }

    pub(crate) fn heads(&self) -> Vec<String> {
        self.heads.lock().clone()
    }

    async fn serve_grpc(&self, stream: TcpStream) -> Result<(), h2::Error> {
        let mut connection = h2::server::handshake(stream).await?;
        while let Some(accepted) = connection.accept().await {
            let (request, mut respond) = accepted?;
            assert_eq!(request.headers()["grpc-encoding"], "gzip");
            let path = request.uri().path().to_owned();
            assert_eq!(path, "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export");
            let one = self.clone();
            tokio::spawn(async move {
                let mut body = request.into_body();
                let mut read = Vec::new();
                while let Some(Ok(part)) = body.data().await {
                    let _ = body.flow_control().release_capacity(part.len());
                    read.extend_from_slice(&part);
                }
                assert_eq!(read[0], 1, "it is compressed");
                one.requests.fetch_add(1, Ordering::Relaxed);
                one.points.lock().extend(exported(&gunzip(&read[5..])));
                let response = http::Response::builder().header("content-type", "application/grpc");
                let response = response.header("grpc-status", "0").body(()).expect("a response");
                let _ = respond.send_response(response, true);
            });
        }
        Ok(())
    }

    async fn serve(&self, mut stream: impl AsyncRead + AsyncWrite + Unpin) {
        let behavior = *self.behavior.lock();
        if behavior == Behavior::Cut {
            return;
        }
        let Some((head, body)) = request(&mut stream).await else { return };
        self.requests.fetch_add(1, Ordering::Relaxed);
        let answer = match behavior {
            Behavior::Take => {
                self.keep(&head, &body);
                &b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"[..]
            }
            Behavior::TakeAndAnswer(answer) => {
                self.keep(&head, &body);
                answer
            }
            Behavior::Answer(answer) => answer.as_bytes(),
            Behavior::Silent => return std::future::pending().await,
            Behavior::EndlessHead => {
                let _ = stream.write_all(b"HTTP/1.1 200 OK\r\n").await;
                while stream.write_all(&b"X-Again: 1\r\n".repeat(100)).await.is_ok() {}
                return;
            }
            Behavior::Cut => return,
        };
        let _ = stream.write_all(answer).await;
        // The client closes first, so that nothing of the answer is lost.
        let _ = stream.read(&mut [0]).await;
    }

    fn keep(&self, head: &str, body: &[u8]) {
        self.heads.lock().push(head.to_owned());
        let points = match head.contains("content-encoding: snappy") {
            true => written(body),
            false => exported(&gunzip(body)),
        };
        self.points.lock().extend(points);
    }
}

/// The head in small letters, and the body.
async fn request(stream: &mut (impl AsyncRead + Unpin)) -> Option<(String, Vec<u8>)> {
    let mut read = Vec::new();
    let end = loop {
        if let Some(end) = read.windows(4).position(|four| four == b"\r\n\r\n") {
            break end + 4;
        }
        if stream.read_buf(&mut read).await.ok()? == 0 {
            return None;
        }
    };
    let head = String::from_utf8_lossy(&read[..end]).to_lowercase();
    let (_, length) = head.split_once("content-length: ")?;
    let length: usize = length.split("\r\n").next()?.parse().ok()?;
    while read.len() < end + length {
        if stream.read_buf(&mut read).await.ok()? == 0 {
            return None;
        }
    }
    Some((head, read[end..].to_vec()))
}

pub(crate) fn gunzip(body: &[u8]) -> Vec<u8> {
    let mut plain = Vec::new();
    flate2::read::GzDecoder::new(body).read_to_end(&mut plain).expect("gzip");
    plain
}

/// Numbers of a message of OTLP.
pub(crate) fn exported(plain: &[u8]) -> Vec<Point> {
    let request = ExportMetricsServiceRequest::decode(plain).expect("OTLP");
    let scopes = request.resource_metrics.into_iter().flat_map(|one| one.scope_metrics);
    let mut points = Vec::new();
    for metric in scopes.flat_map(|scope| scope.metrics) {
        let numbers = match metric.data {
            Some(Data::Gauge(gauge)) => gauge.data_points,
            Some(Data::Sum(sum)) => sum.data_points,
            _ => Vec::new(),
        };
        points.extend(numbers.into_iter().map(|point| {
            let value = point.value.map(|Value::AsDouble(value)| value);
            (metric.name.clone(), point.time_unix_nano / 1_000_000, value.unwrap_or_default())
        }));
    }
    points
}

/// Samples of a remote write.
fn written(body: &[u8]) -> Vec<Point> {
    let plain = snap::raw::Decoder::new().decompress_vec(body).expect("snappy");
    let request = WriteRequest::decode(&plain[..]).expect("a write");
    let series = request.timeseries.into_iter().flat_map(|series| {
        let name = series.labels.iter().find(|label| label.name == "__name__").cloned();
        let name = name.unwrap_or_default().value;
        series
            .samples
            .into_iter()
            .map(move |sample| (name.clone(), sample.timestamp.unsigned_abs(), sample.value))
    });
    series.collect()
}
