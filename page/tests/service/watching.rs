//! What those who watch are told.

use tidegate_controller::event::Event;
use tidegate_page::VIEWERS_MAX;

use crate::client::{Events, ask};
use crate::page;
use crate::world::{Load, World, cold_start, open, revision};

/// Names may have whatever can be seen.
const HOSTILE: &str = "<img/src=x/onerror=alert(1)>\"'&</script>";

const BUSY: Load = Load { in_flight: 30, waiting: 4, ended: 50, failed: 2 };

#[tokio::test]
async fn the_fleet_is_a_page_of_rows_and_one_more_point_each_second() {
    let mut world = World::start();
    for nth in 0..120 {
        world.declare(&revision(&format!("app-{nth:03}"))).await;
    }
    let web = world.instance(&revision("app-077"), "app-077-1").await;
    world.report(web, BUSY).await;
    let (_serving, address) = page(&world, open()).await;
    let query = "view=fleet&sort=in_flight&direction=down&count=10";
    let mut events = Events::open(address, query, &[]).await;
    let head = events.head.to_ascii_lowercase();
    assert!(head.starts_with("http/1.1 200") && head.contains("content-type: text/event-stream"));
    assert!(head.contains("content-security-policy: default-src 'none'"), "{head}");
    let (kind, first) = events.next().await;
    assert_eq!(
        (kind.as_str(), &first["all"], &first["found"]),
        ("fleet", &120.into(), &120.into())
    );
    assert_eq!(first["rows"].as_array().map(Vec::len), Some(10));
    assert_eq!(
        (&first["rows"][0]["name"], &first["rows"][0]["in_flight"]),
        (&"app-077".into(), &30.into())
    );
    assert!(first["past"]["at"].is_array() && first["point"].is_null(), "{first}");
    let (_, second) = events.next().await;
    assert!(second["past"].is_null(), "the past is told once");
    assert_eq!(second["point"]["at"].as_array().map(Vec::len), Some(1));
    assert!(second["now"].as_i64() > first["now"].as_i64());
    let mut found = Events::open(address, "search=APP-01&from=5&count=5", &[]).await;
    let (_, page) = found.next().await;
    assert_eq!((&page["found"], &page["from"]), (&10.into(), &5.into()));
    assert_eq!(page["rows"][0]["name"], "app-015");
}

#[tokio::test]
async fn a_revision_is_told_with_its_reasons_and_only_what_is_new() {
    let mut world = World::start();
    let web = revision("web");
    world.declare(&web).await;
    let (activator, instance) = (world.activator().await, world.instance(&web, HOSTILE).await);
    let seen = world.handle.now().as_millis();
    let starts = vec![cold_start(HOSTILE, seen, 400)];
    world.activator_reports(activator, &web, (BUSY, starts)).await;
    world.report(instance, BUSY).await;
    let (_serving, address) = page(&world, open()).await;
    let mut events = Events::open(address, "view=revision&of=default/web", &[]).await;
    let (kind, first) = events.next().await;
    assert_eq!(kind, "revision");
    assert_eq!(first["instances"]["told"][0]["name"], HOSTILE);
    assert_eq!(first["cold_starts"][0]["instance"], HOSTILE);
    assert_eq!(first["cold_starts"][0]["total_us"], 400_000);
    assert_eq!(first["settings"]["stable_window_ms"], 6_000);
    assert_eq!(first["figures"]["container_concurrency"], 10);
    let mut told = first["decisions"].as_array().cloned().expect("a list");
    for _ in 0..4 {
        let (_, next) = events.next().await;
        assert!(next["settings"].is_null(), "it did not change: {next}");
        assert!(next["cold_starts"].is_null(), "it did not change: {next}");
        told.extend(next["decisions"].as_array().cloned().expect("a list"));
    }
    let mut numbers: Vec<u64> = told.iter().filter_map(|of| of["number"].as_u64()).collect();
    numbers.sort_unstable();
    assert!(!numbers.is_empty(), "it decides every two seconds");
    assert!(numbers.windows(2).all(|pair| pair[0] + 1 == pair[1]), "none twice: {numbers:?}");
    assert!(told[0]["reason"].as_str().is_some_and(|reason| reason.len() > 10));
}

#[tokio::test]
async fn a_revision_that_goes_is_told_so_and_comes_back_whole() {
    let world = World::start();
    let web = revision("web");
    let (_serving, address) = page(&world, open()).await;
    let mut events = Events::open(address, "view=revision&of=default/web", &[]).await;
    assert_eq!(events.next().await.1["gone"], true);
    world.declare(&web).await;
    let told = loop {
        let (_, told) = events.next().await;
        if told["gone"].is_null() {
            break told;
        }
    };
    assert!(told["past"].is_object(), "what is told first of it is all of it: {told}");
    world.happened(Event::Undeclare(web)).await;
    while events.next().await.1["gone"].is_null() {}
}

#[tokio::test]
async fn routes_are_told_when_they_change() {
    let world = World::start();
    world.declare(&revision("v1")).await;
    let (_serving, address) = page(&world, open()).await;
    let mut events = Events::open(address, "view=routes", &[]).await;
    assert_eq!(events.next().await.1["all"], 0);
    world.follow("[route.shop]\nsplit = { v1 = 70, v2 = 30 }\n").await;
    let (kind, told) = events.next().await;
    assert_eq!((kind.as_str(), &told["all"]), ("routes", &1.into()));
    let route = &told["routes"][0];
    assert_eq!((&route["name"], &route["path"]), (&"shop".into(), &"/*".into()));
    assert_eq!(route["shares"][1]["millionths"], 300_000);
}

#[tokio::test]
async fn what_cannot_be_watched_is_refused_with_a_reason() {
    let (_serving, address) = page(&World::start(), open()).await;
    for bad in ["view=else", "view=revision", "view=revision&of=%3Cb%3E", "sort=x", "count=1000"] {
        let answer = ask(address, ("GET", &format!("/page/events?{bad}")), &[]).await;
        assert_eq!(answer.status, 400, "{bad}");
        assert!(
            answer.json()["error"]
                .as_str()
                .is_some_and(|told| told.contains("expected") || told.contains("missing"))
        );
    }
}

#[tokio::test]
async fn so_many_watch_and_no_more() {
    let (_serving, address) = page(&World::start(), open()).await;
    let mut watching = Vec::new();
    for _ in 0..VIEWERS_MAX {
        let mut events = Events::open(address, "view=fleet", &[]).await;
        events.next().await;
        watching.push(events);
    }
    let refused = ask(address, ("GET", "/page/events"), &[]).await;
    assert_eq!(refused.status, 503);
    assert!(refused.body.contains("32 browsers"), "{}", refused.body);
    assert_eq!(ask(address, ("GET", "/page"), &[]).await.status, 200, "the rest is served");
    watching.pop();
    // Its place is free once it was found to be gone.
    let mut again = loop {
        let events = Events::open(address, "view=fleet", &[]).await;
        if events.head.starts_with("HTTP/1.1 200") {
            break events;
        }
        tokio::task::yield_now().await;
    };
    again.next().await;
}

#[tokio::test]
async fn the_largest_event_has_its_bound() {
    let mut world = World::start();
    let long = |letter: &str, nth: usize| format!("{}{nth:03}", letter.repeat(250));
    let namespace = "n".repeat(253);
    for nth in 0..120 {
        let id = tidegate_controller::RevisionId::new(&namespace, &long("r", nth)).expect("valid");
        world.declare(&id).await;
        if nth == 0 {
            for instance in 0..300 {
                let reporter = world.instance(&id, &long("<", instance)).await;
                world.report(reporter, BUSY).await;
            }
        }
    }
    let (_serving, address) = page(&world, open()).await;
    let mut fleet = Events::open(address, "view=fleet&count=100", &[]).await;
    let rows = fleet.frame().await.len();
    assert!(rows < 100 << 10, "{rows} bytes of a hundred rows");
    let of = format!("view=revision&of={namespace}/{}", long("r", 0));
    let mut one = Events::open(address, &of, &[]).await;
    let (_, told) = one.next().await;
    assert_eq!(told["instances"]["told"].as_array().map(Vec::len), Some(200));
    assert_eq!(told["instances"]["more"], 100);
    assert!(told.to_string().len() < 256 << 10, "{}", told.to_string().len());
}
