//! Statistics as Knative's parts send them: activators in batches, sidecars one each.

use prost::Message;
use tidegate_autoscaler::{Sample, sample::SampleError};
use tidegate_kubernetes_objects::store::ObjectKey;
use tidegate_proto::LOAD_MESSAGE_BYTES_MAX;
use tidegate_proto::knative::{Stat, WireStatMessages};
use tidegate_proto::stats::v1 as wire;

/// What an activator says about one revision.
#[derive(Debug, Clone, PartialEq)]
pub struct ActivatorReport {
    /// The revision.
    pub revision: ObjectKey,
    /// The activator.
    pub activator: String,
    /// How busy it was.
    pub sample: Sample,
}

/// What is inside one pod at a moment, as its sidecar says when it changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PodLoad {
    /// Requests that are worked on or wait.
    pub in_flight: u32,
    /// Those of them that wait.
    pub waiting: u32,
}

/// Takes what is whole from the front of a sidecar's stream. Returns the last of it: what was
/// before is no more.
///
/// # Errors
/// Why it is no such stream, in words.
pub fn take_load(stream: &mut Vec<u8>) -> Result<Option<PodLoad>, String> {
    let mut last = None;
    loop {
        let mut rest = stream.as_slice();
        let length = match prost::decode_length_delimiter(&mut rest) {
            Ok(length) if length <= LOAD_MESSAGE_BYTES_MAX => length,
            Ok(length) => return Err(format!("a message of {length} bytes is too long")),
            // Two bytes hold every length that is taken.
            Err(_) if stream.len() < 2 => return Ok(last),
            Err(error) => return Err(error.to_string()),
        };
        let Some(message) = rest.get(..length) else { return Ok(last) };
        let load = wire::Stat::decode(message).map_err(|error| error.to_string())?;
        // What waits is inside.
        let in_flight = load.in_flight.max(load.waiting);
        last = Some(PodLoad { in_flight, waiting: load.waiting });
        let taken = stream.len() - rest.len() + length;
        stream.drain(..taken);
    }
}

/// Reads what an activator sent. What of it no report can carry is left out.
///
/// # Errors
/// Why it is no such message.
pub fn reports(message: &[u8]) -> Result<Vec<ActivatorReport>, prost::DecodeError> {
    let batch = WireStatMessages::decode(message)?;
    let read = |message: tidegate_proto::knative::WireStatMessage| {
        let stat = message.stat?;
        Some(ActivatorReport {
            revision: ObjectKey::new(&message.namespace, &message.name),
            sample: sample(&stat).ok()?,
            activator: stat.pod_name,
        })
    };
    Ok(batch.messages.into_iter().filter_map(read).collect())
}

/// Reads the statistics of a sidecar.
///
/// # Errors
/// Why they are none, in words.
pub fn scraped(body: &[u8]) -> Result<Sample, String> {
    let stat = Stat::decode(body).map_err(|error| format!("the response is no Stat: {error}"))?;
    sample(&stat).map_err(|error| error.to_string())
}

/// A figure below zero comes of subtracting what was reported early: it is none.
fn sample(stat: &Stat) -> Result<Sample, SampleError> {
    Sample::new(
        stat.average_concurrent_requests.max(0.0),
        stat.average_proxied_concurrent_requests.max(0.0),
        stat.request_count.max(0.0),
        stat.proxied_request_count.max(0.0),
    )
}

#[cfg(test)]
mod tests {
    use tidegate_proto::knative::WireStatMessage;

    use super::*;

    fn message(in_flight: u32, waiting: u32) -> Vec<u8> {
        wire::Stat { in_flight, waiting, ..wire::Stat::default() }.encode_length_delimited_to_vec()
    }

    #[test]
    fn a_stream_is_read_however_it_is_cut() {
        let whole = [message(0, 0), message(9, 8), message(3, 2)].concat();
        for cut in 0..whole.len() {
            let (mut stream, rest) = (whole[..cut].to_vec(), &whole[cut..]);
            take_load(&mut stream).expect("a part of a stream");
            stream.extend(rest);
            let load = take_load(&mut stream).expect("a stream");
            assert_eq!(load, Some(PodLoad { in_flight: 3, waiting: 2 }), "cut at {cut}");
            assert!(stream.is_empty());
        }
        assert_eq!(
            take_load(&mut message(1, 5)).map(|load| load.map(|l| l.in_flight)),
            Ok(Some(5))
        );
        assert!(take_load(&mut vec![0xff; 12]).is_err());
        assert!(take_load(&mut vec![0x81, 0x7f, 0]).is_err(), "a length beyond the bound");
        assert!(take_load(&mut b"\x03HTT".to_vec()).is_err());
    }

    #[test]
    fn a_batch_is_read_and_what_says_nothing_is_left_out() {
        let stat = |concurrency: f64, count: f64| Stat {
            pod_name: "activator-1".to_owned(),
            average_concurrent_requests: concurrency,
            request_count: count,
            ..Stat::default()
        };
        let message = |name: &str, stat: Option<Stat>| WireStatMessage {
            namespace: "shop".to_owned(),
            name: name.to_owned(),
            stat,
        };
        let batch = WireStatMessages {
            messages: vec![
                message("till-00001", Some(stat(2.5, -1.0))),
                message("till-00002", None),
                message("till-00003", Some(stat(f64::INFINITY, 1.0))),
            ],
        };
        let read = reports(&batch.encode_to_vec()).expect("it can be read");
        assert_eq!(read.len(), 1, "{read:?}");
        assert_eq!(read[0].revision, ObjectKey::new("shop", "till-00001"));
        assert_eq!(read[0].activator, "activator-1");
        assert_eq!(read[0].sample, Sample::of_concurrency(2.5).expect("a figure"));
        assert!(reports(b"\xff\xff").is_err());
        assert_eq!(scraped(&stat(3.0, 2.0).encode_to_vec()).map(|s| s.request_rate()), Ok(2.0));
        assert!(scraped(&stat(f64::INFINITY, 0.0).encode_to_vec()).is_err());
        assert!(scraped(b"# HELP").is_err());
    }
}
