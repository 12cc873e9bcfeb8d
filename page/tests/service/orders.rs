//! Orders about rollouts: from this page, with its token, where they are switched on.

use std::net::SocketAddr;

use serde_json::Value;
use tidegate_page::{Orders, Settings};

use crate::client::{Answer, Events, ask};
use crate::world::{World, open, revision};
use crate::{OURS, SECRET, bearer, page, secret};

const ROUTES: &str = "[route.shop]\nrollout = { from = \"v1\", to = \"v2\", \
                      steps = [{ percent = 50, hold = \"1h\" }] }\n";

async fn world() -> World {
    let world = World::start();
    world.declare(&revision("v1")).await;
    world.declare(&revision("v2")).await;
    world.follow(ROUTES).await;
    world
}

async fn order(address: SocketAddr, order: &str, fields: &[(&str, &str)]) -> Answer {
    ask(address, ("POST", &format!("/page/orders?route=shop&order={order}")), fields).await
}

fn phase(told: &Value) -> Option<&str> {
    told["routes"][0]["rollout"]["phase"].as_str()
}

#[tokio::test]
async fn a_page_that_only_shows_takes_no_orders() {
    let (_serving, address) = page(&world().await, open()).await;
    let about = ask(address, ("GET", "/page/about"), &[]).await.json();
    assert!(about["orders"].is_null(), "there is no token to be had: {about}");
    let answer = order(address, "abort", &[OURS, ("X-Tidegate-Orders", "0")]).await;
    assert_eq!(answer.status, 403);
    assert!(answer.body.contains("--page-orders"), "{}", answer.body);
}

#[tokio::test]
async fn an_order_needs_the_pages_token_and_the_pages_origin() {
    let world = world().await;
    let settings = Settings { orders: Orders::Taken, ..open() };
    let (_serving, address) = page(&world, settings).await;
    let about = ask(address, ("GET", "/page/about"), &[]).await.json();
    let token = about["orders"].as_str().expect("a token").to_owned();
    let shown = ("X-Tidegate-Orders", token.as_str());
    for fields in [
        &[][..],
        &[shown],
        &[OURS],
        &[OURS, ("X-Tidegate-Orders", "0123456789abcdef")],
        &[shown, ("Origin", "http://other.example")],
        &[shown, ("Origin", "null")],
        &[shown, OURS, ("Sec-Fetch-Site", "same-site")],
    ] {
        assert_eq!(order(address, "abort", fields).await.status, 403, "{fields:?}");
    }
    let mut events = Events::open(address, "view=routes", &[]).await;
    let (_, told) = events.next().await;
    assert_eq!(phase(&told), Some("progressing"), "nothing was ordered: {told}");
    assert_eq!(order(address, "pause", &[shown, OURS]).await.status, 200);
    let (_, told) = events.next().await;
    assert_eq!(phase(&told), Some("paused"));
    assert_eq!(order(address, "explode", &[shown, OURS]).await.status, 400);
    let unknown = ask(address, ("POST", "/page/orders?route=x&order=pause"), &[shown, OURS]).await;
    assert_eq!(unknown.status, 409);
    assert!(unknown.body.contains("there is no route"), "{}", unknown.body);
}

#[tokio::test]
async fn an_order_needs_a_session_where_there_is_a_secret() {
    let settings = Settings { orders: Orders::Taken, ..secret() };
    let (_serving, address) = page(&world().await, settings).await;
    let shown = bearer(SECRET);
    let about = ask(address, ("GET", "/page/about"), &[("Authorization", &shown)]).await.json();
    let token = ("X-Tidegate-Orders", about["orders"].as_str().expect("a token"));
    assert_eq!(order(address, "pause", &[OURS, token]).await.status, 401);
    let all = [OURS, token, ("Authorization", shown.as_str())];
    assert_eq!(order(address, "pause", &all).await.status, 200);
}
