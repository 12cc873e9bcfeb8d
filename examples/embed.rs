//! The autoscaler inside your own program: feed it numbers, get decisions.
//!
//! `cargo run -p tidegate-autoscaler --example embed`

use tidegate_autoscaler::{
    DecisionSpec, Improvements, MetricSpec, Observed, Origin, RevisionAutoscaler, RevisionSettings,
    Sample, Timestamp,
};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    // One instance should carry 7 requests at once on average, and can carry 10.
    let settings = RevisionSettings {
        spec: DecisionSpec { target_value: 7.0, total_value: 10.0, ..DecisionSpec::default() },
        metric: MetricSpec::default(), // a stable window of 60 s, a panic window of 6 s
        improvements: Improvements::all(),
    };
    settings.spec.validate()?;

    // Time is yours: a clock, a simulation, a log from last year.
    let start = Timestamp::from_secs(1_700_000_000);
    let mut autoscaler = RevisionAutoscaler::new(settings, start, 1)?;
    let mut instances = 1;

    for second in 0..180 {
        let now = start.plus_millis(second * 1000);

        // Once a second: how many requests were in flight on average, in all instances together.
        let load = match second {
            0..30 => 5.0,
            30..60 => 80.0, // a burst
            60..100 => 30.0,
            _ => 0.0,
        };
        autoscaler.record(now, Origin::Instances, &Sample::of_concurrency(load)?);

        // Every two seconds: how many instances should there be? Here they start at once.
        if second % 2 == 1 {
            let decision = autoscaler.tick(now, Some(Observed::ready(instances)), &[]);
            if decision.valid && decision.desired != instances as i32 {
                println!("{second:>3} s  {}", decision.explanation);
                instances = decision.desired as u32;
            }
        }
    }
    Ok(())
}
