//! How fast the simulator is: simulated requests per second of one core's time.

use std::path::PathBuf;
use std::time::Instant;

use tidegate_sim::scenario::Path;
use tidegate_sim::traffic::{Generated, TraceFile, TraceOptions};
use tidegate_sim::{Distribution, RevisionModel, Scenario, SimSpan, Traffic, run};

fn main() {
    let args: Vec<String> = std::env::args().collect();
    if args.get(1).is_some_and(|arg| arg == "trace") {
        return trace(&args[2..]);
    }
    if args.get(1).is_some_and(|arg| arg == "validate") {
        return validate(&args[2..]);
    }
    let requests: f64 = args.get(1).and_then(|n| n.parse().ok()).unwrap_or(3e6);
    let only: Option<u32> = args.get(2).and_then(|n| n.parse().ok());
    let which = args.get(3);
    for path in [Path::Central, Path::Auto, Path::Direct] {
        if which.is_some_and(|w| w != path.name()) {
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
            let until = SimSpan::from_secs_f64(requests / rate);
            let traffic = Generated::new("poisson:1000", 0, until, 1).expect("parses");
            measure(path.name(), revision, &traffic);
        }
    }
}

fn validate(args: &[String]) {
    let options = tidegate_sim::validate::ValidateOptions {
        requests: args[0].parse().expect("a number"),
        only: args.get(1).filter(|only| !only.is_empty()).cloned(),
        azure_invocations: args.iter().skip(2).map(PathBuf::from).collect(),
        ..Default::default()
    };
    let begin = Instant::now();
    tidegate_sim::validate::validate(&options, |_, _, checks| {
        for c in checks {
            println!(
                "{:5} {} | {} | {} | {:.6} | {:.6} | err {:+.4} se {:?} {:?}",
                if c.passed { "ok" } else { "FAIL" },
                c.group,
                c.case,
                c.figure,
                c.expected,
                c.ours,
                c.error,
                c.standard_error,
                c.allowed
            );
        }
    })
    .expect("runs");
    println!("{:.1} s", begin.elapsed().as_secs_f64());
}

fn trace(args: &[String]) {
    let path = PathBuf::from(&args[0]);
    let begin = (Instant::now(), cpu_seconds());
    let options =
        TraceOptions { durations: args.get(1).map(PathBuf::from), ..TraceOptions::default() };
    let traffic = TraceFile::open(&path, options).expect("opens");
    let revision = RevisionModel { concurrency: 1, ..RevisionModel::default() };
    measure("trace", revision, &traffic);
    println!(
        "with reading: wall {:.3} s cpu {:.3} s",
        begin.0.elapsed().as_secs_f64(),
        cpu_seconds() - begin.1
    );
}

fn measure(name: &str, revision: RevisionModel, traffic: &dyn Traffic) {
    let scenario = Scenario { seed: 1, revision, ..Scenario::default() };
    let begin = cpu_seconds();
    let output = run(&scenario, traffic, &mut ()).expect("runs");
    let seconds = cpu_seconds() - begin;
    let result = output.result;
    println!(
        "{name} {:>8.0} req/s {:>6.1} ns/req {seconds:.3} s requests {} mean instances {:.1} max {} p99 {:.1} ms cold {} rejected {} events {} decisions {} panic {:.0}",
        result.requests as f64 / seconds,
        1e9 * seconds / result.requests as f64,
        result.requests,
        result.instances.mean,
        result.instances.max,
        result.latency_ms.p99,
        result.cold_starts,
        result.rejected,
        result.scale_events,
        result.extra.decisions,
        result.extra.panic_seconds,
    );
}

/// Seconds this process has spent on a processor: what a busy machine cannot distort much.
fn cpu_seconds() -> f64 {
    let text = std::fs::read_to_string("/proc/self/schedstat").unwrap_or_default();
    let nanos: f64 = text.split(' ').next().and_then(|n| n.parse().ok()).unwrap_or(0.0);
    nanos / 1e9
}
