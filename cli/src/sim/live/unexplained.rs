//! What lies between a measurement and its simulation, and is not in the model.

use tidegate_sim::{RunOutput, fit};
use tidegate_sim_report::figures;

use super::super::as_recorded::seen_starts;
use super::seen::Seen;
use crate::demo::Measured;

/// Ready instances that two seconds must differ by to be told apart.
const APART: f64 = 0.5;

/// It in sentences, the largest first.
pub(super) fn sentences(played: &Measured, seen: &Seen, simulated: &RunOutput) -> Vec<String> {
    let points = simulated.series.first().map_or(&[][..], |series| &series.points);
    let ready: Vec<f64> = points.iter().map(|point| point.ready_mean).collect();
    let parts =
        [decisions(&seen.ready, &ready), start_ups(seen), Some(front_of_the_door(played, seen))];
    parts.into_iter().flatten().collect()
}

/// Where instances are first apart, and for how long: from there on other decisions are made.
fn decisions(measured: &[f64], simulated: &[f64]) -> Option<String> {
    let length = measured.len().max(simulated.len());
    let at = |values: &[f64], second: usize| values.get(second).copied().unwrap_or(0.0);
    let apart = |second: &usize| (at(measured, *second) - at(simulated, *second)).abs() >= APART;
    let first = (0..length).find(apart)?;
    let seconds = (0..length).filter(apart).count();
    Some(format!(
        "{seconds} of {length} seconds have another number of instances, the first of them after \
         {first} s (measured {}, simulated {}): a decision that fell otherwise or at another time",
        figures::number(at(measured, first)),
        figures::number(at(simulated, first)),
    ))
}

/// How much start-ups vary beside what the law says that they do to each other.
fn start_ups(seen: &Seen) -> Option<String> {
    let fitted = fit::starts::start_ups(&seen_starts(&seen.recorded))?;
    Some(format!(
        "{} start-ups vary by {} ({} as they were, before {}): each is replayed with its own time, \
         and with others instead it would be another",
        fitted.count,
        figures::percent(fitted.unexplained),
        figures::percent(fitted.spread),
        fitted.contention,
    ))
}

/// What the client measured beyond the front door.
fn front_of_the_door(played: &Measured, seen: &Seen) -> String {
    let beyond = |quantile| played.tally.latency_ms(quantile) - seen.latency_ms(quantile);
    format!(
        "between client and front door, which is not simulated, lie {} at the median and {} at p99",
        figures::millis(beyond(0.5)),
        figures::millis(beyond(0.99)),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_second_that_differs_is_named() {
        assert_eq!(decisions(&[1.0, 2.0], &[1.2, 2.0]), None);
        let told = decisions(&[1.0, 2.0, 2.0], &[1.0, 2.0, 3.0, 1.0]).expect("they differ");
        assert!(told.starts_with("2 of 4 seconds"), "{told}");
        assert!(told.contains("after 2 s (measured 2, simulated 3)"), "{told}");
    }
}
