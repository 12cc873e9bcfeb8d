//! A flood of lines, thinned out.

use std::sync::atomic::{AtomicU64, Ordering};

/// Lines of one second that are written before sampling begins, as in Knative.
const BURST_PER_SECOND: u64 = 100;
/// Beyond the burst, one of so many lines is written, as in Knative.
const SAMPLE_EVERY: u64 = 100;

/// Admits a burst of events in each second, then one of many.
#[derive(Debug, Default)]
pub(super) struct Sampler {
    second: AtomicU64,
    count: AtomicU64,
}

impl Sampler {
    /// Whether the event at `unix_second` is to be written.
    pub(super) fn admits(&self, unix_second: u64) -> bool {
        // Two threads at the turn of a second may let a few more through; that is harmless.
        if self.second.swap(unix_second, Ordering::Relaxed) != unix_second {
            self.count.store(0, Ordering::Relaxed);
        }
        let number = self.count.fetch_add(1, Ordering::Relaxed);
        number < BURST_PER_SECOND || number.is_multiple_of(SAMPLE_EVERY)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sampler_limits_the_lines_of_each_second() {
        let sampler = Sampler::default();
        let written = (0..1000).filter(|_| sampler.admits(7)).count();
        assert_eq!(written, 109);
        assert!(sampler.admits(8));
    }
}
