//! The front door without HTTP: holding, granting, refusing, and instances that come and go.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use tidegate_activator::revision_throttler::{Permit, RevisionThrottler, Unreachable};
use tidegate_admission::{Abandoned, DispatcherSettings, Refusal};
use tidegate_reporter::{Endpoint, RevisionName};

fn door(max_waiting: u32, longest_wait: Option<Duration>) -> Arc<RevisionThrottler> {
    let revision = RevisionName { namespace: "default".into(), name: "web".into() };
    RevisionThrottler::new(
        revision,
        DispatcherSettings { max_waiting, longest_wait, ..DispatcherSettings::default() },
    )
}

fn endpoint(name: &str, limit: u32) -> Endpoint {
    Endpoint { instance: name.into(), address: address(name), limit }
}

/// Loopback addresses, one for each name; nobody listens there.
fn address(name: &str) -> String {
    let port = 1 + name.bytes().map(u16::from).sum::<u16>();
    format!("127.0.0.1:{port}")
}

/// Asks for an instance in a task of its own and waits until it stands in line.
async fn wait_in_line(
    door: &Arc<RevisionThrottler>,
) -> tokio::task::JoinHandle<Result<(String, Permit), Refusal>> {
    let before = door.status().waiting;
    let at = Arc::clone(door);
    let task = tokio::spawn(async move {
        let mut visit = at.arrive();
        visit.permit().await.map(|passage| (passage.instance().name().to_string(), passage))
    });
    while door.status().waiting == before {
        tokio::task::yield_now().await;
    }
    task
}

#[tokio::test(start_paused = true)]
async fn the_first_request_waits_and_goes_as_soon_as_an_instance_is_ready() {
    let door = door(10, None);
    let first = wait_in_line(&door).await;
    door.queue_formed().await;
    let second = wait_in_line(&door).await;
    assert_eq!(door.status().cold_starts, 2);
    door.set_endpoints(&[endpoint("a", 1)]);
    let (name, passage) = first.await.unwrap().unwrap();
    assert_eq!(name, "a");
    assert_eq!((door.status().in_flight, door.status().waiting), (1, 1));
    drop(passage);
    assert_eq!(second.await.unwrap().unwrap().0, "a");
    door.empty().await;
}

#[tokio::test(start_paused = true)]
async fn beyond_its_bounds_the_line_refuses() {
    let door = door(1, Some(Duration::from_secs(5)));
    let waiting = wait_in_line(&door).await;
    assert_eq!(door.arrive().permit().await.unwrap_err(), Refusal::QueueFull);
    let begun = tokio::time::Instant::now();
    assert_eq!(waiting.await.unwrap().unwrap_err(), Refusal::WaitedTooLong);
    let waited = begun.elapsed();
    assert!(waited <= Duration::from_secs(5) + Duration::from_millis(2), "{waited:?}");
    let cut = door.cut();
    assert_eq!((cut.refused, cut.report.request_count), (2, 2));
    assert_eq!(door.cut().refused, 0);
}

#[tokio::test(start_paused = true)]
async fn whoever_goes_away_leaves_the_line() {
    let door = door(10, None);
    let leaving = wait_in_line(&door).await;
    let staying = wait_in_line(&door).await;
    leaving.abort();
    let _ = leaving.await;
    assert_eq!(door.status().waiting, 1);
    door.set_endpoints(&[endpoint("a", 1)]);
    assert!(staying.await.unwrap().is_ok());
    door.empty().await;
    assert_eq!(door.status().in_flight, 0);
}

#[tokio::test]
async fn an_unreachable_instance_is_left_out_and_the_request_goes_first() {
    let door = door(10, None);
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let a = || Endpoint { instance: "a".into(), address: address.to_string(), limit: 1 };
    door.set_endpoints(&[a()]);
    let mut visit = door.arrive();
    let passage = visit.permit().await.unwrap();
    let later = wait_in_line(&door).await;
    passage.instance().unreachable(Unreachable::Refused);
    drop(passage);
    assert_eq!(door.status().ready, 0);
    let again = tokio::spawn(async move {
        let passage = visit.permit().await.unwrap();
        (passage.instance().name().to_string(), passage, visit)
    });
    while door.status().waiting < 2 {
        tokio::task::yield_now().await;
    }
    door.set_endpoints(&[a(), endpoint("b", 1)]);
    let (name, passage, visit) = again.await.unwrap();
    assert_eq!(name, "b", "the one that refused is out");
    assert!(!later.is_finished());
    // Once it accepts connections it is trusted again, without a word from the controller.
    let _listener = std::net::TcpListener::bind(address).unwrap();
    let (name, _passage) = later.await.unwrap().unwrap();
    assert_eq!(name, "a");
    drop((passage, visit));
}

#[tokio::test(start_paused = true)]
async fn an_instance_that_comes_back_has_not_forgotten_what_it_works_on() {
    let door = door(10, None);
    door.set_endpoints(&[endpoint("a", 1)]);
    let mut visit = door.arrive();
    let passage = visit.permit().await.unwrap();
    door.set_endpoints(&[]);
    assert_eq!(door.status().ready, 0);
    door.set_endpoints(&[endpoint("a", 1)]);
    let waiting = wait_in_line(&door).await;
    assert_eq!(door.status().in_flight, 1);
    drop(passage);
    assert!(waiting.await.unwrap().is_ok());
    drop(visit);
    door.set_endpoints(&[]);
    door.empty().await;
    assert_eq!(door.status().in_flight, 0);
}

#[tokio::test(start_paused = true)]
async fn a_namesake_at_another_address_is_another_instance() {
    let door = door(10, None);
    door.set_endpoints(&[endpoint("a", 1)]);
    let mut visit = door.arrive();
    let old = visit.permit().await.unwrap();
    let moved = Endpoint { address: address("elsewhere"), ..endpoint("a", 1) };
    door.set_endpoints(&[moved]);
    let mut second = door.arrive();
    let new = second.permit().await.unwrap();
    let at = |passage: &Permit| passage.instance().upstream().address().to_string();
    assert_eq!((at(&old), at(&new)), (address("a"), address("elsewhere")));
    drop(old);
    assert_eq!((door.status().ready, door.status().in_flight), (1, 1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_storm_with_instances_coming_and_going_never_exceeds_a_limit() {
    const LIMIT: u32 = 3;
    let door = door(100_000, None);
    let running: Arc<Vec<AtomicU32>> = Arc::new((0..8).map(|_| AtomicU32::new(0)).collect());
    let clients: Vec<_> = (0..200)
        .map(|_| {
            let (door, running) = (Arc::clone(&door), Arc::clone(&running));
            tokio::spawn(async move {
                for round in 0..20 {
                    let mut visit = door.arrive();
                    let mut passage = visit.permit().await.expect("the line is long enough");
                    let index: usize =
                        passage.instance().name().parse().expect("instances are numbered");
                    let now = running[index].fetch_add(1, Ordering::SeqCst) + 1;
                    assert!(now <= LIMIT, "{now} at instance {index}");
                    if round % 3 == 0 {
                        // Its client leaves, and the instance works on.
                        assert!(passage.abandon(Abandoned::hold(None)).is_some());
                        drop(visit);
                    }
                    tokio::task::yield_now().await;
                    running[index].fetch_sub(1, Ordering::SeqCst);
                }
            })
        })
        .collect();
    for round in 0..400_u32 {
        let names = (0..8).filter(|name| (round + name) % 3 != 0);
        let endpoints: Vec<_> = names.map(|name| endpoint(&name.to_string(), LIMIT)).collect();
        door.set_endpoints(&endpoints);
        tokio::task::yield_now().await;
    }
    for client in clients {
        client.await.unwrap();
    }
    door.empty().await;
    let status = door.status();
    assert_eq!((status.in_flight, status.waiting, status.requests), (0, 0, 4_000));
}
