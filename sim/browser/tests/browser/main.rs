//! The page in a browser, as people use it: a file is dropped, a slider is moved, figures are read,
//! and they are those of the engine outside of any browser.
//!
//! It needs Chromium and rustup's target `wasm32-unknown-unknown` (or a page that was made before,
//! named by `TIDEGATE_BROWSER_PAGE`), and is skipped with a message where either is missing.

mod chromium;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use serde_json::Value;
use tempfile::TempDir;
use tidegate_sim_browser::{Question, ReadingOptions, Session};

use chromium::Chromium;

const TARGET: &str = "wasm32-unknown-unknown";

/// The page and a browser to open it in; `None`, with a message, where either cannot be had.
fn page_and_browser(desk: &TempDir) -> Option<(&'static Path, Chromium)> {
    static PAGE: OnceLock<Option<PathBuf>> = OnceLock::new();
    let Some(page) = PAGE.get_or_init(page) else {
        eprintln!("skipped: there is no target {TARGET} (rustup target add {TARGET})");
        return None;
    };
    let browser = Chromium::start(&desk.path().join("profile"));
    if browser.is_none() {
        eprintln!("skipped: there is no Chromium (apt-get install chromium)");
    }
    Some((page, browser?))
}

/// The page: one that was named, or one made now.
fn page() -> Option<PathBuf> {
    if let Some(named) = std::env::var_os("TIDEGATE_BROWSER_PAGE") {
        return Some(named.into());
    }
    let mut asked = Command::new("rustc");
    let library = asked.args(["--print", "target-libdir", "--target", TARGET]).output().ok()?;
    let library = String::from_utf8_lossy(&library.stdout).trim().to_owned();
    if library.is_empty() || !Path::new(&library).exists() {
        return None;
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).expect("a workspace");
    let made = Command::new(env!("CARGO")).args(["xtask", "browser"]).current_dir(root).status();
    assert!(made.is_ok_and(|status| status.success()), "cargo xtask browser");
    Some(root.join("target/tidegate-simulator.html"))
}

fn trace() -> String {
    let mut text = "arrival,service,revision\n".to_owned();
    for number in 0..4_000_u32 {
        let revision = if number % 3 == 0 { "api" } else { "web" };
        let at = f64::from(number) * 0.05 + f64::from(number % 11) * 0.02;
        text.push_str(&format!("{at:.3},0.{},{revision}\n", 1 + number % 9));
    }
    text
}

/// The large figures of the page, as the engine gives them here.
fn expected(concurrency: &str, min_scale: &str) -> Vec<String> {
    let bytes = trace().into_bytes();
    let session = Session::read("t.csv", bytes, &ReadingOptions::default()).expect("a trace");
    let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    let question = Question {
        set: vec![
            pair("policy", "kpa"),
            pair("service", "const:100ms"),
            pair("cold-start", "const:1s"),
        ],
        turned: BTreeMap::from([pair("concurrency", concurrency), pair("min-scale", min_scale)]),
        ..Question::default()
    };
    let text = session.simulate(&question).expect("it can be run");
    let answer: Value = serde_json::from_str(&text).expect("it is JSON");
    let cards = answer["page"]["views"][0]["all"].as_array().expect("cards");
    cards.iter().map(|card| card[0].as_str().expect("text").to_owned()).collect()
}

fn figures(browser: &mut Chromium) -> Vec<String> {
    let shown = browser
        .value("[...document.querySelectorAll('#cards div')].map(c => c.children[1].textContent)");
    serde_json::from_value(shown).expect("a list of texts")
}

#[test]
fn a_file_is_dropped_a_slider_moved_and_the_figures_are_the_engines() {
    let desk = TempDir::new().expect("a temporary directory can be made");
    let Some((page, mut browser)) = page_and_browser(&desk) else { return };
    let file = desk.path().join("t.csv");
    std::fs::write(&file, trace()).expect("the file can be written");
    browser.open(page);
    browser.drop_file(&file);
    browser.seen("document.body.dataset.asked?.includes('\"concurrency\":\"10\"')");
    assert_eq!(figures(&mut browser), expected("10", "0"));

    browser.value("document.getElementById('slider0').focus()");
    browser.press("ArrowLeft", 37);
    browser.seen("document.body.dataset.asked.includes('\"concurrency\":\"8\"')");
    assert_eq!(figures(&mut browser), expected("8", "0"));
    browser.value("document.getElementById('slider1').focus()");
    browser.press("ArrowRight", 39);
    browser.seen("document.body.dataset.asked.includes('\"min-scale\":\"1\"')");
    assert_eq!(figures(&mut browser), expected("8", "1"));

    let dots = browser.seen(
        "document.querySelectorAll('#scatter .dot').length > 5 && \
         document.querySelectorAll('#scatter .dot.now').length",
    );
    assert_eq!(dots, 1, "the point in force is one of the scatter");
    browser.value(
        "const all = document.getElementById('revision'); all.value = 'ap'; \
         all.dispatchEvent(new Event('change'))",
    );
    assert_eq!(browser.value("document.getElementById('revision').value"), "api");
    assert_eq!(figures(&mut browser)[0], "1,334", "the figures are those of the revision");
    assert_eq!(browser.value("document.getElementById('problem').textContent"), "");
}

#[test]
fn nothing_leaves_the_machine() {
    let desk = TempDir::new().expect("a temporary directory can be made");
    let Some((page, mut browser)) = page_and_browser(&desk) else { return };
    browser.open(page);
    browser.value("document.querySelector('#made button').click()");
    browser.seen("document.body.dataset.asked");
    let forbidden = browser.value(
        "new Promise((told) => { addEventListener('securitypolicyviolation', \
         (event) => told(event.effectiveDirective)); fetch('http://127.0.0.1:9/').catch(() => {}); \
         })",
    );
    assert_eq!(forbidden, "connect-src", "the browser itself forbids the page to connect");
    let own =
        |address: &&String| ["file:", "blob:", "data:"].iter().any(|s| address.starts_with(s));
    let away: Vec<&String> = browser.requested.iter().filter(|a| !own(a)).collect();
    assert!(away.iter().all(|address| *address == "http://127.0.0.1:9/"), "{away:?}");
}

#[test]
fn what_cannot_be_read_is_told_with_its_line() {
    let desk = TempDir::new().expect("a temporary directory can be made");
    let Some((page, mut browser)) = page_and_browser(&desk) else { return };
    let file = desk.path().join("bad.csv");
    std::fs::write(&file, "arrival,service\n0,0.1\n1,soon\n").expect("it can be written");
    browser.open(page);
    browser.drop_file(&file);
    let told = browser.seen("document.getElementById('problem').textContent");
    assert!(told.as_str().is_some_and(|text| text.contains("bad.csv:3")), "{told}");
}
