//! House style that a machine can hold: budgets, layout, and what the project never says.

use xtask::sources::{Source, files, workspace_root};

/// A file that fits in the head; past this it holds two ideas.
const FILE_LINES_MAX: usize = 500;

/// A function that fits on a screen; clippy counts the same budget without comments.
const FUNCTION_LINES_MAX: usize = 70;

const LINE_COLUMNS_MAX: usize = 100;

/// Written by the protobuf compiler, and compared with it by a test of `proto`.
const GENERATED: &str = "proto/src/generated";

#[test]
fn files_keep_their_budget() {
    hold(handwritten().iter().filter_map(|source| {
        let lines = source.text.lines().count();
        (lines > FILE_LINES_MAX).then(|| {
            format!(
                "{} has {lines} lines; the budget is {FILE_LINES_MAX}: find the second idea in it",
                source.path.display()
            )
        })
    }));
}

#[test]
fn lines_keep_their_width() {
    hold(handwritten().iter().flat_map(|source| {
        source.text.lines().enumerate().filter_map(|(number, line)| {
            let columns = line.chars().count();
            let too_wide = columns > LINE_COLUMNS_MAX && !line.contains("://");
            too_wide
                .then(|| format!("{}:{} has {columns} columns", source.path.display(), number + 1))
        })
    }));
}

#[test]
fn functions_keep_their_budget() {
    hold(handwritten().iter().flat_map(|source| {
        let long = functions(source).into_iter().filter(|(_, lines)| *lines > FUNCTION_LINES_MAX);
        long.map(|(number, lines)| {
            format!("{}:{number} is a function of {lines} lines", source.path.display())
        })
    }));
}

#[test]
fn modules_are_named_for_what_they_hold() {
    let banned = ["mod", "util", "utils", "common", "helper", "helpers", "misc", "prelude"];
    hold(handwritten().iter().filter_map(|source| {
        let stem = source.path.file_stem()?.to_string_lossy().into_owned();
        banned
            .contains(&stem.as_str())
            .then(|| format!("{} says nothing about what it holds", source.path.display()))
    }));
}

#[test]
fn crate_roots_introduce_themselves() {
    hold(handwritten().iter().filter_map(|source| {
        let is_root = ["src/lib.rs", "src/main.rs"].iter().any(|root| source.path.ends_with(root));
        let lines = source.text.lines().take_while(|line| line.starts_with("//!")).count();
        (is_root && lines < 4).then(|| {
            format!(
                "{} does not say what the crate is, what it must never do, and where to read on",
                source.path.display()
            )
        })
    }));
}

#[test]
fn nothing_is_left_for_later() {
    // Put together from parts, so that this file does not find itself.
    let banned =
        [["to", "do!("].concat(), ["unimplem", "ented!("].concat(), ["FIX", "ME"].concat()];
    for source in handwritten() {
        for word in &banned {
            assert!(
                !source.text.contains(word.as_str()),
                "{} leaves something for later: `{word}`",
                source.path.display()
            );
        }
    }
}

/// One order of derives, the one in which the standard library's traits build on each other, so
/// that what is missing is seen.
#[test]
fn derives_have_one_order() {
    const ORDER: [&str; 9] =
        ["Debug", "Clone", "Copy", "PartialEq", "Eq", "PartialOrd", "Ord", "Hash", "Default"];
    let place = |name: &str| ORDER.iter().position(|known| *known == name);
    hold(handwritten().iter().flat_map(|source| {
        source.text.lines().enumerate().filter_map(|(number, line)| {
            let derived = line.trim().strip_prefix("#[derive(")?.strip_suffix(")]")?;
            let places: Vec<usize> =
                derived.split(',').map(|name| place(name.trim()).unwrap_or(ORDER.len())).collect();
            (!places.is_sorted()).then(|| {
                let (path, order) = (source.path.display(), ORDER.join(", "));
                format!("{path}:{} derives {derived}: expected the order {order}", number + 1)
            })
        })
    }));
}

/// A test waits for what it can observe. Where it sleeps, because the pause is the load or the
/// period of a poll, the time is a constant or a parameter whose name says which. In a test with
/// paused time, and what stands behind it, a sleep only advances the clock.
#[test]
fn sleeps_in_tests_are_named() {
    hold(handwritten().iter().flat_map(|source| {
        let mut is_paused = false;
        let path = source.path.to_string_lossy();
        let first = match path.contains("/tests/") || path.ends_with("tests.rs") {
            true => 0,
            false => source
                .text
                .lines()
                .position(|line| line.trim() == "#[cfg(test)]")
                .unwrap_or(usize::MAX),
        };
        source.text.lines().enumerate().skip(first).filter_map(move |(number, line)| {
            let attribute = line.trim_start();
            if attribute.starts_with("#[tokio::test") || attribute.starts_with("#[test]") {
                is_paused = attribute.contains("start_paused");
            }
            let (_, argument) = line.split_once("sleep(")?;
            let is_named = is_paused || !argument.contains("Duration::from_");
            (!is_named).then(|| {
                let path = source.path.display();
                format!("{path}:{} sleeps: wait for an event, or name the pause", number + 1)
            })
        })
    }));
}

/// A port that was free a moment ago is anybody's: `reserved-port` has those that stay free.
#[test]
fn no_port_is_let_go_of_before_it_is_used() {
    hold(handwritten().iter().flat_map(|source| {
        let statements = source.text.split([';', '}']);
        let lets_go = |statement: &str| {
            let bound = statement.split_once("TcpListener::bind(").map(|it| it.1);
            bound.is_some_and(|rest| rest.contains(".local_addr()"))
        };
        statements.filter(move |it| lets_go(it)).map(|statement| {
            format!("{} lets go of a port: {}", source.path.display(), statement.trim())
        })
    }));
}

#[test]
fn every_page_of_the_book_is_in_its_summary() {
    let docs = workspace_root().join("docs");
    let summary = std::fs::read_to_string(docs.join("SUMMARY.md")).unwrap();
    for page in files("docs", &["md"]) {
        let name = page.path.strip_prefix("docs").unwrap().to_string_lossy().into_owned();
        assert!(
            name == "SUMMARY.md" || summary.contains(&format!("({name})")),
            "docs/{name} is not in docs/SUMMARY.md, so nobody will find it"
        );
    }
    for line in summary.lines() {
        let Some(target) = line.split("](").nth(1).and_then(|rest| rest.split(')').next()) else {
            continue;
        };
        assert!(docs.join(target).is_file(), "docs/SUMMARY.md names {target}, which is not there");
    }
}

#[test]
fn links_between_pages_lead_somewhere() {
    let root = workspace_root();
    let pages = files("docs", &["md"]).into_iter().chain(
        ["README.md", "CONTRIBUTING.md", "CHANGELOG.md", "SECURITY.md"].iter().map(|name| Source {
            path: (*name).into(),
            text: std::fs::read_to_string(root.join(name)).unwrap(),
        }),
    );
    for page in pages {
        let directory = root.join(page.path.parent().unwrap());
        for target in page.text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            let file = target.split('#').next().unwrap_or_default();
            let elsewhere = target.contains("://") || target.starts_with("mailto:");
            assert!(
                elsewhere || file.is_empty() || directory.join(file).exists(),
                "{} links to {target}, which is not there",
                page.path.display()
            );
        }
    }
}

#[test]
fn paths_in_the_architecture_lead_somewhere() {
    let root = workspace_root();
    let page = std::fs::read_to_string(root.join("docs/architecture.md")).unwrap();
    let quoted = page.split('`').skip(1).step_by(2);
    let paths = quoted.filter(|text| text.contains('/') && text.ends_with(".rs"));
    hold(
        paths
            .filter(|path| !path.contains('*') && !root.join(path).is_file())
            .map(|path| format!("docs/architecture.md names {path}, which is not there")),
    );
}

/// A bound that no test holds is a wish: each row of the table names the test that drives it.
#[test]
fn bounds_of_the_book_name_their_tests() {
    let page = std::fs::read_to_string(workspace_root().join("docs/relay.md")).unwrap();
    let rows: Vec<Vec<&str>> = page
        .lines()
        .skip_while(|line| !line.starts_with("| what | bound | at most for a connection"))
        .skip(2)
        .take_while(|line| line.starts_with('|'))
        .map(|line| line.trim_matches('|').split(" |").map(str::trim).collect())
        .collect();
    assert!(rows.len() > 20, "the table of bounds is not where it was");
    let sources = files("", &["rs"]);
    hold(rows.iter().filter_map(|cells| {
        let name = cells.last().copied().unwrap_or_default().trim_matches('`');
        let test = format!("fn {name}()");
        let is_there = sources.iter().any(|source| source.text.contains(&test));
        (!is_there).then(|| format!("docs/relay.md: {:?} is held by no test {name:?}", cells[0]))
    }));
}

/// Fails with every violation at once, so that one run shows all there is to mend.
fn hold(violations: impl Iterator<Item = String>) {
    let violations: Vec<String> = violations.collect();
    assert!(violations.is_empty(), "{}", violations.join("\n"));
}

fn handwritten() -> Vec<Source> {
    files("", &["rs"])
        .into_iter()
        .filter(|source| {
            !source.path.starts_with(GENERATED) && !source.path.starts_with("fuzz/target")
        })
        .collect()
}

/// First line and length of each function, found by its indentation: rustfmt makes that reliable.
fn functions(source: &Source) -> Vec<(usize, usize)> {
    let lines: Vec<&str> = source.text.lines().collect();
    let mut found = Vec::new();
    for (index, line) in lines.iter().enumerate() {
        let trimmed = line.trim_start();
        let indent = line.len() - trimmed.len();
        let words = trimmed.split('(').next().unwrap_or_default();
        let is_function = words.split(' ').any(|word| word == "fn")
            && !trimmed.starts_with("//")
            && !words.contains('"')
            && !words.contains('=')
            // Its whole body is on the line.
            && !trimmed.ends_with("{}");
        if !is_function {
            continue;
        }
        let closing = format!("{}}}", " ".repeat(indent));
        let end = lines[index..].iter().position(|line| *line == closing);
        let next_statement = lines[index..].iter().position(|line| line.trim_end().ends_with(';'));
        // A declaration without a body ends with a semicolon before any block opens.
        let opens = lines[index..].iter().position(|line| line.trim_end().ends_with('{'));
        if let (Some(end), Some(opens)) = (end, opens)
            && next_statement.is_none_or(|statement| opens <= statement)
        {
            found.push((index + 1, end + 1));
        }
    }
    found
}
