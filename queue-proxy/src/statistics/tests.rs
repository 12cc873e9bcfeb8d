use tidegate_admission::{QueueSettings, Source};

use super::*;
use crate::drain::Stage;
use crate::probe::spec::ReadinessSpec;

struct Bench {
    stats_reporter: StatsReporter,
    _readiness: watch::Sender<Readiness>,
    _drain: watch::Sender<Stage>,
}

fn bench() -> Bench {
    let (readiness, readiness_seen) = watch::channel(Readiness::Ready);
    let (drain, drain_seen) = watch::channel(Stage::Serving);
    Bench {
        stats_reporter: StatsReporter {
            pod: "pod-abc".to_owned(),
            gate: Gate::new(Limit::from_wire(1), QueueSettings::KNATIVE),
            connections: TcpConnections::new(Vec::new()),
            outcomes: Outcomes::new(DigestReader::None),
            snapshot: Snapshot::new("pod-abc"),
            load_stream: LoadStream::default(),
            draining: Draining::new(),
            readiness: readiness_seen,
            prober: Prober::new(ReadinessSpec::Always),
            drain_changes: drain_seen,
            reporting: None,
            metrics: None,
            recorder: None,
            log: None,
            tracer: None,
        },
        _readiness: readiness,
        _drain: drain,
    }
}

fn decode(snapshot: &Snapshot) -> knative::Stat {
    knative::Stat::decode(snapshot.encoded()).unwrap()
}

#[test]
fn before_the_first_second_the_snapshot_has_only_the_name() {
    assert_eq!(Snapshot::new("pod-abc").encoded().len(), 9);
}

#[test]
fn the_message_fits_knatives_read_limit() {
    let snapshot = Snapshot::new("x");
    let mut period = Period::default();
    let gate = Gate::new(Limit::UNLIMITED, QueueSettings::KNATIVE);
    period.add(&gate.take_period(), Duration::from_secs(1));
    snapshot.replace(&"é".repeat(400), &period, Duration::from_secs(1));
    assert!(snapshot.encoded().len() <= 336 - 36);
}

#[tokio::test(start_paused = true)]
async fn each_second_replaces_the_snapshot() {
    let bench = bench();
    let (gate, snapshot) =
        (bench.stats_reporter.gate.clone(), bench.stats_reporter.snapshot.clone());
    let outcomes = bench.stats_reporter.outcomes.clone();
    let task = tokio::spawn(bench.stats_reporter.run(std::future::pending()));
    let permit = gate.enter(Source::Proxied).await.unwrap();
    tokio::time::sleep(Duration::from_millis(500)).await;
    drop(permit);
    drop(gate.enter(Source::Direct).await.unwrap());
    outcomes.uncounted();
    tokio::time::sleep(Duration::from_millis(501)).await;
    let stat = decode(&snapshot);
    assert_eq!((stat.request_count, stat.proxied_request_count), (1.0, 1.0));
    assert!((stat.average_proxied_concurrent_requests - 0.5).abs() < 0.01, "{stat:?}");
    assert_eq!(stat.process_uptime.round(), 1.0);
    tokio::time::sleep(Duration::from_secs(1)).await;
    let stat = decode(&snapshot);
    assert_eq!((stat.request_count, stat.average_concurrent_requests), (0.0, 0.0));
    task.abort();
}

#[test]
fn connections_beside_the_gate_count_as_requests_in_flight() {
    let mut bench = bench();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let reporter = &mut bench.stats_reporter;
    reporter.connections = TcpConnections::new(vec![address.port()]);
    let begin = Instant::now();
    let mut periods = Periods::new(begin);
    let clients: Vec<_> = (0..4).map(|_| std::net::TcpStream::connect(address).unwrap()).collect();
    let averages: Vec<(f64, f64)> = (1..=2)
        .map(|second| {
            let now = begin + Duration::from_secs(second);
            reporter.apply(Trigger::SnapshotDue, &mut periods, now);
            let stat = decode(&reporter.snapshot);
            (stat.average_concurrent_requests, stat.request_count)
        })
        .collect();
    assert_eq!(averages, [(2.0, 4.0), (4.0, 0.0)]);
    drop(clients);
}

#[tokio::test(start_paused = true)]
async fn reports_carry_the_reason_an_instance_is_not_ready() {
    let bench = bench();
    let said = || {
        let periods = Periods::new(Instant::now());
        let stat = bench.stats_reporter.stat(
            (&bench.stats_reporter.gate.take_period(), 0),
            &periods,
            Instant::now(),
        );
        (stat.ready, stat.not_ready_reason)
    };
    assert_eq!(said(), (true, String::new()));
    bench._readiness.send_replace(Readiness::NotReady("connection refused".into()));
    assert_eq!(said(), (false, "connection refused".to_owned()));
    bench._readiness.send_replace(Readiness::Ready);
    bench.stats_reporter.draining.set(crate::environment::Switch::On);
    assert_eq!(said(), (false, "it is draining".to_owned()));
}
