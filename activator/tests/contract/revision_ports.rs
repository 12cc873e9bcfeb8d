//! Ports that belong to one revision each, whatever host and headers a request names.

use std::net::{SocketAddr, TcpListener};
use std::time::Duration;

use tokio::net::TcpStream;

use crate::app::App;
use crate::client::get;
use crate::controller::Controller;
use crate::stage::{PATIENCE, close_whole, config, open};

/// A port without a listener, which nobody else is given.
pub(crate) fn free_port() -> u16 {
    tidegate_reserved_port::reserve().unwrap().port()
}

/// Time between two checks of a port.
const POLL_INTERVAL: Duration = Duration::from_millis(5);

async fn accepts(port: u16) -> bool {
    TcpStream::connect(SocketAddr::from(([127, 0, 0, 1], port))).await.is_ok()
}

/// Waits until connections to a port are accepted.
pub(crate) async fn until_open(port: u16) {
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
async fn the_port_decides_the_revision_of_a_request() {
    let (web, api) = (App::start(Duration::ZERO).await, App::start(Duration::ZERO).await);
    let controller = Controller::start().await;
    let (running, _) = open(config(Some(&controller)));
    controller.list("web", &[("web-1", web.address, 1)]);
    controller.list("api", &[("api-1", api.address, 1)]);
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
            // At the main port a repeated header is refused.
            &["Knative-Serving-Revision: web", "Knative-Serving-Revision: web"],
            // A probe is forwarded to the revision.
            &["K-Network-Probe: activator"],
        ] {
            assert_eq!(get(address, "/", lines).await.unwrap().status, 200, "{lines:?}");
        }
    }
    assert_eq!((web.served(), api.served()), (0, 10));
    // A port that the revision has no more is closed; the others stay open.
    controller.open("api", &[second]);
    until_closed(first).await;
    until_open(second).await;
    close_whole(running).await;
}

#[tokio::test]
async fn requests_at_a_revisions_port_wait_for_the_first_instance() {
    let app = App::start(Duration::ZERO).await;
    let controller = Controller::start().await;
    let (running, _) = open(config(Some(&controller)));
    controller.list("api", &[]);
    let port = free_port();
    controller.open("api", &[port]);
    until_open(port).await;
    let address = SocketAddr::from(([127, 0, 0, 1], port));
    let asking = tokio::spawn(async move { get(address, "/", &[]).await });
    controller
        .stat(|stat| stat.waiting == 1 && stat.revision.as_ref().is_some_and(|of| of.name == "api"))
        .await;
    controller.list("api", &[("api-1", app.address, 1)]);
    assert_eq!(asking.await.unwrap().unwrap().status, 200);
    close_whole(running).await;
}

#[tokio::test]
async fn a_port_in_use_is_bound_once_it_is_free() {
    let app = App::start(Duration::ZERO).await;
    let controller = Controller::start().await;
    let (running, _) = open(config(Some(&controller)));
    controller.list("api", &[("api-1", app.address, 1)]);
    let address = tidegate_reserved_port::reserve().unwrap();
    let taken = TcpListener::bind(address).unwrap();
    controller.open("api", &[address.port()]);
    // Ports that were assigned later are open, so this one has been tried.
    let other = free_port();
    controller.open("web", &[other]);
    until_open(other).await;
    drop(taken);
    until_open(address.port()).await;
    assert_eq!(get(address, "/", &[]).await.unwrap().status, 200);
    close_whole(running).await;
}

#[tokio::test]
async fn a_port_that_moves_to_another_revision_is_rebound_at_once() {
    let (web, api) = (App::start(Duration::ZERO).await, App::start(Duration::ZERO).await);
    let controller = Controller::start().await;
    let (running, _) = open(config(Some(&controller)));
    controller.list("web", &[("web-1", web.address, 1)]);
    controller.list("api", &[("api-1", api.address, 1)]);
    let port = free_port();
    let address = SocketAddr::from(([127, 0, 0, 1], port));
    controller.open("api", &[port]);
    until_open(port).await;
    controller.open("api", &[]);
    controller.open("web", &[port]);
    let moving = async {
        while web.served() == 0 {
            // In between the port is closed for a moment.
            let _ = get(address, "/", &[]).await;
        }
    };
    tokio::time::timeout(PATIENCE, moving).await.expect("it has moved");
    // The ports stay open without the controller.
    controller.kill().await;
    assert_eq!(get(address, "/", &[]).await.unwrap().status, 200);
    close_whole(running).await;
}
