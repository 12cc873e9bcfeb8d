//! Service times known only by their percentiles.

use tidegate_sim::random::Stream;

/// A law of service times given by points of its distribution function, drawn uniformly between two
/// neighbouring points as InVitro does. Published percentiles of averages understate the tail; this
/// adds nothing to it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct ServiceProfile {
    /// Shares (0 to 1, rising) with the service time in nanoseconds that is not exceeded in so
    /// many.
    points: Vec<(f64, f64)>,
}

impl ServiceProfile {
    /// A profile of `points`; `None` without any. Points are sorted by share, and a time below its
    /// predecessor's is raised to it.
    pub(crate) fn new(mut points: Vec<(f64, f64)>) -> Option<Self> {
        points.sort_by(|left, right| left.0.total_cmp(&right.0));
        let mut floor = 0.0_f64;
        for point in &mut points {
            floor = floor.max(point.1);
            point.1 = floor;
        }
        (!points.is_empty()).then_some(ServiceProfile { points })
    }

    /// One service time in nanoseconds.
    pub(crate) fn draw(&self, stream: &mut Stream) -> u64 {
        let share = stream.unit();
        let above = self.points.partition_point(|point| point.0 <= share);
        let last = self.points[self.points.len() - 1];
        let (low, high) = match above {
            0 => return (self.points[0].1 + 0.5) as u64,
            at if at < self.points.len() => (self.points[at - 1], self.points[at]),
            _ => return (last.1 + 0.5) as u64,
        };
        let width = high.0 - low.0;
        let inside = if width > 0.0 { (share - low.0) / width } else { 0.0 };
        (low.1 + inside * (high.1 - low.1) + 0.5) as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tidegate_sim::random::Streams;

    #[test]
    fn draws_fall_into_the_buckets_of_the_percentiles() {
        let points = vec![(0.0, 10.0), (0.5, 20.0), (0.99, 100.0), (1.0, 1_000.0)];
        let profile = ServiceProfile::new(points).expect("there are points");
        let mut stream = Streams::new(3).stream("test", 0);
        let draws: Vec<u64> = (0..100_000).map(|_| profile.draw(&mut stream)).collect();
        let share = |limit: u64| {
            draws.iter().filter(|draw| **draw <= limit).count() as f64 / draws.len() as f64
        };
        assert!((share(20) - 0.5).abs() < 0.03, "{}", share(20));
        assert!((share(100) - 0.99).abs() < 0.002, "{}", share(100));
        assert!(draws.iter().all(|draw| (10..=1_000).contains(draw)));
    }

    #[test]
    fn falling_percentiles_are_raised() {
        let profile = ServiceProfile::new(vec![(0.0, 5.0), (1.0, 3.0)]).expect("there are points");
        assert_eq!(profile.draw(&mut Streams::new(1).stream("test", 0)), 5);
        assert_eq!(ServiceProfile::new(Vec::new()), None);
    }
}
