//! The loop is open, and what came of each request is told as it was, over real sockets.

#![expect(clippy::unwrap_used, reason = "what fails here fails the test")]

use std::convert::Infallible;
use std::future::pending;
use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use tidegate_replay::{
    Bounds, Client, Due, Failure, Outcome, Report, Request, Security, Sent, Version, send,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Barrier, mpsc};

/// How long the app works on a request.
const WORK: Duration = Duration::from_millis(20);

/// When the replay is ended that does not end by itself.
const STOPPED_AFTER: Duration = Duration::from_millis(200);

async fn listener() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

/// A server that answers with what `answer` makes of a request, in either version of HTTP.
async fn serve<F>(
    answer: impl Fn(http::Request<Incoming>) -> F + Clone + Send + Sync + 'static,
) -> SocketAddr
where
    F: Future<Output = http::Response<Full<Bytes>>> + Send + 'static,
{
    let (listener, address) = listener().await;
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let answer = answer.clone();
            tokio::spawn(async move {
                let answer = service_fn(move |request| {
                    let answered = answer(request);
                    async move { Ok::<_, Infallible>(answered.await) }
                });
                let server = auto::Builder::new(TokioExecutor::new());
                let _ = server.serve_connection(TokioIo::new(stream), answer).await;
            });
        }
    });
    address
}

/// A server that does `talk` with each connection.
async fn talk<F: Future<Output = ()> + Send + 'static>(
    talk: impl Fn(TcpStream) -> F + Clone + Send + Sync + 'static,
) -> SocketAddr {
    let (listener, address) = listener().await;
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn({
                let talk = talk.clone();
                async move { talk(stream).await }
            });
        }
    });
    address
}

fn client(version: Version) -> Client {
    Client::new(&Security::Nobody, version).unwrap()
}

fn to(address: SocketAddr) -> Request {
    Request::get(&format!("http://{address}/")).unwrap()
}

/// Plays arrivals that are due at these milliseconds.
async fn play(request: Request, due_ms: &[u64], bounds: Bounds) -> (Vec<Outcome>, Sent) {
    let (sender, arrivals) = mpsc::channel(due_ms.len().max(1));
    for ms in due_ms {
        let service = Some(Duration::from_micros(1_500));
        let due = Due { service, ..Due::new(Duration::from_millis(*ms)) };
        sender.send(due).await.unwrap();
    }
    drop(sender);
    let mut outcomes = Vec::new();
    let client = client(Version::Preferred);
    let sent = send(&client, &[request], arrivals, bounds, pending(), |o| outcomes.push(o)).await;
    (outcomes, sent)
}

/// The server answers nobody until all three have come: a client that waited for answers would wait
/// for ever.
#[tokio::test]
async fn no_request_waits_for_the_answer_of_another() {
    let all = Arc::new(Barrier::new(3));
    let address = serve(move |_| {
        let all = Arc::clone(&all);
        async move {
            all.wait().await;
            http::Response::new(Full::from("hello"))
        }
    })
    .await;
    let (outcomes, sent) = play(to(address), &[0, 30, 60], Bounds::default()).await;
    assert_eq!((sent.requests, sent.in_flight_peak, sent.interrupted), (3, 3, None));
    let answers: Vec<_> = outcomes.iter().map(|outcome| outcome.answer.as_ref().unwrap()).collect();
    assert!(answers.iter().all(|answer| answer.body_bytes == 5));
    let of = |ms| outcomes.iter().find(|o| o.due.at == Duration::from_millis(ms)).unwrap();
    assert!(of(0).latency > of(60).latency, "the first has waited for the last");
    assert!(of(0).latency >= Duration::from_millis(59));
}

/// With room for one, the others are late, and that is part of their latency.
#[tokio::test]
async fn what_finds_no_room_is_sent_late_and_its_latency_says_so() {
    let (inside, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let (counting, peak) = (Arc::clone(&inside), Arc::clone(&most));
    let address = serve(move |_| {
        let (inside, most) = (Arc::clone(&counting), Arc::clone(&peak));
        async move {
            most.fetch_max(inside.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
            tokio::time::sleep(WORK).await;
            inside.fetch_sub(1, Ordering::SeqCst);
            http::Response::new(Full::default())
        }
    })
    .await;
    let bounds = Bounds { in_flight_max: NonZeroU32::MIN, ..Bounds::default() };
    let (outcomes, sent) = play(to(address), &[0, 0, 0, 0], bounds).await;
    assert_eq!((sent.in_flight_peak, most.load(Ordering::SeqCst)), (1, 1));
    let last = outcomes.last().unwrap();
    assert!(last.sent_late >= Duration::from_millis(59), "three came before: {last:?}");
    assert!(outcomes.iter().all(|outcome| outcome.latency >= outcome.sent_late));
}

#[tokio::test]
async fn failures_are_told_apart() {
    let (gone, nobody) = listener().await;
    drop(gone);
    let mute = talk(|mut stream| async move {
        let mut rest = Vec::new();
        let _ = stream.read_to_end(&mut rest).await;
    })
    .await;
    let short = talk(|mut stream| async move {
        let mut head = [0; 1_024];
        let _ = stream.read(&mut head).await;
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf").await;
    })
    .await;
    let bounds = Bounds { timeout: Duration::from_millis(300), ..Bounds::default() };
    let mut report = Report::new(1);
    for address in [nobody, mute, short] {
        let (outcomes, _) = play(to(address), &[0], bounds).await;
        report.add(&outcomes[0]);
        match (&outcomes[0].answer, address) {
            (Err(Failure::Connect(_)), at) if at == nobody => {}
            (Err(Failure::TimedOut), at) if at == mute => {}
            (Err(Failure::Broken(_)), at) if at == short => {}
            (other, at) => panic!("{at}: {other:?}"),
        }
    }
    let all = &report.all;
    assert_eq!((all.unconnected, all.timed_out, all.broken, all.failed()), (1, 1, 1, 3));
}

#[tokio::test]
async fn what_is_said_of_a_request_reaches_the_server() {
    let address = serve(|request| async move {
        let header = |name: &str| {
            let value = request.headers().get(name).map(|value| value.to_str().unwrap().to_owned());
            value.unwrap_or_default()
        };
        let seen = format!(
            "{} {} host={} accept={} service={} length={}",
            request.method(),
            request.uri(),
            header("host"),
            header("accept"),
            header("x-service-ms"),
            header("content-length"),
        );
        http::Response::new(Full::from(seen.clone())).map(|body| {
            assert_eq!(
                seen,
                "PUT /there?a=b host=web.example accept=text/plain service=1.5 length=3"
            );
            body
        })
    })
    .await;
    let request = Request::get(&format!("http://{address}/there?a=b")).unwrap();
    let request = request.method("PUT").unwrap().header("Host: web.example").unwrap();
    let request = request.header("Accept: text/plain").unwrap().body("abc");
    let request = request.service_time_header("x-service-ms").unwrap();
    let (outcomes, _) = play(request, &[0], Bounds::default()).await;
    assert_eq!(outcomes[0].answer.as_ref().unwrap().status, 200);
}

#[tokio::test]
async fn once_stopped_nothing_more_is_sent() {
    let mute = talk(|mut stream| async move {
        let mut rest = Vec::new();
        let _ = stream.read_to_end(&mut rest).await;
    })
    .await;
    let (sender, arrivals) = mpsc::channel(3);
    for at in [Duration::ZERO, Duration::from_millis(1), Duration::from_secs(3_600)] {
        sender.send(Due::new(at)).await.unwrap();
    }
    let client = client(Version::Preferred);
    let stop = tokio::time::sleep(STOPPED_AFTER);
    let targets = [to(mute)];
    let sent = send(&client, &targets, arrivals, Bounds::default(), stop, |_| ()).await;
    assert_eq!((sent.requests, sent.interrupted), (2, Some(2)));
}

#[tokio::test]
async fn http2_is_spoken_from_the_first_byte_where_asked_for() {
    let address = serve(|request| async move {
        assert_eq!(request.version(), http::Version::HTTP_2);
        http::Response::new(Full::from("two"))
    })
    .await;
    let (sender, arrivals) = mpsc::channel(10);
    for _ in 0..10 {
        sender.send(Due::new(Duration::ZERO)).await.unwrap();
    }
    drop(sender);
    let mut report = Report::new(1);
    let client = client(Version::Http2);
    let targets = [to(address)];
    send(&client, &targets, arrivals, Bounds::default(), pending(), |o| report.add(&o)).await;
    assert_eq!(report.all.statuses.get(&200), Some(&10), "{report}");
}
