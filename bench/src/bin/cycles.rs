//! From zero to many and back, again and again, while apps, sidecars, activators and the controller
//! are killed at random: every request outside a killed process is to succeed.
//!
//! ```text
//! cargo build --release -p tidegate -p tidegate-bench --bin tidegate --bin cycles
//! target/release/cycles --tidegate target/release/tidegate
//! ```
//!
//! The method and results are in `docs/benchmarks/front-doors.md`.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, ensure};
use clap::Parser;
use tidegate_bench::cycles::{Outcome, Plan, run};

#[derive(Parser)]
#[command(about = "Count what is lost while processes are killed at random")]
struct Args {
    /// The program whose roles are killed.
    #[arg(long, default_value = "target/release/tidegate")]
    tidegate: PathBuf,
    /// Cycles of all revisions together.
    #[arg(long, default_value_t = 1_000)]
    cycles: usize,
    /// Requests of each cycle.
    #[arg(long, default_value_t = 1_000)]
    requests: u64,
    /// Revisions, whose cycles go on beside each other.
    #[arg(long, default_value_t = 8)]
    revisions: usize,
    /// Clients of each revision.
    #[arg(long, default_value_t = 12)]
    clients: usize,
    /// Requests that an instance takes at a time.
    #[arg(long, default_value_t = 3)]
    limit: u32,
    /// What the app takes for each, in microseconds.
    #[arg(long, default_value_t = 10_000)]
    service_us: u64,
    /// The seed of what is killed, and when.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// A folder for what the processes log.
    #[arg(long)]
    logs: Option<PathBuf>,
}

fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    if let Some(logs) = &args.logs {
        std::fs::create_dir_all(logs).with_context(|| format!("no folder {}", logs.display()))?;
    }
    let plan = Plan {
        tidegate: args.tidegate,
        cycles: args.cycles,
        revisions: args.revisions,
        requests: args.requests,
        clients: args.clients,
        limit: args.limit,
        service: Duration::from_micros(args.service_us),
        seed: args.seed,
        logs: args.logs,
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let outcome = runtime.block_on(run(plan, |so_far| {
        let [apps, sidecars, activators, controllers] = so_far.kills;
        println!(
            "{} cycles, {} served; killed: {apps} apps, {sidecars} sidecars, {activators} \
             activators, {controllers} controllers",
            so_far.cycles, so_far.served
        );
    }))?;
    print(&outcome);
    ensure!(outcome.lost.is_empty(), "requests outside what was killed were lost");
    ensure!(outcome.most_inside <= args.limit, "a limit was exceeded");
    Ok(())
}

fn print(outcome: &Outcome) {
    let [apps, sidecars, activators, controllers] = outcome.kills;
    println!(
        "\n{} cycles in {:.0} s; {} instances started, at most {} of one revision at a time\n\
         killed: {apps} apps, {sidecars} sidecars, {activators} activators, {controllers} \
         controllers\n\
         {} requests served, {} lost inside killed instances, {} on their way through killed \
         activators, {} otherwise; at most {} inside one app",
        outcome.cycles,
        outcome.took.as_secs_f64(),
        outcome.instances,
        outcome.most_instances,
        outcome.served,
        outcome.lost_with_instances,
        outcome.lost_with_activators,
        outcome.lost.len(),
        outcome.most_inside,
    );
    for failure in &outcome.lost {
        println!(
            "  of web-{}, from {:.3} to {:.3} s: {}",
            failure.revision,
            failure.sent.as_secs_f64(),
            failure.ended.as_secs_f64(),
            failure.saw
        );
        let own = outcome.halves.iter().filter(|kill| kill.revision == failure.revision);
        if let Some(near) = own.min_by_key(|kill| kill.began.abs_diff(failure.ended)) {
            println!(
                "    a half of an instance was killed from {:.3} to {:.3} s",
                near.began.as_secs_f64(),
                near.ended.as_secs_f64()
            );
        }
    }
}
