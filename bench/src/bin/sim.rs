//! How fast the simulator is: simulated requests per second of one core's time.

use tidegate_sim::scenario::Path;
use tidegate_sim::traffic::Generated;
use tidegate_sim::{Distribution, RevisionModel, Scenario, SimSpan, run};

fn main() {
    let requests: f64 = std::env::args().nth(1).and_then(|n| n.parse().ok()).unwrap_or(3e6);
    let only: Option<u32> = std::env::args().nth(2).and_then(|n| n.parse().ok());
    let which = std::env::args().nth(3);
    for path in [Path::Central, Path::Auto, Path::Direct] {
        if which.as_ref().is_some_and(|w| w != path.name()) {
            continue;
        }
        for instances in [1, 10, 100, 1_000] {
            if only.is_some_and(|n| n != instances) {
                continue;
            }
            let rate = 1_000.0;
            let revision = RevisionModel {
                concurrency: 1,
                service: Distribution::exponential(0.7 * f64::from(instances) / rate),
                path,
                ..RevisionModel::default()
            };
            let scenario = Scenario { seed: 1, revision, ..Scenario::default() };
            let until = SimSpan::from_secs_f64(requests / rate);
            let traffic = Generated::new("poisson:1000", 0, until, 1).expect("parses");
            let begin = cpu_seconds();
            let output = run(&scenario, &traffic, &mut ()).expect("runs");
            let wall = cpu_seconds() - begin;
            let result = output.result;
            println!(
                "{} {instances:>5} {:>8.0} req/s {:>6.1} ns/req mean instances {:.1} max {} p99 {:.1} ms rejected {} events {} panic {:.0}",
                path.name(),
                result.requests as f64 / wall,
                1e9 * wall / result.requests as f64,
                result.instances.mean,
                result.instances.max,
                result.latency_ms.p99,
                result.rejected,
                result.scale_events,
                result.extra.panic_seconds,
            );
        }
    }
}

/// Seconds this process has spent on a processor: what a busy machine cannot distort much.
fn cpu_seconds() -> f64 {
    let text = std::fs::read_to_string("/proc/self/schedstat").unwrap_or_default();
    let nanos: f64 = text.split(' ').next().and_then(|n| n.parse().ok()).unwrap_or(0.0);
    nanos / 1e9
}
