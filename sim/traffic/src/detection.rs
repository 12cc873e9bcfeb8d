//! Which format a file is, told from its first lines: out of its wrappers, by the shapes in
//! [`crate::catalogue`], by names that have one meaning, or not at all.

use std::sync::OnceLock;

use crate::catalogue;
use crate::description::{Description, Record, Said};
use crate::error::{TrafficError, quote};
use crate::format::{self, Format, first_line};
use crate::generic::{self, Sample};
use crate::input::{Input, opened};
use crate::options::{Declared, Grouping};
use crate::pattern::Pattern;
use crate::plan::{Finder, Plan};
use crate::record::{BLANKS, Fields, Names};
use crate::recording;
use crate::refusals;
use crate::tail;
use crate::wrapper::{self, WRAPPERS_MAX, Wrapper};

/// Lines of the head that are looked at: servers write a few of their own before the first request.
const LINES_MAX: usize = 1_000;

/// Lines on which a shape is tried: each costs a try of every format.
const TRIES_MAX: usize = 60;

/// Records that keys and units are learnt from.
const RECORDS_MAX: usize = 200;

/// Years that a number without a header must fall into to be a calendar time: 2000 to 2100.
const CALENDAR_NS: std::ops::Range<i64> = 946_684_800_000_000_000..4_102_444_800_000_000_000;

/// What a file was found to be.
#[derive(Debug)]
pub(crate) struct Detected {
    pub(crate) format: Format,
    pub(crate) wrappers: Vec<Wrapper>,
    /// How to read it, for described formats, and the names of its columns.
    pub(crate) plan: Option<(Plan, Vec<String>)>,
}

/// What detection depends on besides the file.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Wish<'a> {
    pub(crate) format: Option<Format>,
    pub(crate) declared: &'a Declared,
    pub(crate) grouping: Grouping,
}

/// Lines of the head, out of their wrappers.
struct Head {
    lines: Vec<Vec<u8>>,
}

type Planned = Option<(Plan, Vec<String>)>;

impl Head {
    fn of(head: &[u8], wrappers: &[Wrapper]) -> Self {
        let mut lines: Vec<Vec<u8>> = Vec::new();
        let mut goes_on = false;
        for line in head.split(|byte| *byte == b'\n') {
            let line = line.strip_suffix(b"\r").unwrap_or(line);
            let (text, continued) = opened(wrappers, line);
            match lines.last_mut() {
                Some(last) if goes_on => last.extend_from_slice(&text),
                _ if text.trim_ascii().is_empty() => {}
                _ => lines.push(text),
            }
            goes_on = continued;
            if lines.len() > LINES_MAX {
                break;
            }
        }
        Head { lines }
    }

    fn first(&self) -> &[u8] {
        self.lines.first().map_or(b"", Vec::as_slice)
    }

    fn refs(&self) -> Vec<&[u8]> {
        self.lines.iter().map(Vec::as_slice).collect()
    }
}

/// Finds out what `input` is, whose content begins with `head`.
pub(crate) fn of(input: &Input, head: &[u8], wish: Wish<'_>) -> Result<Detected, TrafficError> {
    let ask = |why: String| TrafficError::Undeclared { file: input.name().to_owned(), why };
    if let Some(format) = &wish.declared.log_format {
        return declared(head, format, wish).map_err(ask);
    }
    if let Some(why) = refusals::of(head) {
        let file = input.name().to_owned();
        return Err(TrafficError::Unsupported { file, why: why.to_owned() });
    }
    if wish.format != Some(Format::Csv) && recording::is_old(&format::header(first_line(head))) {
        let file = input.name().to_owned();
        return Err(TrafficError::Unsupported { file, why: recording::OLD.to_owned() });
    }
    // What is known comes first, out of all its wrappers; what only has known names, after.
    let chains = chains(head);
    let mut question = None;
    for wrappers in chains.iter().rev() {
        let lines = Head::of(head, wrappers);
        match known(&lines, wish) {
            Ok(Some((format, plan))) => {
                return Ok(Detected { format, wrappers: wrappers.clone(), plan });
            }
            Ok(None) => {}
            Err(why) => question = question.or(Some(why)),
        }
    }
    if let Some(why) = question {
        return Err(ask(why));
    }
    for wrappers in &chains {
        // A wrapper's own stamp is none of a request.
        if is_wrapped(head, wrappers) {
            continue;
        }
        let lines = Head::of(head, wrappers);
        if let Some((format, plan)) = named(&lines, wish).map_err(ask)? {
            return Ok(Detected { format, wrappers: wrappers.clone(), plan });
        }
    }
    let lines = Head::of(head, chains.last().map_or(&[], Vec::as_slice));
    let first = lines.first();
    if let Some(format) = wish.format {
        let found = quote(first);
        return Err(ask(format!("is not in the format {format}: it begins with {found}")));
    }
    Err(TrafficError::UnknownFormat {
        file: input.name().to_owned(),
        found: if first.is_empty() { "an empty file".into() } else { quote(first) },
        known: Format::names(),
    })
}

/// The wrappers that lines may have, from none to all.
fn chains(head: &[u8]) -> Vec<Vec<Wrapper>> {
    let mut chains = vec![Vec::new()];
    let mut at = 0;
    while at < chains.len() {
        let chain = chains[at].clone();
        at += 1;
        if chain.len() == WRAPPERS_MAX {
            continue;
        }
        let lines = Head::of(head, &chain);
        // Only the first that fits: the others are lesser readings of the same line.
        if let Some(wrapper) =
            lines.lines.iter().take(TRIES_MAX).find_map(|line| wrapper::of(line).next())
            && !chain.contains(&wrapper)
        {
            chains.push([chain, vec![wrapper]].concat());
        }
    }
    chains
}

/// Whether something is still around the lines when `wrappers` are off.
fn is_wrapped(head: &[u8], wrappers: &[Wrapper]) -> bool {
    let lines = Head::of(head, wrappers);
    let telling = |wrapper: Wrapper| {
        let lesser = [Wrapper::Stamped, Wrapper::Syslog, Wrapper::Compose, Wrapper::Message];
        !lesser.contains(&wrapper)
    };
    wrapper::of(lines.first()).any(telling)
}

/// The format that the user declared.
fn declared(head: &[u8], format: &str, wish: Wish<'_>) -> Result<Detected, String> {
    let pattern = Pattern::new(format).map_err(|why| format!("--log-format: {why}"))?;
    let description = catalogue::text("log-format", "");
    let chains = chains(head);
    let mut spans = Vec::new();
    let fits = |wrappers: &&Vec<Wrapper>| {
        let lines = Head::of(head, wrappers);
        lines.lines.iter().take(TRIES_MAX).any(|line| pattern.split(line, &mut spans).is_ok())
    };
    let wrappers = chains.iter().find(fits).cloned().unwrap_or_default();
    let names: Vec<String> = pattern.names().map(str::to_owned).collect();
    let has = |name: &str| names.iter().any(|known| known == name);
    let mut plan = Plan::of(&description, Finder::Text(pattern), &has);
    // The first that is there is the one that is meant: nginx's and Envoy's have one each.
    plan.revisions.clear();
    if let Some(name) = &wish.declared.revision {
        if !has(name) {
            return Err(format!("--fields revision={name} names no variable of --log-format"));
        }
        let field = plan.field(name);
        plan.revisions.push(field);
    } else if wish.grouping != Grouping::All
        && let Some(name) = description.revision.iter().find(|name| has(name))
    {
        let field = plan.field(name);
        plan.revisions.push(field);
    }
    if plan.moments.is_empty() {
        return Err(format!(
            "--log-format has no variable that is known to be a time; it has {}",
            names.join(", ")
        ));
    }
    let format = Format::Known("log-format");
    Ok(Detected { format, wrappers, plan: Some((plan, Vec::new())) })
}

/// A format with a shape of its own.
fn known(head: &Head, wish: Wish<'_>) -> Result<Option<(Format, Planned)>, String> {
    if let Some(format) = wish.format.filter(|format| !matches!(format, Format::Known(_))) {
        return match format {
            Format::Csv | Format::JsonLines => Ok(None),
            format => Ok(Some((format, None))),
        };
    }
    let wanted = match wish.format {
        Some(Format::Known(name)) => Some(name),
        _ => None,
    };
    let explicit = wish.declared.time.is_some() || wish.declared.service.is_some();
    if explicit && wanted.is_none() {
        return Ok(None);
    }
    if wanted.is_none()
        && let Some(format) = format::special(head.first())
    {
        return Ok(Some((format, None)));
    }
    let json = Names::Json;
    let objects: Vec<Fields<'_>> = head
        .lines
        .iter()
        .filter(|line| line.first() == Some(&b'{'))
        .take(LINES_MAX)
        .filter_map(|line| json.open(line).ok())
        .collect();
    for description in catalogue::all().filter(|one| wanted.is_none_or(|name| one.name == name)) {
        if let Some(planned) = described(description, head, &objects, wish) {
            let asked = description.unit == Said::ByUser && !planned.0.services.is_empty();
            if asked && wish.declared.service_unit.is_none() {
                return Err(format!(
                    "is in the format {}, in which some servers write seconds and others \
                     milliseconds; pass --service-unit s or ms",
                    description.name
                ));
            }
            return Ok(Some((Format::Known(description.name), Some(planned))));
        }
    }
    if wanted.is_none_or(|name| name == "combined")
        && let Some(found) = tail::of(&head.refs())?
    {
        let pattern = Pattern::new(&found.format)?;
        let names: Vec<String> = pattern.names().map(str::to_owned).collect();
        let has = |name: &str| names.iter().any(|known| known == name);
        let description = Description { revision: &["host"], ..catalogue::text("combined", "") };
        let mut plan = Plan::of(&description, Finder::Text(pattern), &has);
        plan.assumed.extend(found.assumed);
        return Ok(Some((Format::Known("combined"), Some((plan, Vec::new())))));
    }
    Ok(None)
}

/// The patterns of the catalogue, compiled once.
fn patterns() -> &'static [(&'static str, Pattern)] {
    static COMPILED: OnceLock<Vec<(&'static str, Pattern)>> = OnceLock::new();
    COMPILED.get_or_init(|| {
        let text = |description: &'static Description| match description.record {
            Record::Text(format) => Some((format, Pattern::new(format).ok()?)),
            _ => None,
        };
        catalogue::all().filter_map(text).collect()
    })
}

/// A plan by `description`, when its header or a line of the head fits it.
fn described(
    description: &Description,
    head: &Head,
    objects: &[Fields<'_>],
    wish: Wish<'_>,
) -> Option<(Plan, Vec<String>)> {
    let separator = format::separator(head.first());
    let columns = match description.record {
        Record::Bare(names) => names.iter().map(|name| (*name).to_owned()).collect(),
        Record::Columns => format::header_as_written(head.first(), separator),
        Record::Directives => head.lines.iter().find_map(|line| format::directive_fields(line))?,
        _ => Vec::new(),
    };
    // A header alone tells the format; elsewhere a line has to fit.
    let headed = matches!(description.record, Record::Columns | Record::Directives);
    let has_column = |name: &str| columns.iter().any(|known| known == name);
    if headed && !description.signature.iter().all(|name| has_column(name)) {
        return None;
    }
    let (finder, names) = match description.record {
        Record::Text(format) => {
            let (_, pattern) = patterns().iter().find(|(known, _)| *known == format)?;
            (Finder::Text(pattern.clone()), Names::Text(pattern.clone()))
        }
        Record::Columns | Record::Bare(_) => {
            let header_lines = u64::from(headed);
            let names = Names::Columns { names: columns.clone(), separator };
            (Finder::Columns { separator, header_lines }, names)
        }
        Record::Directives => {
            let names = Names::Columns { names: columns.clone(), separator: BLANKS };
            (Finder::Directives, names)
        }
        Record::Json => (Finder::Json, Names::Json),
        Record::Pairs => (Finder::Pairs, Names::Pairs),
    };
    let lines = head.lines.iter().filter(|line| line.first() != Some(&b'{'));
    let tries = if matches!(description.record, Record::Text(_)) { TRIES_MAX } else { LINES_MAX };
    let opened: Vec<Fields<'_>>;
    let records = if description.record == Record::Json {
        objects
    } else {
        let rows = lines.skip(usize::from(headed)).take(tries);
        opened = rows.filter_map(|line| names.open(line).ok()).collect();
        &opened
    };
    let fits = records.iter().any(|fields| fits(description, fields));
    if !fits && !headed {
        return None;
    }
    let there = |name: &str| {
        records
            .iter()
            .take(RECORDS_MAX)
            .any(|fields| fields.get(name).is_some_and(|found| found.text.as_ref() != b"null"))
    };
    let has: &dyn Fn(&str) -> bool = if headed { &has_column } else { &there };
    let mut plan = Plan::of(description, finder, has);
    if wish.grouping == Grouping::All {
        plan.revisions.clear();
    }
    plan.decimal_comma = separator == b';' && matches!(plan.finder, Finder::Columns { .. });
    Some((plan, columns))
}

/// Whether a record is a request as `description` has it.
fn fits(description: &Description, fields: &Fields<'_>) -> bool {
    let has = |name: &str| fields.get(name).is_some();
    if !description.signature.iter().all(|name| has(name)) {
        return false;
    }
    // Only meaning is asked for here, so it does not matter how fields are found.
    let plan = Plan::of(description, Finder::Json, &has);
    if !plan.is_request(fields) {
        // Its own keys say what it is, and that it is none.
        return description.record == Record::Json;
    }
    let Ok(times) = plan.times(fields) else { return !description.no_time.is_empty() };
    let bare = matches!(description.record, Record::Bare(_));
    !bare || CALENDAR_NS.contains(&times.stamp.nanos)
}

/// A file whose names have one meaning, or are declared to have.
fn named(head: &Head, wish: Wish<'_>) -> Result<Option<(Format, Planned)>, String> {
    let first = head.first();
    if first.starts_with(b"{") {
        let sample = json_sample(head);
        if sample.names.is_empty() || !matches!(wish.format, None | Some(Format::JsonLines)) {
            return Ok(None);
        }
        let plan = generic::plan(Finder::Json, &sample, wish.declared, wish.grouping)?;
        return Ok(plan.map(|plan| (Format::JsonLines, Some((plan, Vec::new())))));
    }
    if !matches!(wish.format, None | Some(Format::Csv)) {
        return Ok(None);
    }
    let separator = format::separator(first);
    let mut columns = format::header_as_written(first, separator);
    let header =
        columns.first().is_none_or(|name| crate::field::stamp(name.as_bytes(), None).is_none());
    if header && columns.len() < 2 && wish.format.is_none() && !format::is_arrival(&columns) {
        return Ok(None);
    }
    if !header {
        if columns.len() > 3 && wish.format.is_none() {
            return Ok(None);
        }
        let ours = ["arrival", "service", "revision"];
        columns = ours.iter().take(columns.len().min(3)).map(|name| (*name).to_owned()).collect();
    } else if let Some(format) = format::counts(&columns, wish.declared) {
        return Ok(Some((format, None)));
    }
    let finder = Finder::Columns { separator, header_lines: u64::from(header) };
    let sample = column_sample(head.lines.iter().skip(usize::from(header)), &columns, separator);
    let Some(mut plan) = generic::plan(finder, &sample, wish.declared, wish.grouping)? else {
        return Ok(None);
    };
    plan.decimal_comma = separator == b';';
    Ok(Some((Format::Csv, Some((plan, columns)))))
}

fn json_sample(head: &Head) -> Sample {
    let names_json = Names::Json;
    let records: Vec<Fields<'_>> =
        head.lines.iter().take(RECORDS_MAX).filter_map(|line| names_json.open(line).ok()).collect();
    let mut names: Vec<String> = Vec::new();
    for record in &records {
        record.keys(&mut names);
    }
    let text = |record: &Fields<'_>, name: &String| {
        let found = record.get(name);
        found.map_or(String::new(), |found| String::from_utf8_lossy(&found.text).into_owned())
    };
    let rows = records
        .iter()
        .map(|record| names.iter().map(|name| text(record, name)).collect())
        .collect();
    Sample { names, rows }
}

fn column_sample<'a>(
    rows: impl Iterator<Item = &'a Vec<u8>>,
    columns: &[String],
    separator: u8,
) -> Sample {
    let rows =
        rows.take(RECORDS_MAX).map(|line| format::header_as_written(line, separator)).collect();
    Sample { names: columns.to_vec(), rows }
}
