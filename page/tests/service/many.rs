//! Ten thousand revisions: what one who watches is told does not grow with them.

use std::net::SocketAddr;
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};
use tokio::task::JoinHandle;

use crate::client::Events;
use crate::page;
use crate::world::{Load, World, open, revision};

/// What is watched.
const QUERY: &str = "view=fleet&sort=in_flight&direction=down&count=50";

/// How long is measured: some looks, and some decisions of each revision.
const MEASURED: Duration = Duration::from_secs(4);

/// Those who watch beside the first.
const OTHERS: u32 = 8;

async fn world_of(revisions: u32) -> World {
    let mut world = World::start();
    let activator = world.activator().await;
    for nth in 0..revisions {
        let id = revision(&format!("app-{nth:05}"));
        world.declare(&id).await;
        let load = Load { in_flight: nth % 50, ended: nth % 70, ..Load::default() };
        world.activator_reports(activator, &id, (load, Vec::new())).await;
    }
    world
}

/// Processor time that this process uses in a second, in milliseconds. Nothing else runs in it.
async fn used_ms() -> f64 {
    let used = || {
        let used = clock_gettime(ClockId::ProcessCPUTime);
        used.tv_sec as f64 * 1e3 + used.tv_nsec as f64 / 1e6
    };
    let before = used();
    tokio::time::sleep(MEASURED).await;
    (used() - before) / MEASURED.as_secs_f64()
}

/// Reads what comes, for as long as it is not dropped.
async fn watch(address: SocketAddr) -> JoinHandle<()> {
    let mut events = Events::open(address, QUERY, &[]).await;
    events.next().await;
    tokio::spawn(async move {
        loop {
            events.frame().await;
        }
    })
}

#[tokio::test]
async fn an_event_is_as_long_with_ten_thousand_as_with_two_hundred() {
    let mut lengths = Vec::new();
    for revisions in [200, 10_000] {
        let world = world_of(revisions).await;
        let (_serving, address) = page(&world, open()).await;
        let mut events = Events::open(address, QUERY, &[]).await;
        let (_, first) = events.next().await;
        assert_eq!(first["all"], revisions);
        assert_eq!(first["rows"].as_array().map(Vec::len), Some(50));
        lengths.push(events.frame().await.len());
    }
    eprintln!("{lengths:?} bytes an event of 200 and of 10,000 revisions");
    assert!(lengths[1] < lengths[0] + lengths[0] / 2, "{lengths:?}");
}

/// Run it alone: it counts what the whole process uses.
#[tokio::test]
#[ignore = "a measurement, for a process of its own"]
async fn cost_of_looking_at_ten_thousand_revisions() {
    let world = world_of(10_000).await;
    let without = used_ms().await;
    let (_serving, address) = page(&world, open()).await;
    let looked_at = used_ms().await;
    let _first = watch(address).await;
    let watched = used_ms().await;
    let mut others = Vec::new();
    for _ in 0..OTHERS {
        others.push(watch(address).await);
    }
    let all = used_ms().await;
    eprintln!(
        "ms of processor time a second: {without:.1} without a page, {:.1} more for looking, {:.1} \
         more for the first who watches, {:.1} for each of {OTHERS} others",
        looked_at - without,
        watched - looked_at,
        (all - watched) / f64::from(OTHERS)
    );
}
