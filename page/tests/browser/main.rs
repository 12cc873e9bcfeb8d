//! The page in a browser, as people use it: looked at, searched, sorted, followed by keyboard,
//! narrow and wide, light and dark; and left open while a thousand revisions change.
//!
//! It needs Chromium, and is skipped with a message where there is none. With
//! `TIDEGATE_PAGE_PICTURES=DIR` it leaves screenshots there; with `TIDEGATE_PAGE_SECONDS=60` it
//! watches for a minute.

#[path = "../../../sim/browser/tests/browser/chromium.rs"]
#[expect(dead_code, reason = "this page is opened from an address, and takes no files")]
mod chromium;
mod desk;
#[path = "../stage/oracle.rs"]
mod oracle;
#[path = "../stage/world.rs"]
mod world;

use std::sync::Arc;

use serde_json::json;
use tidegate_page::{Access, Orders, Settings};
use tidegate_trust::Secret;

use desk::{Desk, Scene, seconds};
use oracle::Oracle;
use world::open;

#[test]
fn revisions_are_searched_sorted_and_paged_by_the_server() {
    let Some(mut desk) = Desk::start(Scene::of(130), open()) else { return };
    desk.open("#/");
    desk.seen("document.querySelectorAll('#rows tbody tr').length === 50");
    assert_eq!(desk.text("#found"), "1–50 of 130");
    desk.value("document.getElementById('next').click()");
    desk.seen("document.getElementById('found').textContent === '51–100 of 130'");
    assert_eq!(desk.count("#rows tbody tr"), 50, "no more rows than one page has");
    desk.type_into("search", "app-01");
    desk.seen("document.getElementById('found').textContent === '1–10 of 10'");
    desk.value("document.querySelector('#rows thead button').click()");
    desk.seen("document.querySelector('#rows th[aria-sort]').textContent === 'Revision'");
    desk.seen("document.querySelector('#rows tbody a').textContent === 'default/app-010'");
    desk.value("document.querySelector('#rows tbody a').click()");
    desk.seen("document.getElementById('revision-title').textContent === 'default/app-010'");
    desk.seen("document.querySelectorAll('#revision-cards dd')[5].textContent !== '–'");
    desk.quiet();
}

#[test]
fn a_revision_shows_its_charts_its_reasons_and_its_cold_starts() {
    let Some(mut desk) = Desk::start(Scene::of(3), open()) else { return };
    desk.open("#/revision/default/app-000");
    desk.seen("document.querySelectorAll('#instances tbody tr').length > 1");
    desk.seen("document.querySelectorAll('#cold-starts svg[role=img] rect').length >= 6");
    desk.value("document.getElementById('changes-only').click()");
    desk.seen("document.querySelectorAll('#decisions li').length > 1");
    let reason = desk.text("#decisions li span");
    assert!(reason.len() > 10, "{reason}");
    // Every chart has a name, values that are read out, and a table behind it.
    let charts = "[...document.querySelectorAll('#revision-charts svg.panel')]";
    assert_eq!(desk.value(&format!("{charts}.length")), 4);
    let named = format!(
        "{charts}.every(c => c.querySelector('title').textContent && \
                         /[0-9–]/.test(c.getAttribute('aria-label')))"
    );
    assert_eq!(desk.value(&named), true);
    desk.value("document.querySelectorAll('#revision-charts details').forEach(d => d.open = true)");
    desk.seen("document.querySelectorAll('#revision-charts table tbody tr').length === 4 * 31");
    // A crosshair by keyboard, read out.
    desk.value("document.querySelector('#revision-charts svg.panel').focus()");
    desk.press("ArrowLeft", 37);
    let told = desk.seen("document.getElementById('announced').textContent");
    assert!(told.as_str().is_some_and(|text| text.contains("Demand: in flight")), "{told}");
    let shown = "document.querySelector('#revision-charts .cross').getAttribute('visibility')";
    assert_eq!(desk.value(shown), "visible");
    desk.press("Escape", 27);
    assert_eq!(desk.value(shown), "hidden");
    desk.quiet();
}

#[test]
fn no_name_becomes_markup() {
    let hostile = "<img/src=x/onerror=document.title=1>";
    let settings = Settings { title: format!("{hostile}\"'&</title>"), ..open() };
    let scene = Scene { instance: hostile.to_owned(), ..Scene::of(2) };
    let Some(mut desk) = Desk::start(scene, settings) else { return };
    desk.open("#/revision/default/app-000");
    desk.seen("document.querySelectorAll('#instances tbody tr').length > 0");
    assert!(desk.text("#instances tbody th").starts_with(hostile));
    assert!(desk.text("#title").starts_with(hostile));
    assert_eq!(desk.count("img, iframe, object, script:not([src])"), 0);
    desk.open(&format!("#/revision/{0}/{0}", "%3Cimg%20src%3Dx%3E"));
    desk.seen(
        "document.getElementById('revision-title').textContent === '<img src=x>/<img src=x>'",
    );
    desk.seen("!document.getElementById('problem').hidden");
    assert_eq!(desk.count("img"), 0);
    let thrown = desk.value(
        "(() => { try { document.body.innerHTML = '<p>'; return 'made'; } \
         catch (error) { return error.name; } })()",
    );
    assert_eq!(thrown, "TypeError", "the browser itself forbids text to become markup");
}

#[test]
fn a_link_signs_in_once_and_is_in_no_history() {
    let secret = Secret::new("0123456789abcdef", "a test").expect("valid");
    let settings = Settings { access: Access::Secret(secret.into()), ..open() };
    let Some(mut desk) = Desk::start(Scene::of(2), settings) else { return };
    let link = desk.link();
    desk.open("#/");
    desk.seen("!document.getElementById('sign-in').hidden");
    desk.go(&link);
    desk.seen("document.querySelectorAll('#rows tbody tr').length === 2");
    assert_eq!(desk.value("location.hash"), "#/");
    assert_eq!(desk.value("document.cookie"), "", "cookies are sent to every port of a host");
    desk.value("localStorage.clear()");
    desk.go(&link);
    let told = desk.seen(
        "!document.getElementById('problem').hidden && \
                          document.getElementById('problem').textContent",
    );
    assert!(told.as_str().is_some_and(|text| text.contains("followed before")), "{told}");
    desk.value("document.getElementById('secret').value = '0123456789abcdef'");
    desk.value("document.querySelector('#sign-in-form button').click()");
    desk.seen("document.querySelectorAll('#rows tbody tr').length === 2");
    let (kept, away) = ("Object.values(localStorage).join()", "0123456789abcdef");
    assert!(
        !desk.value(kept).as_str().is_some_and(|text| text.contains(away)),
        "no secret is kept"
    );
}

#[test]
fn an_order_is_confirmed_and_then_followed() {
    let settings = Settings { orders: Orders::Taken, ..open() };
    let Some(mut desk) = Desk::start(Scene::of(3), settings) else { return };
    desk.open("#/routes");
    desk.seen("document.querySelector('.badge')?.textContent === 'progressing'");
    desk.value("document.querySelector('[data-order=\"shop pause\"]').click()");
    assert_eq!(desk.text("#confirm-title"), "Pause the rollout of shop?");
    desk.value("document.querySelector('#confirm button[value=no]').click()");
    desk.value("document.querySelector('[data-order=\"shop pause\"]').click()");
    desk.value("document.getElementById('confirm-yes').click()");
    desk.seen("document.querySelector('.badge').textContent === 'paused'");
    desk.quiet();
    let Some(mut shown) = Desk::start(Scene::of(3), open()) else { return };
    shown.open("#/routes");
    shown.seen("document.querySelector('.badge')");
    assert_eq!(shown.count("[data-order]"), 0, "a page that only shows offers nothing");
}

#[test]
fn other_settings_are_replayed_and_both_are_drawn() {
    let settings = Settings { what_if: Some(Arc::new(Oracle)), ..open() };
    let Some(mut desk) = Desk::start(Scene::of(3), settings) else { return };
    desk.open("#/revision/default/app-000");
    desk.seen("!document.getElementById('what-if').hidden");
    desk.seen("Number(document.body.dataset.told) >= 3");
    desk.value("document.querySelector('#what-if-fields input[name=min-scale]').focus()");
    desk.order("Input.insertText", json!({ "text": "2" }));
    desk.value("document.getElementById('what-if-ask').click()");
    desk.seen("!document.getElementById('what-if-answer').hidden");
    assert_eq!(
        desk.text("#what-if-words"),
        "100 % more instance-hours, p99 −50 ms, as many cold starts."
    );
    assert_eq!(desk.count("#what-if-chart path"), 3, "what was seen, and both simulations");
    assert_eq!(desk.count("#what-if-table tbody tr"), 8);
    desk.value("document.querySelector('#what-if-fields input[name=more]').focus()");
    desk.order("Input.insertText", json!({ "text": "window=impossible" }));
    desk.value("document.getElementById('what-if-ask').click()");
    desk.seen("document.getElementById('what-if-state').textContent.includes('<b>cannot be</b>')");
    assert_eq!(desk.count("#what-if-state b"), 0);
    desk.picture("what-if");
    desk.quiet();
}

/// What the page holds after everything that is held no more was thrown away.
fn held(desk: &mut Desk) -> (f64, f64) {
    for _ in 0..2 {
        desk.order("HeapProfiler.collectGarbage", json!({}));
    }
    let metrics = desk.order("Performance.getMetrics", json!({}));
    let metric = |name: &str| {
        let all = metrics["metrics"].as_array().expect("a list");
        all.iter().find(|metric| metric["name"] == name).and_then(|of| of["value"].as_f64())
    };
    (metric("JSHeapUsedSize").expect("a size"), metric("Nodes").expect("a count"))
}

/// Seconds between two looks at what the page holds.
const PART_S: u64 = 15;

/// When something was first seen of the page, in milliseconds, opened several times.
fn paints(desk: &mut Desk) -> Vec<f64> {
    let once = |desk: &mut Desk| {
        desk.open("#/");
        desk.seen("Number(document.body.dataset.told) >= 1");
        let name = "first-contentful-paint";
        // The page may have been told of everything before the browser has painted it.
        let at = desk.seen(&format!("performance.getEntriesByName('{name}')[0]?.startTime"));
        at.as_f64().expect("it was painted").round()
    };
    (0..PAINTS).map(|_| once(desk)).collect()
}

/// Times that the page is opened to see how soon it is seen.
const PAINTS: u32 = 6;

/// Bytes by which the heap may differ between two looks: what the points of the charts take, and
/// what the engine compiles meanwhile. A row that leaks each second is twice that after 15 s.
const HEAP_SLACK_BYTES: f64 = 700_000.0;

#[test]
fn a_thousand_revisions_change_and_the_page_does_not_grow() {
    let Some(mut desk) = Desk::start(Scene::of(1_000), open()) else { return };
    desk.order("HeapProfiler.enable", json!({}));
    desk.order("Performance.enable", json!({}));
    desk.open("#/");
    desk.seen("Number(document.body.dataset.told) >= 5");
    let (heap_before, nodes_before) = held(&mut desk);
    let mut after = (heap_before, nodes_before);
    for part in 1..=seconds(15).div_ceil(PART_S) {
        let told = 5 + part * PART_S;
        desk.seen_within(&format!("Number(document.body.dataset.told) >= {told}"));
        after = held(&mut desk);
        eprintln!("after {} s: {} bytes, {} nodes", part * PART_S, after.0, after.1);
    }
    let (heap_after, nodes_after) = after;
    eprintln!("first contentful paints, ms: {:?}", paints(&mut desk));
    desk.open("#/revision/default/app-000");
    desk.seen("Number(document.body.dataset.told) >= 2");
    desk.picture("afterwards");
    assert!(nodes_after <= nodes_before + 200.0, "{nodes_before} -> {nodes_after} nodes");
    assert!(heap_after < heap_before + HEAP_SLACK_BYTES, "{heap_before} -> {heap_after} bytes");
    desk.quiet();
}

#[test]
fn it_fits_a_telephone_and_a_wall() {
    let Some(mut desk) = Desk::start(Scene::of(60), open()) else { return };
    for (width, height) in [(360, 740), (1_400, 1_000), (3_840, 2_000)] {
        for scheme in ["light", "dark"] {
            desk.resize(width, height);
            desk.prefer(scheme);
            for (view, fragment) in [
                ("fleet", "#/"),
                ("revision", "#/revision/default/app-000"),
                ("routes", "#/routes"),
            ] {
                desk.open(fragment);
                desk.seen(&format!("document.body.dataset.view === '{view}'"));
                desk.seen(
                    "Number(document.body.dataset.told) >= 3 || \
                           document.querySelector('.route')",
                );
                let overflow = "document.documentElement.scrollWidth - innerWidth";
                assert_eq!(desk.value(&format!("Math.max(0, {overflow})")), 0, "{view} {width}");
                desk.picture(&format!("{view}-{width}-{scheme}"));
            }
        }
    }
}
