//! Kind `request_stats`: the concurrency accountant of queue-proxy and activator.

use serde::{Deserialize, Serialize};
use tidegate_admission::{Meter, Moment, Source};

use crate::context::Context;
use crate::error::ScenarioError;
use crate::number::Number;

/// Times further from zero than this are mistakes: 142 years of microseconds.
const MAX_TIME_US: i64 = 1 << 52;

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct RequestStatsInput {
    start_us: TimeUs,
    events: Vec<Event>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Deserialize)]
#[serde(try_from = "i64")]
struct TimeUs(i64);

impl TryFrom<i64> for TimeUs {
    type Error = String;

    fn try_from(us: i64) -> Result<Self, String> {
        if (-MAX_TIME_US..=MAX_TIME_US).contains(&us) {
            return Ok(Self(us));
        }
        Err(format!("the time {us}, expected at most {MAX_TIME_US} µs either way"))
    }
}

#[derive(Debug, Deserialize)]
struct Event {
    #[serde(default)]
    t_us: TimeUs,
    #[serde(rename = "type")]
    kind: EventKind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum EventKind {
    In,
    Out,
    ProxiedIn,
    ProxiedOut,
    Report,
}

#[derive(Debug, Serialize)]
pub(super) struct RequestStatsOutput {
    reports: Vec<ReportOutput>,
}

#[derive(Debug, Serialize)]
struct ReportOutput {
    t_us: i64,
    average_concurrency: Number,
    average_proxied_concurrency: Number,
    request_count: u64,
    proxied_request_count: u64,
}

pub(super) fn request_stats(
    input: RequestStatsInput,
    context: &mut Context,
) -> Result<RequestStatsOutput, ScenarioError> {
    let times = input.events.iter().map(|event| event.t_us);
    let epoch = times.chain([input.start_us]).min().unwrap_or_default();
    let moment = |time: TimeUs| Moment::from_micros(time.0.abs_diff(epoch.0));
    let mut meter = Meter::new(moment(input.start_us));
    let mut inside = Inside::default();
    let mut reports = Vec::new();
    for (index, event) in input.events.iter().enumerate() {
        inside.count(event.kind).map_err(|message| {
            ScenarioError::new(format!("input.events[{index}].type"), message)
        })?;
        let now = moment(event.t_us);
        match event.kind {
            EventKind::In => meter.arrive(now, Source::Direct),
            EventKind::ProxiedIn => meter.arrive(now, Source::Proxied),
            EventKind::Out => meter.depart(now, Source::Direct),
            EventKind::ProxiedOut => meter.depart(now, Source::Proxied),
            EventKind::Report => {
                let report = meter.cut(now);
                let t_us = event.t_us.0;
                reports.push(ReportOutput {
                    t_us,
                    average_concurrency: Number(report.average_concurrency),
                    average_proxied_concurrency: Number(report.average_proxied_concurrency),
                    request_count: report.request_count,
                    proxied_request_count: report.proxied_request_count,
                });
                context.explanations.say(|| {
                    let (average, count) = (report.average_concurrency, report.request_count);
                    format!("at {t_us} µs: {count} requests came, {average} inside on average")
                });
            }
        }
    }
    Ok(RequestStatsOutput { reports })
}

/// Requests inside: none can leave that has not arrived.
#[derive(Debug, Default)]
struct Inside {
    all: u64,
    proxied: u64,
}

impl Inside {
    fn count(&mut self, kind: EventKind) -> Result<(), &'static str> {
        match kind {
            EventKind::In => self.all += 1,
            EventKind::ProxiedIn => (self.all, self.proxied) = (self.all + 1, self.proxied + 1),
            EventKind::Out => self.all = self.all.checked_sub(1).ok_or(NOT_INSIDE)?,
            EventKind::ProxiedOut => {
                self.all = self.all.checked_sub(1).ok_or(NOT_INSIDE)?;
                self.proxied = self.proxied.checked_sub(1).ok_or(NOT_INSIDE)?;
            }
            EventKind::Report => {}
        }
        Ok(())
    }
}

const NOT_INSIDE: &str = "a request leaves, but no such request is inside";
