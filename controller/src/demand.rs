//! From many reports to one total a second.
//!
//! Every reporter has a meter that averages what it reported since the last second was closed.
//! Closing a second adds the meters up: silent instances are taken to be as busy as the mean of
//! those that reported, and when none reported there is no total, because silence is not zero.

use std::collections::BTreeMap;

use tidegate_autoscaler::sample::Sample;

use crate::identity::{InstanceName, ReporterId};
use crate::report::Report;

/// The load of a revision in the second that was closed. `None` where there was no report.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Totals {
    /// All instances together.
    pub instances: Option<Sample>,
    /// All activators together.
    pub activators: Option<Sample>,
    /// Activators that have reported before, and not in this second.
    pub silent_activators: usize,
}

/// What instances report, where an activator may be missing that forwarded a part of it. That part
/// is subtracted because its activator tells of it as well; what nobody tells of must stay, or a
/// stream that is cut a moment before the others would read as no load at all.
#[must_use]
pub fn with_what_nobody_tells(instances: Sample, activators: Option<Sample>) -> Sample {
    let told = activators.map_or([0.0; 2], |told| [told.concurrency(), told.request_rate()]);
    let subtracted = Sample::new(
        instances.concurrency(),
        instances.proxied_concurrency().min(told[0]),
        instances.request_rate(),
        instances.proxied_request_rate().min(told[1]),
    );
    // Parts of a valid sample that are smaller are valid.
    subtracted.unwrap_or(instances)
}

/// The meters of one revision.
#[derive(Debug, Default)]
pub struct Demand {
    instances: BTreeMap<InstanceName, Meter>,
    activators: BTreeMap<ReporterId, Meter>,
    /// Momentary sums, so that reading one costs no walk over the meters.
    at_instances: Load,
    at_activators: Load,
}

/// Requests at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Load {
    waiting: u64,
    in_flight: u64,
}

impl Load {
    fn replace(&mut self, before: Self, after: Self) {
        self.waiting = self.waiting + after.waiting - before.waiting;
        self.in_flight = self.in_flight + after.in_flight - before.in_flight;
    }
}

/// Whether a report is newer than all that its reporter sent before. One that is not was sent
/// twice, or overtaken: nothing of it counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Novelty {
    /// It is.
    New,
    /// It is not.
    Seen,
}

/// One reporter's figures since the last second was closed.
#[derive(Debug, Default)]
struct Meter {
    /// Time-weighted sums in the order of a sample's fields, times milliseconds.
    sums: [f64; 4],
    length_ms: f64,
    waiting: u32,
    in_flight: u32,
    last_sequence: u64,
}

impl Meter {
    fn add(&mut self, report: &Report) {
        let length_ms = f64::from(report.length_ms);
        let sample = &report.sample;
        let figures = [
            sample.concurrency(),
            sample.proxied_concurrency(),
            sample.request_rate(),
            sample.proxied_request_rate(),
        ];
        for (sum, figure) in self.sums.iter_mut().zip(figures) {
            *sum += figure * length_ms;
        }
        self.length_ms += length_ms;
        self.note(report);
    }

    fn load(&self) -> Load {
        Load { waiting: self.waiting.into(), in_flight: self.in_flight.into() }
    }

    /// Takes a report that is newer than all before, and keeps the sum over the meters true.
    fn update(
        &mut self,
        report: &Report,
        how: impl FnOnce(&mut Self, &Report),
        sum: &mut Load,
    ) -> Novelty {
        if report.sequence <= self.last_sequence {
            return Novelty::Seen;
        }
        let before = self.load();
        how(self, report);
        sum.replace(before, self.load());
        Novelty::New
    }

    fn note(&mut self, report: &Report) {
        self.waiting = report.waiting;
        self.in_flight = report.in_flight;
        self.last_sequence = report.sequence;
    }

    /// The averages since the last call; `None` if nothing was reported.
    fn take(&mut self) -> Option<[f64; 4]> {
        let length_ms = std::mem::take(&mut self.length_ms);
        let sums = std::mem::take(&mut self.sums);
        (length_ms > 0.0).then(|| sums.map(|sum| sum / length_ms))
    }
}

impl Demand {
    /// Adds what an instance reported. What was seen before, or is older than that, is left out.
    pub fn instance(&mut self, name: &InstanceName, report: &Report) -> Novelty {
        let meter = self.instances.entry(name.clone()).or_default();
        meter.update(report, Meter::add, &mut self.at_instances)
    }

    /// The same of an activator. Its numbers are those of all its reports, so they rise here too.
    pub fn activator(&mut self, reporter: ReporterId, report: &Report) -> Novelty {
        let meter = self.activators.entry(reporter).or_default();
        meter.update(report, Meter::add, &mut self.at_activators)
    }

    /// Notes the newest of old reports: what is momentary in it holds, its averages are history.
    pub fn note_instance(&mut self, name: &InstanceName, report: &Report) -> Novelty {
        let meter = self.instances.entry(name.clone()).or_default();
        meter.update(report, Meter::note, &mut self.at_instances)
    }

    /// What a report of an activator would be.
    #[must_use]
    pub fn novelty(&self, reporter: ReporterId, report: &Report) -> Novelty {
        let last = self.activators.get(&reporter).map_or(0, |meter| meter.last_sequence);
        if report.sequence > last { Novelty::New } else { Novelty::Seen }
    }

    /// The last number that `name` reported under, 0 if it never did.
    #[must_use]
    pub fn last_sequence(&self, name: &InstanceName) -> u64 {
        self.instances.get(name).map_or(0, |meter| meter.last_sequence)
    }

    /// An instance has ended, or another one has taken its name.
    pub fn forget_instance(&mut self, name: &InstanceName) {
        if let Some(meter) = self.instances.remove(name) {
            self.at_instances.replace(meter.load(), Load::default());
        }
    }

    /// An activator's stream has ended, and its requests with it. Gives whether it ever reported.
    pub fn forget_activator(&mut self, reporter: ReporterId) -> bool {
        let Some(meter) = self.activators.remove(&reporter) else { return false };
        self.at_activators.replace(meter.load(), Load::default());
        true
    }

    /// Requests in queues now, at activators and instances.
    #[must_use]
    pub fn waiting(&self) -> u32 {
        narrow(self.at_instances.waiting + self.at_activators.waiting)
    }

    /// Requests held or carried by activators now.
    #[must_use]
    pub fn at_activators(&self) -> u32 {
        narrow(self.at_activators.in_flight)
    }

    /// Requests at one instance now, as far as is known.
    #[must_use]
    pub fn at_instance(&self, name: &InstanceName) -> u32 {
        self.instances.get(name).map_or(0, |meter| meter.in_flight)
    }

    /// Requests in the system now: those at activators include what they forwarded.
    #[must_use]
    pub fn in_flight(&self) -> u32 {
        narrow(self.at_instances.in_flight.max(self.at_activators.in_flight))
    }

    /// Asserts that the running sums equal a fresh count.
    #[cfg(test)]
    pub(crate) fn recount(&self) {
        let sum = |meters: &mut dyn Iterator<Item = &Meter>| {
            meters.fold(Load::default(), |mut sum, meter| {
                sum.replace(Load::default(), meter.load());
                sum
            })
        };
        assert_eq!(self.at_instances, sum(&mut self.instances.values()));
        assert_eq!(self.at_activators, sum(&mut self.activators.values()));
    }

    /// Closes the second: the totals since the last call. `live` is how many instances should have
    /// reported.
    pub fn close(&mut self, live: usize) -> Totals {
        let reported: Vec<[f64; 4]> = self.instances.values_mut().filter_map(Meter::take).collect();
        let scale = if reported.is_empty() {
            1.0
        } else {
            live.max(reported.len()) as f64 / reported.len() as f64
        };
        let instances = total(&reported).map(|sums| sums.map(|sum| sum * scale));
        let reported: Vec<[f64; 4]> =
            self.activators.values_mut().filter_map(Meter::take).collect();
        let activators = total(&reported);
        Totals {
            instances: instances.and_then(sample),
            activators: activators.and_then(sample),
            silent_activators: self.activators.len() - reported.len(),
        }
    }
}

fn narrow(sum: u64) -> u32 {
    u32::try_from(sum).unwrap_or(u32::MAX)
}

fn total(parts: &[[f64; 4]]) -> Option<[f64; 4]> {
    let add = |sums: [f64; 4], part: &[f64; 4]| {
        [sums[0] + part[0], sums[1] + part[1], sums[2] + part[2], sums[3] + part[3]]
    };
    (!parts.is_empty()).then(|| parts.iter().fold([0.0; 4], add))
}

/// A sum of valid samples is refused only when it is out of range, and then it is dropped.
fn sample([concurrency, proxied, rate, proxied_rate]: [f64; 4]) -> Option<Sample> {
    Sample::new(concurrency, proxied, rate, proxied_rate).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(sequence: u64, concurrency: f64, length_ms: u32) -> Report {
        Report { sequence, ..Report::of_concurrency(concurrency, length_ms) }
    }

    fn name(name: &str) -> InstanceName {
        InstanceName::new(name).expect("valid")
    }

    fn concurrency(sample: Option<Sample>) -> Option<f64> {
        sample.map(|sample| sample.concurrency())
    }

    #[test]
    fn instances_add_up_and_periods_average_by_their_length() {
        let mut demand = Demand::default();
        demand.instance(&name("a"), &report(1, 2.0, 1_000));
        demand.instance(&name("b"), &report(1, 8.0, 250));
        demand.instance(&name("b"), &report(2, 4.0, 750));
        assert_eq!(concurrency(demand.close(2).instances), Some(2.0 + 5.0));
        assert_eq!(demand.close(2), Totals::default(), "a second without reports has no total");
    }

    #[test]
    fn the_silent_are_taken_to_be_as_busy_as_the_rest() {
        let mut demand = Demand::default();
        demand.instance(&name("a"), &report(1, 3.0, 1_000));
        demand.instance(&name("b"), &report(1, 5.0, 1_000));
        assert_eq!(concurrency(demand.close(4).instances), Some(16.0));
    }

    #[test]
    fn a_report_counts_once() {
        let mut demand = Demand::default();
        demand.instance(&name("a"), &report(5, 3.0, 1_000));
        demand.instance(&name("a"), &report(5, 3.0, 1_000));
        demand.instance(&name("a"), &report(4, 9.0, 1_000));
        assert_eq!(concurrency(demand.close(1).instances), Some(3.0));
        let activator = ReporterId(1);
        assert_eq!(demand.activator(activator, &report(5, 3.0, 1_000)), Novelty::New);
        assert_eq!(demand.activator(activator, &report(5, 3.0, 1_000)), Novelty::Seen);
        assert_eq!(demand.activator(activator, &report(4, 9.0, 1_000)), Novelty::Seen);
        assert_eq!(concurrency(demand.close(1).activators), Some(3.0));
    }

    #[test]
    fn what_activators_hold_now_is_no_average() {
        let mut demand = Demand::default();
        let held = |in_flight| Report { in_flight, waiting: in_flight, ..report(1, 0.5, 100) };
        demand.activator(ReporterId(1), &held(40));
        demand.activator(ReporterId(2), &held(2));
        assert_eq!((demand.waiting(), demand.at_activators()), (42, 42));
        demand.activator(ReporterId(1), &report(2, 60.0, 900));
        let total = concurrency(demand.close(0).activators).expect("they reported");
        assert!((total - (54.05 + 0.5)).abs() < 1e-9, "{total}");
    }

    #[test]
    fn a_stream_that_ended_holds_nothing() {
        let mut demand = Demand::default();
        demand.activator(ReporterId(1), &Report { in_flight: 7, waiting: 7, ..report(1, 7.0, 1) });
        demand.forget_activator(ReporterId(1));
        assert_eq!((demand.waiting(), demand.at_activators()), (0, 0));
        assert_eq!(demand.close(0), Totals::default());
    }

    /// The story: sidecars reported a moment before they were cut off, their activator a moment
    /// later and so no more. What it had forwarded was subtracted and added nowhere, and the load
    /// of that second, nothing, was held for as long as nobody reported.
    #[test]
    fn what_no_activator_tells_of_is_not_subtracted() {
        let own = Sample::new(10.0, 9.0, 20.0, 18.0).expect("valid");
        let told = |concurrency| Sample::new(concurrency, 0.0, 5.0, 0.0).expect("valid");
        let left = |told| {
            let sample = with_what_nobody_tells(own, told);
            (sample.proxied_concurrency(), sample.proxied_request_rate())
        };
        assert_eq!(left(None), (0.0, 0.0));
        assert_eq!(left(Some(told(4.0))), (4.0, 5.0), "one of several is missing");
        assert_eq!(left(Some(told(12.0))), (9.0, 5.0), "what waits there was never forwarded");
        let mut demand = Demand::default();
        demand.activator(ReporterId(1), &report(1, 3.0, 1_000));
        assert_eq!(demand.close(1).silent_activators, 0);
        assert_eq!(demand.close(1).silent_activators, 1);
        assert!(demand.forget_activator(ReporterId(1)) && !demand.forget_activator(ReporterId(1)));
    }
}
