//! Ports whose requests are one revision's, whatever they name.

use std::net::{SocketAddr, TcpListener};
use std::time::Duration;

use tokio::net::TcpStream;

use crate::app::App;
use crate::client::get;
use crate::controller::Controller;
use crate::stage::{PATIENCE, close_whole, config, open};

/// A port that nobody listens on, for now.
fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}

/// Time between two looks at a port.
const POLL_INTERVAL: Duration = Duration::from_millis(5);

async fn accepts(port: u16) -> bool {
    TcpStream::connect(SocketAddr::from(([127, 0, 0, 1], port))).await.is_ok()
}

/// Waits until connections to a port are accepted.
async fn until_open(port: u16) {
    let waiting = async {
        while !accepts(port).await {
            tokio::time::sleep(POLL_INTERVAL).await;
        }
    };
    tokio::time::timeout(PATIENCE, waiting).await.expect("it is opened in time");
}

/// Waits until connections to a port are refused.
async fn until_closed(port: u16) {
    let waiting = async {
        while accepts(port).await {
            tokio::time::sleep(POLL_INTERVAL).await;
        }
    };
    tokio::time::timeout(PATIENCE, waiting).await.expect("it is closed in time");
}

#[tokio::test]
async fn a_port_of_its_own_says_whose_a_request_is() {
    let (web, api) = (App::start(Duration::ZERO).await, App::start(Duration::ZERO).await);
    let controller = Controller::start().await;
    let (running, _) = open(config(Some(&controller)));
    controller.say("web", &[("web-1", web.address, 1)]);
    controller.say("api", &[("api-1", api.address, 1)]);
    let (first, second) = (free_port(), free_port());
    controller.open("api", &[first, second]);
    for port in [first, second] {
        until_open(port).await;
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        let named = ["Knative-Serving-Namespace: default", "Knative-Serving-Revision: web"];
        for lines in [
            &[][..],
            &["Host: web.default.svc.cluster.local"],
            &named,
            // Twice the same header leads nowhere at the main port.
            &["Knative-Serving-Revision: web", "Knative-Serving-Revision: web"],
            // A probe is the revision's to answer.
            &["K-Network-Probe: activator"],
        ] {
            assert_eq!(get(address, "/", lines).await.unwrap().status, 200, "{lines:?}");
        }
    }
    assert_eq!((web.served(), api.served()), (0, 10));
    // What is no longer the revision's is closed; the rest stays.
    controller.open("api", &[second]);
    until_closed(first).await;
    until_open(second).await;
    close_whole(running).await;
}

#[tokio::test]
async fn requests_wait_at_a_port_of_their_own_for_the_first_instance() {
    let app = App::start(Duration::ZERO).await;
    let controller = Controller::start().await;
    let (running, _) = open(config(Some(&controller)));
    controller.say("api", &[]);
    let port = free_port();
    controller.open("api", &[port]);
    until_open(port).await;
    let address = SocketAddr::from(([127, 0, 0, 1], port));
    let asking = tokio::spawn(async move { get(address, "/", &[]).await });
    controller
        .hear(|stat| stat.waiting == 1 && stat.revision.as_ref().is_some_and(|of| of.name == "api"))
        .await;
    controller.say("api", &[("api-1", app.address, 1)]);
    assert_eq!(asking.await.unwrap().unwrap().status, 200);
    close_whole(running).await;
}

#[tokio::test]
async fn a_port_that_somebody_else_has_is_listened_on_once_it_is_free() {
    let app = App::start(Duration::ZERO).await;
    let controller = Controller::start().await;
    let (running, _) = open(config(Some(&controller)));
    controller.say("api", &[("api-1", app.address, 1)]);
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    controller.open("api", &[address.port()]);
    // It is known of once others are open that were told later.
    let other = free_port();
    controller.open("web", &[other]);
    until_open(other).await;
    drop(taken);
    until_open(address.port()).await;
    assert_eq!(get(address, "/", &[]).await.unwrap().status, 200);
    close_whole(running).await;
}

#[tokio::test]
async fn a_port_that_goes_to_another_revision_is_open_all_but_a_moment() {
    let (web, api) = (App::start(Duration::ZERO).await, App::start(Duration::ZERO).await);
    let controller = Controller::start().await;
    let (running, _) = open(config(Some(&controller)));
    controller.say("web", &[("web-1", web.address, 1)]);
    controller.say("api", &[("api-1", api.address, 1)]);
    let port = free_port();
    let address = SocketAddr::from(([127, 0, 0, 1], port));
    controller.open("api", &[port]);
    until_open(port).await;
    controller.open("api", &[]);
    controller.open("web", &[port]);
    let moving = async {
        while web.served() == 0 {
            // Between the two nobody listens.
            let _ = get(address, "/", &[]).await;
        }
    };
    tokio::time::timeout(PATIENCE, moving).await.expect("it has moved");
    // The controller may go: what it gave stays.
    controller.kill().await;
    assert_eq!(get(address, "/", &[]).await.unwrap().status, 200);
    close_whole(running).await;
}
