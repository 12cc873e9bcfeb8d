//! Requests that are sent to a second instance because the first takes long.

use std::time::Duration;

use tidegate_activator::{Config, Endpoint};
use tidegate_admission::{DispatcherSettings, HedgeAfter, HedgeSettings, Policy};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use crate::app::App;
use crate::client::{exchange, get};
use crate::repeats::{Bad, RESPONDS};
use crate::stage::{close_whole, fixed, open, status, until, web};

/// Long enough for a hedge, where one would be made.
const LONG_ENOUGH: Duration = Duration::from_millis(50);

/// All that there is, and soon.
fn hedges() -> HedgeSettings {
    HedgeSettings { permille: 1_000, after: HedgeAfter::Time(Duration::from_millis(2)) }
}

/// With one instance after the other, so that each gets its part however slow it is.
fn in_turn(config: Config) -> Config {
    let dispatch = DispatcherSettings { policy: Policy::RoundRobin, ..config.dispatch };
    Config { dispatch, hedges: hedges(), ..config }
}

/// An app whose requests to `/gate` are answered at once.
async fn quick() -> App {
    let app = App::start(Duration::ZERO).await;
    app.seen.gate.add_permits(1_000);
    app
}

/// One whose requests to `/gate` are not.
async fn stuck() -> App {
    App::start(Duration::ZERO).await
}

async fn ask(address: std::net::SocketAddr) -> TcpStream {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(b"GET /gate HTTP/1.1\r\nHost: h\r\n\r\n").await.unwrap();
    stream
}

#[tokio::test]
async fn an_instance_that_does_not_answer_costs_nobody_the_response() {
    let (stuck, quick) = (stuck().await, [quick().await, quick().await, quick().await]);
    let apps = [(&stuck, 0), (&quick[0], 0), (&quick[1], 0), (&quick[2], 0)];
    let (running, address) = open(in_turn(fixed(&apps)));
    for _ in 0..40 {
        assert_eq!(get(address, "/gate", &[]).await.unwrap().status, 200);
    }
    assert!(stuck.most_in_flight() > 0, "it had its turns");
    // On a busy machine one of them may take long as well, and be helped out by another.
    assert!(quick.iter().map(App::served).sum::<u32>() >= 40);
    close_whole(running).await;
}

#[tokio::test]
async fn the_loser_keeps_its_place_for_as_long_as_it_works() {
    let (stuck, quick) = (stuck().await, quick().await);
    let (running, address) = open(in_turn(fixed(&[(&stuck, 1), (&quick, 1)])));
    for _ in 0..10 {
        assert_eq!(get(address, "/gate", &[]).await.unwrap().status, 200);
    }
    // Its one place was taken once, and is taken still.
    assert_eq!((stuck.most_in_flight(), status(&running).in_flight), (1, 1));
    assert!(quick.served() >= 10);
    stuck.seen.gate.add_permits(1);
    until(&running, |status| status.in_flight == 0).await;
    close_whole(running).await;
}

#[tokio::test]
async fn a_hedge_needs_a_place_that_nobody_waits_for() {
    let apps = [stuck().await, stuck().await];
    let (running, address) = open(in_turn(fixed(&[(&apps[0], 1), (&apps[1], 1)])));
    let clients = [(); 3].map(|()| tokio::spawn(get(address, "/gate", &[])));
    until(&running, |status| status.in_flight == 2 && status.waiting == 1).await;
    // Long enough for many hedges, if there was room for any.
    tokio::time::sleep(LONG_ENOUGH).await;
    apps.iter().for_each(|app| app.seen.gate.add_permits(10));
    for client in clients {
        assert_eq!(client.await.unwrap().unwrap().status, 200);
    }
    assert_eq!(apps.each_ref().map(App::most_in_flight), [1, 1]);
    assert_eq!(apps[0].served() + apps[1].served(), 3);
    close_whole(running).await;
}

#[tokio::test]
async fn there_are_no_more_than_the_budget_allows() {
    let work = Duration::from_millis(40);
    let slow = [Bad::start(RESPONDS, work).await, Bad::start(RESPONDS, work).await];
    let mut config = slow[0].beside(&[]);
    config.endpoints.extend(slow[1].beside(&[]).endpoints.into_iter().map(|(web, other)| {
        let instance = "other".into();
        (web, Endpoint { instance, ..other })
    }));
    let (running, address) =
        open(Config { hedges: HedgeSettings { permille: 100, ..hedges() }, ..in_turn(config) });
    for _ in 0..100 {
        assert_eq!(get(address, "/", &[]).await.unwrap().status, 200);
    }
    let asked = slow[0].asked() + slow[1].asked();
    // A tenth of them, and what was saved.
    assert!((110..=100 + 9 + 20).contains(&asked), "{asked}");
    close_whole(running).await;
}

#[tokio::test]
async fn only_what_is_safe_or_says_so_is_sent_twice() {
    for (request, most) in [
        ("GET / HTTP/1.1", 2),
        ("HEAD / HTTP/1.1", 2),
        ("OPTIONS / HTTP/1.1", 2),
        ("DELETE / HTTP/1.1", 1),
        ("POST / HTTP/1.1\r\nContent-Length: 0", 1),
        ("POST / HTTP/1.1\r\nContent-Length: 0\r\nTidegate-Hedge: true", 2),
        ("POST / HTTP/1.1\r\nContent-Length: 2\r\nTidegate-Hedge: true\r\n\r\nhi", 1),
        ("GET / HTTP/1.1\r\nContent-Length: 2\r\n\r\nhi", 1),
        ("GET / HTTP/1.1\r\nTidegate-Hedge: false", 1),
    ] {
        let (stuck, quick) = (stuck().await, quick().await);
        let (running, address) = open(in_turn(fixed(&[(&stuck, 1), (&quick, 1)])));
        let (head, body) = request.split_once("\r\n\r\n").unwrap_or((request, ""));
        let head = head.replacen(" / ", " /gate ", 1);
        let bytes = format!("{head}\r\nHost: h\r\nConnection: close\r\n\r\n{body}");
        let asking = tokio::spawn(async move { exchange(address, bytes.as_bytes()).await });
        if most == 1 {
            until(&running, |status| status.in_flight == 1).await;
            tokio::time::sleep(LONG_ENOUGH).await;
            assert_eq!(quick.most_in_flight(), 0, "{request}");
            stuck.seen.gate.add_permits(1);
        }
        assert!(asking.await.unwrap().starts_with(b"HTTP/1.1 200 "), "{request}");
        assert_eq!(stuck.most_in_flight() + quick.most_in_flight(), most, "{request}");
        stuck.seen.gate.add_permits(1);
        let seen = stuck.seen.last_headers.lock().unwrap().clone();
        assert!(!seen.contains_key("tidegate-hedge"), "{request}");
        close_whole(running).await;
    }
}

#[tokio::test]
async fn either_may_fail_while_the_other_works() {
    // The first is killed when the second works already.
    let (first, second) = (stuck().await, stuck().await);
    let (running, address) = open(in_turn(fixed(&[(&first, 1), (&second, 1)])));
    let client = tokio::spawn(get(address, "/gate", &[]));
    until(&running, |status| status.in_flight == 2).await;
    while first.kill() == 0 {}
    until(&running, |status| status.in_flight <= 2).await;
    second.seen.gate.add_permits(1);
    assert_eq!(client.await.unwrap().unwrap().status, 200);
    close_whole(running).await;
    // The second does not listen.
    let nobody = tidegate_reserved_port::reserve().unwrap();
    let first = stuck().await;
    let mut config = in_turn(fixed(&[(&first, 1)]));
    let address = nobody.to_string();
    config.endpoints.push((web(), Endpoint { instance: "nobody".into(), address, limit: 1 }));
    let (running, address) = open(config);
    let client = tokio::spawn(get(address, "/gate", &[]));
    until(&running, |status| status.in_flight == 1).await;
    // Long enough for a hedge.
    tokio::time::sleep(LONG_ENOUGH).await;
    first.seen.gate.add_permits(1);
    assert_eq!(client.await.unwrap().unwrap().status, 200);
    assert_eq!(status(&running).ready, 1, "who cannot be reached is left out");
    close_whole(running).await;
}

#[tokio::test]
async fn a_client_that_leaves_leaves_both() {
    let apps = [stuck().await, stuck().await];
    let (running, address) = open(in_turn(fixed(&[(&apps[0], 1), (&apps[1], 1)])));
    let client = ask(address).await;
    until(&running, |status| status.in_flight == 2).await;
    drop(client);
    until(&running, |status| status.abandoned == 2).await;
    assert_eq!(status(&running).in_flight, 2, "both may be at work");
    apps.iter().for_each(|app| app.seen.gate.add_permits(1));
    until(&running, |status| status.in_flight == 0).await;
    close_whole(running).await;
}

#[tokio::test]
async fn a_measured_delay_waits_until_something_is_known() {
    let apps = [quick().await, quick().await];
    let config = in_turn(fixed(&[(&apps[0], 0), (&apps[1], 0)]));
    let hedges = HedgeSettings { permille: 1_000, after: HedgeAfter::Measured };
    let (running, address) = open(Config { hedges, ..config });
    for _ in 0..200 {
        assert_eq!(get(address, "/", &[]).await.unwrap().status, 200);
    }
    // Now it is: one that does not answer is not waited for.
    apps[0].seen.gate.forget_permits(1_000);
    for _ in 0..10 {
        assert_eq!(get(address, "/gate", &[]).await.unwrap().status, 200);
    }
    close_whole(running).await;
}
