//! The adaptive limit in a closed loop with apps whose right limit is known.

use std::time::Duration;

use proptest::prelude::*;
use tidegate_admission::{Adaptive, AdaptiveSettings, Moment};

/// An app with `cores` that shares them fairly: quick up to `cores` requests, then slower in
/// proportion. `demand` clients are always there; the limit decides how many get in.
fn run(adaptive: &mut Adaptive, clock: &mut Duration, cores: f64, demand: u32, seconds: u64) {
    let service = Duration::from_millis(20);
    let end = *clock + Duration::from_secs(seconds);
    while *clock < end {
        let limit = adaptive.limit().count().map_or(u32::MAX, std::num::NonZeroU32::get);
        let in_flight = limit.min(demand);
        let slowdown = (f64::from(in_flight) / cores).max(1.0);
        let latency = service.mul_f64(slowdown);
        // Each response is one sample, at the rate of the app.
        *clock += latency / in_flight.max(1);
        adaptive.sample(Moment::from(*clock), latency, in_flight);
    }
}

fn limit(adaptive: &Adaptive) -> u32 {
    adaptive.limit().to_wire()
}

#[test]
fn the_limit_settles_near_what_the_app_runs_well() {
    for cores in [4.0, 16.0, 64.0] {
        for light_seconds in [0, 60] {
            let mut adaptive = Adaptive::new(AdaptiveSettings::default());
            let mut clock = Duration::ZERO;
            // With light load first the app shows how quick it is; else a measurement must.
            run(&mut adaptive, &mut clock, cores, 3, light_seconds);
            run(&mut adaptive, &mut clock, cores, 500, 600);
            let settled = f64::from(limit(&adaptive));
            assert!(
                settled >= cores && settled <= cores * 1.5 + 8.0,
                "{cores} cores settled at {settled} after {light_seconds} s of light load"
            );
        }
    }
}

#[test]
fn an_app_that_becomes_slower_gets_less_and_recovers() {
    let mut adaptive = Adaptive::new(AdaptiveSettings::default());
    let mut clock = Duration::ZERO;
    run(&mut adaptive, &mut clock, 32.0, 100, 300);
    let before = limit(&adaptive);
    run(&mut adaptive, &mut clock, 4.0, 100, 20);
    let during = limit(&adaptive);
    run(&mut adaptive, &mut clock, 32.0, 100, 300);
    let after = limit(&adaptive);
    assert!(during <= before / 2, "{before} before, {during} during");
    assert!(after >= before * 3 / 4, "{before} before, {after} after");
}

#[test]
fn an_idle_app_keeps_its_limit() {
    let mut adaptive = Adaptive::new(AdaptiveSettings::default());
    run(&mut adaptive, &mut Duration::ZERO.clone(), 64.0, 2, 60);
    assert_eq!(limit(&adaptive), AdaptiveSettings::default().initial);
}

proptest! {
    #[test]
    fn the_limit_stays_within_its_bounds_whatever_it_is_fed(
        minimum in 0..50_u32,
        maximum in 0..500_u32,
        smoothing in any::<f64>(),
        tolerance in any::<f64>(),
        headroom in any::<f64>(),
        samples in prop::collection::vec((any::<u32>(), any::<u64>(), any::<u32>()), 1..400),
    ) {
        let settings = AdaptiveSettings {
            minimum,
            maximum,
            smoothing,
            tolerance,
            headroom,
            window: Duration::from_millis(1),
            window_samples: 2,
            ..AdaptiveSettings::default()
        };
        let mut adaptive = Adaptive::new(settings);
        let mut now = Moment::ZERO;
        for (gap, latency, in_flight) in samples {
            now = now.after(Duration::from_nanos(gap.into()));
            let changed = adaptive.sample(now, Duration::from_nanos(latency), in_flight);
            let limit = limit(&adaptive);
            prop_assert!(limit >= minimum.max(1) && limit <= maximum.max(minimum).max(1));
            prop_assert!(changed.is_none_or(|changed| changed.to_wire() == limit));
        }
    }
}
