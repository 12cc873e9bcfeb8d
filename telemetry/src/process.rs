//! What there is one of in a process: the `process_*` metrics that every Prometheus client has,
//! read from `/proc` when they are gathered, and the lines that the process log left out.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::family::{Family, Series, Value};
use crate::metric::Metric;

/// `/proc/self/stat` counts time in these; fixed by the kernel's interface to user space.
const TICKS_PER_SECOND: f64 = 100.0;
/// `/proc/self/stat` counts resident memory in pages; 4 KiB on every supported platform.
const PAGE_BYTES: f64 = 4096.0;

const CPU: Metric =
    Metric::counter("process_cpu_seconds_total", "Processor time, user and system.").scoped(None);
const OPEN_FDS: Metric = Metric::gauge("process_open_fds", "Open file descriptors.").scoped(None);
const RESIDENT: Metric =
    Metric::gauge("process_resident_memory_bytes", "Resident memory.").scoped(None);
const THREADS: Metric = Metric::gauge("process_threads", "Threads.").scoped(None);
const VIRTUAL: Metric =
    Metric::gauge("process_virtual_memory_bytes", "Virtual memory.").scoped(None);

const LOG_DROPPED: Metric = Metric::counter(
    "tidegate_log_lines_dropped_total",
    "Lines of the process log that were left out because there were too many.",
);

/// Every metric of this module.
pub const METRICS: &[Metric] = &[CPU, OPEN_FDS, RESIDENT, THREADS, VIRTUAL, LOG_DROPPED];

static LOG_LINES_DROPPED: AtomicU64 = AtomicU64::new(0);

/// Counts a line that the process log leaves out.
pub fn log_line_dropped() {
    LOG_LINES_DROPPED.fetch_add(1, Ordering::Relaxed);
}

/// What the system reports about this process now; empty where it reports nothing.
#[must_use]
pub fn families() -> Vec<Family> {
    let usage = std::fs::read_to_string("/proc/self/stat").ok().and_then(|stat| parse(&stat));
    let descriptors = std::fs::read_dir("/proc/self/fd").ok().map(|open| open.count() as f64);
    let of = |read: fn(Usage) -> f64| usage.map(read);
    let values = [
        (CPU, of(|usage| usage.cpu_seconds)),
        (OPEN_FDS, descriptors),
        (RESIDENT, of(|usage| usage.resident_bytes)),
        (THREADS, of(|usage| usage.threads)),
        (VIRTUAL, of(|usage| usage.virtual_bytes)),
        // Beyond 2^53 the last digits are lost, as they are in Prometheus itself.
        (LOG_DROPPED, Some(LOG_LINES_DROPPED.load(Ordering::Relaxed) as f64)),
    ];
    values.into_iter().filter_map(|(metric, value)| Some(family(&metric, value?))).collect()
}

fn family(metric: &Metric, value: f64) -> Family {
    let series = vec![Series { labels: metric.scope_labels(), value: Value::Number(value) }];
    Family { name: metric.name.to_owned(), kind: metric.kind, help: metric.help.into(), series }
}

#[derive(Debug, Clone, Copy, PartialEq)]
struct Usage {
    cpu_seconds: f64,
    resident_bytes: f64,
    virtual_bytes: f64,
    threads: f64,
}

fn parse(stat: &str) -> Option<Usage> {
    // The second field is the name in parentheses, which may contain anything.
    let (_, fields) = stat.rsplit_once(')')?;
    let fields: Vec<&str> = fields.split_whitespace().collect();
    let number = |index: usize| fields.get(index)?.parse::<f64>().ok();
    Some(Usage {
        cpu_seconds: (number(11)? + number(12)?) / TICKS_PER_SECOND,
        threads: number(17)?,
        virtual_bytes: number(20)?,
        resident_bytes: number(21)? * PAGE_BYTES,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stat_line_is_parsed_for_any_name() {
        let line = "42 (a) b) S 1 2 3 4 5 6 7 8 9 10 150 50 0 0 20 0 7 0 99 1048576 256 0";
        let usage = parse(line).expect("a stat line");
        assert_eq!(
            usage,
            Usage {
                cpu_seconds: 2.0,
                resident_bytes: 1_048_576.0,
                virtual_bytes: 1_048_576.0,
                threads: 7.0
            }
        );
        assert_eq!(parse("junk"), None);
    }
}
