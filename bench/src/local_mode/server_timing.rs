//! Where the time of cold starts went, as `Server-Timing` says it.

use std::fmt;

/// The name of the sum of all phases.
const TOTAL: &str = "cold-start";

/// Phases in which processes start and the app answers. A part of the first two is ours as well,
/// and is not told apart: the line before a process begins, and the queue-proxy that comes up.
const OF_PROCESSES: [&str; 3] = ["start", "listen", "respond"];

/// The phases of many cold starts.
#[derive(Debug, Default)]
pub struct Phases {
    /// Names, in the order in which they came, each with its times in milliseconds.
    times_ms: Vec<(String, Vec<f64>)>,
}

impl Phases {
    /// Takes in the value of one field.
    pub fn add(&mut self, field: &str) {
        for entry in field.split(',') {
            let Some((name, rest)) = entry.trim().split_once(";dur=") else { continue };
            let Ok(ms) = rest.split(';').next().unwrap_or_default().parse() else { continue };
            match self.times_ms.iter_mut().find(|(known, _)| known == name) {
                Some((_, times)) => times.push(ms),
                None => self.times_ms.push((name.to_owned(), vec![ms])),
            }
        }
    }

    /// The sum of all times of the phases that `wanted` chooses.
    fn sum_ms(&self, wanted: impl Fn(&str) -> bool) -> f64 {
        let chosen = self.times_ms.iter().filter(|(name, _)| wanted(name));
        chosen.flat_map(|(_, times)| times).sum()
    }

    /// How much of all the time was spent deciding, telling and forwarding, in none of which a
    /// process starts.
    #[must_use]
    pub fn own_share(&self) -> f64 {
        let total_ms = self.sum_ms(|name| name == TOTAL);
        let ours_ms = self.sum_ms(|name| name != TOTAL && !OF_PROCESSES.contains(&name));
        if total_ms > 0.0 { ours_ms / total_ms } else { 0.0 }
    }
}

impl fmt::Display for Phases {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(formatter, "{:12}{:>12}{:>12}{:>12}{:>12}", "", "mean", "p50", "p99", "longest")?;
        for (name, times) in &self.times_ms {
            let mut sorted = times.clone();
            sorted.sort_by(f64::total_cmp);
            let at = |percent: usize| sorted[(sorted.len() * percent).div_ceil(100).max(1) - 1];
            let mean = sorted.iter().sum::<f64>() / sorted.len() as f64;
            let columns = [mean, at(50), at(99), at(100)].map(|ms| format!("{ms:.1} ms"));
            let [mean, p50, p99, longest] = columns;
            writeln!(formatter, "{name:12}{mean:>12}{p50:>12}{p99:>12}{longest:>12}")?;
        }
        let share = self.own_share() * 100.0;
        write!(formatter, "{share:.1} % of the time is spent deciding, telling and forwarding")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_summed_up_by_phase() {
        let mut phases = Phases::default();
        phases.add("decide;dur=1.0, listen;dur=50.0, forward;dur=1.0, cold-start;dur=52.0");
        phases.add("decide;dur=3.0, listen;dur=44.0, forward;dur=1.0, cold-start;dur=48.0, junk");
        assert!((phases.own_share() - 0.06).abs() < 1e-9);
        let text = phases.to_string();
        assert!(text.lines().nth(1).is_some_and(|line| line.starts_with("decide ")), "{text}");
        assert!(text.contains(" 2.0 ms") && text.ends_with("forwarding"), "{text}");
    }
}
