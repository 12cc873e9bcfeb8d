//! An explanation in a few plain sentences: what is recommended and why, what is out of the
//! ordinary, and what the lifecycle makes of it.
//!
//! A sentence states what the explanation holds and nothing beyond it: it names the seconds that a
//! figure is of, does not guess what other components do, and shows numbers that come to the result
//! when a reader computes them. `tests/sentences.rs` holds every one of them.

use std::fmt;

use super::figure::{Figure, Instances, Seconds, are};
use super::load::{Load, largest_panic_need};
use super::{Detail, Explanation};
use crate::decision::{Clamp, DecisionTrace, Missing, Outcome, PanicChange, Recommendation, Rule};
use crate::lifecycle::{Step, StepRule};
use crate::pauses::least_quiet_ms;
use crate::signal::SignalKind;
use crate::time::MS_PER_SECOND;

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.outcome.valid {
            write!(f, "{}: ", Instances(i64::from(self.outcome.desired)))?;
        } else {
            f.write_str("No decision: ")?;
        }
        match &self.detail {
            Detail::Knative(trace) => knative(&self.outcome, trace, f)?,
            Detail::Fixed { .. } => f.write_str("the number is fixed.")?,
            Detail::KeepAlive { .. } if !self.outcome.valid => {
                f.write_str("the instances could not be counted.")?;
            }
            Detail::KeepAlive { needed, idle_ms } => {
                keep_alive(i64::from(self.outcome.desired), *needed, *idle_ms, f)?;
            }
            Detail::Hpa(trace) => write!(f, "{trace}.")?,
            Detail::Custom(account) => write!(f, "{account}.")?,
        }
        match &self.lifecycle {
            Some(step) => lifecycle(&self.outcome, step, f),
            None => Ok(()),
        }
    }
}

/// What the lifecycle makes of it. A decision that it follows as it is gets no sentence.
fn lifecycle(outcome: &Outcome, step: &Step, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    if !outcome.valid && step.decided >= 0 {
        write!(f, " The last recommendation, {}, stands.", step.decided)?;
    }
    let goes_to_zero = step.rule.is_zero();
    match (step.rule, step.patch) {
        (StepRule::Followed, _) => Ok(()),
        (StepRule::Undecided, _) => f.write_str(" The replicas stay as they are."),
        (StepRule::StartsWith { replicas }, _) => {
            write!(f, " The revision starts with {replicas}.")
        }
        (_, Some(_)) if goes_to_zero => write!(f, " Then the replicas become 0: {}.", step.rule),
        (_, None) if goes_to_zero => f.write_str(" The replicas are 0 already."),
        (rule, _) => write!(f, " Then {rule}."),
    }
}

/// One request per instance, and a fixed time before an idle one goes.
fn keep_alive(desired: i64, needed: u32, idle_ms: u64, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let are = are(needed);
    if desired == i64::from(needed) {
        let requests = if needed == 1 { "request" } else { "requests" };
        return write!(f, "{needed} {requests} {are} in the system, and each gets its own.");
    }
    let idle = Seconds(idle_ms);
    write!(
        f,
        "as many requests were in the system at once within the last {idle}, {needed} {are} now."
    )
}

/// What Knative's algorithm did: the recommendation and its rule, then panic and burst capacity
/// where they are out of the ordinary.
fn knative(outcome: &Outcome, trace: &DecisionTrace, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    if outcome.valid {
        reason(trace, f)?;
        if trace.inputs.held {
            silence(trace, " (held, as nothing was reported", ")", f)?;
        }
    } else {
        missing(trace, f)?;
    }
    f.write_str(".")?;
    panic(trace, f)?;
    burst(trace, f)
}

/// Why nothing could be decided.
fn missing(trace: &DecisionTrace, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    match trace.steps.rule {
        Rule::NoLoad(Missing::NoData) => match trace.inputs.coverage {
            None => f.write_str("there are no reports of the stable window"),
            Some(coverage) if coverage.last_second.is_none() => {
                f.write_str("nothing was reported yet")
            }
            Some(coverage) => {
                let window_ms = u64::from(coverage.stable.whole_s) * MS_PER_SECOND as u64;
                silence(trace, "nothing was reported", ", and the stable window is ", f)?;
                write!(f, "{} long", Seconds(window_ms))
            }
        },
        Rule::NoLoad(Missing::NotCollecting) => f.write_str("the revision's load is not collected"),
        Rule::NoLoad(Missing::Failed) => f.write_str("the load could not be had"),
        _ => f.write_str("the instances could not be counted"),
    }
}

/// For how long nothing was reported: since the end of the last second that something was reported
/// for, in whole seconds, so that it never says more than is so.
fn silence(
    trace: &DecisionTrace,
    before: &str,
    after: &str,
    f: &mut fmt::Formatter<'_>,
) -> fmt::Result {
    f.write_str(before)?;
    if let Some(last) = trace.inputs.coverage.and_then(|coverage| coverage.last_second) {
        let second_ms = MS_PER_SECOND as u64;
        let silent_ms = trace.inputs.now.millis_since(last.plus_millis(second_ms));
        write!(f, " for more than {} s", silent_ms / second_ms)?;
    }
    f.write_str(after)
}

/// The rule that decided, with the numbers it went by.
fn reason(trace: &DecisionTrace, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let steps = &trace.steps;
    match steps.rule {
        Rule::Panic => {
            write!(f, "{}", Load::panic(trace))?;
            clamps(trace, &steps.panic_winner().panic, steps.panic_clamp, f)?;
            f.write_str(", in panic")
        }
        Rule::PanicHeld => {
            f.write_str("panic")?;
            match panic_rest_ms(trace) {
                0 => f.write_str(", which ends with the next decision unless renewed,")?,
                rest => write!(f, ", which lasts for another {} unless renewed,", Seconds(rest))?,
            }
            let least = trace.steps.panic_after.max_instances;
            write!(f, " keeps at least {least}, while {}", Load::stable(trace))
        }
        Rule::PauseEnds => {
            let latest = Seconds(trace.inputs.spec.stable_window_ms.saturating_mul(2));
            write!(
                f,
                "{}, but at least half of the pauses that lasted as long as this one ended within \
                 {latest}",
                Load::stable(trace)
            )
        }
        Rule::Starting => starting(trace, f),
        Rule::Delayed => {
            let now = steps.delay.map_or(0, |delay| delay.recommended);
            write!(
                f,
                "as many were recommended within the scale-down delay of {}, {now} {} now",
                Seconds(trace.inputs.spec.scale_down_delay_ms),
                are(now)
            )
        }
        Rule::CountUnknown | Rule::NoLoad(_) => Ok(()),
        _ => {
            write!(f, "{}", Load::stable(trace))?;
            clamps(trace, &steps.winner().stable, steps.stable_clamp, f)
        }
    }
}

/// How long panic lasts if it finds no new cause.
fn panic_rest_ms(trace: &DecisionTrace) -> u64 {
    let since = trace.steps.panic_after.since.unwrap_or(trace.inputs.now);
    since.plus_millis(trace.inputs.spec.stable_window_ms).millis_since(trace.inputs.now)
}

/// What kept a recommendation from what its load needs, in the order in which it did.
fn clamps(
    trace: &DecisionTrace,
    recommendation: &Recommendation,
    clamp: Clamp,
    f: &mut fmt::Formatter<'_>,
) -> fmt::Result {
    let ready = trace.observed().ready;
    let second_ms = MS_PER_SECOND as u64;
    let recent = Seconds(trace.inputs.spec.idle_floor().next_multiple_of(second_ms));
    let reported = if trace.inputs.held { " reported" } else { "" };
    match clamp {
        Clamp::Free => {}
        Clamp::GrowthRate => {
            write!(f, ", but {ready} ready may become at most {}", trace.steps.limit_up)?;
        }
        Clamp::ShrinkRate => write!(
            f,
            ", but {ready} ready may shrink no further than {} at once",
            trace.steps.limit_down
        )?,
        Clamp::RecentPeak => write!(
            f,
            ", but no second of the last {recent}{reported} needed more than {}",
            recommendation.limited
        )?,
        Clamp::LongPause => write!(
            f,
            ", but no request came in the last {}{reported}, and the pauses that lasted as long \
             outlasted the window",
            Seconds(least_quiet_ms(trace.inputs.spec.stable_window_ms).next_multiple_of(second_ms))
        )?,
        Clamp::RecentFloor => write!(
            f,
            ", but the busiest second of the last {recent}{reported} needed {}",
            recommendation.limited
        )?,
    }
    if recommendation.recommended > recommendation.limited {
        write!(f, ", and the activation scale is {}", trace.inputs.spec.activation_scale)?;
    }
    Ok(())
}

/// Why no more are asked for while instances start.
fn starting(trace: &DecisionTrace, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let observed = trace.observed();
    let Some(load) = trace.inputs.arriving_load else {
        let (starting, are) = (observed.starting, are(observed.starting));
        write!(f, "no more are asked for while {starting} {are} not ready yet")?;
        return match observed.requested {
            0 => Ok(()),
            requested => write!(f, ", which is at least half of the {requested} asked for"),
        };
    };
    let requests = if load == 1.0 { "request" } else { "requests" };
    write!(
        f,
        "what arrives comes to {} {requests} in flight and needs no more, even {} times over; the \
         rest is taken for a queue from while instances were starting",
        Figure(load),
        Figure(trace.inputs.spec.panic_threshold)
    )
}

/// What became of panic, where something did.
fn panic(trace: &DecisionTrace, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    match trace.steps.panic_change {
        PanicChange::Entered => panic_begins(trace, f),
        PanicChange::Left => f.write_str(" Panic is over."),
        PanicChange::LeftWithoutData => f.write_str(" Panic is over, as nothing renews it."),
        PanicChange::Calm | PanicChange::Extended | PanicChange::Continues => Ok(()),
    }
}

/// What the panic window or a crowd needs, and what of it there is.
fn panic_begins(trace: &DecisionTrace, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let observed = trace.observed();
    let counted = if trace.inputs.improvements.count_starting { observed.starting } else { 0 };
    let (kind, needed) = largest_panic_need(trace);
    let who = if kind == SignalKind::Held { "what is held" } else { "the panic window" };
    write!(f, " Panic begins: {who} needs {} while ", Figure(needed))?;
    match (observed.ready, counted) {
        (0, 0) => f.write_str("none is ready."),
        (ready, 0) => write!(f, "{ready} {} ready.", are(ready)),
        (ready, starting) => write!(f, "{ready} {} ready and {starting} starting.", are(ready)),
    }
}

/// Whether a burst fits on top of the load, where that changes. The lifecycle decides what follows
/// from that, if anything.
fn burst(trace: &DecisionTrace, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let now = trace.steps.burst.decided;
    let target = trace.inputs.spec.target_burst_capacity;
    let decided = !matches!(trace.steps.rule, Rule::CountUnknown | Rule::NoLoad(_));
    match (trace.inputs.last_burst_capacity < 0, now < 0) {
        _ if target <= 0.0 || !decided => Ok(()),
        (true, false) => write!(f, " A burst of {} more fits now.", Figure(target)),
        (false, true) => write!(f, " A burst of {} more does not fit now.", Figure(target)),
        _ => Ok(()),
    }
}
