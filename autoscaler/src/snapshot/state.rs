//! What each part of an autoscaler is as bytes.

use super::{Reader, SnapshotError, Writer};
use crate::decide::PanicState;
use crate::revision::{RevisionSettings, Status};
use crate::spec::{Aggregation, DecisionSpec, Improvements, MetricSpec, ScalingMetric};

impl DecisionSpec {
    pub(crate) fn save(&self, out: &mut Writer) {
        out.u8(match self.scaling_metric {
            ScalingMetric::Concurrency => 0,
            ScalingMetric::RequestRate => 1,
        });
        out.f64s(&[
            self.max_scale_up_rate,
            self.max_scale_down_rate,
            self.target_value,
            self.total_value,
            self.target_burst_capacity,
            self.activator_capacity,
            self.panic_threshold,
            self.burst_percentile,
        ]);
        out.u64(self.stable_window_ms);
        out.u64(self.scale_down_delay_ms);
        out.u64(self.idle_floor_ms);
        out.i32(self.initial_scale);
        out.i32(self.activation_scale);
        out.flag(self.reachable);
    }

    pub(crate) fn load(input: &mut Reader<'_>) -> Result<DecisionSpec, SnapshotError> {
        let scaling_metric = match input.u8()? {
            0 => ScalingMetric::Concurrency,
            1 => ScalingMetric::RequestRate,
            _ => return Err(SnapshotError::Invalid("scaling metric")),
        };
        let [up, down, target, total, burst, activator, panic, percentile] =
            input.f64s("decision spec")?;
        Ok(DecisionSpec {
            scaling_metric,
            max_scale_up_rate: up,
            max_scale_down_rate: down,
            target_value: target,
            total_value: total,
            target_burst_capacity: burst,
            activator_capacity: activator,
            panic_threshold: panic,
            burst_percentile: percentile,
            stable_window_ms: input.u64()?,
            scale_down_delay_ms: input.u64()?,
            idle_floor_ms: input.u64()?,
            initial_scale: input.i32()?,
            activation_scale: input.i32()?,
            reachable: input.flag()?,
        })
    }
}

impl MetricSpec {
    pub(crate) fn save(&self, out: &mut Writer) {
        out.u64(self.stable_window_ms);
        out.u64(self.panic_window_ms);
        out.flag(self.aggregation == Aggregation::WeightedExponential);
        out.flag(self.scraped);
    }

    pub(crate) fn load(input: &mut Reader<'_>) -> Result<MetricSpec, SnapshotError> {
        Ok(MetricSpec {
            stable_window_ms: input.u64()?,
            panic_window_ms: input.u64()?,
            aggregation: match input.flag()? {
                true => Aggregation::WeightedExponential,
                false => Aggregation::Linear,
            },
            scraped: input.flag()?,
        })
    }
}

impl Improvements {
    pub(crate) fn save(&self, out: &mut Writer) {
        for switch in self.clone().switches() {
            out.flag(*switch);
        }
    }

    pub(crate) fn load(input: &mut Reader<'_>) -> Result<Improvements, SnapshotError> {
        let mut improvements = Improvements::none();
        for switch in improvements.switches() {
            *switch = input.flag()?;
        }
        Ok(improvements)
    }

    /// Every switch, in the order they are written.
    fn switches(&mut self) -> [&mut bool; 9] {
        [
            &mut self.hold_in_silence,
            &mut self.count_starting,
            &mut self.burst_hysteresis,
            &mut self.average_reports,
            &mut self.keep_history,
            &mut self.wake_after_restart,
            &mut self.leave_panic_without_data,
            &mut self.idle_floor,
            &mut self.burst_percentile,
        ]
    }
}

impl RevisionSettings {
    pub(crate) fn save(&self, out: &mut Writer) {
        self.spec.save(out);
        self.metric.save(out);
        self.improvements.save(out);
    }

    pub(crate) fn load(input: &mut Reader<'_>) -> Result<RevisionSettings, SnapshotError> {
        Ok(RevisionSettings {
            spec: DecisionSpec::load(input)?,
            metric: MetricSpec::load(input)?,
            improvements: Improvements::load(input)?,
        })
    }
}

impl PanicState {
    pub(crate) fn save(&self, out: &mut Writer) {
        out.option(self.since, Writer::time);
        out.i32(self.max_instances);
    }

    pub(crate) fn load(input: &mut Reader<'_>) -> Result<PanicState, SnapshotError> {
        Ok(PanicState { since: input.option(Reader::time)?, max_instances: input.i32()? })
    }
}

impl Status {
    pub(crate) fn save(&self, out: &mut Writer) {
        out.i32(self.desired);
        out.i32(self.excess_burst_capacity);
    }

    pub(crate) fn load(input: &mut Reader<'_>) -> Result<Status, SnapshotError> {
        Ok(Status { desired: input.i32()?, excess_burst_capacity: input.i32()? })
    }
}
