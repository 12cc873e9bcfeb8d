//! The engine against formulas that are exact.

use tidegate_sim::scenario::Contention;
use tidegate_sim::{Distribution, RevisionModel, RunOutput, Scenario, SimSpan, run};
use tidegate_sim_traffic::Generated;

/// About `requests` of Poisson traffic.
fn simulate(revision: RevisionModel, rate: f64, requests: u32, seed: u64) -> RunOutput {
    let scenario = Scenario { seed, revision, ..Scenario::default() };
    let until = SimSpan::from_secs_f64(f64::from(requests) / rate);
    let traffic = Generated::new(&format!("poisson:{rate}"), 0, until, seed).expect("parses");
    run(&scenario, &traffic, &mut ()).expect("runs")
}

/// Within `share` of `expected`.
fn close(what: &str, got: f64, expected: f64, share: f64) {
    assert!((got - expected).abs() <= share * expected, "{what}: got {got}, expected {expected}");
}

#[test]
fn m_m_c_waits_as_erlang_says() {
    // (instances, requests per second, mean wait ms, 99th percentile ms), service 100 ms.
    for (instances, rate, mean, p99) in
        [(1, 7.0, 233.3333, 1416.165), (10, 70.0, 7.3910, 103.296), (20, 180.0, 27.5385, 200.437)]
    {
        let output = simulate(
            RevisionModel::service_station(instances, Distribution::exponential(0.1)),
            rate,
            300_000,
            1,
        );
        let result = &output.result;
        // Queues forget slowly, so 300,000 requests leave a few percent at high load.
        close("mean wait", result.wait_ms.mean, mean, 0.10);
        close("p99 wait", result.wait_ms.p99, p99, 0.12);
        assert_eq!(result.completed, result.requests);
        close("instances", result.instances.mean, f64::from(instances), 1e-12);
    }
}

#[test]
fn without_a_line_requests_are_lost_as_erlang_says() {
    for (instances, rate, lost) in [(2, 14.0, 0.289_941), (10, 90.0, 0.167_963)] {
        let mut model = RevisionModel::service_station(instances, Distribution::exponential(0.1));
        model.front_door_capacity = 0;
        let result = simulate(model, rate, 200_000, 2).result;
        close("loss", result.rejected as f64 / result.requests as f64, lost, 0.02);
    }
}

#[test]
fn m_d_1_waits_half_as_long() {
    for (load, wait) in [(0.5, 0.5), (0.7, 1.1667), (0.9, 4.5)] {
        let service = Distribution::constant(SimSpan::from_millis(100));
        let result =
            simulate(RevisionModel::service_station(1, service), load * 10.0, 200_000, 3).result;
        close("wait over service", result.wait_ms.mean / 100.0, wait, 0.06);
    }
}

#[test]
fn processor_sharing_depends_on_the_mean_alone() {
    for service in ["const:100ms", "exp:100ms", "uniform:0s,200ms", "lognormal:100ms,150ms"] {
        let service = Distribution::parse(service, &|_| unreachable!()).expect("parses");
        let model = RevisionModel {
            concurrency: 0,
            contention: Contention::ProcessorSharing { cores: 1.0 },
            ..RevisionModel::service_station(1, service)
        };
        let result = simulate(model, 7.0, 100_000, 4).result;
        close("time over service", result.latency_ms.mean / 100.0, 1.0 / 0.3, 0.05);
    }
}

#[test]
fn without_a_limit_concurrency_is_rate_times_service() {
    let model = RevisionModel {
        concurrency: 0,
        ..RevisionModel::service_station(1, Distribution::exponential(0.1))
    };
    let result = simulate(model, 50.0, 300_000, 5).result;
    close("concurrency", result.extra.concurrency_mean, 5.0, 0.01);
    // Little's law is an identity of the run itself, whatever the traffic.
    let rate = result.requests as f64 / result.simulated_seconds;
    close("little", result.extra.concurrency_mean, rate * result.latency_ms.mean / 1e3, 1e-9);
}
