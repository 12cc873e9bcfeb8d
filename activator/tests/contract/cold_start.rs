//! Where the time of a request went that met no ready instance.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use tidegate_activator::{EndedRequest, RequestObserver, ServerTimingHeader};
use tidegate_proto::stats::v1::{ColdStart, InstanceStart};
use tidegate_timeline::{Moment, Timeline};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use crate::app::App;
use crate::client::get;
use crate::controller::Controller;
use crate::revision_ports::{free_port, until_open};
use crate::stage::{close_whole, config, open};

/// Keeps the timelines of the requests that ended.
#[derive(Debug, Default)]
struct Kept(Mutex<Vec<Option<Timeline>>>);

impl RequestObserver for Kept {
    fn ended(&self, request: &EndedRequest<'_>) {
        assert_eq!(request.cold, request.timeline.is_some());
        self.0.lock().unwrap().push(request.timeline);
    }
}

/// An instance that began to start long before any request here was seen, and was ready just now.
fn started(instance: &str) -> InstanceStart {
    InstanceStart {
        instance: instance.to_owned(),
        decided_age_ms: Some(60_000),
        actuated_age_ms: Some(60_000),
        started_age_ms: Some(60_000),
        listening_age_ms: None,
        ready_age_ms: Some(0),
    }
}

async fn told(controller: &Controller) -> ColdStart {
    controller.stat(|stat| !stat.cold_starts.is_empty()).await;
    let stats = controller.received().stats;
    let mut all: Vec<ColdStart> = stats.into_iter().flat_map(|stat| stat.cold_starts).collect();
    assert_eq!(all.len(), 1, "one of each instance, however many requests waited");
    all.remove(0)
}

#[tokio::test]
async fn phases_are_told_to_the_controller_the_observer_and_a_client_that_may_know() {
    let controller = Controller::start().await;
    let kept = Arc::new(Kept::default());
    let mut config = config(Some(&controller));
    config.server_timing = ServerTimingHeader::Shown;
    config.requests = Some(Arc::clone(&kept) as _);
    let (running, address) = open(config);
    let waiting: Vec<_> = (0..3).map(|_| tokio::spawn(get(address, "/", &[]))).collect();
    controller.stat(|stat| stat.waiting == 3).await;
    let app = App::start(Duration::ZERO).await;
    controller.list_started("web", &[("web-1", app.address, 0)], vec![started("web-1")]);
    for response in waiting {
        let response = response.await.unwrap().unwrap();
        let timing = response.head.lines().find(|line| line.starts_with("server-timing: "));
        let timing = timing.expect("it was asked for");
        let begin =
            "server-timing: decide;dur=0.000, actuate;dur=0.000, start;dur=0.000, ready;dur=";
        assert!(timing.starts_with(begin), "{timing}");
        assert!(timing.contains(", respond;dur=") && timing.contains(", cold-start;dur="));
    }
    // One that meets an instance has no cold start.
    let warm = get(address, "/", &[]).await.unwrap();
    assert!(!warm.head.contains("server-timing"), "{}", warm.head);
    let cold = told(&controller).await;
    let timeline = cold.timeline.unwrap_or_default();
    assert_eq!((cold.instance.as_str(), timeline.started_us), ("web-1", Some(0)));
    assert_eq!(timeline.listening_us, None);
    assert!(timeline.ready_us > Some(0) && timeline.ready_us <= timeline.forwarded_us);
    close_whole(running).await;
    let kept = kept.0.lock().unwrap();
    assert_eq!(kept.iter().flatten().count(), 3);
    assert!(kept.iter().flatten().all(|timeline| timeline.after(Moment::FirstByte).is_some()));
    assert_eq!(kept.len(), 4);
}

#[tokio::test]
async fn clients_are_told_nothing_unless_it_is_asked_for() {
    let controller = Controller::start().await;
    let (running, address) = open(config(Some(&controller)));
    let waiting = tokio::spawn(get(address, "/", &[]));
    controller.stat(|stat| stat.waiting == 1).await;
    let app = App::start(Duration::ZERO).await;
    // A controller that says nothing of starts: what is seen here is told all the same.
    controller.list("web", &[("web-1", app.address, 0)]);
    let response = waiting.await.unwrap().unwrap();
    assert!(!response.head.contains("server-timing"), "{}", response.head);
    let timeline = told(&controller).await.timeline.unwrap_or_default();
    assert_eq!((timeline.decided_us, timeline.ready_us), (None, None));
    assert!(timeline.forwarded_us > Some(0) && timeline.first_byte_us >= timeline.forwarded_us);
    close_whole(running).await;
}

#[tokio::test]
async fn a_connection_that_waited_for_an_instance_has_a_timeline_without_a_first_byte() {
    let controller = Controller::start().await;
    let (running, _) = open(config(Some(&controller)));
    controller.list("db", &[]);
    let port = free_port();
    controller.open_tcp("db", port, &[]);
    until_open(port).await;
    let mut client = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    client.write_all(b"x").await.unwrap();
    let waits = |name: Option<&str>, waiting| name == Some("db") && waiting == 1;
    controller
        .stat(|stat| waits(stat.revision.as_ref().map(|of| of.name.as_str()), stat.waiting))
        .await;
    let app = App::start(Duration::ZERO).await;
    controller.list_started("db", &[("db-1", app.address, 0)], vec![started("db-1")]);
    controller.open_tcp("db", port, &[app.address]);
    let cold = told(&controller).await;
    let timeline = cold.timeline.unwrap_or_default();
    assert!(timeline.forwarded_us > Some(0));
    assert_eq!(timeline.first_byte_us, None);
    drop(client);
    close_whole(running).await;
}
