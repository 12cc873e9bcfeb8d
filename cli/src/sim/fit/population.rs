//! What the functions of a trace are like together, and how near a generated population comes.

use serde_json::json;
use tidegate_sim::{SimSpan, Traffic};
use tidegate_sim_report::figures;
use tidegate_sim_traffic::{DISPERSION_MINUTES, Generated, Portrait, PortraitDistance};

use super::super::traffic_args::TrafficArgs;

/// Fewer functions say nothing about a population.
const FUNCTIONS_MIN: usize = 20;
/// Functions that are generated for one of the trace: so that what chance makes of a population is
/// small beside what the trace's own few functions leave open.
const GENERATED_FOR_ONE: usize = 8;
/// Generated populations are looked at from eight in the morning on, as the trace was from which
/// their numbers are.
const FROM_MINUTE: u64 = 480;
/// Seconds of a minute.
const MINUTE_S: u64 = 60;

/// The functions of a trace, and generated ones beside them.
pub(super) struct Population {
    portrait: Portrait,
    /// Specifications, each with its distance.
    nearest: Vec<(String, PortraitDistance)>,
}

/// Looks at `traffic`; `None` if it has only a few functions.
pub(super) fn of(
    traffic: &dyn Traffic,
    args: &TrafficArgs,
    seed: u64,
) -> anyhow::Result<Option<Population>> {
    let portrait = Portrait::of(traffic).map_err(anyhow::Error::from_boxed)?;
    let count = portrait.functions.len();
    if count < FUNCTIONS_MIN {
        return Ok(None);
    }
    let mut specifications = vec![format!("population:{count}")];
    if let ([trace], true) = (&args.trace[..], args.arrivals.is_empty()) {
        specifications.push(format!("population:{count},from={}", trace.display()));
    }
    let until = SimSpan::from_secs((FROM_MINUTE + portrait.minutes) * MINUTE_S);
    let mut nearest = Vec::new();
    for specification in specifications {
        let larger = format!("population:{}", count * GENERATED_FOR_ONE);
        let larger = specification.replacen(&format!("population:{count}"), &larger, 1);
        let generated = Generated::new(&larger, 0, until, seed);
        // A trace whose functions are all alike has no law of them.
        let Ok(generated) = generated else { continue };
        let other = Portrait::between(&generated, FROM_MINUTE, portrait.minutes);
        let other = other.map_err(anyhow::Error::from_boxed)?;
        nearest.push((specification, portrait.distance(&other)));
    }
    Ok(Some(Population { portrait, nearest }))
}

impl Population {
    pub(super) fn text(&self) -> String {
        let count = self.portrait.functions.len();
        let clocks = self.portrait.functions.iter().filter(|one| one.clock.is_some()).count();
        let share = figures::percent(clocks as f64 / count as f64);
        let mut text = format!(
            "\npopulation     {} functions of {} apps, {share} of them called by a clock\n\
             distance      calls   gaps",
            figures::count(count as u64),
            figures::count(self.portrait.apps as u64),
        );
        for minutes in DISPERSION_MINUTES {
            text.push_str(&format!(" {:>6}", format!("{minutes} min")));
        }
        text.push_str(" clocks together\n");
        for (specification, distance) in &self.nearest {
            let PortraitDistance { calls, gap_variation, dispersions, clocks, together } = distance;
            let mut columns = vec![*calls, *gap_variation];
            columns.extend(dispersions);
            columns.push(*clocks);
            text.push_str("             ");
            columns.iter().for_each(|value| text.push_str(&format!(" {value:>6.3}")));
            let together = together.map_or_else(|| "–".to_owned(), |it| format!("{it:.3}"));
            text.push_str(&format!(" {together:>8}  --arrivals {specification}\n"));
        }
        text.push_str(
            "               (of Kolmogorov and Smirnov, over functions: calls of each, variation \
             of its gaps,\n               variance over mean of its counts in so many minutes)\n",
        );
        text
    }

    pub(super) fn json(&self) -> serde_json::Value {
        let distances: Vec<_> = self
            .nearest
            .iter()
            .map(|(specification, distance)| {
                json!({
                    "arrivals": specification,
                    "calls": distance.calls,
                    "gap_variation": distance.gap_variation,
                    "dispersions": distance.dispersions,
                    "clocks": distance.clocks,
                    "together": distance.together,
                })
            })
            .collect();
        json!({
            "functions": self.portrait.functions.len(),
            "apps": self.portrait.apps,
            "minutes": self.portrait.minutes,
            "together": self.portrait.together,
            "distances": distances,
        })
    }
}
