//! A coarse histogram of durations: small enough to have one for every step of a series.

/// Steps within each doubling; eight keep the middle of a step within 4 % of any value in it.
const STEPS_PER_OCTAVE: usize = 8;
/// Doublings above the exact range: up to 2^41 microseconds, 25 days.
const OCTAVES: usize = 38;
/// Values below this many microseconds are resolved exactly.
const EXACT: u64 = STEPS_PER_OCTAVE as u64;
const LEN: usize = STEPS_PER_OCTAVE * (OCTAVES + 1);

/// Counts by logarithmic step.
#[derive(Debug, Clone)]
pub(super) struct Sketch {
    counts: [u32; LEN],
}

fn index_of(micros: u64) -> usize {
    if micros < EXACT {
        return micros as usize;
    }
    let octave = 63 - micros.leading_zeros() as usize;
    let step = (micros >> (octave - 3)) as usize & (STEPS_PER_OCTAVE - 1);
    ((octave - 2) * STEPS_PER_OCTAVE + step).min(LEN - 1)
}

/// The middle of a step, microseconds.
fn middle_of(index: usize) -> f64 {
    if index < STEPS_PER_OCTAVE {
        return index as f64;
    }
    let octave = index / STEPS_PER_OCTAVE + 2;
    let step = index % STEPS_PER_OCTAVE;
    let unit = (1_u64 << (octave - 3)) as f64;
    (STEPS_PER_OCTAVE + step) as f64 * unit + unit / 2.0
}

impl Sketch {
    pub(super) fn new() -> Box<Self> {
        Box::new(Sketch { counts: [0; LEN] })
    }

    pub(super) fn record(&mut self, nanos: u64) {
        let count = &mut self.counts[index_of(nanos / 1_000)];
        *count = count.saturating_add(1);
    }

    pub(super) fn merge(&mut self, other: &Sketch) {
        for (mine, theirs) in self.counts.iter_mut().zip(&other.counts) {
            *mine = mine.saturating_add(*theirs);
        }
    }

    /// The values at rising `shares`, milliseconds.
    pub(super) fn at<const N: usize>(&self, shares: [f64; N]) -> [f64; N] {
        let total: u64 = self.counts.iter().map(|count| u64::from(*count)).sum();
        let mut values = [0.0; N];
        let mut next = 0;
        let mut seen = 0_u64;
        for (index, count) in self.counts.iter().enumerate() {
            seen += u64::from(*count);
            while next < N && *count > 0 && seen as f64 >= shares[next] * total as f64 {
                values[next] = middle_of(index) / 1e3;
                next += 1;
            }
        }
        values
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_is_within_seven_percent_of_the_middle_of_its_step() {
        for shift in 0..40 {
            for extra in 0..7 {
                let micros = (1_u64 << shift) + (extra << shift) / 7;
                let middle = middle_of(index_of(micros));
                assert!((middle - micros as f64).abs() <= 0.07 * micros as f64, "{micros}");
            }
        }
    }

    #[test]
    fn shares_are_found_in_order() {
        let mut sketch = Sketch::new();
        for millis in 1..=1_000 {
            sketch.record(millis * 1_000_000);
        }
        let [p50, p99] = sketch.at([0.5, 0.99]);
        assert!((p50 / 500.0 - 1.0).abs() < 0.07, "{p50}");
        assert!((p99 / 990.0 - 1.0).abs() < 0.07, "{p99}");
    }
}
