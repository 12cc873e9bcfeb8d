//! The meter beside the definition of what it measures, and beside the arithmetic it must repeat.

use proptest::prelude::*;
use tidegate_admission::{Meter, Moment, PeriodAverages, Source};

#[derive(Debug, Clone, Copy)]
enum Event {
    Arrive(Source),
    Stay(Source),
    Depart(Source),
    Cut,
}

fn event() -> impl Strategy<Value = (u64, Event)> {
    let source = prop_oneof![Just(Source::Direct), Just(Source::Proxied)];
    let event = prop_oneof![
        4 => source.clone().prop_map(Event::Arrive),
        1 => source.clone().prop_map(Event::Stay),
        3 => source.prop_map(Event::Depart),
        1 => Just(Event::Cut),
    ];
    // Mostly microseconds, sometimes nothing, sometimes hours.
    let gap = prop_oneof![Just(0), 1..2_000_000_u64, Just(7_200_000_000_000)];
    (gap, event)
}

/// Levels and sums as Knative's accountant keeps them, without any of the meter's types.
#[derive(Default)]
struct Account {
    level: u64,
    proxied: u64,
    last: u64,
    counts: (u64, u64),
    sums: (f64, f64, f64),
    exact: (u128, u128, u128),
}

impl Account {
    fn advance(&mut self, now: u64) {
        let gap = now - self.last;
        self.last = now;
        let seconds = (gap / 1_000_000_000) as f64 + (gap % 1_000_000_000) as f64 / 1e9;
        if gap > 0 {
            self.sums.0 += self.level as f64 * seconds;
            self.sums.1 += self.proxied as f64 * seconds;
            self.sums.2 += seconds;
        }
        self.exact.0 += u128::from(self.level) * u128::from(gap);
        self.exact.1 += u128::from(self.proxied) * u128::from(gap);
        self.exact.2 += u128::from(gap);
    }

    fn cut(&mut self) -> (PeriodAverages, PeriodAverages) {
        let (all, proxied, time) = std::mem::take(&mut self.sums);
        let exact = std::mem::take(&mut self.exact);
        let counts = std::mem::take(&mut self.counts);
        let used = time > 0.0;
        let report = |average: f64, proxied: f64| PeriodAverages {
            average_concurrency: if used { average } else { 0.0 },
            average_proxied_concurrency: if used { proxied } else { 0.0 },
            request_count: counts.0,
            proxied_request_count: counts.1,
        };
        let time_exact = exact.2 as f64;
        (
            report(all / time, proxied / time),
            report(exact.0 as f64 / time_exact, exact.1 as f64 / time_exact),
        )
    }
}

proptest! {
    #[test]
    fn the_meter_repeats_the_arithmetic_and_measures_the_truth(
        events in prop::collection::vec(event(), 1..400),
    ) {
        let mut meter = Meter::new(Moment::ZERO);
        let mut account = Account::default();
        let mut now = 0;
        for (gap, event) in events {
            now += gap;
            if let Event::Depart(source) = event {
                let direct = account.level - account.proxied;
                let inside = if source == Source::Proxied { account.proxied } else { direct };
                if inside == 0 {
                    continue;
                }
            }
            account.advance(now);
            let moment = Moment::from_nanos(now);
            match event {
                Event::Arrive(source) => {
                    meter.arrive(moment, source);
                    account.level += 1;
                    account.counts.0 += 1;
                    account.proxied += u64::from(source == Source::Proxied);
                    account.counts.1 += u64::from(source == Source::Proxied);
                }
                Event::Stay(source) => {
                    meter.stay(moment, source);
                    account.level += 1;
                    account.proxied += u64::from(source == Source::Proxied);
                }
                Event::Depart(source) => {
                    meter.depart(moment, source);
                    account.level -= 1;
                    account.proxied -= u64::from(source == Source::Proxied);
                }
                Event::Cut => {
                    let report = meter.cut(moment);
                    let (same_steps, truth) = account.cut();
                    prop_assert_eq!(report, same_steps, "to the bit");
                    let error = (report.average_concurrency - truth.average_concurrency).abs();
                    prop_assert!(error <= 1e-9 * truth.average_concurrency.max(1.0));
                }
            }
            prop_assert_eq!(meter.concurrency(), account.level);
            prop_assert_eq!(meter.proxied_concurrency(), account.proxied);
        }
    }
}
