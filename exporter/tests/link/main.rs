//! Metrics over links that are cut, slow or hostile, with real sockets: every value arrives once
//! and in order, and what cannot arrive is counted.

#[path = "receiver.rs"]
mod receiver;
#[path = "tls.rs"]
mod tls;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use receiver::{Behavior, Receiver};
use tidegate_exporter::exporter::Clock;
use tidegate_exporter::{Exporter, Headers, Identity, Metrics, Protocol, Rules, Settings};
use tidegate_telemetry::{Family, Metric, Registry, Value};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};

const HITS: Metric = Metric::counter("hits_total", "Hits.");
/// As OTLP calls it.
const HITS_IN_OTLP: &str = "hits";
/// Time between two readings: a minute in [`hours`].
const INTERVAL: Duration = Duration::from_millis(25);
const BETWEEN_LOOKS: Duration = Duration::from_millis(5);
/// How long anything may take that has to happen on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// When the tests began, for every process of theirs.
static BEGIN: LazyLock<Instant> = LazyLock::new(Instant::now);

/// A clock in which a reading takes a minute.
fn hours() -> Clock {
    let start = *BEGIN;
    let minute = |ms: u128| u64::try_from(ms * 60_000 / INTERVAL.as_millis()).expect("short");
    Box::new(move || UNIX_EPOCH + Duration::from_millis(minute(start.elapsed().as_millis())))
}

fn settings(protocol: Protocol, endpoint: &str) -> Settings {
    Settings {
        protocol,
        endpoint: endpoint.to_owned(),
        identity: Identity {
            service: "tidegate-activator".to_owned(),
            instance: "a".to_owned(),
            labels: Vec::new(),
        },
        rules: Rules::parse("[[rule]]\nkeep = \"hits_total\"").expect("rules"),
        interval: INTERVAL,
        batch: INTERVAL,
        headers: Headers::default(),
        tls: None,
        backlog_bytes: 8 << 20,
        backlog_age: Duration::from_secs(24 * 3600),
        folder: None,
    }
}

/// An exporter whose counter rises at every reading.
struct Site {
    registry: Registry,
    readings: Arc<AtomicU64>,
    end: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

impl Site {
    fn start(settings: Settings, first: u64) -> Self {
        let registry = Registry::new();
        let metrics = Metrics::new(&registry);
        let exporter = Exporter::with_clock(settings, metrics, hours()).expect("it starts");
        let hits = HITS.register_counter(&registry, &[]);
        hits.increment(first);
        let readings = Arc::new(AtomicU64::new(first));
        let (read, count) = (registry.clone(), Arc::clone(&readings));
        let gather = move || {
            hits.increment(1);
            count.fetch_add(1, Ordering::Relaxed);
            std::future::ready(read.gather())
        };
        let (end, told) = oneshot::channel();
        let task = tokio::spawn(exporter.run(gather, async { drop(told.await) }));
        Self { registry, readings, end, task }
    }

    fn readings(&self) -> u64 {
        self.readings.load(Ordering::Relaxed)
    }

    async fn until_readings(&self, count: u64) {
        until(|| self.readings() >= count).await;
    }

    /// Ends it in order; gives how many readings there were.
    async fn end(self) -> (Registry, u64) {
        drop(self.end);
        timeout(PATIENCE, self.task).await.expect("it ends in time").expect("and in order");
        (self.registry, self.readings.load(Ordering::Relaxed))
    }
}

async fn until(mut is_so: impl FnMut() -> bool) {
    let waiting = async {
        while !is_so() {
            sleep(BETWEEN_LOOKS).await;
        }
    };
    timeout(PATIENCE, waiting).await.expect("it comes to pass");
}

/// The values of the counter as they arrived: each once, in order, with rising times.
#[track_caller]
fn assert_complete(receiver: &Receiver, metric: &str, first: u64, last: u64) {
    let points = receiver.taken(metric);
    let values: Vec<u64> = points.iter().map(|(_, _, value)| *value as u64).collect();
    assert_eq!(values, (first..=last).collect::<Vec<_>>());
    assert!(points.is_sorted_by(|a, b| a.1 < b.1), "{points:?}");
}

fn number(families: &[Family], name: &str, label: &str) -> f64 {
    let family = families.iter().find(|family| family.name == name).expect("it is served");
    let series = family
        .series
        .iter()
        .find(|series| label.is_empty() || series.labels.iter().any(|one| one.value() == label));
    match series.expect("the series is there").value {
        Value::Number(number) => number,
        Value::Buckets(_) => panic!("{name} is a histogram"),
    }
}

fn points(registry: &Registry, outcome: &str) -> u64 {
    number(&registry.gather(), "tidegate_metrics_push_points_total", outcome) as u64
}

/// Before, during and after an hour without a link: sixty readings that cannot be sent.
async fn an_hour(protocol: Protocol, metric: &str) {
    let receiver = Receiver::start(Behavior::Take).await;
    let site = Site::start(settings(protocol, &receiver.address), 0);
    site.until_readings(10).await;
    until(|| receiver.count() > 0).await;
    receiver.behave(Behavior::Cut);
    let before = site.readings();
    site.until_readings(before + 60).await;
    let waiting = "tidegate_metrics_push_waiting_bytes";
    assert!(number(&site.registry.gather(), waiting, "") > 0.0);
    receiver.behave(Behavior::Take);
    until(|| receiver.count() as u64 >= before + 60).await;
    let (registry, last) = site.end().await;
    assert_complete(&receiver, metric, 1, last);
    assert_eq!(points(&registry, "delivered"), last);
    assert_eq!((points(&registry, "dropped"), points(&registry, "refused")), (0, 0));
    assert_eq!(number(&registry.gather(), waiting, ""), 0.0);
}

#[tokio::test]
async fn an_hour_without_a_link_loses_nothing_in_otlp() {
    an_hour(Protocol::OtlpHttp, HITS_IN_OTLP).await;
}

#[tokio::test]
async fn an_hour_without_a_link_loses_nothing_in_remote_write() {
    an_hour(Protocol::RemoteWrite, HITS.name).await;
}

#[tokio::test]
async fn everything_arrives_over_grpc() {
    let receiver = Receiver::start_grpc().await;
    let site = Site::start(settings(Protocol::OtlpGrpc, &receiver.address), 0);
    site.until_readings(10).await;
    let (registry, last) = site.end().await;
    assert_complete(&receiver, HITS_IN_OTLP, 1, last);
    assert_eq!(points(&registry, "delivered"), last);
}

#[tokio::test]
async fn what_could_not_be_sent_outlives_the_process() {
    let folder = tempfile::tempdir().expect("a folder");
    let receiver = Receiver::start(Behavior::Cut).await;
    let with_folder = || Settings {
        folder: Some(folder.path().to_owned()),
        ..settings(Protocol::OtlpHttp, &receiver.address)
    };
    let first = Site::start(with_folder(), 0);
    first.until_readings(20).await;
    let (_, last) = first.end().await;
    // The next one is killed: what it had tried to send, and what came after, is there.
    let second = Site::start(with_folder(), last);
    second.until_readings(last + 20).await;
    let files = || std::fs::read_dir(folder.path()).expect("a folder").count() as u64;
    until(|| files() > last + 20).await;
    second.task.abort();
    assert!(second.task.await.is_err_and(|error| error.is_cancelled()));
    let kept = files() - 1;
    receiver.behave(Behavior::Take);
    let third = Site::start(with_folder(), kept);
    until(|| receiver.count() as u64 >= kept).await;
    let (_, last) = third.end().await;
    assert_complete(&receiver, HITS_IN_OTLP, 1, last);
    assert_eq!(files(), 1, "the lock alone is left");
}

/// What no repetition can make right is counted and given up; what may be is tried again.
#[tokio::test]
async fn refusals_are_counted_and_not_repeated() {
    let bad = "HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n";
    let receiver = Receiver::start(Behavior::Answer(bad)).await;
    let site = Site::start(settings(Protocol::RemoteWrite, &receiver.address), 0);
    site.until_readings(10).await;
    until(|| points(&site.registry, "refused") >= 5).await;
    receiver.behave(Behavior::Take);
    until(|| receiver.count() >= 5).await;
    let (registry, last) = site.end().await;
    let (delivered, refused) = (points(&registry, "delivered"), points(&registry, "refused"));
    assert_eq!((delivered, delivered + refused), (receiver.count() as u64, last));
    // One request for each message: none was repeated.
    assert_eq!(receiver.requests() as u64, last);
    let first = receiver.taken(HITS.name)[0].2 as u64;
    assert_complete(&receiver, HITS.name, first, last);
}

#[tokio::test]
async fn a_partial_success_is_counted_and_not_repeated() {
    // Field 1 with five bytes: in it, field 1 is the number 1, and field 2 the text "x".
    const PARTIAL: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\n\x0a\x05\x08\x01\x12\x01x";
    let receiver = Receiver::start(Behavior::TakeAndAnswer(PARTIAL)).await;
    let site = Site::start(settings(Protocol::OtlpHttp, &receiver.address), 0);
    site.until_readings(5).await;
    let (registry, last) = site.end().await;
    assert_eq!((points(&registry, "refused"), points(&registry, "delivered")), (last, 0));
    assert_complete(&receiver, HITS_IN_OTLP, 1, last);
}

/// Each of them for a while; readings go on at their pace, and then everything arrives.
#[tokio::test]
async fn a_receiver_that_misbehaves_delays_nothing_and_loses_nothing() {
    for behavior in [
        Behavior::Answer(
            "HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n",
        ),
        Behavior::Answer("HTTP/1.1 503 No\r\nRetry-After: 1\r\nContent-Length: 0\r\n\r\n"),
        Behavior::Answer(
            "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 5\r\n\r\nlogin",
        ),
        Behavior::Answer("SSH-2.0-OpenSSH_9.2\r\n"),
        Behavior::EndlessHead,
    ] {
        let receiver = Receiver::start(behavior).await;
        let site = Site::start(settings(Protocol::OtlpHttp, &receiver.address), 0);
        until(|| receiver.requests() > 0).await;
        let before = site.readings();
        site.until_readings(before + 20).await;
        assert_eq!(receiver.count(), 0, "{behavior:?}");
        receiver.behave(Behavior::Take);
        until(|| receiver.count() as u64 >= before + 20).await;
        let (registry, last) = site.end().await;
        assert_complete(&receiver, HITS_IN_OTLP, 1, last);
        assert_eq!(points(&registry, "delivered"), last, "{behavior:?}");
    }
}

#[tokio::test]
async fn a_receiver_that_never_answers_delays_neither_readings_nor_the_end() {
    let folder = tempfile::tempdir().expect("a folder");
    let receiver = Receiver::start(Behavior::Silent).await;
    let settings = Settings {
        folder: Some(folder.path().to_owned()),
        ..settings(Protocol::OtlpHttp, &receiver.address)
    };
    let site = Site::start(settings, 0);
    until(|| receiver.requests() > 0).await;
    let before = site.readings();
    site.until_readings(before + 40).await;
    let began = Instant::now();
    let (_, last) = site.end().await;
    // It is the bound that ends it, not the silence of the receiver.
    assert!(began.elapsed() >= tidegate_exporter::FLUSH_TIMEOUT);
    assert_eq!(std::fs::read_dir(folder.path()).expect("a folder").count() as u64, last + 1);
}

#[tokio::test]
async fn without_room_the_past_is_thinned_and_counted() {
    let receiver = Receiver::start(Behavior::Cut).await;
    let small =
        Settings { backlog_bytes: 8 << 10, ..settings(Protocol::OtlpHttp, &receiver.address) };
    let site = Site::start(small, 0);
    until(|| points(&site.registry, "dropped") >= 20).await;
    assert!(number(&site.registry.gather(), "tidegate_metrics_push_waiting_bytes", "") <= 8192.0);
    receiver.behave(Behavior::Take);
    until(|| receiver.count() > 0).await;
    let (registry, last) = site.end().await;
    let (delivered, dropped) = (points(&registry, "delivered"), points(&registry, "dropped"));
    assert_eq!((delivered, delivered + dropped), (receiver.count() as u64, last));
    let values: Vec<f64> = receiver.taken(HITS_IN_OTLP).iter().map(|point| point.2).collect();
    assert!(values.is_sorted(), "{values:?}");
}

#[tokio::test]
async fn headers_are_sent_and_several_readings_share_a_message() {
    let receiver = Receiver::start(Behavior::Take).await;
    let headers = Headers::of_variable("V", "authorization=Bearer%20s3cret").expect("headers");
    let shared = Settings {
        headers,
        batch: 4 * INTERVAL,
        ..settings(Protocol::RemoteWrite, &(receiver.address.clone() + "/api/v1/write?tenant=x"))
    };
    let site = Site::start(shared, 0);
    site.until_readings(20).await;
    let (_, last) = site.end().await;
    assert_complete(&receiver, HITS.name, 1, last);
    assert!(receiver.requests() as u64 <= last / 4 + 1, "{} of {last}", receiver.requests());
    let head = &receiver.heads()[0];
    for part in [
        "post /api/v1/write?tenant=x http/1.1",
        "authorization: bearer s3cret",
        "content-type: application/x-protobuf",
        "x-prometheus-remote-write-version: 0.1.0",
    ] {
        assert!(head.contains(part), "{part}: {head}");
    }
}

/// A process that was asleep, or whose clock was set, sends what it has.
#[tokio::test]
async fn a_clock_that_goes_back_stops_nothing() {
    let receiver = Receiver::start(Behavior::Take).await;
    let registry = Registry::new();
    let calls = AtomicU64::new(0);
    let clock: Clock = Box::new(move || {
        let call = calls.fetch_add(1, Ordering::Relaxed);
        SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000 - call * 3600)
    });
    let endpoint = receiver.address.clone();
    let settings = settings(Protocol::OtlpHttp, &endpoint);
    let exporter = Exporter::with_clock(settings, Metrics::new(&registry), clock).expect("starts");
    let hits = HITS.register_counter(&registry, &[]);
    let (end, told) = oneshot::channel::<()>();
    let gather = move || {
        hits.increment(1);
        std::future::ready(registry.gather())
    };
    let task = tokio::spawn(exporter.run(gather, async { drop(told.await) }));
    until(|| receiver.count() >= 10).await;
    drop(end);
    task.await.expect("it ends");
}
