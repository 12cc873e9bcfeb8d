//! One revision's throttler without HTTP: holding, granting, refusing, and instances that change.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use tidegate_activator::revision_throttler::{Permit, RevisionThrottler, Unreachable};
use tidegate_admission::{Abandoned, DispatcherSettings, Refusal};
use tidegate_reporter::{Endpoint, RevisionName};

fn throttler(max_waiting: u32, longest_wait: Option<Duration>) -> Arc<RevisionThrottler> {
    let revision = RevisionName { namespace: "default".into(), name: "web".into() };
    RevisionThrottler::new(
        revision,
        DispatcherSettings { max_waiting, longest_wait, ..DispatcherSettings::default() },
    )
}

fn endpoint(name: &str, limit: u32) -> Endpoint {
    Endpoint { instance: name.into(), address: address(name), limit }
}

/// Loopback addresses, one for each name, without a listener.
fn address(name: &str) -> String {
    let port = 1 + name.bytes().map(u16::from).sum::<u16>();
    format!("127.0.0.1:{port}")
}

/// Asks for an instance in a task of its own and waits until the request is in the queue.
async fn wait_in_queue(
    throttler: &Arc<RevisionThrottler>,
) -> tokio::task::JoinHandle<Result<(String, Permit), Refusal>> {
    let before = throttler.status().waiting;
    let at = Arc::clone(throttler);
    let task = tokio::spawn(async move {
        let mut in_flight = at.arrive();
        in_flight.permit().await.map(|permit| (permit.instance().name().to_string(), permit))
    });
    while throttler.status().waiting == before {
        tokio::task::yield_now().await;
    }
    task
}

/// Runs a request in a task of its own until it is in the queue.
async fn wait_in_queue_for(
    throttler: &Arc<RevisionThrottler>,
    request: impl Future<Output = ()> + Send + 'static,
) {
    let before = throttler.status().waiting;
    tokio::spawn(request);
    while throttler.status().waiting == before {
        tokio::task::yield_now().await;
    }
}

#[tokio::test(start_paused = true)]
async fn the_first_request_waits_until_an_instance_is_ready() {
    let throttler = throttler(10, None);
    let first = wait_in_queue(&throttler).await;
    throttler.queue_formed().await;
    let second = wait_in_queue(&throttler).await;
    assert_eq!(throttler.status().cold_starts, 2);
    throttler.set_endpoints(&[endpoint("a", 1)]);
    let (name, permit) = first.await.unwrap().unwrap();
    assert_eq!(name, "a");
    assert_eq!((throttler.status().in_flight, throttler.status().waiting), (1, 1));
    drop(permit);
    assert_eq!(second.await.unwrap().unwrap().0, "a");
    throttler.empty().await;
}

#[tokio::test(start_paused = true)]
async fn requests_beyond_the_queues_depth_or_wait_are_refused() {
    let throttler = throttler(1, Some(Duration::from_secs(5)));
    let waiting = wait_in_queue(&throttler).await;
    assert_eq!(throttler.arrive().permit().await.unwrap_err(), Refusal::QueueFull);
    let begun = tokio::time::Instant::now();
    assert_eq!(waiting.await.unwrap().unwrap_err(), Refusal::WaitedTooLong);
    let waited = begun.elapsed();
    assert!(waited <= Duration::from_secs(5) + Duration::from_millis(2), "{waited:?}");
    let period = throttler.take_period();
    assert_eq!((period.refused, period.report.request_count), (2, 2));
    assert_eq!(throttler.take_period().refused, 0);
}

#[tokio::test(start_paused = true)]
async fn each_that_waits_is_refused_at_its_own_time_and_so_is_who_comes_after_an_empty_queue() {
    let throttler = throttler(10, Some(Duration::from_secs(5)));
    for _ in 0..2 {
        let begun = tokio::time::Instant::now();
        let first = wait_in_queue(&throttler).await;
        tokio::time::sleep(Duration::from_secs(2)).await;
        let second = wait_in_queue(&throttler).await;
        assert_eq!(first.await.unwrap().unwrap_err(), Refusal::WaitedTooLong);
        assert_eq!(begun.elapsed().as_secs(), 5);
        assert_eq!(second.await.unwrap().unwrap_err(), Refusal::WaitedTooLong);
        assert_eq!(begun.elapsed().as_secs(), 7);
    }
}

#[tokio::test(start_paused = true)]
async fn a_longest_wait_that_becomes_shorter_holds_for_who_waits_already() {
    for before in [None, Some(Duration::from_secs(300))] {
        let throttler = throttler(10, before);
        let begun = tokio::time::Instant::now();
        let waiting = wait_in_queue(&throttler).await;
        tokio::time::sleep(Duration::from_secs(1)).await;
        throttler.set_queue_bounds(10, Some(Duration::from_secs(3)));
        assert_eq!(waiting.await.unwrap().unwrap_err(), Refusal::WaitedTooLong);
        assert!(begun.elapsed() < Duration::from_secs(5), "{before:?}: {:?}", begun.elapsed());
    }
}

#[tokio::test(start_paused = true)]
async fn a_request_that_waits_again_is_refused_when_its_first_wait_would_have_ended() {
    let throttler = throttler(10, Some(Duration::from_secs(5)));
    throttler.set_endpoints(&[endpoint("a", 1)]);
    let begun = tokio::time::Instant::now();
    let mut in_flight = throttler.arrive();
    let permit = in_flight.permit().await.unwrap();
    tokio::time::sleep(Duration::from_secs(2)).await;
    let later = wait_in_queue(&throttler).await;
    permit.instance().unreachable(Unreachable::Refused);
    drop(permit);
    assert_eq!(in_flight.permit().await.unwrap_err(), Refusal::WaitedTooLong);
    assert_eq!(begun.elapsed().as_secs(), 5);
    assert_eq!(later.await.unwrap().unwrap_err(), Refusal::WaitedTooLong);
    assert_eq!(begun.elapsed().as_secs(), 7);
}

#[tokio::test(start_paused = true)]
async fn a_refused_client_is_told_how_long_the_queue_takes_to_drain() {
    const SERVICE: Duration = Duration::from_millis(500);
    let throttler = throttler(20, None);
    let cold = wait_in_queue(&throttler).await;
    tokio::time::sleep(Duration::from_secs(7)).await;
    assert_eq!(throttler.retry_after().as_secs(), 7, "nothing has left for so long");
    throttler.set_endpoints(&[endpoint("a", 1)]);
    drop(cold.await.unwrap().unwrap());
    let held = throttler.arrive().permit().await.unwrap();
    for _ in 0..20 {
        let at = Arc::clone(&throttler);
        wait_in_queue_for(&throttler, async move {
            let mut in_flight = at.arrive();
            let permit = in_flight.permit().await.unwrap();
            tokio::time::sleep(SERVICE).await;
            drop(permit);
        })
        .await;
    }
    drop(held);
    tokio::time::sleep(SERVICE * 10).await;
    let (waiting, told) = (throttler.status().waiting, throttler.retry_after());
    assert!((8..=11).contains(&waiting), "{waiting}");
    let expected = SERVICE * waiting;
    assert!(told.abs_diff(expected) <= SERVICE, "{told:?}, expected {expected:?}");
    assert!(throttler.retry_after() > told, "the next one comes after this one");
}

#[tokio::test(start_paused = true)]
async fn a_dropped_request_leaves_the_queue() {
    let throttler = throttler(10, None);
    let leaving = wait_in_queue(&throttler).await;
    let staying = wait_in_queue(&throttler).await;
    leaving.abort();
    let _ = leaving.await;
    assert_eq!(throttler.status().waiting, 1);
    throttler.set_endpoints(&[endpoint("a", 1)]);
    assert!(staying.await.unwrap().is_ok());
    throttler.empty().await;
    assert_eq!(throttler.status().in_flight, 0);
}

#[tokio::test]
async fn an_unreachable_instance_is_ejected_and_its_request_comes_first() {
    let throttler = throttler(10, None);
    let address = tidegate_reserved_port::reserve().unwrap();
    let a = || Endpoint { instance: "a".into(), address: address.to_string(), limit: 1 };
    throttler.set_endpoints(&[a()]);
    let mut in_flight = throttler.arrive();
    let permit = in_flight.permit().await.unwrap();
    let later = wait_in_queue(&throttler).await;
    permit.instance().unreachable(Unreachable::Refused);
    drop(permit);
    assert_eq!(throttler.status().ready, 0);
    let again = tokio::spawn(async move {
        let permit = in_flight.permit().await.unwrap();
        (permit.instance().name().to_string(), permit, in_flight)
    });
    while throttler.status().waiting < 2 {
        tokio::task::yield_now().await;
    }
    throttler.set_endpoints(&[a(), endpoint("b", 1)]);
    let (name, permit, in_flight) = again.await.unwrap();
    assert_eq!(name, "b", "the one that refused is ejected");
    assert!(!later.is_finished());
    // Once it accepts connections it is readmitted, without the controller.
    let _listener = std::net::TcpListener::bind(address).unwrap();
    let (name, _passage) = later.await.unwrap().unwrap();
    assert_eq!(name, "a");
    drop((permit, in_flight));
}

#[tokio::test(start_paused = true)]
async fn an_instance_that_is_listed_again_keeps_its_requests_in_flight() {
    let throttler = throttler(10, None);
    throttler.set_endpoints(&[endpoint("a", 1)]);
    let mut in_flight = throttler.arrive();
    let permit = in_flight.permit().await.unwrap();
    throttler.set_endpoints(&[]);
    assert_eq!(throttler.status().ready, 0);
    throttler.set_endpoints(&[endpoint("a", 1)]);
    let waiting = wait_in_queue(&throttler).await;
    assert_eq!(throttler.status().in_flight, 1);
    drop(permit);
    assert!(waiting.await.unwrap().is_ok());
    drop(in_flight);
    throttler.set_endpoints(&[]);
    throttler.empty().await;
    assert_eq!(throttler.status().in_flight, 0);
}

#[tokio::test(start_paused = true)]
async fn a_namesake_at_another_address_is_another_instance() {
    let throttler = throttler(10, None);
    throttler.set_endpoints(&[endpoint("a", 1)]);
    let mut in_flight = throttler.arrive();
    let old = in_flight.permit().await.unwrap();
    let moved = Endpoint { address: address("elsewhere"), ..endpoint("a", 1) };
    throttler.set_endpoints(&[moved]);
    let mut second = throttler.arrive();
    let new = second.permit().await.unwrap();
    let at = |permit: &Permit| permit.instance().upstream().address().to_string();
    assert_eq!((at(&old), at(&new)), (address("a"), address("elsewhere")));
    drop(old);
    assert_eq!((throttler.status().ready, throttler.status().in_flight), (1, 1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn concurrent_requests_never_exceed_a_limit_while_instances_change() {
    const LIMIT: u32 = 3;
    let throttler = throttler(100_000, None);
    let running: Arc<Vec<AtomicU32>> = Arc::new((0..8).map(|_| AtomicU32::new(0)).collect());
    let clients: Vec<_> = (0..200)
        .map(|_| {
            let (throttler, running) = (Arc::clone(&throttler), Arc::clone(&running));
            tokio::spawn(async move {
                for round in 0..20 {
                    let mut in_flight = throttler.arrive();
                    let mut permit = in_flight.permit().await.expect("the queue is long enough");
                    let index: usize =
                        permit.instance().name().parse().expect("instances are numbered");
                    let now = running[index].fetch_add(1, Ordering::SeqCst) + 1;
                    assert!(now <= LIMIT, "{now} at instance {index}");
                    if round % 3 == 0 {
                        // Its client leaves, and the instance works on.
                        assert!(permit.abandon(Abandoned::hold(None)).is_some());
                        drop(in_flight);
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
        throttler.set_endpoints(&endpoints);
        tokio::task::yield_now().await;
    }
    for client in clients {
        client.await.unwrap();
    }
    throttler.empty().await;
    let status = throttler.status();
    assert_eq!((status.in_flight, status.waiting, status.requests), (0, 0, 4_000));
}
