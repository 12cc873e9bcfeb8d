//! The last decisions of a revision, each with its reason.

use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;

use tidegate_autoscaler::Explanation;
use tidegate_autoscaler::explain::Detail;
use tidegate_autoscaler::lifecycle::Step;
use tidegate_autoscaler::settings::ScaleBounds;

use crate::identity::RevisionId;
use crate::pin::Pin;

/// Decisions kept of each revision: at one every two seconds, the last seventeen minutes.
pub const DECISIONS_MAX: usize = 512;

/// Decisions kept of all revisions together, the last one of each apart: what there is in memory of
/// the past, however many revisions share it. Each of a hundred active ones has its seventeen
/// minutes; of ten thousand, ten seconds.
pub const DECISIONS_IN_ALL_MAX: usize = 51_200;

/// A decision, and its result.
#[derive(Debug, Clone)]
pub struct DecisionRecord {
    /// The revision.
    pub revision: RevisionId,
    /// When, in Unix milliseconds.
    pub unix_ms: i64,
    /// What the policy decided.
    pub explanation: Explanation,
    /// What the scale bounds and scale to zero made of it.
    pub step: Step,
    /// Instances wanted before.
    pub before: i32,
    /// Bounds that a person set, which hold in place of the declared ones.
    pub pinned: Option<ScaleBounds>,
    /// Why wanted instances are not started, if they are not.
    pub hindrance: Option<Hindrance>,
    /// Instances known so far to a controller that has just started. There may be others, so none
    /// is to be stopped because of this decision.
    pub provisional: Option<u32>,
}

/// Why wanted instances are not started.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hindrance {
    /// None ever became ready, so it is not tried again.
    GaveUp {
        /// How many failed.
        attempts: u32,
    },
    /// The last ones failed soon after they were started, so the next one waits.
    Backoff {
        /// How many failed in a row.
        failures: u32,
        /// For how much longer, in milliseconds.
        rest_ms: u64,
    },
    /// The controller stops.
    Stopping,
}

impl fmt::Display for Hindrance {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::GaveUp { attempts: 1 } => {
                formatter.write_str("None is started: the only attempt never became ready")
            }
            Self::GaveUp { attempts } => {
                write!(formatter, "None is started: none of {attempts} attempts became ready")
            }
            Self::Backoff { failures, rest_ms } => {
                let plural = if *failures == 1 { "" } else { "s" };
                write!(
                    formatter,
                    "The next one starts in {rest_ms} ms, after {failures} failure{plural}"
                )
            }
            Self::Stopping => formatter.write_str("None is started: the controller stops"),
        }
    }
}

impl DecisionRecord {
    /// Instances wanted from now on.
    #[must_use]
    pub fn replicas(&self) -> i32 {
        self.step.replicas
    }

    /// Whether that is another number than before.
    #[must_use]
    pub fn changes(&self) -> bool {
        self.step.replicas != self.before
    }

    /// Whether panic mode is on from then on.
    #[must_use]
    pub fn in_panic(&self) -> bool {
        match &self.explanation.detail {
            Detail::Knative(trace) => trace.steps.panic_after.since.is_some(),
            _ => false,
        }
    }

    /// Excess burst capacity as of the decision.
    #[must_use]
    pub fn excess_burst_capacity(&self) -> i32 {
        self.explanation.outcome.excess_burst_capacity
    }

    /// Every number that went in and every clamp that changed it, as JSON.
    #[must_use]
    pub fn json(&self) -> String {
        let explanation = self.explanation.with_lifecycle(self.step);
        // Plain numbers and names always can be written.
        serde_json::to_string(&explanation).unwrap_or_default()
    }
}

impl fmt::Display for DecisionRecord {
    /// A few sentences: the decision, what the lifecycle makes of it, what is in the way.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}", self.explanation.with_lifecycle(self.step))?;
        if let Some(bounds) = self.pinned {
            write!(formatter, " By hand it is kept {}.", Pin { bounds, for_ms: None })?;
        }
        if let Some(known) = self.provisional {
            let plural = if known == 1 { "" } else { "s" };
            write!(
                formatter,
                " The controller has just started and knows {known} instance{plural} so far, so \
                 none is stopped."
            )?;
        }
        match self.hindrance {
            Some(hindrance) => write!(formatter, " {hindrance}."),
            None => Ok(()),
        }
    }
}

/// A bounded history of decisions.
#[derive(Debug, Default)]
pub struct Journal {
    records: VecDeque<Arc<DecisionRecord>>,
    /// How many were ever written; the newest has this number.
    written: u64,
}

impl Journal {
    /// Adds the newest decision and forgets the oldest when there are too many. Returns its number.
    pub fn push(&mut self, record: Arc<DecisionRecord>) -> u64 {
        if self.records.len() == DECISIONS_MAX {
            self.records.pop_front();
        }
        self.records.push_back(record);
        self.written += 1;
        self.written
    }

    /// Forgets what was written up to `number`, but never the newest.
    pub fn forget_until(&mut self, number: u64) {
        let newer = self.written.saturating_sub(number);
        let kept = usize::try_from(newer).unwrap_or(usize::MAX).max(1);
        let excess = self.records.len().saturating_sub(kept);
        self.records.drain(..excess);
    }

    /// The number of the newest decision; 0 before the first.
    #[must_use]
    pub fn written(&self) -> u64 {
        self.written
    }

    /// How many are kept.
    #[must_use]
    pub fn len(&self) -> usize {
        self.records.len()
    }

    /// Whether it has no decision yet.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    /// The last decision.
    #[must_use]
    pub fn last(&self) -> Option<&Arc<DecisionRecord>> {
        self.records.back()
    }

    /// The last `count` decisions, newest first.
    pub fn newest(&self, count: usize) -> impl Iterator<Item = &Arc<DecisionRecord>> {
        self.records.iter().rev().take(count)
    }
}
