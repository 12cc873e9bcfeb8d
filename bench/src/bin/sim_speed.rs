//! How fast the simulator is: nanoseconds of CPU for each simulated request.
//!
//! ```text
//! sim_speed [speed] [REQUESTS]         one revision at 1,000 rps, 1 to 1,000 instances
//! sim_speed one PATH INSTANCES [REQUESTS]  one case of these, once, as perf counts it
//! sim_speed trace INVOCATIONS [DURATIONS]  a trace of Azure Functions 2019, reading included
//! sim_speed long [REQUESTS]            one long run, with the memory it takes
//! sim_speed peer [PYTHON]              SimFaaS and this on the same scenarios, turn about
//! sim_speed population [FUNCTIONS[,OPTIONS]...]  a day of so many functions, in a process each
//! sim_speed validate REQUESTS [GROUP] [INVOCATIONS...]  every comparison with what is known
//! ```
//!
//! CPU time rather than wall time, because other work on the machine changes the latter and hardly
//! the former.

use std::path::PathBuf;
use std::process::Command;
use std::time::Instant;

use anyhow::{Context, ensure};
use tidegate_sim::scenario::{Balance, Detail, Path, StartUp};
use tidegate_sim::{
    Distribution, PolicyChoice, Recording, RevisionModel, Scenario, SimResult, SimSpan, Traffic,
    measured, run,
};
use tidegate_sim_traffic::{Ahead, Generated, TraceFile, TraceOptions};
use tidegate_sim_validate::{ValidateOptions, validate};

/// Runs of each case; the fastest counts, because nothing but disturbance makes one slower.
const ROUNDS: usize = 3;
/// Requests per second of the speed cases.
const RATE: f64 = 1_000.0;
/// Requests of a speed case, unless it is said.
const REQUESTS: f64 = 3e6;

fn main() -> anyhow::Result<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let rest = args.get(1..).unwrap_or_default();
    match args.first().map_or("speed", String::as_str) {
        "one" => one(rest),
        "trace" => trace(rest),
        "long" => long(rest),
        "population" => population(rest),
        "one-population" => one_population(rest),
        "peer" => peer(rest.first().map_or("python3", String::as_str)),
        "validate" => known(rest),
        "speed" => speed(rest.first()),
        number => speed(Some(&number.to_owned())),
    }
}

/// Seconds this process has spent on a processor.
fn cpu_seconds() -> anyhow::Result<f64> {
    let text = std::fs::read_to_string("/proc/self/schedstat").context("this needs Linux")?;
    let nanos: f64 = text.split(' ').next().context("schedstat is empty")?.parse()?;
    Ok(nanos / 1e9)
}

/// Runs a model and gives the result and the seconds of CPU it took.
fn timed(revision: &RevisionModel, traffic: &dyn Traffic) -> anyhow::Result<(SimResult, f64)> {
    let scenario = Scenario { seed: 1, revision: revision.clone(), ..Scenario::default() };
    let begin = cpu_seconds()?;
    let result = run(&scenario, traffic, &mut ())?.result;
    Ok((result, cpu_seconds()? - begin))
}

fn poisson(rate: f64, seconds: f64) -> anyhow::Result<Generated> {
    let until = SimSpan::from_secs_f64(seconds);
    Generated::new(&format!("poisson:{rate}"), 0, until, 1).map_err(|error| anyhow::anyhow!(error))
}

/// An app that needs about so many instances of one request each under [`RATE`].
fn app(instances: u32, path: Path) -> RevisionModel {
    RevisionModel {
        concurrency: 1,
        service: Distribution::exponential(0.7 * f64::from(instances) / RATE),
        path,
        ..RevisionModel::default()
    }
}

fn speed(requests: Option<&String>) -> anyhow::Result<()> {
    let requests: f64 = requests.map_or(Ok(REQUESTS), |text| text.parse())?;
    println!("full KPA, Poisson {RATE} rps, exponential service, one request per instance");
    println!("{:13} {:>10} {:>9} {:>14}", "path", "instances", "ns/req", "req/s of core");
    for path in [Path::Auto, Path::Central, Path::Direct] {
        for instances in [1, 10, 100, 1_000] {
            let traffic = poisson(RATE, requests / RATE)?;
            let mut best = f64::INFINITY;
            let mut mean = 0.0;
            for _ in 0..ROUNDS {
                let (result, seconds) = timed(&app(instances, path), &traffic)?;
                best = best.min(seconds / result.requests as f64);
                mean = result.instances.mean;
            }
            println!("{:13} {mean:>10.1} {:>9.1} {:>14.0}", path.name(), best * 1e9, 1.0 / best);
        }
    }
    Ok(())
}

fn one(args: &[String]) -> anyhow::Result<()> {
    let path = args.first().context("expected a path")?;
    let path = Path::parse(path).map_err(anyhow::Error::msg)?;
    let instances = args.get(1).context("expected a number of instances")?.parse()?;
    let requests: f64 = args.get(2).map_or(Ok(REQUESTS), |text| text.parse())?;
    let (result, seconds) = timed(&app(instances, path), &poisson(RATE, requests / RATE)?)?;
    let nanos = seconds * 1e9 / result.requests as f64;
    println!("{nanos:.1} ns of CPU for each of {} requests", result.requests);
    Ok(())
}

fn trace(args: &[String]) -> anyhow::Result<()> {
    let path = PathBuf::from(args.first().context("expected the path of an invocations file")?);
    let options =
        || TraceOptions { durations: args.get(1).map(PathBuf::from), ..TraceOptions::default() };
    for _ in 0..ROUNDS {
        let (wall, begin) = (Instant::now(), cpu_seconds()?);
        let traffic = TraceFile::open(&path, options())?;
        let revision = RevisionModel { concurrency: 1, ..RevisionModel::default() };
        let (result, _) = timed(&revision, &traffic)?;
        println!(
            "{} requests of {} functions in {:.3} s of CPU, {:.3} s of wall time, reading \
             included; \
             {} decisions, {} cold starts",
            result.requests,
            result.revisions.len(),
            cpu_seconds()? - begin,
            wall.elapsed().as_secs_f64(),
            result.extra.decisions,
            result.cold_starts,
        );
    }
    Ok(())
}

fn long(args: &[String]) -> anyhow::Result<()> {
    let requests: f64 = args.first().map_or(Ok(1e8), |text| text.parse())?;
    let traffic = poisson(RATE, requests / RATE)?;
    let (wall, before) = (Instant::now(), measured::peak_rss_bytes());
    let (result, seconds) = timed(&app(100, Path::Auto), &traffic)?;
    println!(
        "{} requests in {seconds:.1} s of CPU, {:.1} s of wall time, peak memory {:.1} MB \
         ({:.1} MB before)",
        result.requests,
        wall.elapsed().as_secs_f64(),
        measured::peak_rss_bytes() as f64 / 1e6,
        before as f64 / 1e6,
    );
    Ok(())
}

/// How often functions of a population are called, unless it is said: the measured law, slowed down
/// to so many calls of a function on average.
const POPULATION: &str = "mean=20/d";
/// Linux counts processor time of a process in hundredths of a second, on all of its platforms.
const TICKS_PER_SECOND: f64 = 100.0;
/// Sizes of populations, unless others are asked for.
const SIZES: [&str; 4] = ["1000", "10000", "100000", "1000000"];

/// The cost of a day by functions and by requests. Memory is a process's, so each is one.
fn population(sizes: &[String]) -> anyhow::Result<()> {
    let sizes: Vec<&str> = match sizes {
        [] => SIZES.to_vec(),
        some => some.iter().map(String::as_str).collect(),
    };
    println!("a day of population:FUNCTIONS, full KPA, sums over all functions");
    println!(
        "{:>18} {:>11} {:>9} {:>9} {:>8} {:>9} {:>11} {:>11}",
        "functions", "requests", "CPU s", "wall s", "MB", "KB/funct.", "us/request", "decisions"
    );
    for size in sizes {
        let program = std::env::current_exe()?;
        let status = Command::new(program).arg("one-population").arg(size).status()?;
        ensure!(status.success(), "the run of {size} functions failed");
    }
    Ok(())
}

fn one_population(args: &[String]) -> anyhow::Result<()> {
    let asked = args.first().context("expected a number of functions")?;
    let size = if asked.contains(',') { asked.clone() } else { format!("{asked},{POPULATION}") };
    let functions: f64 = size.split(',').next().unwrap_or_default().parse()?;
    let day = SimSpan::from_secs(86_400);
    let made = Generated::shared(&format!("population:{size}"), 0, day, 1);
    let traffic = Ahead::new(made.map_err(|error| anyhow::anyhow!(error))?);
    let scenario = Scenario {
        seed: 1,
        duration: Some(day),
        revision: RevisionModel {
            service: Distribution::log_normal(0.5, 1.0),
            start_up: StartUp::total(Distribution::exponential(1.0)),
            ..RevisionModel::default()
        },
        recording: Recording { detail: Detail::Totals, ..Recording::NOTHING },
        ..Scenario::default()
    };
    let (wall, before) = (Instant::now(), process_seconds()?);
    let result = run(&scenario, &traffic, &mut ())?.result;
    let (cpu, memory) = (process_seconds()? - before, measured::peak_rss_bytes() as f64);
    println!(
        "{size:>18} {:>11} {cpu:>9.2} {:>9.2} {:>8.1} {:>9.2} {:>11.2} {:>11}",
        result.requests,
        wall.elapsed().as_secs_f64(),
        memory / 1e6,
        memory / 1e3 / functions,
        cpu * 1e6 / result.requests.max(1) as f64,
        result.extra.decisions,
    );
    Ok(())
}

/// Seconds all threads of this process have spent on a processor, those that ended included.
fn process_seconds() -> anyhow::Result<f64> {
    let text = std::fs::read_to_string("/proc/self/stat").context("this needs Linux")?;
    // The name in parentheses may hold blanks; user and system time are 11 fields behind it.
    let (_, rest) = text.rsplit_once(") ").context("stat has no name")?;
    let ticks = rest.split(' ').skip(11).take(2).map(str::parse::<f64>);
    let ticks: f64 = ticks.sum::<Result<f64, _>>()?;
    Ok(ticks / TICKS_PER_SECOND)
}

/// Requests per second and simulated seconds of the comparison with SimFaaS.
const PEER_CASES: [(f64, f64); 3] = [(0.9, 100_000.0), (10.0, 20_000.0), (100.0, 2_000.0)];
/// Warm and cold service and idle time, seconds, of SimFaaS' own example.
const PEER_MODEL: (f64, f64, f64) = (1.991, 2.244, 600.0);

fn peer(python: &str) -> anyhow::Result<()> {
    println!(
        "{:>6} {:>9} {:>22} {:>22} {:>8}",
        "rps", "requests", "SimFaaS req/s (inst)", "Tidegate req/s (inst)", "ratio"
    );
    let (warm, cold, idle) = PEER_MODEL;
    for (rate, seconds) in PEER_CASES {
        let theirs = simfaas(python, &[rate, warm, cold, idle, seconds])?;
        let revision = RevisionModel {
            policy: PolicyChoice::KeepAlive(SimSpan::from_secs_f64(idle)),
            concurrency: 1,
            service: Distribution::exponential(warm),
            start_up: StartUp::total(Distribution::exponential(cold - warm)),
            path: Path::Central,
            front_door_balance: Balance::FirstAvailable,
            ..RevisionModel::default()
        };
        // Ten times as long, or it would be over before it could be measured.
        let traffic = poisson(rate, 10.0 * seconds)?;
        let (result, cpu) = timed(&revision, &traffic)?;
        let figure = |name: &str| theirs[name].as_f64().context("SimFaaS left out a figure");
        let their_rate = figure("requests")? / figure("cpu_seconds")?;
        let our_rate = result.requests as f64 / cpu;
        println!(
            "{rate:>6} {:>9} {:>13.0} ({:>6.1}) {:>13.0} ({:>6.1}) {:>8.0}",
            figure("requests")?,
            their_rate,
            figure("instances")?,
            our_rate,
            result.instances.mean,
            our_rate / their_rate,
        );
    }
    Ok(())
}

fn simfaas(python: &str, numbers: &[f64]) -> anyhow::Result<serde_json::Value> {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/sim_simfaas.py");
    let output = Command::new(python)
        .arg(script)
        .args(numbers.iter().map(f64::to_string))
        .output()
        .with_context(|| format!("cannot start {python}"))?;
    ensure!(
        output.status.success(),
        "SimFaaS cannot run (`{python} -m pip install simfaas` installs it): {}",
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(serde_json::from_slice(&output.stdout)?)
}

fn known(args: &[String]) -> anyhow::Result<()> {
    let options = ValidateOptions {
        requests: args.first().context("expected a number of requests")?.parse()?,
        only: args.get(1).filter(|only| !only.is_empty()).cloned(),
        azure_invocations: args.iter().skip(2).map(PathBuf::from).collect(),
        ..ValidateOptions::default()
    };
    let begin = Instant::now();
    for check in validate(&options, |_, _, _| {})? {
        println!(
            "{} | {} | {} | {} | {:.6} | {:.6} | {:+.4} | {:?}",
            if check.passed { "ok" } else { "FAILED" },
            check.group,
            check.case,
            check.figure,
            check.expected,
            check.ours,
            check.error,
            check.allowed,
        );
    }
    println!("{:.1} s", begin.elapsed().as_secs_f64());
    Ok(())
}
