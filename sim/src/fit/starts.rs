//! What start-ups do to each other, and how fast a control plane is, from those that were seen.
//!
//! A start-up that shares its machine makes `rate(n)` progress a second while `n` are there. So
//! under the right law the work that start-ups received, each its time weighted by that rate, does
//! not depend on how many others there were: it varies least. That is how the law is chosen, by the
//! spread of the logarithm of the work, which no scale changes.

use tidegate_autoscaler::{Lacks, StartPace, StartTurns};

use crate::scaler::timestamp;
use crate::scenario::Contention;
use crate::time::{SimSpan, SimTime};

/// Start-ups that must have been seen, and those of them beside others, before a law is fitted.
const STARTS_MIN: usize = 5;

/// A law must make the spread smaller than by so much, or it explains nothing.
const GAIN_MIN: f64 = 0.1;

/// Slow-down by a further start-up beyond which none is looked for: each would take as long as ten.
const ALPHA_MAX: f64 = 10.0;

/// Steps in which a parameter is looked for.
const STEPS: u32 = 400;

/// Starts a second beyond which a control plane is as good as unlimited: one takes a millisecond.
const PER_SECOND_MAX: f64 = 1_000.0;

/// One start-up that was seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SeenStart {
    /// When the instance was started.
    pub from: SimTime,
    /// When it became ready, or was given up.
    pub until: SimTime,
    /// How it ended.
    pub end: StartEnd,
}

/// How a start-up ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StartEnd {
    /// The instance became ready.
    Ready,
    /// It was stopped or died before; it disturbed others until then.
    GivenUp,
}

/// How start-ups on one machine slow each other.
#[derive(Debug, Clone, PartialEq)]
pub struct StartFit {
    /// The law; [`Contention::None`] when none explains more than no law at all.
    pub contention: Contention,
    /// How long each start-up would have taken alone, in the order in which they began; `None` for
    /// those that were given up.
    pub alone: Vec<Option<SimSpan>>,
    /// Standard deviation of the logarithm of the times as they were.
    pub spread: f64,
    /// The same of the times alone: what the law leaves unexplained.
    pub unexplained: f64,
    /// Start-ups that became ready.
    pub count: usize,
    /// Those of them that were not alone for a tenth of their time or longer.
    pub shared: usize,
}

/// Instances that one decision asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SeenOrder {
    /// When it was decided.
    pub at: SimTime,
    /// When the instances were started.
    pub starts: Vec<SimTime>,
}

/// How fast a control plane is.
#[derive(Debug, Clone, PartialEq)]
pub struct ControlPlaneFit {
    /// Starts a second while more were ordered; `None` when there is no limit to be seen.
    pub per_second: Option<f64>,
    /// From a decision to its first start, the middle one.
    pub latency: SimSpan,
    /// Decisions that asked for instances.
    pub orders: usize,
}

/// How long a start-up had so many beside it, itself counted.
type Company = Vec<(u32, f64)>;

/// Fits a law to start-ups on one machine; `None` when none became ready.
pub fn start_ups(seen: &[SeenStart]) -> Option<StartFit> {
    let mut seen = seen.to_vec();
    seen.sort_by_key(|one| one.from);
    let companies: Vec<Company> = seen.iter().map(|one| company(one, &seen)).collect();
    let ready: Vec<&Company> = companies
        .iter()
        .zip(&seen)
        .filter(|(company, one)| one.end == StartEnd::Ready && seconds(company) > 0.0)
        .map(|(company, _)| company)
        .collect();
    if ready.is_empty() {
        return None;
    }
    let spread = spread_under(&ready, &Contention::None);
    let is_shared = |company: &&&Company| {
        let beside = company.iter().filter(|(count, _)| *count > 1).map(|(_, time)| time);
        beside.sum::<f64>() >= 0.1 * seconds(company)
    };
    let shared = ready.iter().filter(is_shared).count();
    let mut best = (spread, Contention::None);
    if ready.len() >= STARTS_MIN && shared >= STARTS_MIN {
        let most = ready.iter().flat_map(|company| company.iter()).map(|(count, _)| *count).max();
        for law in laws(f64::from(most.unwrap_or(1))) {
            let under = spread_under(&ready, &law);
            if under < best.0 {
                best = (under, law);
            }
        }
    }
    let explains = best.0 < spread * (1.0 - GAIN_MIN);
    let (unexplained, contention) = if explains { best } else { (spread, Contention::None) };
    let alone = |(company, one): (&Company, &SeenStart)| {
        (one.end == StartEnd::Ready).then(|| SimSpan::from_secs_f64(work(company, &contention)))
    };
    let alone = companies.iter().zip(&seen).map(alone).collect();
    let count = ready.len();
    Some(StartFit { contention, alone, spread, unexplained, count, shared })
}

/// Fits the throughput and the latency of a control plane; `None` when nothing was ordered.
pub fn control_plane(orders: &[SeenOrder]) -> Option<ControlPlaneFit> {
    let mut latencies = Vec::new();
    let (mut gaps, mut gaps_s) = (0_usize, 0.0);
    for order in orders {
        let Some((first, last)) = order.starts.iter().min().zip(order.starts.iter().max()) else {
            continue;
        };
        latencies.push(first.as_nanos().saturating_sub(order.at.as_nanos()));
        gaps += order.starts.len() - 1;
        gaps_s += (last.as_nanos() - first.as_nanos()) as f64 / 1e9;
    }
    latencies.sort_unstable();
    let latency = SimSpan::from_nanos(*latencies.get(latencies.len() / 2)?);
    let rate = gaps as f64 / gaps_s.max(f64::MIN_POSITIVE);
    let per_second = (gaps > 0 && rate < PER_SECOND_MAX).then_some(rate);
    Some(ControlPlaneFit { per_second, latency, orders: latencies.len() })
}

/// How many turns ended early in a second because the machine had time left, while others waited
/// for theirs; zero when nobody waited. `orders` are those of all starts in `seen`.
pub fn slack_per_second(pace: StartPace, orders: &[SeenOrder], seen: &[SeenStart]) -> f64 {
    let turn = SimSpan::from_millis(pace.turn_ms);
    let mut steps: Vec<(SimTime, Step)> = Vec::new();
    for (number, start) in seen.iter().enumerate() {
        let end = start.until.min(start.from + turn);
        steps.extend([(end, Step::Ends(number)), (start.from, Step::Begins(number))]);
    }
    for order in orders {
        if let Some(last) = order.starts.iter().max() {
            steps.extend([(order.at, Step::Waits), (*last, Step::WaitsNoMore)]);
        }
    }
    steps.sort_unstable();
    let (mut turns, mut waiting, mut since) = (StartTurns::new(pace), 0_u32, SimTime::ZERO);
    let (mut early, mut waited, mut is_full) = (0_u32, SimSpan::ZERO, false);
    for (at, step) in steps {
        if waiting > 0 && is_full {
            waited += SimSpan::from_nanos(at.as_nanos() - since.as_nanos());
        }
        since = at;
        let now = timestamp(at.as_nanos());
        match step {
            Step::Ends(number) => turns.end(&(), |turn| *turn != number),
            Step::Begins(number) => {
                turns.wait(&(), Lacks::Some);
                if turns.take_next(now).is_none() {
                    early += 1;
                    turns.release(1);
                    turns.wait(&(), Lacks::Nothing);
                }
                turns.begin(now, (), number);
            }
            Step::Waits => waiting += 1,
            Step::WaitsNoMore => waiting -= 1,
        }
        is_full = turns.room_now(now) == 0;
    }
    match waited.as_secs_f64() {
        0.0 => 0.0,
        seconds => f64::from(early) / seconds,
    }
}

/// What happens to turns; of things at the same time the first ones first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Step {
    /// The turn of the start with this number.
    Ends(usize),
    /// An order is made.
    Waits,
    Begins(usize),
    /// All that an order asked for have begun.
    WaitsNoMore,
}

/// The laws that are tried, where at most `most` start-ups were in progress at once.
fn laws(most: f64) -> Vec<Contention> {
    let step = |number: u32| f64::from(number) / f64::from(STEPS);
    // With as many digits as can be told apart, so that a law reads back as it was printed.
    let digits = |number: f64| (number * 1e4).round() / 1e4;
    // Finer where little is shared: there laws differ most.
    let linear = (1..=STEPS).map(|number| Contention::Linear {
        alpha: digits(ALPHA_MAX * step(number) * step(number)),
    });
    // From one start-up at a time to as many as there ever were. With less than one core each would
    // be slow alone, which is a matter of its own time.
    let sharing = (0..STEPS).map(|number| Contention::ProcessorSharing {
        cores: digits(1.0 + (most - 1.0).max(0.0) * step(number)),
    });
    linear.chain(sharing).collect()
}

/// How many start-ups, itself counted, were in progress during `one`, and for how many seconds.
fn company(one: &SeenStart, all: &[SeenStart]) -> Company {
    let (from, until) = (one.from.as_nanos(), one.until.as_nanos());
    let mut changes: Vec<(u64, i64)> = Vec::new();
    for other in all {
        let (begins, ends) = (other.from.as_nanos().max(from), other.until.as_nanos().min(until));
        if begins < ends {
            changes.extend([(begins, 1), (ends, -1)]);
        }
    }
    changes.sort_unstable();
    let mut company: Company = Vec::new();
    let (mut count, mut since) = (0_i64, from);
    for (at, change) in changes {
        if at > since && count > 0 {
            company.push((u32::try_from(count).unwrap_or(u32::MAX), (at - since) as f64 / 1e9));
        }
        (count, since) = (count + change, at);
    }
    company
}

fn seconds(company: &Company) -> f64 {
    company.iter().map(|(_, time)| time).sum()
}

/// Seconds that a start-up would have taken alone.
fn work(company: &Company, law: &Contention) -> f64 {
    company.iter().map(|(count, time)| time * law.rate(*count)).sum()
}

/// Standard deviation of the logarithm of the times alone.
fn spread_under(ready: &[&Company], law: &Contention) -> f64 {
    let logs: Vec<f64> = ready.iter().map(|company| libm::log(work(company, law))).collect();
    let n = logs.len() as f64;
    let mean = logs.iter().sum::<f64>() / n;
    (logs.iter().map(|log| (log - mean) * (log - mean)).sum::<f64>() / n).sqrt()
}
