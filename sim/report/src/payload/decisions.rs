//! The decisions of a page: as many as there is room for, spread over the whole time.

use std::collections::BTreeMap;

use serde::Serialize;

use tidegate_sim::engine::RunOutput;
use tidegate_sim::record::DecisionRecord;

/// Bytes that a decision takes beside its reason.
const FRAME_BYTES: usize = 48;

/// Decisions as columns.
#[derive(Serialize)]
pub(super) struct Decisions<'a> {
    names: Vec<&'a str>,
    revision: Vec<usize>,
    at: Vec<f64>,
    wanted: Vec<u64>,
    ready: Vec<u64>,
    panicking: Vec<u8>,
    /// Every sentence once, and which one each decision has.
    reasons: Vec<&'a str>,
    reason: Vec<usize>,
    /// How many there were beside those, in all and of each name.
    left_out: u64,
    left_out_of: Vec<u64>,
}

/// The decisions of one revision.
struct Line<'a> {
    name: &'a str,
    /// Each with how much it changed.
    all: Vec<(u64, &'a DecisionRecord)>,
    /// Of every so many, the one that changed the most is kept.
    stride: usize,
}

impl<'a> Line<'a> {
    fn push(&mut self, decision: &'a DecisionRecord) {
        let (wanted, panicking) =
            self.all.last().map_or((0, false), |(_, last)| (last.wanted, last.panicking));
        let change = wanted.abs_diff(decision.wanted) * 2;
        self.all.push((change + u64::from(panicking != decision.panicking), decision));
    }

    fn kept(&self) -> impl Iterator<Item = &'a DecisionRecord> {
        self.all.chunks(self.stride).filter_map(|some| {
            let first_of_most = some.iter().rev().max_by_key(|(change, _)| *change);
            first_of_most.map(|(_, decision)| *decision)
        })
    }

    fn count(&self) -> usize {
        self.all.len().div_ceil(self.stride)
    }
}

/// The decisions of `run` that fit into `bytes`. Each revision keeps its own; where there are too
/// many, those with the most are thinned first, each evenly over its time, and what changed the
/// most stays.
pub(super) fn decisions(run: &RunOutput, bytes: usize) -> Decisions<'_> {
    let mut places = BTreeMap::new();
    let mut lines: Vec<Line<'_>> = Vec::new();
    for decision in &run.decisions {
        let place = *places.entry(decision.revision.as_str()).or_insert(lines.len());
        if place == lines.len() {
            lines.push(Line { name: &decision.revision, all: Vec::new(), stride: 1 });
        }
        lines[place].push(decision);
    }
    while size(&lines) > bytes {
        let most = lines.iter().map(Line::count).max().unwrap_or(0);
        if most <= 1 {
            // Not even one for each: those at the end are counted only.
            lines.pop();
            continue;
        }
        for line in lines.iter_mut().filter(|line| line.count() * 2 > most) {
            line.stride += 1;
        }
    }
    columns(&lines, run)
}

fn size(lines: &[Line<'_>]) -> usize {
    let mut seen = std::collections::BTreeSet::new();
    let decisions = lines.iter().flat_map(Line::kept);
    decisions
        .map(|one| {
            let is_new = seen.insert(one.reason.as_str());
            FRAME_BYTES + if is_new { one.reason.len() + 4 } else { 0 }
        })
        .sum()
}

fn columns<'a>(lines: &[Line<'a>], run: &'a RunOutput) -> Decisions<'a> {
    let mut kept: Vec<(usize, &DecisionRecord)> = Vec::new();
    for (place, line) in lines.iter().enumerate() {
        kept.extend(line.kept().map(|decision| (place, decision)));
    }
    kept.sort_by(|left, right| left.1.at_s.total_cmp(&right.1.at_s));
    let mut reasons: Vec<&str> = Vec::new();
    let mut known = BTreeMap::new();
    let mut reason = Vec::with_capacity(kept.len());
    for (_, decision) in &kept {
        let place = *known.entry(decision.reason.as_str()).or_insert(reasons.len());
        if place == reasons.len() {
            reasons.push(&decision.reason);
        }
        reason.push(place);
    }
    let of_run = run.decisions.len() as u64 + run.decisions_dropped;
    Decisions {
        names: lines.iter().map(|line| line.name).collect(),
        revision: kept.iter().map(|(place, _)| *place).collect(),
        at: kept.iter().map(|(_, one)| (one.at_s * 1e3).round() / 1e3).collect(),
        wanted: kept.iter().map(|(_, one)| one.wanted).collect(),
        ready: kept.iter().map(|(_, one)| one.ready).collect(),
        panicking: kept.iter().map(|(_, one)| u8::from(one.panicking)).collect(),
        reasons,
        reason,
        left_out: of_run - kept.len() as u64,
        left_out_of: lines.iter().map(|line| (line.all.len() - line.count()) as u64).collect(),
    }
}
