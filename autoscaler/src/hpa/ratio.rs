//! From a metric to replicas: the ratio of what is to what should be.

use super::settings::Tolerance;

/// What one metric reads.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Reading {
    /// The metric's sum over the replicas that reported it.
    pub total: f64,
    /// Ready replicas that reported it.
    pub reporting: u32,
    /// Replicas that are not ready yet. They count as idle where the ratio asks for more, so
    /// that replicas on their way are not asked for twice.
    pub unready: u32,
    /// Ready replicas that did not report. They count as exactly busy where the ratio asks for
    /// fewer and as idle where it asks for more: always against the change.
    pub missing: u32,
}

impl Reading {
    /// The average of those that reported, relative to the target.
    pub fn ratio(&self, target: f64) -> f64 {
        if self.reporting == 0 { 1.0 } else { self.total / f64::from(self.reporting) / target }
    }
}

/// What a metric asks for, and how that came about.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Weighed {
    /// The replicas it asks for.
    pub replicas: u32,
    /// The average relative to the target, over those that are counted.
    pub ratio: f64,
    /// Replicas that are counted: those that reported, and where it matters the others.
    pub counted: u32,
    /// What the replicas follow from.
    pub basis: Basis,
}

/// What a number of replicas follows from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Basis {
    /// The ratio.
    Ratio,
    /// The ratio is near enough to 1 to change nothing.
    Tolerance,
    /// Counting those that did not report takes the reason for a change away.
    Doubt,
}

/// What a metric asks for when there are `current` replicas.
///
/// `target` is the average per replica to aim for, above 0. Without reports no change is asked for.
pub fn weigh(current: u32, reading: Reading, target: f64, tolerance: Tolerance) -> Weighed {
    let Reading { total, reporting, unready, missing } = reading;
    let ratio = reading.ratio(target);
    let keeps = |basis, ratio, counted| Weighed { replicas: current, ratio, counted, basis };
    if reporting == 0 {
        return keeps(Basis::Tolerance, ratio, reporting);
    }
    let grows_while_starting = unready > 0 && ratio > 1.0;
    if !grows_while_starting && missing == 0 {
        if tolerance.covers(ratio) {
            return keeps(Basis::Tolerance, ratio, reporting);
        }
        let replicas = scaled(ratio, reporting);
        return Weighed { replicas, ratio, counted: reporting, basis: Basis::Ratio };
    }
    let mut counted = reporting;
    let mut assumed = total;
    if missing > 0 {
        counted = counted.saturating_add(missing);
        assumed += if ratio < 1.0 { f64::from(missing) * target } else { 0.0 };
    }
    if grows_while_starting {
        counted = counted.saturating_add(unready);
    }
    let cautious = assumed / f64::from(counted) / target;
    let turned = (ratio < 1.0 && cautious > 1.0) || (ratio > 1.0 && cautious < 1.0);
    if tolerance.covers(cautious) {
        return keeps(Basis::Tolerance, cautious, counted);
    }
    let wanted = scaled(cautious, counted);
    let against = (cautious < 1.0 && wanted > current) || (cautious > 1.0 && wanted < current);
    if turned || against {
        return keeps(Basis::Doubt, cautious, counted);
    }
    Weighed { replicas: wanted, ratio: cautious, counted, basis: Basis::Ratio }
}

/// Rounded up; beyond the range the largest number.
fn scaled(ratio: f64, replicas: u32) -> u32 {
    (ratio * f64::from(replicas)).ceil() as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    fn replicas_for(current: u32, reading: Reading, target: f64, tolerance: Tolerance) -> u32 {
        weigh(current, reading, target, tolerance).replicas
    }

    fn reading(total: f64, reporting: u32) -> Reading {
        Reading { total, reporting, unready: 0, missing: 0 }
    }

    #[test]
    fn replicas_follow_the_ratio() {
        let tolerance = Tolerance::default();
        // The documentation's own example: 200m against a target of 100m doubles, 50m halves.
        assert_eq!(replicas_for(3, reading(600.0, 3), 100.0, tolerance), 6);
        assert_eq!(replicas_for(4, reading(200.0, 4), 100.0, tolerance), 2);
        assert_eq!(replicas_for(3, reading(301.0, 3), 90.0, tolerance), 4);
        assert_eq!(replicas_for(4, reading(0.0, 4), 100.0, tolerance), 0);
    }

    #[test]
    fn near_enough_changes_nothing() {
        let tolerance = Tolerance::default();
        for total in [360.0, 400.0, 440.0] {
            assert_eq!(replicas_for(4, reading(total, 4), 100.0, tolerance), 4, "{total}");
        }
        assert_eq!(replicas_for(4, reading(441.0, 4), 100.0, tolerance), 5);
        assert_eq!(replicas_for(4, reading(359.0, 4), 100.0, tolerance), 4);
        assert_eq!(replicas_for(4, reading(299.0, 4), 100.0, tolerance), 3);
    }

    #[test]
    fn starting_replicas_dampen_growth_only() {
        let tolerance = Tolerance::default();
        let starting = |total| Reading { unready: 3, ..reading(total, 3) };
        // Twice the target on three, with three more on their way: enough.
        assert_eq!(replicas_for(6, starting(600.0), 100.0, tolerance), 6);
        assert_eq!(replicas_for(6, starting(900.0), 100.0, tolerance), 9);
        assert_eq!(replicas_for(6, starting(150.0), 100.0, tolerance), 2);
    }

    #[test]
    fn missing_reports_count_against_the_change() {
        let tolerance = Tolerance::default();
        let missing = |total| Reading { missing: 2, ..reading(total, 2) };
        // Half idle: the silent two are taken for exactly busy, 3 of 4.
        assert_eq!(replicas_for(4, missing(100.0), 100.0, tolerance), 3);
        // Thrice the target on two: the silent two are taken for idle, 6 instead of 12.
        assert_eq!(replicas_for(4, missing(600.0), 100.0, tolerance), 6);
        // Slightly over: with the silent two it would be under, so nothing changes.
        assert_eq!(replicas_for(4, missing(240.0), 100.0, tolerance), 4);
        assert_eq!(replicas_for(4, reading(9.0, 0), 100.0, tolerance), 4);
    }

    #[test]
    fn absurd_numbers_saturate() {
        let tolerance = Tolerance::default();
        assert_eq!(replicas_for(4, reading(1e300, 4), 0.01, tolerance), u32::MAX);
        let crowd = Reading { total: 1e18, reporting: u32::MAX, unready: 9, missing: 9 };
        assert!(replicas_for(4, crowd, 1.0, tolerance) > 4);
    }
}
