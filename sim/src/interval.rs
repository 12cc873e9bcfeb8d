//! Where the true mean of a figure lies, when only some seeds were tried.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// A figure over several seeds: its mean, its 95 % interval, and its extremes.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Interval {
    /// Mean over the seeds.
    pub mean: f64,
    /// Lower end of the 95 % interval of the mean.
    pub low: f64,
    /// Upper end.
    pub high: f64,
    /// Least value of any seed.
    pub least: f64,
    /// Greatest value of any seed.
    pub most: f64,
}

/// Every figure of a run over several seeds.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct OverSeeds {
    /// The seeds; each gives the same when it is run alone.
    pub seeds: Vec<u64>,
    /// Each figure by the name it has in objectives.
    pub figures: BTreeMap<String, Interval>,
    /// In a comparison, how far each figure is from that of the first variant, paired by seed: with
    /// the same seed both see the same arrivals and the same work.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub differences: BTreeMap<String, Interval>,
}

/// Student's t at 97.5 % for 1 to 30 degrees of freedom.
const STUDENT: [f64; 30] = [
    12.706_205, 4.302_653, 3.182_446, 2.776_445, 2.570_582, 2.446_912, 2.364_624, 2.306_004,
    2.262_157, 2.228_139, 2.200_985, 2.178_813, 2.160_369, 2.144_787, 2.131_450, 2.119_905,
    2.109_816, 2.100_922, 2.093_024, 2.085_963, 2.079_614, 2.073_873, 2.068_658, 2.063_899,
    2.059_539, 2.055_529, 2.051_831, 2.048_407, 2.045_230, 2.042_272,
];

/// The normal distribution at 97.5 %.
const NORMAL: f64 = 1.959_963_985;

impl Interval {
    /// The interval of `values`, one for each seed: Student's t, which takes them for independent
    /// and their mean for nearly normal. `None` for fewer than two values, which say nothing about
    /// how far they scatter.
    pub fn of(values: &[f64]) -> Option<Interval> {
        let count = values.len() as f64;
        if values.len() < 2 {
            return None;
        }
        let mean = values.iter().sum::<f64>() / count;
        let squares: f64 = values.iter().map(|value| (value - mean) * (value - mean)).sum();
        let error = libm::sqrt(squares / (count - 1.0) / count);
        let half = student(values.len() - 1) * error;
        Some(Interval {
            mean,
            low: mean - half,
            high: mean + half,
            least: values.iter().copied().fold(f64::INFINITY, f64::min),
            most: values.iter().copied().fold(f64::NEG_INFINITY, f64::max),
        })
    }

    /// The interval of what differs between two runs, seed by seed: with the same seed both see the
    /// same arrivals and the same work, so that what they have in common cancels out.
    pub fn of_differences(before: &[f64], after: &[f64]) -> Option<Interval> {
        let pairs = before.iter().zip(after);
        Interval::of(&pairs.map(|(before, after)| after - before).collect::<Vec<_>>())
    }

    /// Half of its width.
    pub fn half_width(&self) -> f64 {
        (self.high - self.low) / 2.0
    }

    /// Whether zero lies in it: a difference of which this holds may be chance.
    pub fn covers_zero(&self) -> bool {
        self.low <= 0.0 && self.high >= 0.0
    }
}

/// Student's t at 97.5 %; beyond the table by the expansion of Cornish and Fisher, which is exact
/// to six digits there.
fn student(freedom: usize) -> f64 {
    let Some(known) = STUDENT.get(freedom.wrapping_sub(1)) else {
        let (z, n) = (NORMAL, freedom as f64);
        let (cube, fifth) = (z * z * z, z * z * z * z * z);
        let seventh = fifth * z * z;
        let first = (cube + z) / (4.0 * n);
        let second = (5.0 * fifth + 16.0 * cube + 3.0 * z) / (96.0 * n * n);
        let third = (3.0 * seventh + 19.0 * fifth + 17.0 * cube - 15.0 * z) / (384.0 * n * n * n);
        return z + first + second + third;
    };
    *known
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn intervals_are_those_of_the_textbook() {
        let interval = Interval::of(&[1.0, 2.0, 3.0, 4.0, 5.0]).expect("there are five");
        // 3 and 2.776 times the root of 2.5 / 5.
        assert!((interval.mean - 3.0).abs() < 1e-12);
        assert!((interval.half_width() - 1.963_243).abs() < 1e-5, "{}", interval.half_width());
        assert_eq!((interval.least, interval.most), (1.0, 5.0));
        assert_eq!(Interval::of(&[1.0]), None);
    }

    #[test]
    fn the_table_goes_over_into_the_expansion() {
        assert!((student(31) - 2.039_513).abs() < 1e-5, "{}", student(31));
        assert!((student(100) - 1.983_972).abs() < 1e-5, "{}", student(100));
        assert!((student(10_000) - 1.960_201).abs() < 1e-5, "{}", student(10_000));
    }

    #[test]
    fn pairs_see_what_means_alone_cannot() {
        let before = [10.0, 200.0, 3_000.0, 40_000.0];
        let after = before.map(|value| value - 1.0);
        let difference = Interval::of_differences(&before, &after).expect("there are four");
        assert!(!difference.covers_zero(), "{difference:?}");
        let apart = Interval::of(&after).expect("there are four");
        assert!(apart.covers_zero(), "the seeds scatter by far more: {apart:?}");
        let same = Interval::of_differences(&before, &before).expect("there are four");
        assert!(same.covers_zero());
    }
}
