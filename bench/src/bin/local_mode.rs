//! What local mode promises, counted and measured from outside.
//!
//! ```text
//! cargo build --release
//! cargo run --release -p tidegate-bench --bin local_mode -- cycles
//! ```
//!
//! `cycles`: from zero to many and back, again and again, without a lost request or a process left.
//! `starts`: many instances wanted at once, in turns and all together. `frozen`: idle instances
//! that are frozen beside such that end.
//! `limit`: many clients, and the most that any instance had to serve at once, counted inside it.
//! `kill`: instances are killed under load. `cold`: what we add to an app's own start-up.
//! The app is the sample app of `tidegate demo` unless a command is given after `--`. Method and
//! results are in `docs/benchmarks/local-mode.md`.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::ensure;
use clap::{Parser, Subcommand};
use rustix::process::Signal;
use tidegate_bench::local_mode::client::{burst, get, is_served};
use tidegate_bench::local_mode::frozen;
use tidegate_bench::local_mode::server_timing::Phases;
use tidegate_bench::local_mode::service::{Service, own_start_up, signal};
use tidegate_bench::local_mode::starts;

#[derive(Parser)]
#[command(about = "Count and measure what local mode promises")]
struct Args {
    /// The program.
    #[arg(long, global = true, default_value = "target/release/tidegate")]
    tidegate: PathBuf,
    #[command(subcommand)]
    what: What,
    /// The app, with `{PORT}` or `$PORT`; the sample app when left away.
    #[arg(last = true, global = true)]
    command: Vec<String>,
}

#[derive(Subcommand)]
enum What {
    /// From zero to many and back.
    Cycles {
        /// How often.
        #[arg(long, default_value_t = 200)]
        count: usize,
        /// Requests at once in each cycle.
        #[arg(long, default_value_t = 20)]
        requests: usize,
        /// Requests an instance takes at a time.
        #[arg(short = 'c', default_value = "4")]
        concurrency: String,
    },
    /// Many clients against a limit.
    Limit {
        /// How many.
        #[arg(long, default_value_t = 200)]
        clients: usize,
        /// For how long, in seconds.
        #[arg(long, default_value_t = 10)]
        seconds: u64,
        /// Requests an instance takes at a time.
        #[arg(short = 'c', default_value = "5")]
        concurrency: String,
    },
    /// Instances killed under load.
    Kill {
        /// How many clients.
        #[arg(long, default_value_t = 20)]
        clients: usize,
        /// How many kills.
        #[arg(long, default_value_t = 10)]
        kills: usize,
        /// Requests an instance takes at a time.
        #[arg(short = 'c', default_value = "4")]
        concurrency: String,
    },
    /// Many instances wanted at once.
    Starts {
        /// How many.
        #[arg(long, default_value_t = 50)]
        count: usize,
        /// How many start at a time, as `--starts-at-once` of `tidegate run` takes it; each in
        /// turn.
        #[arg(long, default_values_t = ["all", "2", "4", "8"].map(str::to_owned))]
        at_once: Vec<String>,
        /// How often each.
        #[arg(long, default_value_t = 3)]
        rounds: usize,
    },
    /// Idle instances that are frozen beside such that end.
    Frozen {
        /// How often each is woken.
        #[arg(long, default_value_t = 20)]
        count: usize,
    },
    /// What we add to an app's own start-up.
    Cold {
        /// How often.
        #[arg(long, default_value_t = 20)]
        count: usize,
    },
}

fn main() -> anyhow::Result<()> {
    let mut args = Args::parse();
    if args.command.is_empty() {
        let program = args.tidegate.to_string_lossy().into_owned();
        let words = ["demo", "--app", "--start-up", "0ms", "--service-time", "50ms"];
        args.command = std::iter::once(program).chain(words.map(str::to_owned)).collect();
    }
    match &args.what {
        What::Cycles { count, requests, concurrency } => {
            cycles(&args, *count, *requests, concurrency)
        }
        What::Limit { clients, seconds, concurrency } => {
            limit(&args, *clients, Duration::from_secs(*seconds), concurrency)
        }
        What::Kill { clients, kills, concurrency } => kill(&args, *clients, *kills, concurrency),
        What::Starts { count, at_once, rounds } => {
            starts::compare(&args.tidegate, &args.command, *count, at_once, *rounds)
        }
        What::Frozen { count } => frozen::compare(&args.tidegate, &args.command, *count),
        What::Cold { count } => cold(&args, *count),
    }
}

/// Short windows, so that a cycle is a matter of seconds.
const QUICK: [&str; 8] =
    ["--quiet", "--window", "6s", "--idle", "1s", "--initial", "0", "--max=10"];

fn cycles(args: &Args, count: usize, requests: usize, concurrency: &str) -> anyhow::Result<()> {
    let settings = [&QUICK[..], &["-c", concurrency]].concat();
    let service = Service::start(&args.tidegate, &settings, &args.command)?;
    let (mut lost, mut leaked) = (0, 0);
    let mut lengths = Vec::new();
    for cycle in 1..=count {
        let begun = Instant::now();
        let answers = burst(service.address(), requests);
        lost += answers.iter().filter(|response| !is_served(response)).count();
        service.wait_for_zero()?;
        lengths.push(begun.elapsed());
        leaked += service.apps().len() + service.children().saturating_sub(1);
        if cycle % 20 == 0 {
            println!("{cycle} cycles, {lost} lost, {leaked} processes left");
        }
    }
    let (started, failed) = (service.count(" starts"), service.count(" failed:"));
    println!(
        "{count} cycles: {} requests, {lost} lost; {started} instances started, {failed} failed, \
         {leaked} processes left; a cycle takes {:.1} s (median)",
        count * requests,
        median(&mut lengths).as_secs_f64()
    );
    ensure!(service.stop()? == Some(0), "the service ended with an error");
    ensure!(lost == 0 && leaked == 0, "something was lost or left");
    Ok(())
}

fn limit(args: &Args, clients: usize, length: Duration, concurrency: &str) -> anyhow::Result<()> {
    let settings = ["--quiet", "--max=10", "-c", concurrency];
    let service = Service::start(&args.tidegate, &settings, &args.command)?;
    let ends = Instant::now() + length;
    let threads: Vec<_> = (0..clients)
        .map(|_| {
            let address = service.address().to_owned();
            std::thread::spawn(move || {
                let (mut served, mut lost, mut most) = (0_u64, 0_u64, 0_u32);
                while Instant::now() < ends {
                    let response = get(&address);
                    if !is_served(&response) {
                        lost += 1;
                        continue;
                    }
                    served += 1;
                    let seen = response.ok().and_then(|a| a.header("x-in-flight")?.parse().ok());
                    most = most.max(seen.unwrap_or(0));
                }
                (served, lost, most)
            })
        })
        .collect();
    let (mut served, mut lost, mut most) = (0, 0, 0);
    for thread in threads {
        let (of_served, of_lost, of_most) = thread.join().unwrap_or((0, 1, 0));
        served += of_served;
        lost += of_lost;
        most = most.max(of_most);
    }
    let instances = service.count(" starts");
    println!(
        "{clients} clients, limit {concurrency}: {served} served, {lost} lost, {instances} \
         instances started, at most {most} requests in one instance"
    );
    ensure!(service.stop()? == Some(0), "the service ended with an error");
    ensure!(most <= concurrency.parse()?, "the limit was exceeded");
    Ok(())
}

fn kill(args: &Args, clients: usize, kills: usize, concurrency: &str) -> anyhow::Result<()> {
    let settings = ["--quiet", "--min=3", "--max=10", "-c", concurrency];
    let service = Service::start(&args.tidegate, &settings, &args.command)?;
    service.wait("three are ready", |lines| {
        let ready = lines.iter().filter(|line| line.contains(" is ready")).count();
        (ready >= 3).then_some(())
    })?;
    let over = Arc::new(AtomicBool::new(false));
    let threads: Vec<_> = (0..clients)
        .map(|_| {
            let (address, over) = (service.address().to_owned(), Arc::clone(&over));
            std::thread::spawn(move || {
                let (mut served, mut lost) = (0_u64, 0_u64);
                while !over.load(Ordering::Relaxed) {
                    if is_served(&get(&address)) { served += 1 } else { lost += 1 }
                }
                (served, lost)
            })
        })
        .collect();
    for kill in 1..=kills {
        std::thread::sleep(Duration::from_secs(1));
        let victim = service.apps().into_iter().next();
        signal(victim.unwrap_or_default(), Signal::KILL)?;
        service.wait("it is noticed", |lines| {
            let failed = lines.iter().filter(|line| line.contains(" failed:")).count();
            (failed >= kill).then_some(())
        })?;
    }
    std::thread::sleep(Duration::from_secs(1));
    over.store(true, Ordering::Relaxed);
    let sums = threads.into_iter().map(|thread| thread.join().unwrap_or((0, 1)));
    let (served, lost) = sums.fold((0, 0), |(a, b), (served, lost)| (a + served, b + lost));
    let held_at_most = kills as u64 * concurrency.parse::<u64>()?;
    println!(
        "{kills} kills under {clients} clients: {served} served, {lost} lost, of at most \
         {held_at_most} that the killed instances held"
    );
    ensure!(service.stop()? == Some(0), "the service ended with an error");
    ensure!(lost <= held_at_most, "more was lost than was held");
    Ok(())
}

fn cold(args: &Args, count: usize) -> anyhow::Result<()> {
    let settings = [&QUICK[..], &["--server-timing"]].concat();
    let service = Service::start(&args.tidegate, &settings, &args.command)?;
    let (mut colds, mut owns, mut addeds) = (Vec::new(), Vec::new(), Vec::new());
    let mut phases = Phases::default();
    for _ in 0..count {
        // Both in turn, so that a noisy machine is noisy for both.
        let own = own_start_up(&args.command)?;
        let response = get(service.address())?;
        ensure!(response.status == 200, "the first request was answered {}", response.status);
        phases.add(response.header("server-timing").unwrap_or_default());
        addeds.push(response.first_byte.saturating_sub(own));
        colds.push(response.first_byte);
        owns.push(own);
        service.wait_for_zero()?;
    }
    let ms = |duration: Duration| duration.as_secs_f64() * 1_000.0;
    println!(
        "{count} cold starts: first byte after {:.1} ms, by the app alone after {:.1} ms, added \
         {:.1} ms (medians), {:.1} ms (p99), {:.1} ms (worst)\n{phases}",
        ms(median(&mut colds)),
        ms(median(&mut owns)),
        ms(median(&mut addeds)),
        ms(addeds.get((count * 99).div_ceil(100) - 1).copied().unwrap_or_default()),
        ms(addeds.last().copied().unwrap_or_default()),
    );
    ensure!(service.stop()? == Some(0), "the service ended with an error");
    Ok(())
}

/// The middle of the values, which are sorted afterwards.
fn median(values: &mut [Duration]) -> Duration {
    values.sort();
    values.get(values.len() / 2).copied().unwrap_or_default()
}
