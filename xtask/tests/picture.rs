//! The picture of the packages in the book, drawn from their manifests.
//!
//! `cargo xtask picture` draws it anew, after a package was added, renamed or taken out. A package
//! stands above those that it depends on, and a line that follows from others is left out.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use xtask::sources::workspace_root;

/// Where the picture is.
const PICTURE: &str = "docs/images/packages.svg";

/// The variable that asks for a new picture.
const VARIABLE: &str = "TIDEGATE_PICTURE";

/// Packages that measure and check the others, which would point at everything.
const TOOLS: [&str; 3] = ["bench", "reserved-port", "xtask"];

const WIDTH: f64 = 1100.0;
const ROW_HEIGHT: f64 = 92.0;
const BOX_WIDTH: f64 = 128.0;
const BOX_HEIGHT: f64 = 34.0;

/// Each package by its directory, and the directories that it depends on.
type Packages = BTreeMap<String, BTreeSet<String>>;

fn table(path: &str) -> toml::Table {
    let text = std::fs::read_to_string(workspace_root().join(path)).expect("it is there");
    text.parse().expect("cargo has accepted it")
}

fn packages() -> Packages {
    let root = table("Cargo.toml");
    let members = root["workspace"]["members"].as_array().expect("a list");
    let members: Vec<&str> = members.iter().filter_map(toml::Value::as_str).collect();
    let members: Vec<&str> = members.into_iter().filter(|name| !TOOLS.contains(name)).collect();
    let paths = root["workspace"]["dependencies"].as_table().expect("a table");
    let directory = |name: &str| paths.get(name)?.get("path")?.as_str();
    let dependencies = |member: &str| -> BTreeSet<String> {
        let manifest = table(&format!("{member}/Cargo.toml"));
        let named = manifest.get("dependencies").and_then(toml::Value::as_table);
        let named = named.into_iter().flat_map(|named| named.keys());
        named.filter_map(|name| directory(name)).map(str::to_owned).collect()
    };
    members.into_iter().map(|member| (member.to_owned(), dependencies(member))).collect()
}

/// How many packages stand below one, on the longest way down.
fn height(packages: &Packages, name: &str) -> usize {
    let below = packages.get(name).into_iter().flatten();
    below.map(|other| height(packages, other) + 1).max().unwrap_or(0)
}

fn reaches(packages: &Packages, from: &str, to: &str) -> bool {
    let below = packages.get(from).into_iter().flatten();
    below.into_iter().any(|other| other == to || reaches(packages, other, to))
}

/// Dependencies that do not follow from others.
fn lines(packages: &Packages) -> Vec<(&str, &str)> {
    let all =
        packages.iter().flat_map(|(from, below)| below.iter().map(move |to| (from, below, to)));
    let direct = all.filter(|(_, below, to)| !below.iter().any(|via| reaches(packages, via, to)));
    direct.map(|(from, _, to)| (from.as_str(), to.as_str())).collect()
}

/// The middle of each package's box. Packages of a row stand below the mean of what points at them.
fn places(packages: &Packages, lines: &[(&str, &str)]) -> BTreeMap<String, (f64, f64)> {
    let mut rows: BTreeMap<usize, Vec<&str>> = BTreeMap::new();
    for name in packages.keys() {
        rows.entry(height(packages, name)).or_default().push(name);
    }
    let mut places: BTreeMap<String, (f64, f64)> = BTreeMap::new();
    for (nth, (_, mut row)) in rows.into_iter().rev().enumerate() {
        let mean = |name: &str| {
            let above = lines.iter().filter(|(_, to)| *to == name);
            let above: Vec<f64> =
                above.filter_map(|(from, _)| Some(places.get(*from)?.0)).collect();
            let count = above.len().max(1) as f64;
            if above.is_empty() { WIDTH / 2.0 } else { above.iter().sum::<f64>() / count }
        };
        row.sort_by(|left, right| mean(left).total_cmp(&mean(right)));
        let space = WIDTH / row.len() as f64;
        let y = ROW_HEIGHT * nth as f64 + BOX_HEIGHT;
        let row = row.into_iter().enumerate();
        let placed: Vec<_> =
            row.map(|(at, name)| (name.to_owned(), ((at as f64 + 0.5) * space, y))).collect();
        places.extend(placed);
    }
    places
}

fn draw(packages: &Packages) -> String {
    let lines = lines(packages);
    let places = places(packages, &lines);
    let rows = places.values().map(|(_, y)| *y).fold(0.0, f64::max);
    let tall = rows + BOX_HEIGHT + 8.0;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {tall}\" \
         font-family=\"sans-serif\" font-size=\"13\">\n<title>The packages, each above those that \
         it depends on</title>\n<rect width=\"{WIDTH}\" height=\"{tall}\" fill=\"#fff\"/>\n"
    );
    for (from, to) in &lines {
        let ((x1, y1), (x2, y2)) = (places[*from], places[*to]);
        let (y1, y2) = (y1 + BOX_HEIGHT / 2.0, y2 - BOX_HEIGHT / 2.0);
        let middle = y1.midpoint(y2);
        let _ = writeln!(
            svg,
            "<path d=\"M{x1:.0} {y1:.0}C{x1:.0} {middle:.0} {x2:.0} {middle:.0} {x2:.0} {y2:.0}\" \
             fill=\"none\" stroke=\"#8a8f98\"/>"
        );
    }
    for (name, (x, y)) in &places {
        let (left, top) = (x - BOX_WIDTH / 2.0, y - BOX_HEIGHT / 2.0);
        let _ = writeln!(
            svg,
            "<rect x=\"{left:.0}\" y=\"{top:.0}\" width=\"{BOX_WIDTH}\" height=\"{BOX_HEIGHT}\" \
             rx=\"5\" fill=\"#eef4fb\" stroke=\"#0072b2\"/>\n<text x=\"{x:.0}\" y=\"{:.0}\" \
             text-anchor=\"middle\" fill=\"#1a1a1a\">{name}</text>",
            y + 4.5
        );
    }
    svg + "</svg>\n"
}

#[test]
fn the_picture_shows_every_package() {
    let (packages, path) = (packages(), workspace_root().join(PICTURE));
    if std::env::var_os(VARIABLE).is_some() {
        std::fs::write(&path, draw(&packages)).expect("it can be written");
    }
    let drawn = std::fs::read_to_string(&path).unwrap_or_default();
    let shown: BTreeSet<&str> = drawn
        .split("fill=\"#1a1a1a\">")
        .skip(1)
        .filter_map(|text| text.split('<').next())
        .collect();
    let there: BTreeSet<&str> = packages.keys().map(String::as_str).collect();
    assert_eq!(shown, there, "draw {PICTURE} anew with `cargo xtask picture`");
}

#[test]
fn a_line_that_follows_from_others_is_left_out() {
    let of = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
    let packages = Packages::from([
        ("top".to_owned(), of(&["middle", "leaf"])),
        ("middle".to_owned(), of(&["leaf"])),
        ("leaf".to_owned(), of(&[])),
    ]);
    assert_eq!(lines(&packages), [("middle", "leaf"), ("top", "middle")]);
    assert_eq!(height(&packages, "top"), 2);
}
