use std::io::Read as _;

use tidegate_proto::otlp::v1::ExportMetricsServiceRequest;
use tidegate_telemetry::{Metric, Registry};

use super::*;

const HITS: Metric = Metric::counter("hits_total", "Hits of all kinds.").labelled(&["kind"]);
const TIME: Metric = Metric::histogram("time_seconds", "Time.");

fn identity() -> Identity {
    Identity {
        service: "tidegate-activator".to_owned(),
        instance: "a-1".to_owned(),
        labels: vec![("k8s.cluster.name".to_owned(), "berlin".to_owned())],
    }
}

fn at(seconds: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(seconds)
}

fn readings(count: u64) -> Vec<Reading> {
    let registry = Registry::new();
    let hits = HITS.register_counter(&registry, &["good"]);
    let time = TIME.register_histogram(&registry, Vec::new());
    let reading = |second| {
        hits.increment(1);
        time.record(0.3);
        let mut families = registry.gather();
        families.retain(|family| ["hits_total", "time_seconds"].contains(&family.name.as_str()));
        Reading { at: at(second), families }
    };
    (1..=count).map(reading).collect()
}

fn unzipped(body: &[u8]) -> ExportMetricsServiceRequest {
    let mut plain = Vec::new();
    flate2::read::GzDecoder::new(body).read_to_end(&mut plain).unwrap();
    ExportMetricsServiceRequest::decode(&plain[..]).unwrap()
}

fn unsnapped(body: &[u8]) -> WriteRequest {
    let plain = snap::raw::Decoder::new().decompress_vec(body).unwrap();
    WriteRequest::decode(&plain[..]).unwrap()
}

#[test]
fn otlp_holds_every_reading_and_says_what_it_means_once_an_hour() {
    let mut encoder = Encoder::new(Format::Otlp, identity(), UNIX_EPOCH);
    let messages = encoder.encode(readings(3));
    let [message] = &messages[..] else { panic!("{}", messages.len()) };
    assert_eq!((message.points, message.last_ms), (6, 3000));
    let request = unzipped(&message.body);
    let resource = request.resource_metrics[0].resource.as_ref().unwrap();
    let keys: Vec<&str> = resource.attributes.iter().map(|one| &one.key[..]).collect();
    let expected = ["service.name", "service.instance.id", "service.version", "k8s.cluster.name"];
    assert_eq!(keys, expected);
    let meaning = |request: &ExportMetricsServiceRequest| {
        request.resource_metrics[0].scope_metrics[0].metrics[0].description.clone()
    };
    assert_eq!(meaning(&request), "Hits of all kinds.");
    assert_eq!(meaning(&unzipped(&encoder.encode(readings(3))[0].body)), "");
}

#[test]
fn remote_write_has_the_series_of_a_scrape() {
    let mut encoder = Encoder::new(Format::RemoteWrite, identity(), UNIX_EPOCH);
    let messages = encoder.encode(readings(2));
    let request = unsnapped(&messages[0].body);
    // A counter, fifteen buckets, a sum and a count, each at two times.
    assert_eq!((request.timeseries.len(), messages[0].points), (18, 36));
    for series in &request.timeseries {
        let names: Vec<&str> = series.labels.iter().map(|label| &label.name[..]).collect();
        assert!(names.is_sorted(), "{names:?}");
        assert!(series.labels.iter().all(|label| !label.value.is_empty()), "{series:?}");
        let times: Vec<i64> = series.samples.iter().map(|sample| sample.timestamp).collect();
        assert_eq!(times, [1000, 2000]);
    }
    let shown = |series: &TimeSeries| {
        let pairs = series.labels.iter().map(|label| format!("{}={}", label.name, label.value));
        pairs.collect::<Vec<_>>().join(" ")
    };
    let all: Vec<String> = request.timeseries.iter().map(shown).collect();
    let version = env!("CARGO_PKG_VERSION");
    let expected = format!(
        "__name__=time_seconds_bucket instance=a-1 job=tidegate-activator \
         k8s_cluster_name=berlin le=+Inf otel_scope_name=tidegate otel_scope_version={version}"
    );
    assert!(all.contains(&expected), "{all:#?}");
}

#[test]
fn long_messages_are_split_and_lose_nothing() {
    let mut encoder = Encoder::new(Format::RemoteWrite, identity(), UNIX_EPOCH);
    let series = |number: usize| Series {
        labels: vec![Label::new("n", number.to_string())],
        value: Value::Number(1.0),
    };
    let family = |count: usize| Family {
        name: format!("f_{count}"),
        kind: tidegate_telemetry::Kind::Gauge,
        help: "".into(),
        series: (0..count).map(series).collect(),
    };
    let reading = |second| Reading { at: at(second), families: vec![family(1500), family(3001)] };
    let messages = encoder.encode(vec![reading(1), reading(2)]);
    let points: Vec<u64> = messages.iter().map(|message| message.points).collect();
    assert_eq!(points, [2000, 2000, 2000, 2000, 1002]);
    assert!(encoder.encode(vec![Reading { at: at(1), families: Vec::new() }]).is_empty());
}
