//! What many functions look like, and how far two such pictures are apart.
//!
//! All of it is measured on counts per minute, because public traces have no more; so a recording
//! with exact times and a trace of counts are looked at alike. Of each function: how often it is
//! called, how far gaps between calls vary, and the variance over the mean of its counts in one,
//! eight and sixty minutes. Of each app: whether its functions are called in the same minutes.
//!
//! The distance of two pictures is, for each of these, the largest difference between the two
//! distribution functions: 0 when they are the same, 1 when they have nothing in common.

use std::collections::HashMap;

use tidegate_sim::arrival::{RevisionIndex, SourceError, Traffic};

/// Seconds of a minute.
pub(crate) const MINUTE_S: f64 = 60.0;
/// Nanoseconds of a minute.
const MINUTE_NS: u64 = 60_000_000_000;
/// Lengths of the intervals that calls are counted in, minutes.
pub const DISPERSION_MINUTES: [u64; 3] = [1, 8, 60];
/// Functions of one app that are compared with each other: pairs grow with the square.
const COMPARED_MAX: usize = 16;
/// Gaps that a clock needs to be told from chance, and the share of them that has to be regular.
const CLOCK_GAPS_MIN: u64 = 3;
const CLOCK_SHARE: f64 = 0.9;

/// One function.
#[derive(Debug, Clone, PartialEq)]
pub struct FunctionPortrait {
    /// Calls.
    pub calls: u64,
    /// Coefficient of variation of the gaps between its calls in whole minutes; `None` for fewer
    /// than three calls.
    pub gap_variation: Option<f64>,
    /// Variance over mean of its counts in intervals of [`DISPERSION_MINUTES`].
    pub dispersions: [f64; 3],
    /// Period in seconds and calls each time, if a clock calls it.
    pub clock: Option<(f64, u32)>,
}

/// Many functions.
#[derive(Debug, Clone, PartialEq)]
pub struct Portrait {
    /// Those that are called, in order of their first call.
    pub functions: Vec<FunctionPortrait>,
    /// Apps among them. A function's app is what stands before the last `/` of its name.
    pub apps: usize,
    /// How far two functions of one app are called in the same minutes: mean correlation; `None`
    /// when no app has two functions.
    pub together: Option<f64>,
    /// Whole minutes that were looked at.
    pub minutes: u64,
}

/// How far two portraits are apart.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PortraitDistance {
    /// Of calls per function.
    pub calls: f64,
    /// Of the variation of gaps.
    pub gap_variation: f64,
    /// Of the dispersion of counts in intervals of [`DISPERSION_MINUTES`].
    pub dispersions: [f64; 3],
    /// Difference of the share of functions that a clock calls.
    pub clocks: f64,
    /// Difference of how far functions of one app are called together, where both have any.
    pub together: Option<f64>,
}

/// Counts of one function while traffic is read.
#[derive(Debug, Clone, Default)]
struct Tally {
    calls: u64,
    first: u64,
    last: u64,
    /// Squares of gaps in minutes; most gaps are 0 where many calls share one.
    gap_squares: f64,
    minute: Counted,
    eight: Counted,
    hour: Counted,
    active: u64,
    /// The last gap between active minutes, and how often it was as long as the one before.
    gap: u64,
    repeated: u64,
    /// Calls of the last active minute but one, and how often there were as many as before.
    before: u64,
    equal: u64,
}

/// Counts in intervals of one length.
#[derive(Debug, Clone, Default)]
struct Counted {
    interval: u64,
    count: u64,
    sum: f64,
    squares: f64,
}

/// Which functions of an app are called in the same minutes.
#[derive(Debug, Default)]
struct App {
    members: Vec<u32>,
    minute: u64,
    present: u32,
    joint: HashMap<(u8, u8), u64>,
}

impl Counted {
    fn add(&mut self, interval: u64, whole: u64) {
        if interval != self.interval {
            self.close(whole);
            self.interval = interval;
        }
        self.count += 1;
    }

    /// Takes the interval that is counted into the sums, if it is one of the first `whole`.
    fn close(&mut self, whole: u64) {
        if self.interval < whole {
            let count = self.count as f64;
            self.sum += count;
            self.squares += count * count;
        }
        self.count = 0;
    }

    /// Variance over mean over the first `whole` intervals.
    fn dispersion(mut self, whole: u64) -> f64 {
        self.close(whole);
        if whole == 0 || self.sum == 0.0 {
            return 0.0;
        }
        let mean = self.sum / whole as f64;
        (self.squares / whole as f64 - mean * mean).max(0.0) / mean
    }
}

impl Tally {
    fn call(&mut self, minute: u64) {
        if self.calls == 0 {
            (self.first, self.last, self.active) = (minute, minute, 1);
        } else if minute != self.last {
            let gap = minute - self.last;
            self.gap_squares += (gap * gap) as f64;
            // A period that is no whole number of minutes lies now in one more, now in one fewer.
            self.repeated += u64::from(self.active > 1 && gap.abs_diff(self.gap) <= 1);
            if self.minute.count == self.before || self.active == 1 {
                self.equal += 1;
            }
            self.before = self.minute.count;
            (self.gap, self.last) = (gap, minute);
            self.active += 1;
        }
        self.calls += 1;
        let counted = [&mut self.minute, &mut self.eight, &mut self.hour];
        for (counted, length) in counted.into_iter().zip(DISPERSION_MINUTES) {
            // The end is not known yet; what lies in the last, unfinished interval is taken off
            // when it is.
            counted.add(minute / length, u64::MAX);
        }
    }

    fn portrait(self, minutes: u64) -> FunctionPortrait {
        let clock = self.clock(minutes);
        let gaps = self.calls.saturating_sub(1) as f64;
        let mean = (self.last - self.first) as f64 / gaps;
        let gap_variation = (self.calls >= 3).then(|| match mean > 0.0 {
            true => libm::sqrt((self.gap_squares / gaps - mean * mean).max(0.0)) / mean,
            false => 0.0,
        });
        let [one, eight, hour] = DISPERSION_MINUTES.map(|length| minutes / length);
        let dispersions =
            [self.minute.dispersion(one), self.eight.dispersion(eight), self.hour.dispersion(hour)];
        FunctionPortrait { calls: self.calls, gap_variation, dispersions, clock }
    }

    /// Period and calls each time, where gaps or counts are regular enough for a clock.
    fn clock(&self, minutes: u64) -> Option<(f64, u32)> {
        let share = |part: u64, of: u64| part as f64 >= CLOCK_SHARE * of as f64;
        let gaps = self.active.saturating_sub(1);
        if gaps < CLOCK_GAPS_MIN {
            return None;
        }
        let calls = self.calls as f64;
        if share(self.active, minutes) && self.calls >= 2 * minutes {
            // Several times a minute, and about as often in each.
            let dispersion = self.minute.clone().dispersion(minutes);
            return (dispersion <= 0.1).then(|| (minutes as f64 * MINUTE_S / calls, 1));
        }
        let regular = share(self.repeated, gaps - 1) && share(self.equal, gaps);
        regular.then(|| {
            let each = (calls / self.active as f64).round().max(1.0);
            let period_s = (self.last - self.first) as f64 * MINUTE_S / gaps as f64;
            (period_s, each as u32)
        })
    }
}

impl App {
    fn call(&mut self, revision: u32, minute: u64) {
        let known = self.members.iter().position(|member| *member == revision);
        let place = known.unwrap_or(self.members.len());
        if known.is_none() && place < COMPARED_MAX {
            self.members.push(revision);
        }
        if minute != self.minute {
            self.close();
            self.minute = minute;
        }
        if place < COMPARED_MAX {
            self.present |= 1 << place;
        }
    }

    /// Counts the pairs of the minute that is over.
    fn close(&mut self) {
        let present = std::mem::take(&mut self.present);
        if present.count_ones() < 2 {
            return;
        }
        let places = (0..COMPARED_MAX as u8).filter(|place| present >> place & 1 == 1);
        let places: Vec<u8> = places.collect();
        for (at, one) in places.iter().enumerate() {
            for other in &places[at + 1..] {
                *self.joint.entry((*one, *other)).or_default() += 1;
            }
        }
    }

    /// Correlations of all pairs: their sum, and how many there are.
    fn correlations(mut self, active: impl Fn(u32) -> u64, minutes: f64) -> (f64, u64) {
        self.close();
        let (mut sum, mut pairs) = (0.0, 0);
        for one in 0..self.members.len() {
            for other in one + 1..self.members.len() {
                let joint = self.joint.get(&(one as u8, other as u8)).copied().unwrap_or(0);
                let share = |place: usize| active(self.members[place]) as f64 / minutes;
                let (p, q) = (share(one), share(other));
                let spread = libm::sqrt(p * (1.0 - p) * q * (1.0 - q));
                if spread > 0.0 {
                    sum += (joint as f64 / minutes - p * q) / spread;
                    pairs += 1;
                }
            }
        }
        (sum, pairs)
    }
}

impl Portrait {
    /// Looks at all of `traffic`.
    ///
    /// # Errors
    ///
    /// What reading it reports.
    pub fn of(traffic: &dyn Traffic) -> Result<Portrait, SourceError> {
        Portrait::between(traffic, 0, u64::MAX)
    }

    /// Looks at the minutes from `from` on, at most so many.
    ///
    /// # Errors
    ///
    /// What reading the traffic reports.
    pub fn between(traffic: &dyn Traffic, from: u64, most: u64) -> Result<Portrait, SourceError> {
        let mut tallies: Vec<Tally> = Vec::new();
        let mut apps: Vec<App> = Vec::new();
        let mut app_of: Vec<u32> = Vec::new();
        let mut by_name: HashMap<String, u32> = HashMap::new();
        let mut minutes = 0;
        let mut source = traffic.open()?;
        while let Some(arrival) = source.next() {
            let arrival = arrival?;
            let Some(minute) = (arrival.at.as_nanos() / MINUTE_NS).checked_sub(from) else {
                continue;
            };
            if minute >= most {
                break;
            }
            minutes = minutes.max(minute + 1);
            let RevisionIndex(index) = arrival.revision;
            while app_of.len() <= index as usize {
                let name = source.names().name(RevisionIndex(app_of.len() as u32));
                let app = name.rsplit_once('/').map_or(name, |(app, _)| app).to_owned();
                let number = *by_name.entry(app).or_insert(apps.len() as u32);
                if number as usize == apps.len() {
                    apps.push(App::default());
                }
                app_of.push(number);
            }
            tallies.resize_with(tallies.len().max(app_of.len()), Tally::default);
            tallies[index as usize].call(minute);
            apps[app_of[index as usize] as usize].call(index, minute);
        }
        Ok(finish(tallies, apps, minutes))
    }

    /// How far it is from another one.
    pub fn distance(&self, other: &Portrait) -> PortraitDistance {
        let of = |value: fn(&FunctionPortrait) -> Option<f64>| {
            let values = |portrait: &Portrait| {
                let mut values: Vec<f64> = portrait.functions.iter().filter_map(value).collect();
                values.sort_by(f64::total_cmp);
                values
            };
            largest_difference(&values(self), &values(other))
        };
        let clocks = |portrait: &Portrait| {
            let count = portrait.functions.iter().filter(|one| one.clock.is_some()).count();
            count as f64 / portrait.functions.len().max(1) as f64
        };
        let together = self.together.zip(other.together).map(|(one, other)| (one - other).abs());
        PortraitDistance {
            calls: of(|one| Some(one.calls as f64)),
            gap_variation: of(|one| one.gap_variation),
            dispersions: [
                of(|one| Some(one.dispersions[0])),
                of(|one| Some(one.dispersions[1])),
                of(|one| Some(one.dispersions[2])),
            ],
            clocks: (clocks(self) - clocks(other)).abs(),
            together,
        }
    }
}

fn finish(tallies: Vec<Tally>, apps: Vec<App>, minutes: u64) -> Portrait {
    let active: Vec<u64> = tallies.iter().map(|tally| tally.active).collect();
    let (mut sum, mut pairs, mut called) = (0.0, 0, 0);
    for app in apps {
        called += usize::from(!app.members.is_empty());
        let of = |revision: u32| active.get(revision as usize).copied().unwrap_or(0);
        let (more, further) = app.correlations(of, minutes.max(1) as f64);
        sum += more;
        pairs += further;
    }
    let called_ones = tallies.into_iter().filter(|tally| tally.calls > 0);
    Portrait {
        functions: called_ones.map(|tally| tally.portrait(minutes)).collect(),
        apps: called,
        together: (pairs > 0).then(|| sum / pairs as f64),
        minutes,
    }
}

/// The largest difference between the distribution functions of two sets of sorted values.
fn largest_difference(one: &[f64], other: &[f64]) -> f64 {
    if one.is_empty() || other.is_empty() {
        return if one.is_empty() && other.is_empty() { 0.0 } else { 1.0 };
    }
    let share = |values: &[f64], value: f64| {
        values.partition_point(|it| *it <= value) as f64 / values.len() as f64
    };
    let values = one.iter().chain(other);
    values.map(|value| (share(one, *value) - share(other, *value)).abs()).fold(0.0, f64::max)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tidegate_sim::time::SimSpan;

    use super::*;
    use crate::{Generated, Merged};

    #[test]
    fn clocks_rates_and_variation_are_seen() {
        let hours = SimSpan::from_secs(8 * 3_600);
        let specs =
            ["a/1=timer:5m", "a/2=timer:5m,1s", "b/1=poisson:2/m", "c/1=timer:5s", "d/1=poisson:1"];
        let parts: Vec<Arc<dyn Traffic>> = (0..)
            .zip(specs)
            .map(|(number, spec)| Generated::shared(spec, number, hours, 3).expect("it parses"))
            .collect();
        let portrait = Portrait::of(&Merged::new(parts)).expect("it reads");
        assert_eq!((portrait.functions.len(), portrait.apps, portrait.minutes), (5, 4, 480));
        let mut clocks: Vec<_> = portrait.functions.iter().filter_map(|one| one.clock).collect();
        clocks.sort_by(|one, other| one.0.total_cmp(&other.0));
        assert_eq!(clocks, [(5.0, 1), (300.0, 1), (300.0, 1)]);
        // Both are called in the same minutes.
        assert!(portrait.together.is_some_and(|together| together > 0.99), "{portrait:?}");
        let chance: Vec<_> = portrait.functions.iter().filter(|one| one.clock.is_none()).collect();
        for one in &chance {
            assert!((one.dispersions[0] - 1.0).abs() < 0.2, "{one:?}");
        }
        assert_eq!(portrait.distance(&portrait).calls, 0.0);
    }
}
