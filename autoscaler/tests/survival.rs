//! An autoscaler that was stopped decides what one that never stopped decides.

#![expect(clippy::unwrap_used, reason = "what is generated here is valid")]

use proptest::prelude::*;
use tidegate_autoscaler::history::HistoryEntry;
use tidegate_autoscaler::{
    Aggregation, DecisionSpec, Improvements, MetricSpec, Observed, Origin, RevisionAutoscaler,
    RevisionSettings, Sample, ScalingMetric, Timestamp,
};

const START_MS: i64 = 946_684_800_000;

/// One second of traffic: the load in 64ths, whether it is reported, how many instances lag.
type Second = (u32, bool, u32);

fn settings() -> impl Strategy<Value = RevisionSettings> {
    (6_u64..40, 1_u64..7, any::<bool>(), any::<bool>(), any::<bool>(), 0_u64..30, 0_usize..3)
        .prop_map(|(stable_s, panic_s, weighted, rps, better, delay_s, burst)| RevisionSettings {
            spec: DecisionSpec {
                stable_window_ms: stable_s * 1000,
                scale_down_delay_ms: delay_s * 1000,
                target_value: 10.0,
                total_value: 14.0,
                target_burst_capacity: [211.0, 0.0, -1.0][burst],
                scaling_metric: match rps {
                    true => ScalingMetric::RequestRate,
                    false => ScalingMetric::Concurrency,
                },
                ..DecisionSpec::default()
            },
            metric: MetricSpec {
                stable_window_ms: stable_s * 1000,
                panic_window_ms: panic_s * 1000,
                aggregation: match weighted {
                    true => Aggregation::WeightedExponential,
                    false => Aggregation::Linear,
                },
                scraped: true,
            },
            improvements: if better { Improvements::all() } else { Improvements::none() },
        })
}

/// Traffic that stays at a level for a while, so that panic comes and goes.
fn traffic() -> impl Strategy<Value = Vec<Second>> {
    let level = (0_u32..200, 5_usize..40).prop_flat_map(|(level, seconds)| {
        let second = (0_u32..64 * 20, prop::bool::weighted(0.9), 0_u32..3)
            .prop_map(move |(noise, told, lag)| (level * 64 + noise, told, lag));
        prop::collection::vec(second, seconds)
    });
    prop::collection::vec(level, 2..12).prop_map(|levels| levels.concat())
}

/// Lives through seconds of traffic: a sample 100 ms into each second, a decision 400 ms into
/// every other one. Instances follow the last recommendation with a lag.
struct Life {
    autoscaler: RevisionAutoscaler,
    history: Vec<HistoryEntry>,
}

impl Life {
    fn observed(&self, lag: u32) -> Observed {
        let requested = self.autoscaler.status().desired.max(1) as u32;
        let ready = requested.saturating_sub(lag);
        Observed { ready, starting: requested - ready, requested, ..Observed::default() }
    }

    fn second(&mut self, index: usize, second: Second) -> Option<(bool, i32, i32)> {
        let observed = self.observed(second.2);
        self.second_with(index, second, observed)
    }

    fn second_with(
        &mut self,
        index: usize,
        (load, told, _): Second,
        observed: Observed,
    ) -> Option<(bool, i32, i32)> {
        let at = second_start(index).plus_millis(100);
        if told {
            let load = f64::from(load) / 64.0;
            let sample = Sample::new(load, 0.0, load, 0.0).unwrap();
            let origin = Origin::Instances;
            self.history.push(HistoryEntry { at, origin, sample, observed });
            self.autoscaler.record(at, origin, &sample);
        }
        index.is_multiple_of(2).then(|| {
            let decision = self.autoscaler.tick(at.plus_millis(300), Some(observed), &[]);
            (decision.valid, decision.desired, decision.excess_burst_capacity)
        })
    }
}

fn second_start(index: usize) -> Timestamp {
    Timestamp::from_millis(START_MS + index as i64 * 1000)
}

fn start(settings: RevisionSettings) -> Life {
    let start = Timestamp::from_millis(START_MS);
    let autoscaler = RevisionAutoscaler::new(settings, start, 1).unwrap();
    Life { autoscaler, history: Vec::new() }
}

proptest! {
    /// Recommendations only: the sign of burst capacity has a memory of its own with hysteresis,
    /// panic with a delay may be held longer by what is rebuilt, and how long requests take without
    /// a queue times, which `count_starting` goes by, is learned anew.
    #[test]
    fn an_autoscaler_rebuilt_from_history_never_stopped(
        settings in settings(),
        traffic in traffic(),
        stop in any::<prop::sample::Index>(),
        quiet in any::<bool>(),
        whole_life in any::<bool>(),
    ) {
        let mut settings = settings;
        settings.improvements.count_starting = false;
        match quiet {
            true => settings.spec.panic_threshold = 1e9,
            false => settings.spec.scale_down_delay_ms = 0,
        }
        let stop = stop.index(traffic.len()) / 2 * 2;
        let mut life = start(settings);
        for (index, &(load, _, lag)) in traffic[..stop].iter().enumerate() {
            life.second(index, (load, true, lag));
        }
        let next_tick = second_start(stop).plus_millis(400);
        let kept_ms = if whole_life { u64::MAX } else { settings.history_ms() + 1000 };
        let oldest = next_tick.minus_millis(kept_ms);
        life.history.retain(|entry| entry.at >= oldest);
        let rebuilt = RevisionAutoscaler::rebuild(settings, &life.history, next_tick).unwrap();
        let mut second_life = Life { autoscaler: rebuilt, history: Vec::new() };
        for (index, &(load, _, lag)) in traffic.iter().enumerate().skip(stop) {
            let observed = life.observed(lag);
            let expected = life.second_with(index, (load, true, lag), observed);
            let given = second_life.second_with(index, (load, true, lag), observed);
            let wanted = |tick: Option<(bool, i32, i32)>| tick.map(|tick| (tick.0, tick.1));
            prop_assert_eq!(wanted(expected), wanted(given), "second {} stop {}", index, stop);
        }
    }
}
