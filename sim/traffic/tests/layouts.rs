//! Every layout in `layouts/`, read as `layouts/expected.tsv` says, which was made with the files:
//! from what was sent, not from what was read. A layout that cannot be told is refused with the
//! option that says it; one that needs an assumption says so.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use tidegate_sim::Traffic;
use tidegate_sim_traffic::{Declared, Placement, PrometheusValue, Spread, TraceFile, TraceOptions};

/// One line of the table.
struct Case<'a> {
    file: &'a str,
    format: &'a str,
    verdict: &'a str,
    options: &'a str,
    expected: &'a str,
}

fn directory() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/layouts")
}

fn cases(table: &str) -> Vec<Case<'_>> {
    let case = |line| {
        let fields: Vec<&str> = str::split(line, '\t').collect();
        let [file, format, verdict, options, expected] = fields[..] else {
            panic!("expected five fields: {line}");
        };
        Case { file, format, verdict, options, expected }
    };
    table.lines().skip(1).map(case).collect()
}

/// Options as a person would type them.
fn options(text: &str) -> TraceOptions {
    // Stamps cut to a second are left where they are, so that rows can be compared.
    let mut options = TraceOptions {
        spread: Spread::Never,
        placement: Placement::Start,
        ..TraceOptions::default()
    };
    let declared = &mut options.declared;
    if let Some(format) = text.strip_prefix("log-format=") {
        declared.log_format = Some(format.to_owned());
        return options;
    }
    for word in text.split_whitespace() {
        let (name, value) = word.split_once('=').expect("a name and a value");
        match name {
            "service-unit" => declared.service_unit = Some(value.parse().expect("a unit")),
            "prometheus" => options.prometheus = PrometheusValue::Counter,
            "fields" => fields(declared, value),
            other => panic!("no option {other}"),
        }
    }
    options
}

fn fields(declared: &mut Declared, text: &str) {
    for pair in text.split(',') {
        let (role, name) = pair.split_once('=').expect("a role and a name");
        let name = Some(name.to_owned());
        match role {
            "time" => declared.time = name,
            "service" => declared.service = name,
            _ => declared.revision = name,
        }
    }
}

/// Milliseconds with as many decimals as they need.
fn millis(nanos: u64) -> String {
    let text = format!("{:.3}", nanos as f64 / 1e6);
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// Rows as the table writes them, with names if the expected ones have some.
fn rows(trace: &TraceFile, expected: &str) -> Result<(String, u64), String> {
    let mut source = trace.open().map_err(|error| error.to_string())?;
    let (mut text, mut count) = (String::new(), 0);
    while let Some(arrival) = source.next() {
        let arrival = arrival.map_err(|error| error.to_string())?;
        count += 1;
        let service = arrival.service.map_or("-".to_owned(), |span| millis(span.as_nanos()));
        let _ = write!(text, "{}{}:{service}", if count > 1 { " " } else { "" }, {
            millis(arrival.at.as_nanos())
        });
        if expected.contains('@') {
            let _ = write!(text, "@{}", source.names().name(arrival.revision));
        }
    }
    Ok((text, count))
}

/// The times and the name of one row.
fn parts(row: &str) -> (f64, Option<f64>, &str) {
    let (times, name) = row.split_once('@').unwrap_or((row, ""));
    let (at, service) = times.split_once(':').expect("two times");
    (at.parse().expect("a time"), service.parse().ok(), name)
}

/// Whether two lists of rows are the same, but for how each rounds to a microsecond.
fn same(left: &str, right: &str) -> bool {
    let near = |one: f64, other: f64| (one - other).abs() < 0.0025;
    let (left, right): (Vec<_>, Vec<_>) =
        (left.split(' ').map(parts).collect(), right.split(' ').map(parts).collect());
    left.len() == right.len()
        && left.iter().zip(&right).all(|(one, other)| {
            let service = match (one.1, other.1) {
                (Some(one), Some(other)) => near(one, other),
                (one, other) => one == other,
            };
            near(one.0, other.0) && service && one.2 == other.2
        })
}

/// What is wrong with how a case is read; empty when nothing is.
fn wrong(case: &Case<'_>) -> String {
    let found = TraceFile::open(&directory().join(case.file), options(case.options))
        .map_err(|error| error.to_string())
        .and_then(|trace| {
            let read = rows(&trace, case.expected)?;
            Ok((trace, read))
        });
    match (found, case.verdict) {
        (Err(message), "refused") if message.contains(case.expected) => String::new(),
        (Err(message), _) => format!("{}: {message}", case.file),
        (Ok((_, (text, _))), "refused") => {
            format!("{}: read as {text}, not refused with {}", case.file, case.expected)
        }
        (Ok((trace, (text, count))), verdict) => {
            let reading = trace.reading();
            let right = match case.expected.strip_prefix("count=") {
                Some(wanted) => wanted.parse() == Ok(count),
                None => same(&text, case.expected),
            };
            let warned = !reading.warnings.is_empty();
            let told = warned == (verdict == "warned");
            let format = trace.format().to_string();
            if right && told && format == case.format && !reading.sentence.is_empty() {
                return String::new();
            }
            format!(
                "{}: as {format} instead of {}: {text} ({count})\n  instead of {}\n  {}\n  {:?}",
                case.file, case.format, case.expected, reading.sentence, reading.warnings
            )
        }
    }
}

#[test]
fn layouts_are_read_as_they_were_written() {
    let table = std::fs::read_to_string(directory().join("expected.tsv")).expect("the table");
    let cases = cases(&table);
    let problems: Vec<String> =
        cases.iter().map(wrong).filter(|problem| !problem.is_empty()).collect();
    let of = |verdict: &str| cases.iter().filter(|case| case.verdict == verdict).count();
    println!(
        "layouts: {} right, {} warned, {} refused, {} wrong",
        of("right"),
        of("warned"),
        of("refused"),
        problems.len()
    );
    assert!(problems.is_empty(), "{} wrong:\n{}", problems.len(), problems.join("\n"));
}
