//! Any message on the report stream: understood or refused, and what is understood has no number
//! that is none and no time from the future.

#![no_main]

use libfuzzer_sys::fuzz_target;
use prost::Message;
use tidegate_controller::report::{Hello, PERIOD_MAX_MS, Report};
use tidegate_proto::stats::v1::report_request::Message as Said;
use tidegate_proto::stats::v1::{ReportRequest, Stat};

const NOW: i64 = 1_700_000_000_000;

fn read(stat: Stat) {
    let Ok(report) = Report::read(stat, NOW) else { return };
    assert!(report.end_unix_ms <= NOW);
    assert!((1..=PERIOD_MAX_MS).contains(&report.length_ms));
    let sample = report.sample;
    for (part, whole) in [
        (sample.proxied_concurrency(), sample.concurrency()),
        (sample.proxied_request_rate(), sample.request_rate()),
    ] {
        assert!(part >= 0.0 && part <= whole && whole.is_finite(), "{report:?}");
    }
}

fuzz_target!(|bytes: &[u8]| {
    let Ok(request) = ReportRequest::decode(bytes) else { return };
    match request.message {
        Some(Said::Hello(hello)) => {
            if let Ok(Hello::QueueProxy { address, instance, .. }) = Hello::try_from(hello) {
                assert!(address.contains(':') && !instance.as_str().is_empty());
            }
        }
        Some(Said::Stat(stat)) => read(stat),
        Some(Said::History(history)) => history.stats.into_iter().for_each(read),
        // Names and numbers, which are read as they are.
        Some(Said::KnownInstances(_)) | None => {}
    }
});
