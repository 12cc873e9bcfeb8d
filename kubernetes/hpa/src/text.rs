//! A replay in words.

use std::fmt;

use crate::behavior::{Direction, limit, windows_seconds};
use crate::metric::Proposal;
use crate::object::{Hpa, Metric, Target};
use crate::quantity::Milli;
use crate::replay::{Cause, Range, Replay};

/// Width of what a line is about.
const LABEL_COLUMNS: usize = 12;

/// Replicas with their noun.
struct Replicas(i32);

impl fmt::Display for Replicas {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} replica{}", self.0, if self.0 == 1 { "" } else { "s" })
    }
}

impl fmt::Display for Range {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.low == self.high {
            true => write!(formatter, "{}", Replicas(self.low)),
            false => write!(formatter, "{} to {}", self.low, Replicas(self.high)),
        }
    }
}

impl fmt::Display for Replay {
    /// Several lines: what it did, each step of the formula, and why.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hpa = &self.hpa;
        let separator = if hpa.namespace.is_empty() { "" } else { "/" };
        writeln!(
            formatter,
            "HPA {}{separator}{} of {}, {} to {}: {}",
            hpa.namespace,
            hpa.name,
            hpa.target,
            hpa.min_replicas,
            Replicas(hpa.max_replicas),
            self.verdict()
        )?;
        for (metric, proposal) in hpa.metrics.iter().zip(&self.proposals) {
            line(formatter, "metric", self.metric(metric, proposal))?;
        }
        if let Some(proposed) = self.proposed {
            line(formatter, "proposed", self.proposed_by(proposed))?;
            line(formatter, "windows", windows(hpa))?;
            line(formatter, "one step", step(hpa))?;
        }
        line(formatter, "result", self.result())?;
        line(formatter, "why", self.why())?;
        for condition in hpa.conditions.iter().filter(|condition| !condition.message.is_empty()) {
            let status = if condition.is_true { "True" } else { "False" };
            let said =
                format!("{}={status} {}: {}", condition.name, condition.reason, condition.message);
            line(formatter, "condition", said)?;
        }
        Ok(())
    }
}

fn line(formatter: &mut fmt::Formatter<'_>, label: &str, text: String) -> fmt::Result {
    writeln!(formatter, "  {label:<LABEL_COLUMNS$}{text}")
}

fn windows(hpa: &Hpa) -> String {
    let (up, down) = windows_seconds(hpa.behavior.as_ref());
    let mut text = format!(
        "the lowest proposal of the last {up} s counts upwards, the highest of the last {down} s \
         downwards"
    );
    if let Some(at) = &hpa.last_scale_time {
        text.push_str(&format!("; scaled last at {at}"));
    }
    text
}

fn step(hpa: &Hpa) -> String {
    let (up, _) = limit(hpa, Direction::Up);
    let (down, _) = limit(hpa, Direction::Down);
    format!("the policies allow from {} to {}", down.max(0), Replicas(up))
}

impl Replay {
    fn verdict(&self) -> String {
        let (before, after) = (self.hpa.current_replicas, self.outcome());
        match before == after {
            true => format!("it left {}", Replicas(after)),
            false => format!("it scaled from {before} to {}", Replicas(after)),
        }
    }

    fn metric(&self, metric: &Metric, proposal: &Proposal) -> String {
        let name = format!("{} {}", metric.source.name(), metric.name);
        match *proposal {
            Proposal::Missing => format!("{name}: could not be had"),
            Proposal::Unwritten => {
                format!("{name}: was had, but its average over no replica cannot be written down")
            }
            Proposal::Known { ratio, is_tolerated, low, high } => {
                let (current, target) = values(metric);
                let (down, up) = (1.0 - self.tolerances.down, 1.0 + self.tolerances.up);
                let place = if is_tolerated { "within" } else { "outside of" };
                let asks = Range { low, high };
                format!(
                    "{name}: {current}, target {target}: ratio {}, {place} {} to {}: {asks}",
                    rounded(ratio),
                    rounded(down),
                    rounded(up)
                )
            }
        }
    }

    /// Whether the status has a number of the last look.
    fn is_computed(&self) -> bool {
        !matches!(self.cause, Cause::TargetNotRead | Cause::MetricsMissing)
    }

    fn proposed_by(&self, proposed: Range) -> String {
        let missing = self.proposals.iter().filter(|p| **p == Proposal::Missing).count();
        let of = match (self.proposals.len(), missing) {
            (1, _) => String::new(),
            (all, 0) => format!(", the highest of {all} metrics"),
            (all, missing) => format!(", the highest of {all} metrics but {missing}"),
        };
        format!("{proposed}{of}")
    }

    fn result(&self) -> String {
        let desired = self.outcome();
        match self.agrees() {
            true if self.cause == Cause::TargetNotWritten => {
                format!("{}, which could not be written", self.replicas)
            }
            true if !self.is_computed() => format!("{}, left as they were", self.replicas),
            true if self.replicas.low == self.replicas.high => {
                format!("{}, as the status says", self.replicas)
            }
            true => format!("{}; the status says {desired}", self.replicas),
            false => format!(
                "{} by the formula, but the status says {desired}: something counted that the \
                 object does not hold, such as pods that were not ready, or another tolerance of \
                 kube-controller-manager",
                self.replicas
            ),
        }
    }

    fn why(&self) -> String {
        let hpa = &self.hpa;
        let said = |name: &str| hpa.condition(name).map_or("", |said| said.message.as_str());
        match self.cause {
            Cause::TargetNotRead => format!(
                "it could not read the scale of {}, so it did nothing: {}",
                hpa.target,
                said("AbleToScale")
            ),
            Cause::TargetNotWritten => {
                format!("it could not write the scale of {}: {}", hpa.target, said("AbleToScale"))
            }
            Cause::Disabled if hpa.min_replicas == 0 => "the target is at zero, and it was not \
                 this autoscaler that set it: it brings back only what it has brought to zero \
                 itself; set the target to 1 or more"
                .to_owned(),
            Cause::Disabled => {
                "the target is at zero, which switches this autoscaler off: set the \
                 target to 1 or more, or minReplicas to 0 for it to scale from zero"
                    .to_owned()
            }
            Cause::AboveMaximum => "there were more replicas than maxReplicas: the metrics were \
                 not asked"
                .to_owned(),
            Cause::BelowMinimum => "there were fewer replicas than minReplicas: the metrics were \
                 not asked"
                .to_owned(),
            Cause::MetricsMissing => self.missing(),
            Cause::Stabilized => self.stabilized(),
            Cause::RateLimited => self.rate_limited(),
            Cause::AtMaximum => {
                "the metrics ask for more, but maxReplicas allows no more".to_owned()
            }
            Cause::AtMinimum => {
                "the metrics ask for less, but minReplicas allows no less".to_owned()
            }
            Cause::WithinTolerance => "every metric is near enough to its target: within the \
                 tolerance nothing is changed"
                .to_owned(),
            Cause::AsProposed if self.outcome() == hpa.current_replicas => {
                "the metrics ask for what there is".to_owned()
            }
            Cause::AsProposed => "the metrics ask for it".to_owned(),
        }
    }

    fn missing(&self) -> String {
        let active = self.hpa.condition("ScalingActive");
        let said = active.filter(|active| !active.is_true).map_or("", |active| &active.message);
        let missing = self.proposals.iter().filter(|p| **p == Proposal::Missing).count();
        let all = self.proposals.len();
        let rule = match missing == all {
            true => "no metric could be had, so it did nothing",
            false => {
                "not every metric could be had, and what is missing might have asked for more: it \
                 never scales down then"
            }
        };
        match said.is_empty() {
            true => rule.to_owned(),
            false => format!("{rule}: {said}"),
        }
    }

    fn stabilized(&self) -> String {
        let hpa = &self.hpa;
        let (up, down) = windows_seconds(hpa.behavior.as_ref());
        let is_up = self.proposed.is_some_and(|proposed| proposed.low > hpa.current_replicas);
        match is_up {
            true => format!(
                "within the last {up} s less was proposed, and the lowest of it counts \
                 (behavior.scaleUp.stabilizationWindowSeconds)"
            ),
            false => format!(
                "within the last {down} s more was proposed, and the highest of it counts \
                 (behavior.scaleDown.stabilizationWindowSeconds)"
            ),
        }
    }

    fn rate_limited(&self) -> String {
        let is_up = self.proposed.is_some_and(|proposed| proposed.low > self.hpa.current_replicas);
        let field = if is_up { "scaleUp" } else { "scaleDown" };
        let (far, _) = limit(&self.hpa, if is_up { Direction::Up } else { Direction::Down });
        let bound = if is_up { "at most" } else { "at least" };
        format!(
            "the metrics ask for more change than one step may make: {bound} {}, less what was \
             scaled within the policies' periods (behavior.{field}.policies); the next look goes \
             on",
            Replicas(far.max(0))
        )
    }
}

/// What was measured and what is wanted, with their units.
fn values(metric: &Metric) -> (String, String) {
    let current = metric.current.unwrap_or(0);
    match metric.target {
        Target::Utilization(target) => {
            (format!("{current} % of what is requested"), format!("{target} %"))
        }
        Target::AverageValue(target) => {
            (format!("{} for each replica", Milli(current)), target.to_string())
        }
        Target::Value(target) => (Milli(current).to_string(), target.to_string()),
    }
}

/// Three places behind the point, without zeros at the end.
fn rounded(number: f64) -> String {
    let text = format!("{number:.3}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}
