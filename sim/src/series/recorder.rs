//! Fills a series while the simulation runs.

use super::sketch::Sketch;
use super::{MAX_POINTS, SeriesPoint, TimeSeries};
use crate::record::Outcome;
use crate::time::NANOS_PER_SEC;

/// Something with a value at every instant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Level {
    Concurrency,
    Waiting,
    Starting,
    Ready,
    Draining,
    Busy,
    Wanted,
    Panicking,
    Proxied,
}

/// Number of levels.
const LEVELS: usize = 9;

/// Something that happens at an instant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Count {
    Arrival,
    Completed,
    Rejected,
    TimedOut,
    Failed,
    ColdStart,
}

/// Number of kinds of count.
const COUNTS: usize = 6;

#[derive(Debug, Clone, Default)]
struct Step {
    counts: [u64; COUNTS],
    /// Level times nanoseconds.
    sums: [f64; LEVELS],
    maxima: [u32; LEVELS],
    wait_max_ns: u64,
    windows: Option<(f64, f64)>,
    latencies: Option<Box<Sketch>>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Track {
    value: u32,
    since: u64,
}

/// A series being filled.
#[derive(Debug, Clone)]
pub(crate) struct SeriesRecorder {
    width: u64,
    steps: Vec<Step>,
    tracks: [Track; LEVELS],
}

impl Step {
    /// Merges the step that follows.
    fn absorb(&mut self, next: Step) {
        for (mine, theirs) in self.counts.iter_mut().zip(next.counts) {
            *mine += theirs;
        }
        for (mine, theirs) in self.sums.iter_mut().zip(next.sums) {
            *mine += theirs;
        }
        for (mine, theirs) in self.maxima.iter_mut().zip(next.maxima) {
            *mine = (*mine).max(theirs);
        }
        self.wait_max_ns = self.wait_max_ns.max(next.wait_max_ns);
        self.windows = next.windows.or(self.windows);
        match (&mut self.latencies, next.latencies) {
            (Some(mine), Some(theirs)) => mine.merge(&theirs),
            (mine @ None, theirs) => *mine = theirs,
            (Some(_), None) => {}
        }
    }
}

impl SeriesRecorder {
    /// An empty series; levels are zero since time zero.
    pub(crate) fn new() -> Self {
        SeriesRecorder {
            width: NANOS_PER_SEC,
            steps: Vec::new(),
            tracks: [Track::default(); LEVELS],
        }
    }

    /// One more of `count` at `now`.
    #[inline]
    pub(crate) fn count(&mut self, now: u64, count: Count) {
        self.step_mut(now).counts[count as usize] += 1;
    }

    /// A request ended at `now` after it was inside and, if it was served, waited for so long.
    pub(crate) fn ended(&mut self, now: u64, outcome: Outcome, inside_ns: u64, waited_ns: u64) {
        let count = match outcome {
            Outcome::Completed => Count::Completed,
            Outcome::Rejected => Count::Rejected,
            Outcome::TimedOut => Count::TimedOut,
            Outcome::Failed | Outcome::InFlight => Count::Failed,
        };
        self.count(now, count);
        if outcome == Outcome::Completed {
            self.latency(now, inside_ns);
            self.wait(now, waited_ns);
        }
    }

    /// A request was answered at `now` after `nanos`.
    #[inline]
    fn latency(&mut self, now: u64, nanos: u64) {
        self.step_mut(now).latencies.get_or_insert_with(Sketch::new).record(nanos);
    }

    /// A request's service began at `now` after a wait of `nanos`.
    #[inline]
    fn wait(&mut self, now: u64, nanos: u64) {
        let step = self.step_mut(now);
        step.wait_max_ns = step.wait_max_ns.max(nanos);
    }

    /// The averages a decision at `now` was made from.
    pub(crate) fn windows(&mut self, now: u64, stable: f64, panic: f64) {
        self.step_mut(now).windows = Some((stable, panic));
    }

    /// `level` is `value` from `now` on.
    #[inline]
    pub(crate) fn set(&mut self, now: u64, level: Level, value: u64) {
        let value = u32::try_from(value).unwrap_or(u32::MAX);
        if self.tracks[level as usize].value != value {
            self.integrate(now, level as usize);
            self.tracks[level as usize].value = value;
        }
    }

    /// The series up to `end`.
    pub(crate) fn finish(mut self, end: u64, revision: Option<String>) -> TimeSeries {
        for level in 0..LEVELS {
            self.integrate(end, level);
        }
        let width = self.width;
        let mut windows = (0.0, 0.0);
        let mut points = Vec::with_capacity(self.steps.len());
        for (index, step) in self.steps.iter().enumerate() {
            let begin = index as u64 * width;
            if begin >= end && begin > 0 {
                break;
            }
            windows = step.windows.unwrap_or(windows);
            points.push(point(step, begin, (end - begin).min(width), windows));
        }
        TimeSeries { revision, step_s: width as f64 / NANOS_PER_SEC as f64, points }
    }

    #[inline]
    fn step_mut(&mut self, at: u64) -> &mut Step {
        let mut index = (at / self.width) as usize;
        if index >= self.steps.len() {
            index = self.extend_to(at);
        }
        &mut self.steps[index]
    }

    /// Makes room for the step that holds `at`, halving the resolution as often as it takes.
    #[cold]
    fn extend_to(&mut self, at: u64) -> usize {
        while (at / self.width) as usize >= MAX_POINTS {
            self.width *= 2;
            let mut halved = Vec::with_capacity(MAX_POINTS);
            let mut steps = std::mem::take(&mut self.steps).into_iter();
            while let Some(mut step) = steps.next() {
                if let Some(next) = steps.next() {
                    step.absorb(next);
                }
                halved.push(step);
            }
            self.steps = halved;
        }
        let index = (at / self.width) as usize;
        if index >= self.steps.len() {
            self.steps.resize_with(index + 1, Step::default);
        }
        index
    }

    /// Adds the level's value since its last change to every step it covers.
    #[inline]
    fn integrate(&mut self, now: u64, level: usize) {
        let Track { value, since } = self.tracks[level];
        if now <= since {
            return;
        }
        self.tracks[level].since = now;
        self.step_mut(now - 1);
        let width = self.width;
        let mut from = since;
        while from < now {
            let index = (from / width) as usize;
            let until = ((index as u64 + 1) * width).min(now);
            let step = &mut self.steps[index];
            step.sums[level] += f64::from(value) * (until - from) as f64;
            step.maxima[level] = step.maxima[level].max(value);
            from = until;
        }
    }
}

fn point(step: &Step, begin: u64, length: u64, windows: (f64, f64)) -> SeriesPoint {
    let mean = |level: Level| step.sums[level as usize] / length.max(1) as f64;
    let max = |level: Level| u64::from(step.maxima[level as usize]);
    let count = |count: Count| step.counts[count as usize];
    let [p50_ms, p95_ms, p99_ms] =
        step.latencies.as_ref().map_or([0.0; 3], |latencies| latencies.at([0.5, 0.95, 0.99]));
    SeriesPoint {
        at_s: begin as f64 / NANOS_PER_SEC as f64,
        length_s: length as f64 / NANOS_PER_SEC as f64,
        arrivals: count(Count::Arrival),
        completed: count(Count::Completed),
        rejected: count(Count::Rejected),
        timed_out: count(Count::TimedOut),
        failed: count(Count::Failed),
        cold_starts: count(Count::ColdStart),
        concurrency_mean: mean(Level::Concurrency),
        concurrency_max: max(Level::Concurrency),
        waiting_mean: mean(Level::Waiting),
        waiting_max: max(Level::Waiting),
        wait_max_ms: step.wait_max_ns as f64 / 1e6,
        starting_mean: mean(Level::Starting),
        starting_max: max(Level::Starting),
        ready_mean: mean(Level::Ready),
        ready_max: max(Level::Ready),
        draining_mean: mean(Level::Draining),
        draining_max: max(Level::Draining),
        busy_mean: mean(Level::Busy),
        wanted_mean: mean(Level::Wanted),
        wanted_max: max(Level::Wanted),
        panic_share: mean(Level::Panicking),
        proxied_share: mean(Level::Proxied),
        stable: windows.0,
        panic: windows.1,
        p50_ms,
        p95_ms,
        p99_ms,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SEC: u64 = NANOS_PER_SEC;

    #[test]
    fn a_level_is_spread_over_the_steps_it_covers() {
        let mut recorder = SeriesRecorder::new();
        recorder.set(SEC / 2, Level::Ready, 4);
        recorder.set(2 * SEC, Level::Ready, 0);
        let series = recorder.finish(3 * SEC, None);
        let means: Vec<f64> = series.points.iter().map(|point| point.ready_mean).collect();
        assert_eq!(means, [2.0, 4.0, 0.0]);
        assert_eq!(series.points[0].ready_max, 4);
    }

    #[test]
    fn a_year_takes_no_more_points_than_a_minute_may_and_loses_no_count() {
        let mut recorder = SeriesRecorder::new();
        let mut area = 0.0;
        for hour in 0..24 * 365_u64 {
            let now = hour * 3_600 * SEC;
            recorder.count(now, Count::Arrival);
            recorder.latency(now, 5_000_000);
            recorder.set(now, Level::Concurrency, hour % 7);
            area += (hour % 7) as f64 * 3_600.0;
        }
        let end = 24 * 365 * 3_600 * SEC;
        let series = recorder.finish(end, None);
        assert!(series.points.len() <= MAX_POINTS, "{}", series.points.len());
        let arrivals: u64 = series.points.iter().map(|point| point.arrivals).sum();
        assert_eq!(arrivals, 24 * 365);
        let sum: f64 =
            series.points.iter().map(|point| point.concurrency_mean * point.length_s).sum();
        assert!((sum / area - 1.0).abs() < 1e-9, "{sum} {area}");
    }
}
