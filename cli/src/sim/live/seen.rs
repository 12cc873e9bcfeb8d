//! What a recording says was measured.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;

use anyhow::Context;
use tidegate_recording::{Line, Recorded};

/// Figures of a recording.
pub(super) struct Seen {
    pub(super) recorded: Recorded,
    /// Ready instances in each second.
    pub(super) ready: Vec<f64>,
    /// When the first request arrived, in seconds after the recording began.
    pub(super) first_arrival_s: f64,
    /// From arrival to the end of the app's work, in milliseconds, sorted.
    latencies_ms: Vec<f64>,
    length_s: f64,
}

impl Seen {
    /// Reads the recording at `path`, which the simulator has read before.
    pub(super) fn read(path: &Path) -> anyhow::Result<Self> {
        let place = || path.display().to_string();
        let mut recorded: Option<Recorded> = None;
        let (mut latencies_ms, mut first_us) = (Vec::new(), u64::MAX);
        for line in BufReader::new(File::open(path).with_context(place)?).split(b'\n') {
            let line = line.with_context(place)?;
            let line = Line::read(&line).with_context(place)?;
            if let Line::Request(request) = &line {
                first_us = first_us.min(request.arrived_unix_us);
                latencies_ms.extend(
                    request.service_us.map(|service| (request.wait_us + service) as f64 / 1e3),
                );
            }
            match &mut recorded {
                Some(recorded) => recorded.add(line).with_context(place)?,
                None => recorded = Some(Recorded::begin(line).with_context(place)?),
            }
        }
        let recorded = recorded.with_context(place)?;
        latencies_ms.sort_by(f64::total_cmp);
        let length_s = recorded.length_us().unwrap_or(0) as f64 / 1e6;
        let ready = per_second(&recorded, length_s);
        let first_arrival_s = first_us.saturating_sub(recorded.began_unix_us) as f64 / 1e6;
        Ok(Self { recorded, ready, first_arrival_s, latencies_ms, length_s })
    }

    /// Ready instances over time, averaged.
    pub(super) fn instances(&self) -> f64 {
        if self.length_s > 0.0 { self.ready.iter().sum::<f64>() / self.length_s } else { 0.0 }
    }

    /// The latency that this share (0 to 1) of the requests did not exceed, milliseconds.
    pub(super) fn latency_ms(&self, quantile: f64) -> f64 {
        let last = self.latencies_ms.len().saturating_sub(1) as f64;
        let index = (quantile * last).ceil() as usize;
        self.latencies_ms.get(index).copied().unwrap_or(0.0)
    }
}

/// Seconds of ready instances in each second.
fn per_second(recorded: &Recorded, length_s: f64) -> Vec<f64> {
    let mut seconds = vec![0.0; length_s.ceil() as usize];
    let timeline = recorded.timeline();
    let ends = timeline.iter().skip(1).map(|(at, _)| *at as f64 / 1e6).chain([length_s]);
    for ((from, counts), until) in timeline.iter().zip(ends) {
        let mut from = *from as f64 / 1e6;
        while from < until.min(length_s) {
            let second = from.floor();
            let to = until.min(second + 1.0);
            if let Some(sum) = seconds.get_mut(second as usize) {
                *sum += f64::from(counts.ready) * (to - from);
            }
            from = to;
        }
    }
    seconds
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use tidegate_recording::{End, Head, InstanceEvent, InstancePhase, Place, Request, VERSION};

    use super::*;

    #[test]
    fn a_recording_is_summed_up_by_the_second() {
        let instance = |at_unix_us, phase| {
            let (revision, instance) = ("local/demo".into(), "demo-1".into());
            Line::Instance(InstanceEvent { at_unix_us, phase, revision, instance })
        };
        let request = |arrived_unix_us, wait_us, service_us| {
            Line::Request(Request {
                arrived_unix_us,
                wait_us,
                service_us,
                status: 200,
                request_bytes: 0,
                response_bytes: 0,
                cold: Some(wait_us > 0),
                timeline: None,
                revision: "local/demo".into(),
                instance: None,
            })
        };
        let lines = [
            Line::Head(Head {
                version: VERSION,
                recorded_at: Place::FrontDoor,
                began_unix_us: 1_000_000,
                revision: "local/demo".into(),
                concurrency: 1,
                adaptive: false,
                scaling: None,
            }),
            instance(1_100_000, InstancePhase::Starting),
            instance(1_500_000, InstancePhase::Ready),
            request(1_200_000, 300_000, Some(100_000)),
            request(1_700_000, 0, Some(50_000)),
            request(1_800_000, 7, None),
            instance(2_250_000, InstancePhase::Draining),
            Line::End(End { at_unix_us: 3_000_000, lost: 0 }),
        ];
        let mut file = tempfile::NamedTempFile::new().expect("a file");
        for line in &lines {
            file.write_all(&line.write()).expect("written");
        }
        let seen = Seen::read(file.path()).expect("a recording");
        assert_eq!(seen.ready, [0.5, 0.25]);
        assert_eq!((seen.instances(), seen.first_arrival_s), (0.375, 0.2));
        assert_eq!((seen.latency_ms(0.5), seen.latency_ms(0.0)), (400.0, 50.0));
        assert_eq!(seen.recorded.cold, 2);
    }
}
