//! What was taken for what, in a sentence, and whether it can be.

use tidegate_sim::arrival::RevisionNames;

use crate::description::{Measure, Sign};
use crate::layout::SAMPLE_ROWS;
use crate::plan::{Part, Plan};
use crate::rows::{Row, RowReader, StampedAt};
use crate::table::{self, Layout};
use crate::wrapper::Wrapper;

/// A mean service time in seconds from which on an unsaid unit is asked for: most platforms end a
/// request after a minute.
const ASSUMED_MEAN_MAX_S: f64 = 60.0;

/// A mean service time in seconds that even a known unit makes worth a warning: ten minutes.
const KNOWN_MEAN_MAX_S: f64 = 600.0;

/// Instances busy at once that are worth a warning.
const BUSY_MAX: f64 = 10_000.0;

/// A mean service time in seconds below which no request is served: a microsecond.
const KNOWN_MEAN_MIN_S: f64 = 1e-6;

/// Rows in one and the same moment that are worth a warning.
const TOGETHER_MIN: usize = 100;

/// How a trace is read.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Reading {
    /// Which field was taken for what, in which unit, and what its stamps are.
    pub sentence: String,
    /// What was taken for granted, and what can hardly be.
    pub warnings: Vec<String>,
}

/// Figures of the first rows.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(crate) struct Sampled {
    pub(crate) rows: usize,
    pub(crate) timed: usize,
    pub(crate) service_s: f64,
    pub(crate) span_s: f64,
}

impl Sampled {
    /// Figures of the first rows of `reader`; a row that is wrong ends the sample, the run tells.
    pub(crate) fn of(reader: &mut dyn RowReader) -> Self {
        let mut names = RevisionNames::new();
        let mut sampled = Sampled::default();
        let (mut first, mut last) = (i64::MAX, i64::MIN);
        while sampled.rows < SAMPLE_ROWS {
            let Ok(Some(Row { stamp_ns, service_ns, .. })) = reader.next_row(&mut names) else {
                break;
            };
            sampled.rows += 1;
            (first, last) = (first.min(stamp_ns), last.max(stamp_ns));
            if let Some(service) = service_ns {
                sampled.timed += 1;
                sampled.service_s += service as f64 / 1e9;
            }
        }
        if sampled.rows > 0 {
            sampled.span_s = last.abs_diff(first) as f64 / 1e9;
        }
        sampled
    }

    fn mean_s(self) -> f64 {
        if self.timed == 0 { 0.0 } else { self.service_s / self.timed as f64 }
    }

    /// What can hardly be true of these times.
    pub(crate) fn doubts(self) -> Vec<String> {
        let mut doubts = Vec::new();
        let mean = self.mean_s();
        let busy = self.service_s / self.span_s.max(mean).max(1e-9);
        if mean > KNOWN_MEAN_MAX_S || busy > BUSY_MAX {
            doubts.push(format!(
                "service times of {mean:.0} s on average make {busy:.0} requests at once; if that \
                 is not so, --service-unit says the unit, --fields service=NAME the field"
            ));
        }
        if self.timed > 0 && self.service_s > 0.0 && mean < KNOWN_MEAN_MIN_S {
            doubts.push(
                "service times are below a microsecond on average; if that is not so, \
                 --service-unit says the unit"
                    .into(),
            );
        }
        if self.rows >= TOGETHER_MIN && self.span_s == 0.0 {
            doubts.push(format!(
                "its first {} requests all have the same stamp; if that is not so, --fields \
                 time=NAME says the field",
                self.rows
            ));
        }
        doubts
    }

    /// Why an assumed unit cannot be, with what to pass.
    pub(crate) fn refuted(self) -> Option<String> {
        let mean = self.mean_s();
        (mean > ASSUMED_MEAN_MAX_S || (self.rows > 1 && mean > self.span_s && mean > 10.0)).then(
            || {
                format!(
                    "nothing says the unit of its service times, and as seconds they are {mean:.0} \
                     s on average; pass --service-unit s, ms, us or ns"
                )
            },
        )
    }
}

/// A length of time for people.
fn length(nanos: u64) -> String {
    match nanos {
        1_000_000_000.. => format!("{} s", nanos / 1_000_000_000),
        1_000_000.. => format!("{} ms", nanos / 1_000_000),
        1_000.. => format!("{} \u{b5}s", nanos / 1_000),
        _ => format!("{nanos} ns"),
    }
}

fn moment_of(at: StampedAt) -> &'static str {
    match at {
        StampedAt::Start => "the beginning of a request",
        StampedAt::End => "the end of a request",
    }
}

/// The sentence for a described format.
pub(crate) fn of_plan(plan: &Plan, wrappers: &[Wrapper]) -> String {
    let mut parts = Vec::new();
    if let Some(moment) = plan.moments.first() {
        let unit = match moment.unit {
            Some(unit) => format!(" in {}", unit.name()),
            None => String::new(),
        };
        let spread = match plan.spread_ns {
            Some(tick) => format!(", spread inside its {}", length(tick)),
            None => format!(", to {}", length(plan.tick_ns)),
        };
        let names = plan.names(&moment.fields);
        let at = match plan.services.is_empty() && names == "time_local" {
            true => "the time of a request (nginx's end, Apache's beginning)",
            false => moment_of(moment.at),
        };
        parts.push(format!("{names} is {at}{unit}{spread}"));
    }
    parts.push(match plan.services.first() {
        Some(terms) => span(plan, terms),
        None => "it has no service times".to_owned(),
    });
    if let Some(total) = plan.totals.first().filter(|_| plan.stamped_at() == StampedAt::End) {
        parts.push(format!("{} the whole time", plan.names(&[total[0].field])));
    }
    match plan.revisions.first() {
        Some(field) => parts.push(format!("{} is the revision", plan.names(&[*field]))),
        None => parts.push("all is one revision".to_owned()),
    }
    if !plan.filters.is_empty() {
        parts.push(format!("rows are requests by their {}", plan.filtered_by()));
    }
    if !wrappers.is_empty() {
        let names: Vec<&str> = wrappers.iter().map(|wrapper| wrapper.name()).collect();
        parts.push(format!("out of {}", names.join(" and ")));
    }
    parts.join("; ")
}

/// A service time in words: `Ta - TR - Tw is the service time in milliseconds`.
fn span(plan: &Plan, terms: &[Part]) -> String {
    let mut text = String::new();
    for (number, part) in terms.iter().enumerate() {
        let sign = match part.sign {
            Sign::Minus => " - ",
            Sign::Plus if number > 0 => " + ",
            Sign::Plus => "",
        };
        text.push_str(sign);
        text.push_str(&plan.names(&[part.field]));
    }
    let unit = match terms.first().map(|part| part.measure) {
        Some(Measure::Time(unit)) => unit.name(),
        _ if plan.tokens.is_some() => "tokens by --token-times",
        _ => return format!("{text} are tokens, and no service times without --token-times"),
    };
    format!("{text} is the service time in {unit}")
}

/// The sentence for a data set with columns.
pub(crate) fn of_layout(layout: &Layout, header: &[String]) -> String {
    let name = |column: usize| {
        header.get(column).cloned().unwrap_or_else(|| format!("column {}", column + 1))
    };
    let unit = match layout.clock {
        crate::field::Clock::Number(unit) => format!(" in {}", unit.name()),
        _ => String::new(),
    };
    let mut parts =
        vec![format!("{} is {}{unit}", name(layout.time), moment_of(layout.stamped_at))];
    let service: Vec<String> = layout.service.iter().map(|part| name(part.column)).collect();
    parts.push(match layout.service.first().map(|part| part.measure) {
        Some(table::Measure::Time(unit)) => {
            format!("{} is the service time in {}", service.join(" + "), unit.name())
        }
        Some(table::Measure::Each(_)) => {
            format!("{} are tokens by --token-times", service.join(" and "))
        }
        None => "it has no service times".to_owned(),
    });
    let revision: Vec<String> = layout.revision.iter().map(|column| name(*column)).collect();
    parts.push(match revision.is_empty() {
        true => "all is one revision".to_owned(),
        false => format!("{} is the revision", revision.join("/")),
    });
    parts.join("; ")
}

/// The sentence for counts.
pub(crate) fn of_counts(what: &str, interval_ns: u64) -> String {
    format!("{what}, in steps of {}", length(interval_ns))
}

/// The finest tick of a plan's stamps, and whether rows share one, from the first rows.
pub(crate) fn coarseness(stamps: &[(i64, u64)]) -> (u64, bool) {
    let finest = stamps.iter().map(|(_, tick)| *tick).min().unwrap_or(1);
    let shared = stamps.windows(2).any(|pair| pair[0].0 == pair[1].0);
    (finest, shared)
}
