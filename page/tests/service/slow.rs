//! A browser that takes what it is told slowly, or not at all.

use std::time::Duration;

use tidegate_page::Page;
use tidegate_relay::{Drain, Server, ServerSettings};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::world::{World, open, revision};

/// Less than one event: what is not read stays with the page.
const PIPE_BYTES: usize = 2_048;

/// Longer than a browser may take to take an event.
const TOO_LONG: Duration = Duration::from_secs(30);

async fn watched(page: &Page) -> tokio::io::DuplexStream {
    let (mut ours, theirs) = tokio::io::duplex(PIPE_BYTES);
    let server = Server::new(page.clone(), ServerSettings::default(), Drain::new());
    tokio::spawn(async move { server.serve_stream(theirs, None).await });
    ours.write_all(b"GET /page/events HTTP/1.1\r\nHost: localhost\r\n\r\n").await.expect("sent");
    ours
}

#[tokio::test(start_paused = true)]
async fn one_that_reads_nothing_is_cut_off() {
    let world = World::start();
    for nth in 0..100 {
        world.declare(&revision(&format!("app-{nth}"))).await;
    }
    let page = Page::start(world.handle.clone(), open()).expect("there is randomness");
    let mut stuck = watched(&page).await;
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert_eq!((page.viewers(), page.slow_viewers()), (1, 0), "a pause is no reason");
    tokio::time::sleep(TOO_LONG).await;
    assert_eq!((page.viewers(), page.slow_viewers()), (0, 1));
    let mut rest = Vec::new();
    let _cut = stuck.read_to_end(&mut rest).await;
    assert!(rest.len() <= PIPE_BYTES, "nothing was kept for it: {} bytes", rest.len());
}

#[tokio::test(start_paused = true)]
async fn one_that_was_away_gets_what_is_so_now_and_no_backlog() {
    let world = World::start();
    for nth in 0..100 {
        world.declare(&revision(&format!("app-{nth}"))).await;
    }
    let page = Page::start(world.handle.clone(), open()).expect("there is randomness");
    let mut slow = watched(&page).await;
    tokio::time::sleep(Duration::from_secs(8)).await;
    let away_until = world.handle.now().as_millis();
    let mut text = String::new();
    let mut events = Vec::new();
    while events.len() < 2 {
        let mut bytes = [0; 4_096];
        let count = slow.read(&mut bytes).await.expect("it is open");
        text.push_str(std::str::from_utf8(&bytes[..count]).expect("ASCII"));
        events = text
            .split("\"now\":")
            .skip(1)
            .filter_map(|rest| rest.split(',').next()?.parse::<i64>().ok())
            .collect();
    }
    assert!(events[0] < away_until - 6_000, "the first is what it was told before it went");
    assert!(events[1] >= away_until - 1_500, "the second is new: {events:?}, {away_until}");
}
