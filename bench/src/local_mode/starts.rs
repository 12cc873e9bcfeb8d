//! Many instances wanted at once: when the first, the tenth and the last are ready, by how many
//! start at a time.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, ensure};

use super::service::Service;

/// Which of them are told of, besides the last.
const TOLD: [usize; 2] = [1, 10];

/// Measures each way in turn, so that a noisy machine is noisy for all, and prints the medians.
///
/// # Errors
/// When instances do not come up.
pub fn compare(
    tidegate: &Path,
    command: &[String],
    count: usize,
    ways: &[String],
    rounds: usize,
) -> anyhow::Result<()> {
    let places: Vec<usize> = TOLD.into_iter().filter(|n| *n < count).chain([count]).collect();
    let mut times: Vec<Vec<Vec<Duration>>> = vec![vec![Vec::new(); places.len()]; ways.len()];
    for _ in 0..rounds {
        for (way, times) in ways.iter().zip(&mut times) {
            let ready = ready_after(tidegate, command, count, way)?;
            for (place, times) in places.iter().zip(times) {
                times.push(ready[place - 1]);
            }
        }
    }
    println!("{count} instances wanted at once, ready after (median of {rounds}):");
    for (way, mut times) in ways.iter().zip(times) {
        let told = places.iter().zip(&mut times).map(|(place, times)| {
            times.sort();
            format!("the {place}. {:>6.2} s", times[times.len() / 2].as_secs_f64())
        });
        println!("  at a time {way:>4}: {}", told.collect::<Vec<_>>().join("  "));
    }
    Ok(())
}

/// How long after the service was there each instance was ready, in order.
fn ready_after(
    tidegate: &Path,
    command: &[String],
    count: usize,
    way: &str,
) -> anyhow::Result<Vec<Duration>> {
    let count_text = count.to_string();
    let settings = [
        "--quiet",
        "--initial",
        &count_text,
        "--min",
        &count_text,
        "--max",
        &count_text,
        "--starts-at-once",
        way,
        "--start-timeout",
        "5m",
    ];
    let service = Service::start(tidegate, &settings, command)?;
    let times = service.wait("all are ready", |lines| {
        let at = |line: &String| {
            let stamp = line.split_whitespace().next()?;
            humantime::parse_rfc3339(stamp).ok()
        };
        // The first starts come before anything is printed.
        let first = lines.iter().find_map(at)?;
        let ready = lines.iter().filter(|line| line.contains(" is ready after "));
        let mut times: Vec<Duration> =
            ready.filter_map(at).filter_map(|at| at.duration_since(first).ok()).collect();
        times.sort();
        (times.len() >= count).then_some(times)
    })?;
    let code = service.stop().context("it does not end")?;
    ensure!(code == Some(0), "the service ended with an error");
    Ok(times)
}
