//! What one request costs in each machine. Run with `cargo bench -p tidegate-admission`.

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use tidegate_admission::{
    Arrival, Breaker, Dispatch, Dispatcher, DispatcherSettings, Limit, Meter, Moment, Policy,
    QueueSettings, Source,
};

/// A request enters and leaves without waiting.
fn breaker_free(criterion: &mut Criterion) {
    let mut breaker = Breaker::new(Limit::from_wire(100), QueueSettings::KNATIVE);
    criterion.bench_function("breaker/enter and leave", |bencher| {
        bencher.iter(|| {
            black_box(breaker.arrive(Moment::ZERO));
            black_box(breaker.leave())
        });
    });
}

/// A request joins the queue and the one that leaves calls its head, at several lengths of the
/// queue.
fn breaker_waiting(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("breaker/wait and be called");
    for waiting in [1_u32, 100, 10_000] {
        let mut breaker = Breaker::new(Limit::from_wire(waiting), QueueSettings::KNATIVE);
        for _ in 0..waiting * 2 {
            black_box(breaker.arrive(Moment::ZERO));
        }
        group.bench_function(BenchmarkId::from_parameter(waiting), |bencher| {
            bencher.iter(|| {
                assert!(matches!(breaker.arrive(Moment::ZERO), Arrival::Waiting(_)));
                black_box(breaker.leave())
            });
        });
    }
}

/// A request is sent to one of many half-loaded instances and departs.
fn dispatcher(criterion: &mut Criterion) {
    let policies = [
        ("least loaded", Policy::LeastLoaded),
        ("first available", Policy::FirstAvailable),
        ("round robin", Policy::RoundRobin),
        ("random of two", Policy::RandomOfTwo { seed: 1 }),
    ];
    for (name, policy) in policies {
        let mut group = criterion.benchmark_group(format!("dispatcher/{name}"));
        for instances in [1_u32, 10, 100, 1_000] {
            let settings = DispatcherSettings { policy, ..DispatcherSettings::default() };
            let mut dispatcher = Dispatcher::new(settings);
            for _ in 0..instances {
                let _ = dispatcher.add(Limit::from_wire(10));
            }
            for _ in 0..instances * 5 {
                black_box(dispatcher.arrive(Moment::ZERO));
            }
            group.bench_function(BenchmarkId::from_parameter(instances), |bencher| {
                bencher.iter(|| match dispatcher.arrive(Moment::ZERO) {
                    Dispatch::Sent { instance, .. } => black_box(dispatcher.depart(instance)),
                    other => panic!("there is room: {other:?}"),
                });
            });
        }
    }
}

fn meter(criterion: &mut Criterion) {
    let mut meter = Meter::new(Moment::ZERO);
    let mut nanos = 0;
    criterion.bench_function("meter/arrive and depart", |bencher| {
        bencher.iter(|| {
            nanos += 1_000;
            meter.arrive(Moment::from_nanos(nanos), Source::Direct);
            meter.depart(Moment::from_nanos(nanos + 500), Source::Direct);
        });
    });
}

criterion_group!(benches, breaker_free, breaker_waiting, dispatcher, meter);
criterion_main!(benches);
