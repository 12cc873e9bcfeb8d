//! What a decision is told of the load: the signals that it weighs, and what is known beside them.

use super::RevisionAutoscaler;
use crate::collector::Averages;
use crate::decision::Signals;
use crate::observed::Observed;
use crate::pauses::{Outlook, least_quiet_ms};
use crate::signal::{MAX_EXTRA_SIGNALS, Signal, SignalKind};
use crate::spec::ScalingMetric;
use crate::time::Timestamp;

impl RevisionAutoscaler {
    /// What the pauses so far say of the one that the revision is in. A pause lasts for as long as
    /// it is known to: where reports are due and missing, until the last one.
    pub(super) fn outlook(&self, now: Timestamp) -> Outlook {
        let settings = &self.settings;
        match &self.collector {
            Some(collector)
                if settings.improvements.learn_pauses && settings.spec.idle_floor_ms == 0 =>
            {
                let seen = collector.seen_from(now, self.silence(self.reporters));
                self.pauses.outlook(seen, settings.spec.stable_window_ms)
            }
            _ => Outlook::Open,
        }
    }

    /// The load of the busiest recent second, if that caps the recommendation.
    pub(super) fn recent_peak(&self, now: Timestamp, outlook: Outlook) -> Option<f64> {
        let spec = &self.settings.spec;
        let collector = self.collector.as_ref()?;
        let length_ms = match outlook {
            _ if !self.settings.improvements.idle_floor => return None,
            // Nobody is there to say so once more.
            Outlook::Long if self.reporters == 0 => return Some(0.0),
            Outlook::Long => least_quiet_ms(spec.stable_window_ms),
            Outlook::Open | Outlook::Soon => spec.idle_floor(),
        };
        let silence = self.silence(self.reporters);
        collector.recent_peak(now, spec.scaling_metric, silence, length_ms)
    }

    /// The signals of a decision, the scaling metric first.
    pub(super) fn fill_signals(
        &self,
        signals: &mut Signals,
        averages: Averages,
        observed: Option<Observed>,
        extra: &[Signal],
    ) {
        let spec = &self.settings.spec;
        let kind = match spec.scaling_metric {
            ScalingMetric::Concurrency => SignalKind::Concurrency,
            ScalingMetric::RequestRate => SignalKind::RequestRate,
        };
        signals.push(Signal {
            kind,
            stable: averages.stable,
            panic: averages.panic,
            target: spec.target_value,
        });
        if let Some(percentile) = self.burst_percentile() {
            signals.push(Signal {
                kind: SignalKind::BurstPercentile,
                stable: percentile,
                // A burst that is over is no cause for panic.
                panic: 0.0,
                // The chosen share of seconds is to fit without waiting, which it does up to
                // the capacity itself; the target below it is for the average.
                target: spec.total_value,
            });
        }
        if let Some(waiting) = self.crowd(observed) {
            signals.push(waiting);
        }
        for signal in extra.iter().filter(|signal| signal.is_sound()).take(MAX_EXTRA_SIGNALS) {
            signals.push(*signal);
        }
    }

    /// The chosen percentile of the window's seconds, if that is a signal.
    fn burst_percentile(&self) -> Option<f64> {
        let spec = &self.settings.spec;
        if !self.settings.improvements.burst_percentile {
            return None;
        }
        self.collector.as_ref()?.percentile(spec.scaling_metric, spec.burst_percentile)
    }

    /// What is there at this moment, if it is a crowd: so much that instances that serve, and those
    /// that start, would be full of it as often over as panic begins at. Fewer may wait for a
    /// moment by chance, and are gone with the next decision. It is no load of the stable window.
    fn crowd(&self, observed: Option<Observed>) -> Option<Signal> {
        let (settings, spec) = (&self.settings, &self.settings.spec);
        let observed = observed.filter(|observed| observed.waiting > 0 && observed.ready > 0)?;
        let inside = f64::from(observed.at_once?);
        let places = f64::from(observed.ready.saturating_add(observed.starting)) * spec.total_value;
        let in_flight = spec.scaling_metric == ScalingMetric::Concurrency;
        let is_crowd = settings.improvements.count_waiting
            && in_flight
            && inside >= places * spec.panic_threshold;
        is_crowd.then_some(Signal {
            kind: SignalKind::Held,
            stable: 0.0,
            panic: inside,
            target: spec.target_value,
        })
    }
}
