//! `tidegate sim traffic`: look at traffic without simulating anything.

use std::io::Write;
use std::path::PathBuf;

use anyhow::Context;
use serde_json::json;
use tidegate_sim::fit::Moments;
use tidegate_sim::{SimSpan, Traffic};
use tidegate_sim_report::{REVISIONS_LISTED_MAX, figures};

use super::output;
use super::traffic_args::TrafficArgs;
use crate::typed::{span_above_zero, whole};

/// What was typed after `tidegate sim traffic`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// When generated traffic ends.
    #[arg(long, value_name = "TIME", value_parser = span_above_zero, default_value = "1h")]
    duration: SimSpan,
    /// Seed of all chance.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = whole(0..=u64::MAX))]
    seed: u64,
    #[command(flatten)]
    traffic: TrafficArgs,
    /// Every arrival as a row: arrival and service time in seconds, revision. `-` is standard
    /// output.
    #[arg(long, value_name = "FILE", help_heading = "Answers")]
    csv: Option<PathBuf>,
    /// The summary as JSON; `-` is standard output.
    #[arg(long, value_name = "FILE", help_heading = "Answers")]
    json: Option<PathBuf>,
}

#[derive(Default)]
struct Seen {
    count: u64,
    served: u64,
    service_s: f64,
    last_s: f64,
    gaps: Moments,
    skipped: u64,
    revisions: Vec<u64>,
    names: Vec<String>,
}

/// Runs the verb.
pub(super) fn execute(args: &Args) -> anyhow::Result<()> {
    let traffic = args.traffic.build(args.seed, Some(args.duration))?.traffic;
    let seen = read(traffic.as_ref(), args)?;
    if args.csv.as_deref().is_some_and(output::is_stdout) {
        return Ok(());
    }
    if let Some(path) = &args.json {
        let mut text = serde_json::to_string_pretty(&seen.json(traffic.as_ref()))?;
        text.push('\n');
        output::write_file(path, text.as_bytes())?;
        if output::is_stdout(path) {
            return Ok(());
        }
    }
    let text = seen.text(traffic.as_ref());
    output::write_file(std::path::Path::new("-"), text.as_bytes())
}

/// Reads all arrivals, writing rows when asked.
fn read(traffic: &dyn Traffic, args: &Args) -> anyhow::Result<Seen> {
    let mut rows = match &args.csv {
        Some(path) => Some((path, output::create(path)?)),
        None => None,
    };
    if let Some((path, out)) = &mut rows {
        writeln!(out, "arrival_s,service_s,revision")
            .with_context(|| output::cannot_write(path))?;
    }
    let mut source = traffic.open().map_err(anyhow::Error::from_boxed)?;
    let mut seen = Seen::default();
    while let Some(arrival) = source.next() {
        let arrival = arrival.map_err(anyhow::Error::from_boxed)?;
        let service = arrival.service.map(SimSpan::as_secs_f64);
        let at_s = arrival.at.as_secs_f64();
        if seen.count > 0 {
            seen.gaps.add(at_s - seen.last_s);
        }
        seen.count += 1;
        seen.last_s = at_s;
        seen.served += u64::from(service.is_some());
        seen.service_s += service.unwrap_or(0.0);
        let id = arrival.revision.0 as usize;
        if seen.revisions.len() <= id {
            seen.revisions.resize(id + 1, 0);
        }
        seen.revisions[id] += 1;
        if let Some((path, out)) = &mut rows {
            let name = quoted(source.names().name(arrival.revision));
            let service = service.map(|service| service.to_string()).unwrap_or_default();
            writeln!(out, "{:.9},{service},{name}", seen.last_s)
                .with_context(|| output::cannot_write(path))?;
        }
    }
    if let Some((path, out)) = &mut rows {
        out.flush().with_context(|| output::cannot_write(path))?;
    }
    seen.skipped = source.skipped();
    seen.names = source.names().iter().map(str::to_owned).collect();
    Ok(seen)
}

/// The irregularity of gaps, and what it means.
pub(super) fn variation(of_gaps: f64) -> String {
    format!(
        "coefficient of variation {} (standard deviation over mean; 1 is a Poisson process)",
        figures::number(of_gaps)
    )
}

/// A field of CSV.
pub(super) fn quoted(name: &str) -> String {
    if name.contains(['"', ',', '\n', '\r']) {
        format!("\"{}\"", name.replace('"', "\"\""))
    } else {
        name.to_owned()
    }
}

impl Seen {
    fn has_gaps(&self) -> bool {
        self.count > 1
    }

    /// Revisions by their number of requests, busiest first.
    fn busiest(&self) -> Vec<(&str, u64)> {
        let name = |id: usize| self.names.get(id).map_or("?", String::as_str);
        let mut all: Vec<_> =
            self.revisions.iter().enumerate().map(|(id, count)| (name(id), *count)).collect();
        all.sort_by(|left, right| right.1.cmp(&left.1).then_with(|| left.0.cmp(right.0)));
        all
    }

    fn json(&self, traffic: &dyn Traffic) -> serde_json::Value {
        let revisions: Vec<_> = self
            .busiest()
            .iter()
            .map(|(name, count)| json!({ "revision": name, "requests": count }))
            .collect();
        let service_mean_ms = (self.served > 0).then(|| self.service_s / self.served as f64 * 1e3);
        json!({
            "traffic": traffic.describe(),
            "trace_sha256": traffic.sha256(),
            "requests": self.count,
            "requests_with_service_time": self.served,
            "service_mean_ms": service_mean_ms,
            "seconds": self.last_s,
            "rows_skipped": self.skipped,
            "gap_variation": self.has_gaps().then(|| self.gaps.variation()),
            "revisions": revisions,
        })
    }

    fn text(&self, traffic: &dyn Traffic) -> String {
        let mut lines = vec![
            ("traffic".to_owned(), traffic.describe()),
            ("sha256".to_owned(), traffic.sha256()),
            ("requests".to_owned(), figures::count(self.count)),
            ("length".to_owned(), figures::seconds(self.last_s)),
        ];
        if self.last_s > 0.0 {
            let rate = figures::number(self.count as f64 / self.last_s);
            lines.push(("mean rate".to_owned(), format!("{rate} requests/s")));
        }
        if self.has_gaps() {
            lines.push(("gaps".to_owned(), variation(self.gaps.variation())));
        }
        let service = match self.served {
            0 => "none in the traffic".to_owned(),
            served => figures::millis(self.service_s / served as f64 * 1e3) + " on average",
        };
        lines.push(("service time".to_owned(), service));
        if self.skipped > 0 {
            lines
                .push(("bad rows".to_owned(), format!("{} skipped", figures::count(self.skipped))));
        }
        lines.push(("revisions".to_owned(), figures::count(self.revisions.len() as u64)));
        let mut text: String =
            lines.iter().map(|(name, value)| format!("{name:<14}{value}\n")).collect();
        for (name, count) in self.busiest().iter().take(REVISIONS_LISTED_MAX) {
            let clean: String =
                name.chars().map(|c| if c.is_control() { '?' } else { c }).collect();
            text.push_str(&format!("{:>14}  {clean}\n", figures::count(*count)));
        }
        text
    }
}
