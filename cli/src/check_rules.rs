//! `tidegate check --metrics-rules`: what a file of rules for metrics that leave does to what a
//! process serves.

use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, bail};
use tidegate_exporter::page::{self, PAGE_BYTES_MAX};
use tidegate_exporter::preview::{Effect, Pace, Preview, Weight, preview};
use tidegate_exporter::rules::Verdict;
use tidegate_exporter::settings::INTERVAL;
use tidegate_exporter::{Protocol, Rules};
use tidegate_flags::push::{ProtocolName, read_rules};

use crate::explain::print;
use crate::terminal::counted;
use tidegate_flags::ending::mistyped;

/// What is checked of metrics that leave.
#[derive(Debug, clap::Args)]
pub(crate) struct RulesArgs {
    /// Check a file of rules for metrics that leave instead.
    #[arg(
        long = "metrics-rules",
        value_name = "RULES",
        conflicts_with_all = ["file", "schema"],
        help_heading = "Metrics that leave"
    )]
    pub(crate) rules: Option<PathBuf>,
    /// Say what they make of a page of metrics that a process has served: a file, or - for standard
    /// input.
    #[arg(long, value_name = "PAGE", requires = "rules", help_heading = "Metrics that leave")]
    page: Option<PathBuf>,
    /// How they would be pushed, for what that weighs.
    #[arg(
        long,
        value_name = "PROTOCOL",
        value_enum,
        default_value = "otlp-http",
        requires = "page",
        help_heading = "Metrics that leave"
    )]
    protocol: ProtocolName,
}

/// Runs the verb on the file of rules.
pub(crate) fn execute(path: &Path, args: &RulesArgs) -> anyhow::Result<ExitCode> {
    let rules = read_rules(path).map_err(mistyped)?;
    let shown = path.display();
    let Some(page) = &args.page else {
        let count = counted(rules.as_slice().len() as u64, "rule");
        return print(&[format!("{shown}: {count}, nothing is wrong")]).map(|()| ExitCode::SUCCESS);
    };
    let text = text_of(page).map_err(mistyped)?;
    let families = page::read(&text)
        .with_context(|| format!("{}: no page of metrics of ours", page.display()))
        .map_err(mistyped)?;
    let protocol = args.protocol.protocol();
    print(&told(&shown.to_string(), &rules, &preview(&rules, &families, pace(protocol))))?;
    Ok(ExitCode::SUCCESS)
}

/// As a role does it unless told otherwise.
fn pace(protocol: Protocol) -> Pace {
    Pace {
        format: protocol.format(),
        interval: INTERVAL,
        readings_per_message: 1,
        repeat_after: Duration::from_secs(240),
    }
}

fn text_of(path: &Path) -> anyhow::Result<String> {
    let mut text = String::new();
    let bytes = PAGE_BYTES_MAX as u64 + 1;
    let read = match path.to_str() {
        Some("-") => std::io::stdin().take(bytes).read_to_string(&mut text),
        _ => std::fs::File::open(path).and_then(|file| file.take(bytes).read_to_string(&mut text)),
    };
    read.with_context(|| format!("cannot read {}", path.display()))?;
    if text.len() > PAGE_BYTES_MAX {
        bail!("{}: expected a page of {PAGE_BYTES_MAX} bytes at most", path.display());
    }
    Ok(text)
}

fn told(path: &str, rules: &Rules, preview: &Preview) -> Vec<String> {
    let mut lines = Vec::new();
    for (rule, effect) in rules.as_slice().iter().zip(&preview.rules) {
        let verb = match rule.verdict {
            Verdict::Keep => "keep",
            Verdict::Drop => "drop",
        };
        let place = format!("{path}:{}", rule.line);
        lines.push(format!(
            "{place}: {verb} \"{}\": {}",
            rule.name,
            effect_of(rule.verdict, effect)
        ));
    }
    if preview.unmatched > 0 {
        let count = counted_series(preview.unmatched);
        lines.push(format!("{path}: {count} that no rule matches stay here"));
    }
    if preview.has_collided {
        lines.push(format!(
            "{path}: two rules make series that look the same, of which those of the first leave"
        ));
    }
    let total = &preview.total;
    lines.push(format!(
        "in all: {} of {} leave, {}",
        total.leaving,
        counted_series(total.matched + preview.unmatched),
        weight(total.weight)
    ));
    lines
}

fn effect_of(verdict: Verdict, effect: &Effect) -> String {
    let matched = counted_series(effect.matched);
    match verdict {
        Verdict::Drop => format!("{matched} stay here"),
        Verdict::Keep if effect.leaving == effect.matched => {
            format!("{matched} leave, {}", weight(effect.weight))
        }
        Verdict::Keep => {
            format!("{matched} leave as {}, {}", effect.leaving, weight(effect.weight))
        }
    }
}

fn counted_series(count: usize) -> String {
    // One of them is a series as well.
    format!("{count} series")
}

fn weight(weight: Weight) -> String {
    let kilobytes = |bytes: f64| format!("{:.0} kB", bytes / 1e3);
    format!(
        "{} a day at rest, {} if all of them change all the time",
        kilobytes(weight.at_rest),
        kilobytes(weight.busiest)
    )
}
