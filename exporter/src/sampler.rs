//! Which values leave now: those that the rules keep, whose turn it is, and that have changed.
//!
//! A value that has not changed is repeated before a receiver would take its series for gone.

use std::collections::BTreeMap;
use std::time::Duration;

use tidegate_telemetry::{Buckets, Family, Label, Series, Value};

use crate::rules::{Rule, Rules, Verdict};

/// How long Prometheus takes the last value of a series for the present one (its
/// `query.lookback-delta`).
pub const LOOKBACK: Duration = Duration::from_secs(300);

/// How much too early a reading may come for a rule whose turn is then: timers are not exact.
const SLACK: Duration = Duration::from_millis(500);

/// Most series whose last value is remembered, as many as a registry has; beyond it all are
/// forgotten, and sent once more.
const REMEMBERED_MAX: usize = tidegate_telemetry::registry::SERIES_MAX;

/// Chooses values. Time is since an arbitrary start, and never goes back.
#[derive(Debug)]
pub struct Sampler {
    rules: Rules,
    /// Time after which an unchanged value is repeated.
    repeat_after: Duration,
    /// When each rule had its turn.
    turns: Vec<Option<Duration>>,
    sent: BTreeMap<String, BTreeMap<Vec<Label>, Sent>>,
    has_collided: bool,
}

#[derive(Debug)]
struct Sent {
    value: Value,
    at: Duration,
}

impl Sampler {
    /// Nothing has been sent yet.
    #[must_use]
    pub fn new(rules: Rules, repeat_after: Duration) -> Self {
        let turns = vec![None; rules.as_slice().len()];
        Self { rules, repeat_after, turns, sent: BTreeMap::new(), has_collided: false }
    }

    /// What of the `gathered` values leaves.
    pub fn sample(&mut self, gathered: Vec<Family>, now: Duration) -> Vec<Family> {
        let due: Vec<bool> = self.take_turns(now);
        if self.sent.values().map(BTreeMap::len).sum::<usize>() > REMEMBERED_MAX {
            self.sent.clear();
        }
        let mut leaving = Vec::new();
        for family in gathered {
            let (kept, collided) = kept(&self.rules, &due, &family);
            self.has_collided |= collided;
            let sent = self.sent.entry(family.name.clone()).or_default();
            let series: Vec<Series> = kept
                .into_iter()
                .filter(|series| is_news(sent, series, now, self.repeat_after))
                .collect();
            if !series.is_empty() {
                leaving.push(Family { series, ..family });
            }
        }
        leaving
    }

    /// Whether two rules have made series that look the same, of which the first one's leave alone.
    #[must_use]
    pub fn has_collided(&self) -> bool {
        self.has_collided
    }

    fn take_turns(&mut self, now: Duration) -> Vec<bool> {
        let rules = self.rules.as_slice().iter();
        let due = rules.zip(&mut self.turns).map(|(rule, turn)| {
            let is_due = turn.is_none_or(|before| now + SLACK >= before + rule.period);
            if is_due {
                *turn = Some(now);
            }
            is_due
        });
        due.collect()
    }
}

/// The series of a family that rules keep whose turn it is, added up as they say; and whether two
/// rules make series that look the same.
fn kept(rules: &Rules, due: &[bool], family: &Family) -> (Vec<Series>, bool) {
    let mut kept: BTreeMap<Vec<Label>, (usize, Value)> = BTreeMap::new();
    let mut has_collided = false;
    for series in &family.series {
        let Some(number) = rules.first_match(&family.name, series) else { continue };
        let rule = &rules.as_slice()[number];
        if rule.verdict == Verdict::Drop || !due[number] {
            continue;
        }
        let labels = remaining(rule, &series.labels);
        match kept.get_mut(&labels) {
            None => drop(kept.insert(labels, (number, series.value.clone()))),
            Some((first, sum)) if *first == number => add(sum, &series.value),
            Some(_) => has_collided = true,
        }
    }
    let series = kept.into_iter().map(|(labels, (_, value))| Series { labels, value });
    (series.collect(), has_collided)
}

fn remaining(rule: &Rule, labels: &[Label]) -> Vec<Label> {
    let is_kept = |label: &&Label| !rule.sum_without.iter().any(|key| key == label.key());
    labels.iter().filter(is_kept).cloned().collect()
}

/// Series of one metric have one kind and one set of bounds.
fn add(sum: &mut Value, value: &Value) {
    match (sum, value) {
        (Value::Number(sum), Value::Number(value)) => *sum += value,
        (Value::Buckets(sum), Value::Buckets(value)) => add_buckets(sum, value),
        (Value::Number(_), Value::Buckets(_)) | (Value::Buckets(_), Value::Number(_)) => {}
    }
}

fn add_buckets(sum: &mut Buckets, value: &Buckets) {
    for (sum, count) in sum.cumulative.iter_mut().zip(&value.cumulative) {
        *sum += count;
    }
    sum.sum += value.sum;
    sum.count += value.count;
}

/// Whether a value is to be sent, and if so, remembers that it was.
fn is_news(
    sent: &mut BTreeMap<Vec<Label>, Sent>,
    series: &Series,
    now: Duration,
    repeat_after: Duration,
) -> bool {
    if let Some(before) = sent.get(&series.labels)
        && before.value == series.value
        && now + SLACK < before.at + repeat_after
    {
        return false;
    }
    sent.insert(series.labels.clone(), Sent { value: series.value.clone(), at: now });
    true
}

#[cfg(test)]
mod tests;
