//! A page of code: what would other settings have done with this traffic?
//!
//! Run it with `cargo run --release -p tidegate-sim --example simulate`.

use tidegate_sim::compare::{Variant, compare};
use tidegate_sim::scenario::StartUp;
use tidegate_sim::seeds::Effort;
use tidegate_sim::{Distribution, RevisionModel, Scenario, SimSpan, parallel};
use tidegate_sim_traffic::Generated;

fn main() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    // Twenty minutes of quiet and bursts; a trace file would be `TraceFile::open(path, ...)`.
    let traffic = Generated::new("mmpp:5,60,90s,30s", 0, SimSpan::from_secs(1_200), 1)?;

    // The app as it is: four requests at a time, about 150 ms each, three seconds to start.
    let app = RevisionModel {
        concurrency: 4,
        service: Distribution::log_normal(0.150, 0.080),
        start_up: StartUp::total(Distribution::log_normal(3.0, 1.0)),
        ..RevisionModel::default()
    };

    // Settings are those of production: keys of config-autoscaler, or annotations.
    let settings: [(&str, &[(&str, &str)]); 3] = [
        ("defaults", &[]),
        ("one always warm", &[("min-scale", "1")]),
        ("lower target", &[("min-scale", "1"), ("target-utilization-percentage", "50")]),
    ];
    let variants: Vec<Variant> = settings
        .into_iter()
        .map(|(name, pairs)| {
            let mut revision = app.clone();
            for (key, value) in pairs {
                revision.settings.insert((*key).to_owned(), (*value).to_owned());
            }
            let scenario = Scenario { seed: 1, revision, ..Scenario::default() };
            Variant { name: name.to_owned(), scenario }
        })
        .collect();

    // All of them see the very same arrivals.
    let effort = Effort::once(parallel::all_cores());
    let outputs = compare(&variants, &traffic, effort, || {})?;
    println!("{:16} {:>9} {:>9} {:>6} {:>9}", "", "p50", "p99", "cold", "instance h");
    for (variant, output) in variants.iter().zip(&outputs) {
        let result = &output.result;
        println!(
            "{:16} {:>6.0} ms {:>6.0} ms {:>6} {:>10.2}",
            variant.name,
            result.latency_ms.p50,
            result.latency_ms.p99,
            result.cold_starts,
            result.instance_seconds / 3_600.0,
        );
    }
    Ok(())
}
