//! What was seen of a revision in the last hour, coarser the longer ago.

use std::collections::VecDeque;

use serde::Serialize;

/// How far back it goes, in milliseconds.
pub(crate) const REACH_MS: i64 = 3_600_000;

/// Points of all revisions together: 64 bytes each, so 40 MB.
pub(crate) const POINTS_IN_ALL_MAX: usize = 600_000;

/// Points of one revision: as many as a wide screen has columns to show.
pub(crate) const POINTS_MAX: usize = 1_200;

/// Points of one revision, however many share the room: enough to see where it comes from.
pub(crate) const POINTS_MIN: usize = 8;

/// What was seen at one moment; it holds until the next.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Point {
    /// When, in Unix milliseconds.
    pub(crate) at_ms: i64,
    /// What was seen.
    pub(crate) load: Load,
}

/// The figures of a point.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(crate) struct Load {
    /// Requests executing and waiting.
    pub(crate) in_flight: f32,
    /// Load over the stable window.
    pub(crate) stable: f32,
    /// Load over the panic window.
    pub(crate) panic: f32,
    /// Requests that ended, a second.
    pub(crate) rate: f32,
    /// Those of them that failed.
    pub(crate) failed: f32,
    /// Requests in queues.
    pub(crate) waiting: u32,
    /// Instances wanted.
    pub(crate) wanted: u32,
    /// Instances that take requests.
    pub(crate) ready: u32,
    /// Instances that do not yet.
    pub(crate) starting: u32,
    /// Instances that do not any more.
    pub(crate) draining: u32,
    /// Instances that stand still.
    pub(crate) frozen: u32,
    /// Revisions in panic: 0 or 1 of one revision.
    pub(crate) panicking: u32,
}

impl Load {
    /// Two neighbours as one, of `before_ms` and `after_ms`: the mean of what flows, the most of
    /// what should not be missed, the later of what is counted.
    fn joined(before: Load, before_ms: f32, after: Load, after_ms: f32) -> Load {
        let whole_ms = (before_ms + after_ms).max(1.0);
        let mean = |a: f32, b: f32| (a * before_ms + b * after_ms) / whole_ms;
        Load {
            in_flight: mean(before.in_flight, after.in_flight),
            stable: mean(before.stable, after.stable),
            panic: mean(before.panic, after.panic),
            rate: mean(before.rate, after.rate),
            failed: mean(before.failed, after.failed),
            waiting: before.waiting.max(after.waiting),
            wanted: after.wanted,
            ready: after.ready,
            starting: before.starting.max(after.starting),
            draining: before.draining.max(after.draining),
            frozen: after.frozen,
            panicking: before.panicking.max(after.panicking),
        }
    }
}

/// A bounded history.
#[derive(Debug, Default)]
pub(crate) struct Trail {
    points: VecDeque<Point>,
}

impl Trail {
    /// Adds what is seen now. What equals the last point adds nothing; beyond `most` points, the
    /// older half is made coarser.
    pub(crate) fn push(&mut self, at_ms: i64, load: Load, most: usize) {
        let is_news = self.points.back().is_none_or(|last| last.load != load);
        if is_news {
            self.points.push_back(Point { at_ms, load });
        }
        // What still holds where the hour begins is kept.
        while self.points.get(1).is_some_and(|second| second.at_ms <= at_ms - REACH_MS) {
            self.points.pop_front();
        }
        while self.points.len() > most.max(2) {
            self.thin();
        }
    }

    /// Joins each two neighbours of the older half.
    fn thin(&mut self) {
        let joined = (self.points.len() / 4).max(1);
        let mut points = VecDeque::with_capacity(self.points.len());
        for nth in 0..joined {
            let (first, second) = (self.points[2 * nth], self.points[2 * nth + 1]);
            let end_ms = self.points.get(2 * nth + 2).map_or(second.at_ms, |next| next.at_ms);
            let before_ms = (second.at_ms - first.at_ms) as f32;
            let after_ms = (end_ms - second.at_ms) as f32;
            let load = Load::joined(first.load, before_ms, second.load, after_ms);
            points.push_back(Point { at_ms: first.at_ms, load });
        }
        points.extend(self.points.iter().skip(2 * joined));
        self.points = points;
    }

    /// How many points it has.
    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.points.len()
    }

    /// Its points, the oldest first.
    pub(crate) fn points(&self) -> impl Iterator<Item = &Point> {
        self.points.iter()
    }

    /// Requests in flight at `count` moments up to `until_ms`, one every `step_ms`.
    pub(crate) fn in_flight(&self, until_ms: i64, step_ms: i64, count: usize) -> Vec<f32> {
        let mut points = self.points.iter().rev().peekable();
        let mut values: Vec<f32> = (0..count)
            .map(|back| {
                let at_ms = until_ms - step_ms * i64::try_from(back).unwrap_or(i64::MAX);
                while points.next_if(|point| point.at_ms > at_ms).is_some() {}
                points.peek().map_or(0.0, |point| rounded(point.load.in_flight))
            })
            .collect();
        values.reverse();
        values
    }

    /// Its points column by column: shorter than the name of each figure at each point.
    pub(crate) fn columns(&self) -> Columns {
        let mut columns = Columns::default();
        self.points.iter().for_each(|point| columns.add(point));
        columns
    }
}

/// Points of a trail, column by column.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Columns {
    at: Vec<i64>,
    in_flight: Vec<f32>,
    stable: Vec<f32>,
    panic: Vec<f32>,
    rate: Vec<f32>,
    failed: Vec<f32>,
    waiting: Vec<u32>,
    wanted: Vec<u32>,
    ready: Vec<u32>,
    starting: Vec<u32>,
    draining: Vec<u32>,
    frozen: Vec<u32>,
    panicking: Vec<u32>,
}

impl Columns {
    /// One point alone.
    pub(crate) fn of(point: &Point) -> Columns {
        let mut columns = Columns::default();
        columns.add(point);
        columns
    }

    fn add(&mut self, Point { at_ms, load }: &Point) {
        self.at.push(*at_ms);
        self.in_flight.push(rounded(load.in_flight));
        self.stable.push(rounded(load.stable));
        self.panic.push(rounded(load.panic));
        self.rate.push(rounded(load.rate));
        self.failed.push(rounded(load.failed));
        self.waiting.push(load.waiting);
        self.wanted.push(load.wanted);
        self.ready.push(load.ready);
        self.starting.push(load.starting);
        self.draining.push(load.draining);
        self.frozen.push(load.frozen);
        self.panicking.push(load.panicking);
    }
}

/// A figure as it is told: to a hundredth, which is finer than any column of a screen.
pub(crate) fn rounded(value: f32) -> f32 {
    match value.is_finite() {
        true => (value * 100.0).round() / 100.0,
        false => 0.0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(in_flight: f32) -> Load {
        Load { in_flight, ..Load::default() }
    }

    #[test]
    fn what_does_not_change_adds_nothing() {
        let mut trail = Trail::default();
        for second in 0..1_000 {
            trail.push(second * 1_000, load(3.0), POINTS_MAX);
        }
        assert_eq!(trail.len(), 1);
        assert_eq!(trail.in_flight(999_000, 1_000, 3), [3.0, 3.0, 3.0]);
    }

    #[test]
    fn an_hour_of_changes_fits_and_its_mean_is_kept() {
        let mut trail = Trail::default();
        for second in 0..3_600 {
            let busy = if second % 2 == 0 { 10.0 } else { 0.0 };
            trail.push(second * 1_000, load(busy), 100);
            assert!(trail.len() <= 100);
        }
        let points: Vec<Point> = trail.points().copied().collect();
        assert_eq!(points[0].at_ms, 0);
        let oldest = points[0].load.in_flight;
        assert!((oldest - 5.0).abs() < 0.5, "{oldest} is the mean of a long time");
        assert_eq!(points[99].load, load(0.0), "the newest are as they were");
        assert!(points.windows(2).all(|pair| pair[0].at_ms < pair[1].at_ms));
    }

    #[test]
    fn what_is_older_than_an_hour_goes_but_for_what_still_holds() {
        let mut trail = Trail::default();
        trail.push(0, load(1.0), POINTS_MAX);
        trail.push(1_000, load(2.0), POINTS_MAX);
        trail.push(REACH_MS + 500_000, load(3.0), POINTS_MAX);
        let at: Vec<i64> = trail.points().map(|point| point.at_ms).collect();
        assert_eq!(at, [1_000, REACH_MS + 500_000]);
    }

    #[test]
    fn room_that_is_shared_by_more_is_given_up() {
        let mut trail = Trail::default();
        for second in 0_u16..1_000 {
            trail.push(i64::from(second) * 1_000, load(f32::from(second)), POINTS_MAX);
        }
        trail.push(1_000_000, load(7.0), POINTS_MIN);
        assert!(trail.len() <= POINTS_MIN);
        let mut smallest = Trail::default();
        for second in 0_u16..100 {
            smallest.push(i64::from(second), load(f32::from(second)), 0);
        }
        assert_eq!(smallest.len(), 2);
    }

    #[test]
    fn what_is_no_number_is_told_as_none() {
        assert_eq!((rounded(f32::NAN), rounded(f32::INFINITY), rounded(1.239)), (0.0, 0.0, 1.24));
    }
}
