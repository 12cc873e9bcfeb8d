//! Why a rollout changes, in a few plain sentences.

use std::fmt;

use crate::comparison::Counts;
use crate::health::{Finding, Measure, ROLLOUTS_FOR_A_FALSE_RETURN};
use crate::rollout::{Change, Order, Phase, Rollout};

/// Why something changed.
#[derive(Debug, Clone, PartialEq)]
pub enum Reason {
    /// It began.
    Began,
    /// The step was over, and nothing spoke against the new revision.
    Held {
        /// How long it was at the step, without pauses, in milliseconds.
        held_ms: u64,
        /// Requests that ended at the step, and those of them that failed.
        counts: Counts,
    },
    /// The new revision is worse.
    Worse(Finding),
    /// A person wanted it.
    Ordered(Order),
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (from, to) = (self.from.new_revision(), self.to.new_revision());
        match from == to {
            true => write!(f, "The new revision stays at {to}: ")?,
            false => write!(f, "The new revision goes from {from} to {to}: ")?,
        }
        write!(f, "{}.", self.reason)
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Began => f.write_str("its rollout begins"),
            Self::Held { held_ms, counts } => {
                write!(f, "for {} {}", Span(*held_ms), Failures(counts))
            }
            Self::Worse(finding) => finding.fmt(f),
            Self::Ordered(order) => f.write_str(match order {
                Order::Run => "it was ordered to go on",
                Order::Pause => "it was ordered to pause",
                Order::Promote => "it was ordered to be promoted",
                Order::Abort => "it was ordered to be aborted",
            }),
        }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (counts, span) = (&self.counts, Span(self.over_ms));
        match self.measure {
            Measure::Errors => write!(f, "in the last {span} {}", Failures(counts))?,
            Measure::Latency { share_above, stable_us, new_us } => write!(
                f,
                "in the last {span} {} of its {} requests ({}) took longer than {}, where {} of \
                 the stable revision's {} are to take longer than {} and {} did",
                counts.new_events,
                counts.new_requests,
                Percent(counts.new_ratio()),
                Millis(new_us),
                Percent(share_above),
                counts.stable_requests,
                Millis(stable_us),
                Percent(counts.stable_ratio()),
            )?,
        }
        write!(
            f,
            ". One that is no worse comes to look so in at most {} rollouts, and it is returned \
             from one of {ROLLOUTS_FOR_A_FALSE_RETURN}",
            OneOf(self.chance)
        )
    }
}

/// How a rollout is doing, for people: where it is and what it waits for.
#[derive(Debug, Clone, Copy)]
pub struct Progress<'a>(pub &'a Rollout);

impl fmt::Display for Progress<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rollout = self.0;
        let weight = rollout.split().new_revision();
        match rollout.phase() {
            Phase::Promoted => return f.write_str("All requests go to the new revision."),
            Phase::Returned => {
                return f.write_str(
                    "All requests go to the stable revision: the new one was worse, and was \
                     returned.",
                );
            }
            Phase::Aborted => {
                return f.write_str("All requests go to the stable revision, as was ordered.");
            }
            Phase::Paused => write!(f, "Paused at {weight}, with ")?,
            Phase::Progressing => {
                let (held, hold) = (Span(rollout.held_ms()), Span(rollout.hold_ms()));
                write!(f, "At {weight} for {held} of {hold}, with ")?;
            }
        }
        let counts = rollout.at_step();
        write!(f, "{}.", Failures(counts))?;
        match rollout.requests_missing() {
            0 => Ok(()),
            missing => write!(f, " It gets more after {missing} more requests."),
        }
    }
}

/// How many requests failed.
struct Failures<'a>(&'a Counts);

impl fmt::Display for Failures<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let counts = self.0;
        write!(
            f,
            "{} of its {} requests failed ({}), and {} of the stable revision's {} ({})",
            counts.new_events,
            counts.new_requests,
            Percent(counts.new_ratio()),
            counts.stable_events,
            counts.stable_requests,
            Percent(counts.stable_ratio()),
        )
    }
}

/// A share, in percent.
struct Percent(f64);

impl fmt::Display for Percent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let tenths = libm::round(self.0 * 1_000.0);
        match tenths % 10.0 == 0.0 {
            true => write!(f, "{} %", tenths / 10.0),
            false => write!(f, "{:.1} %", tenths / 10.0),
        }
    }
}

/// Microseconds, in milliseconds.
struct Millis(f64);

impl fmt::Display for Millis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 < 10_000.0 {
            true => write!(f, "{:.1} ms", self.0 / 1_000.0),
            false => write!(f, "{:.0} ms", self.0 / 1_000.0),
        }
    }
}

/// Milliseconds, in the largest unit that is not more than it: whole seconds up to two minutes.
struct Span(u64);

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 / 1_000 {
            seconds @ 0..120 => write!(f, "{seconds} s"),
            seconds @ 120..7_200 => write!(f, "{} min", seconds / 60),
            seconds => write!(f, "{} h", seconds / 3_600),
        }
    }
}

/// A small chance: one of so many.
struct OneOf(f64);

impl fmt::Display for OneOf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Beyond it, more digits say nothing to anybody.
        const MANY: f64 = 1e9;
        match 1.0 / self.0 {
            of if of < MANY => write!(f, "one of {}", libm::floor(of)),
            _ => f.write_str("one of a billion"),
        }
    }
}
