//! The `process_*` metrics that every Prometheus client has, read from `/proc` when scraped.

use super::push_sample;

/// `/proc/self/stat` counts time in these; fixed by the kernel's interface to user space.
const TICKS_PER_SECOND: f64 = 100.0;
/// `/proc/self/stat` counts resident memory in pages; 4 KiB on every platform we build for.
const PAGE_BYTES: f64 = 4096.0;

/// Appends what the system tells about this process; nothing where it tells nothing.
pub(super) fn append(page: &mut String) {
    if let Some(usage) = std::fs::read_to_string("/proc/self/stat").ok().and_then(|s| parse(&s)) {
        push_sample(page, "process_cpu_seconds_total", "counter", usage.cpu_seconds);
        push_sample(page, "process_resident_memory_bytes", "gauge", usage.resident_bytes);
        push_sample(page, "process_virtual_memory_bytes", "gauge", usage.virtual_bytes);
        push_sample(page, "process_threads", "gauge", usage.threads);
    }
    if let Ok(descriptors) = std::fs::read_dir("/proc/self/fd") {
        push_sample(page, "process_open_fds", "gauge", descriptors.count() as f64);
    }
}

#[derive(Debug, PartialEq)]
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
    fn a_stat_line_is_understood_whatever_the_name_is() {
        let line = "42 (a) b) S 1 2 3 4 5 6 7 8 9 10 150 50 0 0 20 0 7 0 99 1048576 256 0";
        let usage = parse(line).unwrap();
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
