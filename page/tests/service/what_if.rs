//! What would have been: who may ask, of what, and one at a time.

use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};

use tidegate_page::Settings;
use tidegate_page::what_if::{Past, Replay, WhatIf};

use crate::client::{Events, ask};
use crate::oracle::Oracle;
use crate::world::{Load, World, open, revision};
use crate::{OURS, page, secret};

const ASKED: &str = "/page/what-if?of=default/web&set=min-scale%3D2&set=target%3D5";

async fn busy() -> World {
    let mut world = World::start();
    world.declare(&revision("web")).await;
    let web = world.instance(&revision("web"), "web-1").await;
    world.report(web, Load { in_flight: 3, ended: 10, ..Load::default() }).await;
    world
}

#[tokio::test]
async fn what_was_seen_is_replayed_by_other_settings() {
    let world = busy().await;
    let settings = Settings { what_if: Some(Arc::new(Oracle)), ..open() };
    let (_serving, address) = page(&world, settings).await;
    let about = ask(address, ("GET", "/page/about"), &[]).await.json();
    assert_eq!(about["what_if"], true);
    Events::open(address, "view=fleet", &[]).await.next().await;
    let answer = ask(address, ("POST", ASKED), &[OURS]).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    let told = answer.json();
    assert_eq!(
        (&told["present"]["instance_hours"], &told["other"]["instance_hours"]),
        (&1.0.into(), &2.0.into())
    );
    assert!(told["assumed"].as_str().is_some_and(|text| text.contains("default/web")), "{told}");
    for (target, status) in [
        ("/page/what-if?of=default/web&set=a%3Dimpossible", 422),
        ("/page/what-if?of=default/none&set=a%3D1", 404),
        ("/page/what-if?of=default/web&set=nothing", 400),
        ("/page/what-if", 400),
    ] {
        let answer = ask(address, ("POST", target), &[OURS]).await;
        assert_eq!(answer.status, status, "{target}");
        assert!(answer.json()["error"].is_string(), "{}", answer.body);
    }
}

#[tokio::test]
async fn only_this_page_asks_and_only_where_somebody_knows() {
    let world = busy().await;
    let (_serving, address) = page(&world, open()).await;
    assert_eq!(ask(address, ("POST", ASKED), &[OURS]).await.status, 404);
    assert_eq!(ask(address, ("POST", ASKED), &[]).await.status, 403);
    assert_eq!(ask(address, ("GET", ASKED), &[OURS]).await.status, 405);
    let settings = Settings { what_if: Some(Arc::new(Oracle)), ..secret() };
    let (_known, address) = page(&world, settings).await;
    assert_eq!(ask(address, ("POST", ASKED), &[OURS]).await.status, 401);
}

/// Thinks until it is told to stop.
#[derive(Debug)]
struct Thinker {
    began: Sender<()>,
    stop: Mutex<Receiver<()>>,
}

impl WhatIf for Thinker {
    fn replay(&self, _: &Past, _: &[(String, String)]) -> Result<Replay, String> {
        self.began.send(()).expect("somebody waits");
        self.stop.lock().expect("nobody panics").recv().expect("somebody stops it");
        Err("thought".to_owned())
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_question_is_answered_at_a_time() {
    let world = busy().await;
    let ((began, begun), (stop, stopped)) = (channel(), channel());
    let thinker = Thinker { began, stop: Mutex::new(stopped) };
    let settings = Settings { what_if: Some(Arc::new(thinker)), ..open() };
    let (_serving, address) = page(&world, settings).await;
    Events::open(address, "view=fleet", &[]).await.next().await;
    let first = tokio::spawn(async move { ask(address, ("POST", ASKED), &[OURS]).await });
    let waits = tokio::task::spawn_blocking(move || begun.recv().map(|()| begun));
    let _begun = waits.await.expect("no panic").expect("it thinks");
    assert_eq!(ask(address, ("POST", ASKED), &[OURS]).await.status, 503);
    assert_eq!(ask(address, ("GET", "/page/about"), &[]).await.status, 200, "nobody waits for it");
    stop.send(()).expect("it listens");
    let first = first.await.expect("no panic");
    assert_eq!((first.status, first.json()["error"].as_str()), (422, Some("thought")));
}
