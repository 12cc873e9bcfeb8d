//! The gate under many tasks on several threads, with random cancellation and resizing.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use tidegate_admission::{Depth, Limit, QueueSettings, Refusal, Source};
use tidegate_queue_proxy::gate::{Admission, Gate};

const ROOMY: QueueSettings = QueueSettings { depth: Depth::Count(100_000), longest_wait: None };

/// A small generator, so that each run makes the same choices.
fn draw(state: &mut u64) -> u64 {
    *state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    *state >> 33
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn concurrent_requests_and_cancellations_never_exceed_the_limit() {
    const LIMIT: u32 = 7;
    let gate = Gate::new(Limit::from_wire(LIMIT), ROOMY);
    let running = Arc::new(AtomicU32::new(0));
    let entered = Arc::new(AtomicU64::new(0));
    let tasks: Vec<_> = (0..64_u64)
        .map(|seed| {
            let (gate, running, entered) = (gate.clone(), running.clone(), entered.clone());
            tokio::spawn(async move {
                let mut state = seed;
                for _ in 0..200 {
                    let entering = gate.enter(Source::Direct);
                    let permit = if draw(&mut state).is_multiple_of(3) {
                        // Cancel after a few polls, in whatever state it is.
                        let turns = draw(&mut state) % 4;
                        tokio::select! {
                            biased;
                            permit = entering => permit,
                            () = yield_times(turns) => continue,
                        }
                    } else {
                        entering.await
                    };
                    let permit = permit.expect("the queue is long enough");
                    let now_running = running.fetch_add(1, Ordering::SeqCst) + 1;
                    assert!(now_running <= LIMIT, "{now_running} run under a limit of {LIMIT}");
                    yield_times(draw(&mut state) % 3).await;
                    running.fetch_sub(1, Ordering::SeqCst);
                    entered.fetch_add(1, Ordering::SeqCst);
                    drop(permit);
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    gate.empty().await;
    let period = gate.take_period();
    assert_eq!((period.levels.executing, period.levels.waiting), (0, 0));
    assert_eq!(period.report.request_count, 64 * 200);
    assert_eq!(entered.load(Ordering::SeqCst) + period.left_queue, 64 * 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn resizing_under_load_strands_no_waiter() {
    let gate = Gate::new(Limit::from_wire(1), ROOMY);
    let tasks: Vec<_> = (0..500)
        .map(|_| {
            let gate = gate.clone();
            tokio::spawn(async move {
                for _ in 0..20 {
                    let permit = gate.enter(Source::Proxied).await.unwrap();
                    tokio::task::yield_now().await;
                    drop(permit);
                }
            })
        })
        .collect();
    for limit in [3, 1, 50, 2, 0, 1, 9] {
        gate.resize(Limit::from_wire(limit));
        yield_times(50).await;
    }
    for task in tasks {
        task.await.unwrap();
    }
    gate.empty().await;
    assert_eq!(gate.take_period().report.proxied_request_count, 500 * 20);
}

async fn yield_times(times: u64) {
    for _ in 0..times {
        tokio::task::yield_now().await;
    }
}

#[tokio::test(start_paused = true)]
async fn the_queue_keeps_the_order_of_arrival() {
    let gate = Gate::new(Limit::from_wire(1), QueueSettings::KNATIVE);
    let first = gate.enter(Source::Direct).await.unwrap();
    let (said, mut heard) = tokio::sync::mpsc::unbounded_channel();
    for nth in 0..8 {
        let Admission::Waiting(waiting) = gate.arrive(Source::Direct) else {
            panic!("the only slot is taken");
        };
        let said = said.clone();
        tokio::spawn(async move {
            let permit = waiting.await.unwrap();
            said.send(nth).unwrap();
            drop(permit);
        });
    }
    drop(first);
    for expected in 0..8 {
        assert_eq!(heard.recv().await, Some(expected));
    }
}

#[tokio::test(start_paused = true)]
async fn the_twelfth_is_refused_until_a_waiter_disconnects() {
    let gate = Gate::new(Limit::from_wire(1), QueueSettings::KNATIVE);
    let _held = gate.enter(Source::Direct).await.unwrap();
    let mut waiting: Vec<_> = (0..10).map(|_| gate.arrive(Source::Direct)).collect();
    assert!(matches!(gate.arrive(Source::Direct), Admission::Refused(Refusal::QueueFull)));
    assert!(matches!(waiting.pop(), Some(Admission::Waiting(_))));
    assert!(matches!(gate.arrive(Source::Direct), Admission::Waiting(_)));
    let period = gate.take_period();
    assert_eq!(
        (period.refused_queue_full, period.left_queue, period.report.request_count),
        (1, 2, 13)
    );
}

#[tokio::test(start_paused = true)]
async fn the_queues_deadline_is_kept_to_the_millisecond() {
    let line =
        QueueSettings { depth: Depth::Count(10), longest_wait: Some(Duration::from_millis(250)) };
    let gate = Gate::new(Limit::from_wire(1), line);
    let held = gate.enter(Source::Direct).await.unwrap();
    let begun = tokio::time::Instant::now();
    assert_eq!(gate.enter(Source::Direct).await.unwrap_err(), Refusal::WaitedTooLong);
    let waited = begun.elapsed();
    assert!(waited >= Duration::from_millis(250) && waited <= Duration::from_millis(252));
    assert_eq!(gate.take_period().refused(), 1);
    // A waiter that gets its slot in time is not refused by its timer.
    let next = tokio::spawn({
        let gate = gate.clone();
        async move { gate.enter(Source::Direct).await }
    });
    tokio::time::sleep(Duration::from_millis(249)).await;
    drop(held);
    assert!(next.await.unwrap().is_ok());
    gate.empty().await;
}

#[tokio::test(start_paused = true)]
async fn statistics_count_waiting_as_concurrency() {
    let gate = Gate::new(Limit::from_wire(1), QueueSettings::KNATIVE);
    let held = gate.enter(Source::Proxied).await.unwrap();
    let Admission::Waiting(waiting) = gate.arrive(Source::Direct) else {
        panic!("the only slot is taken");
    };
    gate.queue_formed().await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    let period = gate.take_period();
    assert_eq!(period.report.average_concurrency, 2.0);
    assert_eq!(period.report.average_proxied_concurrency, 1.0);
    assert_eq!((period.levels.executing, period.levels.waiting, period.levels.inside()), (1, 1, 2));
    drop(held);
    drop(waiting.await);
    gate.empty().await;
}
