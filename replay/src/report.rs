//! All outcomes as figures, in a memory that does not grow with them.

use std::collections::BTreeMap;
use std::fmt::{self, Display, Formatter};
use std::time::Duration;

use hdrhistogram::Histogram;

use crate::open_loop::{Failure, Outcome};

/// Significant figures of a latency: a thousandth of it is not told apart.
const SIGNIFICANT_FIGURES: u8 = 3;

/// The longest latency that is told apart, in microseconds: an hour. Longer ones count as this.
const LONGEST_US: u64 = 3_600_000_000;

/// Kinds of failures of which one is kept as an example, with the text that the system gave.
const KINDS: usize = 3;

/// Latencies in microseconds.
#[derive(Debug, Clone)]
pub struct Latencies {
    histogram: Histogram<u64>,
}

impl Default for Latencies {
    fn default() -> Self {
        let histogram = Histogram::new_with_bounds(1, LONGEST_US, SIGNIFICANT_FIGURES);
        Self { histogram: histogram.expect("the bounds are sound") }
    }
}

impl Latencies {
    fn add(&mut self, latency: Duration) {
        let micros = u64::try_from(latency.as_micros()).unwrap_or(u64::MAX);
        self.histogram.saturating_record(micros);
    }

    /// How many there are.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.histogram.len()
    }

    /// The latency that this share of requests (0 to 1) did not exceed.
    #[must_use]
    pub fn quantile(&self, share: f64) -> Duration {
        Duration::from_micros(self.histogram.value_at_quantile(share))
    }

    /// The mean.
    #[must_use]
    pub fn mean(&self) -> Duration {
        Duration::from_secs_f64(self.histogram.mean() / 1e6)
    }

    /// The longest.
    #[must_use]
    pub fn max(&self) -> Duration {
        Duration::from_micros(self.histogram.max())
    }

    pub(crate) fn histogram(&self) -> &Histogram<u64> {
        &self.histogram
    }
}

/// Figures of one target, or of all of them.
#[derive(Debug, Clone, Default)]
pub struct Figures {
    /// Requests with an outcome.
    pub requests: u64,
    /// From when a request was due to the last byte of its response, whatever its status.
    pub latency: Latencies,
    /// From when it was due to the headers of its response.
    pub headers: Latencies,
    /// Responses by status.
    pub statuses: BTreeMap<u16, u64>,
    /// Requests without a whole response: nobody took the connection.
    pub unconnected: u64,
    /// The same: it did not come in time.
    pub timed_out: u64,
    /// The same: it broke off.
    pub broken: u64,
    /// Bytes of bodies that came.
    pub body_bytes: u64,
}

impl Figures {
    fn add(&mut self, outcome: &Outcome) {
        self.requests += 1;
        match &outcome.answer {
            Ok(answer) => {
                self.latency.add(outcome.latency);
                self.headers.add(answer.headers_after);
                *self.statuses.entry(answer.status.as_u16()).or_default() += 1;
                self.body_bytes += answer.body_bytes;
            }
            Err(Failure::Connect(_)) => self.unconnected += 1,
            Err(Failure::TimedOut) => self.timed_out += 1,
            Err(Failure::Broken(_)) => self.broken += 1,
        }
    }

    /// Requests without a whole response.
    #[must_use]
    pub fn unanswered(&self) -> u64 {
        self.unconnected + self.timed_out + self.broken
    }

    /// Requests that were not answered, or with a status of 500 and above.
    #[must_use]
    pub fn failed(&self) -> u64 {
        let errors: u64 = self.statuses.range(500..).map(|(_, count)| count).sum();
        self.unanswered() + errors
    }
}

/// What came of a replay.
#[derive(Debug, Clone)]
pub struct Report {
    /// All targets together.
    pub all: Figures,
    /// Each of them, if there are several.
    pub targets: Vec<Figures>,
    /// From when a request was due to when it was sent.
    pub sent_late: Latencies,
    examples: BTreeMap<&'static str, String>,
}

impl Report {
    /// Of nothing yet, for so many targets.
    #[must_use]
    pub fn new(targets: usize) -> Self {
        let each = if targets > 1 { targets } else { 0 };
        Self {
            all: Figures::default(),
            targets: vec![Figures::default(); each],
            sent_late: Latencies::default(),
            examples: BTreeMap::new(),
        }
    }

    /// Counts one outcome in.
    pub fn add(&mut self, outcome: &Outcome) {
        self.all.add(outcome);
        let last = self.targets.len().saturating_sub(1);
        if let Some(target) = self.targets.get_mut(outcome.due.target.min(last)) {
            target.add(outcome);
        }
        self.sent_late.add(outcome.sent_late);
        if let Err(failure) = &outcome.answer {
            let kind = match failure {
                Failure::Connect(_) => "no connection",
                Failure::TimedOut => "timed out",
                Failure::Broken(_) => "broken off",
            };
            if self.examples.len() < KINDS {
                self.examples.entry(kind).or_insert_with(|| failure.to_string());
            }
        }
    }

    /// One failure of each kind that there was, in words.
    pub fn examples(&self) -> impl Iterator<Item = &str> {
        self.examples.values().map(String::as_str)
    }
}

impl Display for Report {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let figures = &self.all;
        writeln!(
            f,
            "{:<12}{:>12}{:>12}{:>12}{:>12}{:>12}",
            "", "p50", "p90", "p99", "p99.9", "max"
        )?;
        let rows = [
            ("latency", &figures.latency),
            ("headers", &figures.headers),
            ("sent late", &self.sent_late),
        ];
        for (name, latencies) in rows {
            write!(f, "{name:<12}")?;
            for share in [0.5, 0.9, 0.99, 0.999, 1.0] {
                let none = latencies.count() == 0;
                let shown = if none { "-".into() } else { shown(latencies.quantile(share)) };
                write!(f, "{shown:>12}")?;
            }
            writeln!(f)?;
        }
        let statuses = figures.statuses.iter().map(|(status, count)| (status.to_string(), *count));
        let failures = [
            ("no connection", figures.unconnected),
            ("timed out", figures.timed_out),
            ("broken off", figures.broken),
        ];
        let failures = failures.map(|(name, count)| (name.to_owned(), count));
        for (name, count) in statuses.chain(failures).filter(|(_, count)| *count > 0) {
            writeln!(f, "{name:<14}{count:>10}")?;
        }
        Ok(())
    }
}

/// Three significant figures of a time.
fn shown(time: Duration) -> String {
    let ms = time.as_secs_f64() * 1e3;
    match ms {
        ms if ms >= 10_000.0 => format!("{:.1} s", ms / 1e3),
        ms if ms >= 1_000.0 => format!("{:.2} s", ms / 1e3),
        ms if ms >= 100.0 => format!("{ms:.0} ms"),
        ms if ms >= 10.0 => format!("{ms:.1} ms"),
        ms => format!("{ms:.2} ms"),
    }
}

#[cfg(test)]
mod tests {
    use http::{HeaderMap, StatusCode};

    use super::*;
    use crate::open_loop::{Answer, Due};

    fn outcome(target: usize, ms: u64, answer: Result<u16, Failure>) -> Outcome {
        let time = Duration::from_millis(ms);
        let answer = answer.map(|status| Answer {
            status: StatusCode::from_u16(status).expect("a status"),
            headers: HeaderMap::new(),
            body_bytes: 7,
            headers_after: time / 2,
        });
        let due = Due { target, ..Due::new(Duration::ZERO) };
        Outcome { due, sent_late: Duration::ZERO, latency: time, answer }
    }

    #[test]
    fn latencies_are_of_answers_and_failures_are_counted_by_kind() {
        let mut report = Report::new(2);
        report.add(&outcome(0, 100, Ok(200)));
        report.add(&outcome(1, 300, Ok(503)));
        report.add(&outcome(1, 60_000, Err(Failure::TimedOut)));
        report.add(&outcome(9, 1, Err(Failure::Connect("refused".to_owned()))));
        assert_eq!(report.all.requests, 4);
        assert_eq!((report.all.unanswered(), report.all.failed()), (2, 3));
        assert_eq!(report.all.latency.count(), 2);
        assert!(report.all.latency.max() < Duration::from_millis(301));
        assert_eq!(report.targets[0].requests, 1);
        assert_eq!(report.targets[1].requests, 3, "beyond the last is the last");
        assert_eq!(report.all.body_bytes, 14);
        let examples: Vec<_> = report.examples().collect();
        assert_eq!(examples, ["no connection: refused", "no whole response in time"]);
        let text = report.to_string();
        assert!(text.contains("503") && text.contains("timed out"), "{text}");
    }
}
