//! Files of no known format: columns or keys by their names, as far as names have one meaning, by
//! what the user declares, and by a question otherwise.

use crate::description::{Measure, Sign};
use crate::field::{self, Unit};
use crate::format::{self, ARRIVAL_NAMES, REVISION_NAMES, SERVICE_NAMES};
use crate::options::{Declared, Grouping};
use crate::plan::{Finder, Moment, Part, Plan, Unnamed};
use crate::rows::StampedAt;
use crate::table::Missing;

/// Names of a moment that is the end of a request.
const END_NAMES: [&str; 8] =
    ["end", "ended", "end_time", "finished", "finish_time", "completed", "stop", "end_timestamp"];

/// Names of a moment that may be the beginning or the end.
const OPEN_NAMES: [&str; 6] = ["timestamp", "time", "ts", "datetime", "date", "@timestamp"];

/// Names that only a file of ours, or one written for it, has: their unit is seconds by the book.
const OUR_NAMES: [&str; 2] = ["arrival", "service"];

/// Names by which rows can be seen to be requests although nothing says how long they took.
const REQUEST_NAMES: [&str; 14] = [
    "method",
    "path",
    "uri",
    "url",
    "status",
    "status_code",
    "code",
    "request",
    "verb",
    "request_id",
    "http_status",
    "response_code",
    "remote_addr",
    "user_agent",
];

/// Columns or keys of a file, with values of its first rows.
pub(crate) struct Sample {
    /// Names as they are written.
    pub(crate) names: Vec<String>,
    /// Values by row, then by name; empty where there is none.
    pub(crate) rows: Vec<Vec<String>>,
}

/// The plan of a file whose records have the names of `sample`; `None` when none of them is known
/// to be a time, and an error that names the flag when one of them leaves open what it is.
pub(crate) fn plan(
    finder: Finder,
    sample: &Sample,
    declared: &Declared,
    grouping: Grouping,
) -> Result<Option<Plan>, String> {
    let mut plan = Plan::new(finder);
    (plan.missing, plan.unnamed) = match plan.finder {
        Finder::Json | Finder::Pairs => (Missing::Dash, Unnamed::First),
        _ => (Missing::Empty, Unnamed::AsItIs),
    };
    // A key inside another object has a meaning only where it is declared.
    let nested = |name: &str| matches!(plan.finder, Finder::Json) && name.contains('.');
    let lower = |name: &String| if nested(name) { String::new() } else { name.to_lowercase() };
    let lower: Vec<String> = sample.names.iter().map(lower).collect();
    let Some(time) = time_column(sample, &lower, declared)? else { return Ok(None) };
    let service = service_column(sample, &lower, declared, time)?;
    if service.is_none() && declared.time.is_none() {
        evidence(&lower, time)?;
    }
    moment(&mut plan, &lower, sample, (time, service), declared);
    if let Some(column) = service {
        let unit = unit(&mut plan, sample, column, declared)?;
        let field = plan.field(&sample.names[column]);
        plan.services.push(vec![Part { field, measure: Measure::Time(unit), sign: Sign::Plus }]);
    }
    let revision = match &declared.revision {
        Some(wanted) => Some(found(sample, wanted, "revision")?),
        None => format::column(&lower, &REVISION_NAMES),
    };
    if let Some(column) = revision.filter(|_| grouping != Grouping::All) {
        let field = plan.field(&sample.names[column]);
        plan.revisions.push(field);
    }
    Ok(Some(plan))
}

/// The column that was declared.
fn found(sample: &Sample, wanted: &str, role: &str) -> Result<usize, String> {
    sample.names.iter().position(|name| name == wanted).ok_or_else(|| {
        format!(
            "--fields {role}={wanted} names no field of it; it has {}",
            tidegate_words::excerpt(&sample.names.join(", "))
        )
    })
}

fn time_column(
    sample: &Sample,
    lower: &[String],
    declared: &Declared,
) -> Result<Option<usize>, String> {
    if let Some(wanted) = &declared.time {
        return found(sample, wanted, "time").map(Some);
    }
    let arrival = ARRIVAL_NAMES.iter().chain(&["@timestamp"]).chain(&END_NAMES).find_map(|name| {
        let column = lower.iter().position(|known| format::stem(known) == *name)?;
        // nginx calls a duration so, others a moment.
        let span = *name == "request_time" && !sample.is_calendar(column);
        (!span).then_some(column)
    });
    Ok(arrival)
}

fn service_column(
    sample: &Sample,
    lower: &[String],
    declared: &Declared,
    time: usize,
) -> Result<Option<usize>, String> {
    if let Some(wanted) = &declared.service {
        return found(sample, wanted, "service").map(Some);
    }
    let request_time = ["request_time"];
    let names = SERVICE_NAMES.iter().chain(&request_time);
    Ok(names
        .filter_map(|name| lower.iter().position(|known| format::stem(known) == *name))
        .find(|column| *column != time))
}

/// A stamp in a row does not make it a request.
fn evidence(lower: &[String], time: usize) -> Result<(), String> {
    let ours = OUR_NAMES.contains(&format::stem(&lower[time]).as_str())
        || matches!(format::stem(&lower[time]).as_str(), "arrived" | "arrival_time");
    let known = |name: &String| {
        let stem = format::stem(name);
        REQUEST_NAMES.contains(&stem.as_str()) || REVISION_NAMES.contains(&stem.as_str())
    };
    if ours || lower.len() == 1 || lower.iter().any(known) {
        return Ok(());
    }
    Err(format!(
        "nothing says that its rows are requests (fields: {}); if they are, pass --fields time={}",
        tidegate_words::excerpt(&lower.join(", ")),
        lower[time]
    ))
}

fn moment(
    plan: &mut Plan,
    lower: &[String],
    sample: &Sample,
    (time, service): (usize, Option<usize>),
    declared: &Declared,
) {
    let stem = format::stem(&lower[time]);
    let at = if END_NAMES.contains(&stem.as_str()) { StampedAt::End } else { StampedAt::Start };
    let open = OPEN_NAMES.contains(&stem.as_str()) || declared.time.is_some();
    if open && service.is_some() && declared.stamps.is_none() {
        plan.assumed.push(format!(
            "{} is taken for the beginning of a request (--stamps end says otherwise)",
            sample.names[time]
        ));
    }
    let field = plan.field(&sample.names[time]);
    plan.moments.push(Moment { fields: vec![field], unit: Unit::of_name(&lower[time]), at });
}

/// The unit of the service time: what the name says, or the values, or the user.
fn unit(
    plan: &mut Plan,
    sample: &Sample,
    column: usize,
    declared: &Declared,
) -> Result<Unit, String> {
    let name = &sample.names[column];
    if let Some(unit) = declared.service_unit.or_else(|| Unit::of_name(&name.to_lowercase())) {
        return Ok(unit);
    }
    if name.eq_ignore_ascii_case(OUR_NAMES[1]) || sample.is_suffixed(column) {
        return Ok(Unit::Seconds);
    }
    if sample.is_whole(column) {
        return Err(format!(
            "nothing says the unit of {name}, and whole numbers such as {} may be milliseconds, \
             microseconds or nanoseconds as well as seconds; pass --service-unit s, ms, us or ns",
            sample.shown(column)
        ));
    }
    plan.unit_assumed = true;
    plan.assumed.push(format!(
        "nothing says the unit of {name}: it is taken for seconds (--service-unit says otherwise)"
    ));
    Ok(Unit::Seconds)
}

impl Sample {
    fn values(&self, column: usize) -> impl Iterator<Item = &str> {
        self.rows
            .iter()
            .filter_map(move |row| row.get(column))
            .map(|value| value.trim())
            .filter(|value| !matches!(*value, "" | "-" | "null"))
    }

    /// The first value that is no zero.
    fn shown(&self, column: usize) -> &str {
        self.values(column).find(|value| !value.trim_matches(['0', '.']).is_empty()).unwrap_or("0")
    }

    /// Whether values are dates, or seconds since 1970.
    fn is_calendar(&self, column: usize) -> bool {
        self.values(column).next().is_some_and(|value| {
            let digits = value.bytes().take_while(u8::is_ascii_digit).count();
            digits >= 9 || (value.contains([':', '-']) && !value.starts_with('-'))
        })
    }

    /// Whether values have a unit behind them.
    fn is_suffixed(&self, column: usize) -> bool {
        self.values(column).next().is_some_and(|value| {
            value.ends_with(|c: char| c.is_alphabetic())
                && field::suffixed_nanos(value.as_bytes(), Unit::Seconds).is_some()
        })
    }

    /// Whether all values are whole numbers and some are not zero.
    fn is_whole(&self, column: usize) -> bool {
        let whole = |value: &str| match value.split_once('.') {
            Some((_, fraction)) => fraction.bytes().all(|byte| byte == b'0'),
            None => value.bytes().all(|byte| byte.is_ascii_digit()),
        };
        let numbers = || self.values(column).filter(|value| value.parse::<f64>().is_ok());
        numbers().all(whole) && numbers().any(|value| !value.trim_matches(['0', '.']).is_empty())
    }
}
