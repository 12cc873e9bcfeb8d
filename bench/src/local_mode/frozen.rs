//! An idle instance that is frozen beside one that ends: how soon the next request is answered, and
//! what is kept in memory for that.

use std::path::Path;
use std::time::Duration;

use anyhow::ensure;

use super::client::get;
use super::service::Service;

/// How idle instances are treated, and what says in the output that one is idle.
const WAYS: [(&str, &str); 2] = [("stop", " stopped"), ("freeze", " is frozen")];

/// Asks a service with one instance, again and again after it has come to rest, in both ways in
/// turn; prints medians.
///
/// # Errors
/// When the service does not do what it should.
pub fn compare(tidegate: &Path, command: &[String], count: usize) -> anyhow::Result<()> {
    let services: Vec<Service> = WAYS
        .iter()
        .map(|(way, _)| {
            let settings =
                ["--quiet", "--window", "6s", "--idle", "1s", "--max", "1", "--idle-mode", way];
            Service::start(tidegate, &settings, command)
        })
        .collect::<Result<_, _>>()?;
    let mut first_bytes = vec![Vec::with_capacity(count); WAYS.len()];
    let mut kept_kb = vec![0; WAYS.len()];
    for round in 1..=count {
        for (number, (_, idle)) in WAYS.iter().enumerate() {
            let service = &services[number];
            service.wait("it is idle", |lines| {
                let idle = lines.iter().filter(|line| line.ends_with(idle)).count();
                (idle >= round).then_some(())
            })?;
            kept_kb[number] = service.apps().into_iter().map(own_kb).sum();
            let response = get(service.address())?;
            ensure!(response.status == 200, "it was answered {}", response.status);
            first_bytes[number].push(response.first_byte);
        }
    }
    for ((way, _), (first_bytes, kept_kb)) in WAYS.iter().zip(first_bytes.iter_mut().zip(kept_kb)) {
        first_bytes.sort();
        let ms = |duration: Duration| duration.as_secs_f64() * 1_000.0;
        println!(
            "{way:>6}: first byte after {:.1} ms (median), {:.1} ms (worst) of {count}; kept of an \
             idle instance: {kept_kb} kB",
            ms(first_bytes[first_bytes.len() / 2]),
            ms(first_bytes.last().copied().unwrap_or_default()),
        );
    }
    for service in services {
        ensure!(service.stop()? == Some(0), "the service ended with an error");
    }
    Ok(())
}

/// What a process has in memory that it shares with nobody, in kB.
fn own_kb(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:"));
    let words = line.and_then(|line| line.split_whitespace().next());
    words.and_then(|kb| kb.parse().ok()).unwrap_or(0)
}
