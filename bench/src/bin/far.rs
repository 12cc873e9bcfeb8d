//! What the front door does where its instances are far away.
//!
//! ```text
//! cargo build --release -p tidegate -p tidegate-bench --bin tidegate --bin far
//! target/release/far --tidegate target/release/tidegate
//! ```
//!
//! It needs the right to make a network interface (`CAP_NET_ADMIN`). The results are in
//! `docs/benchmarks/activator.md`.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context;
use clap::Parser;
use tidegate_bench::far::{Plan, run};
use tidegate_bench::far_path::FarPath;
use tidegate_bench::proxy::report::table;

#[derive(Parser)]
#[command(about = "Measure a front door whose instances are far away")]
struct Args {
    /// The program with our roles.
    #[arg(long, default_value = "target/release/tidegate")]
    tidegate: PathBuf,
    /// How long a packet there and one back take together, in milliseconds.
    #[arg(long, default_value_t = 200)]
    round_trip_ms: u64,
    /// Clients, each with one request at a time.
    #[arg(long, default_value_t = 8)]
    clients: u64,
    /// Requests of each.
    #[arg(long, default_value_t = 30)]
    requests: u64,
}

fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    let plan = Plan {
        tidegate: args.tidegate,
        path: FarPath::open(Duration::from_millis(args.round_trip_ms))
            .context("a path that takes its time cannot be made: it needs CAP_NET_ADMIN")?,
        clients: args.clients,
        requests: args.requests,
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let outcome = runtime.block_on(run(plan))?;
    let ms = |quantile| {
        let micros = outcome.latency_us.value_at_quantile(quantile);
        format!("{:.1} ms", micros as f64 / 1e3)
    };
    let row = vec![
        format!("{} ms", args.round_trip_ms),
        outcome.latency_us.len().to_string(),
        outcome.failed.to_string(),
        format!("{:.1} ms", outcome.first.as_secs_f64() * 1e3),
        ms(0.5),
        ms(0.99),
        outcome.ejected.to_string(),
        outcome.ejected_later.to_string(),
    ];
    let columns =
        ["round trip", "answered", "failed", "first", "p50", "p99", "ejected at first", "later"];
    table("A front door whose instances are far away", &columns, &[row]);
    Ok(())
}
