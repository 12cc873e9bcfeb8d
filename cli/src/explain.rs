//! `tidegate explain`: queries a running controller for its decisions and their reasons.

use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, SystemTime};

use anyhow::Context;
use tidegate_explain::{Past, Query, find, full_name, site_text, text};
use tidegate_proto::scale::v1 as wire;

use tidegate_flags::ToleranceArgs;

use crate::reach::ControllerArgs;
use crate::sites_file;
use crate::typed::{Moment, moment, whole};
use tidegate_flags::ending::mistyped;

mod hpa;

/// Most decisions that a controller keeps of one revision.
const LAST_MAX: u32 = tidegate_controller::journal::DECISIONS_MAX as u32;

/// Time between two looks at sites while decisions are watched.
const SITES_INTERVAL: Duration = Duration::from_secs(2);

/// What was typed after `tidegate explain`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The revision, as NAME or NAMESPACE/NAME, with SITE: before it where there are several sites;
    /// all of them are listed when none is named.
    #[arg(value_name = "REVISION")]
    revision: Option<String>,
    #[command(flatten)]
    controller: ControllerArgs,
    /// Ask the sites of this file, in place of one controller.
    #[arg(long, value_name = "FILE")]
    sites: Option<PathBuf>,
    /// How many of the last decisions to show, 1 when absent; of the only revision where none is
    /// named.
    #[arg(long, value_name = "N", value_parser = whole(1..=LAST_MAX), conflicts_with = "follow")]
    last: Option<u32>,
    /// Show what had been decided at this time: how long ago, such as 5m, or a time in UTC.
    #[arg(long, value_name = "TIME", value_parser = moment, conflicts_with = "follow")]
    at: Option<Moment>,
    /// Show decisions as they are made, until interrupted.
    #[arg(short, long, visible_alias = "watch")]
    follow: bool,
    /// Show the revision's last cold starts instead: what its first requests waited for, phase by
    /// phase.
    #[arg(long, requires = "revision", conflicts_with_all = ["follow", "last", "at"])]
    cold_starts: bool,
    /// Explain a HorizontalPodAutoscaler instead, from the text that `kubectl get hpa NAME -o yaml`
    /// prints; `-` reads standard input. No controller is asked.
    #[arg(
        long,
        value_name = "FILE",
        conflicts_with_all = ["revision", "controller", "follow", "last", "at", "cold_starts"]
    )]
    hpa: Option<PathBuf>,
    #[command(flatten)]
    tolerance: ToleranceArgs,
    /// Print JSON, one object per line, with every number that went into a decision.
    #[arg(long)]
    json: bool,
}

/// Queries the controller, and prints the response.
pub(crate) fn execute(args: Args) -> anyhow::Result<ExitCode> {
    if let Some(file) = &args.hpa {
        let format = if args.json { hpa::Format::Json } else { hpa::Format::Text };
        return print(&hpa::explain(file, args.tolerance.tolerance, format)?)
            .map(|()| ExitCode::SUCCESS);
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot start the asynchronous runtime")?;
    runtime.block_on(ask(args)).map(|()| ExitCode::SUCCESS)
}

async fn ask(args: Args) -> anyhow::Result<()> {
    let mut query = match &args.sites {
        None => args.controller.connect(args.revision.as_deref()).await?,
        Some(file) => {
            let site = args.revision.as_deref().and_then(|asked| asked.split_once(':'));
            let site = site.and_then(|(site, _)| site.parse().ok());
            sites_file::ask(file, SITES_INTERVAL, site.as_ref()).await?
        }
    };
    let listed = query.list().await?;
    let known = &listed.revisions;
    let revision = match &args.revision {
        Some(asked) => Some(found(&listed, asked)?),
        None if args.last.is_some() || args.at.is_some() => Some(only(known)?),
        None => None,
    };
    match (revision, args.follow) {
        (revision, true) => {
            let tell = if args.json { text::decision_json } else { text::decision };
            watch(&mut query, revision, tell).await
        }
        (Some(revision), false) => explain(&mut query, revision, &args).await,
        (None, false) => print(&match (listed.sites.is_empty(), args.json) {
            (true, true) => known.iter().map(text::status_json).collect(),
            (true, false) => text::table(known),
            (false, true) => site_text::json(&listed),
            (false, false) => site_text::table(&listed),
        }),
    }
}

/// The revision that is meant. Where a site that may have it does not answer, that is said as well.
fn found<'a>(
    listed: &'a wire::ListRevisionsResponse,
    asked: &str,
) -> anyhow::Result<&'a wire::RevisionStatus> {
    find(&listed.revisions, asked).map_err(|error| {
        let named = asked.split_once(':').map(|(site, _)| site);
        let meant = listed.sites.iter().filter(|site| named.is_none_or(|it| it == site.name));
        let silent: Vec<String> = meant.filter_map(site_text::remark).collect();
        match silent.is_empty() {
            true => error.into(),
            false => anyhow::anyhow!("{error}\n{}", silent.join("\n")),
        }
    })
}

/// The only revision that there is.
fn only(known: &[wire::RevisionStatus]) -> anyhow::Result<&wire::RevisionStatus> {
    match known {
        [only] => Ok(only),
        [] => anyhow::bail!("the controller knows no revision yet"),
        several => {
            let names = several.iter().map(full_name);
            let names = names.collect::<Vec<_>>().join(", ");
            Err(mistyped(anyhow::anyhow!("say which revision: {names}")))
        }
    }
}

async fn explain(
    query: &mut Query,
    revision: &wire::RevisionStatus,
    args: &Args,
) -> anyhow::Result<()> {
    let last = args.last.unwrap_or(1);
    let past = match args.at {
        Some(at) => past_at(query.past(revision, LAST_MAX).await?, at, last)?,
        None => query.past(revision, last).await?,
    };
    let cold_start_json = |start| text::cold_start_json(revision, start);
    print(&match (args.cold_starts, args.json) {
        (true, true) => past.cold_starts.iter().map(cold_start_json).collect(),
        (true, false) => text::cold_starts(revision, &past),
        (false, true) => past.decisions.iter().map(text::decision_json).collect(),
        (false, false) => text::history(revision, &past),
    })
}

/// The last decisions that had been made at a time, and the cold starts until then.
fn past_at(mut past: Past, at: Moment, last: u32) -> anyhow::Result<Past> {
    let at_unix_ms = at.unix_ms(SystemTime::now());
    let kept_since = past.decisions.first().map(|decision| decision.unix_ms);
    past.decisions.retain(|decision| decision.unix_ms <= at_unix_ms);
    past.cold_starts.retain(|start| start.seen_unix_ms <= at_unix_ms);
    if past.decisions.is_empty()
        && let Some(first) = kept_since
    {
        let (at, first) = (text::time(at_unix_ms), text::time(first));
        anyhow::bail!("nothing is kept of what had been decided at {at}: the oldest is of {first}");
    }
    let excess = past.decisions.len().saturating_sub(usize::try_from(last).unwrap_or(usize::MAX));
    past.decisions.drain(..excess);
    Ok(past)
}

async fn watch(
    query: &mut Query,
    revision: Option<&wire::RevisionStatus>,
    tell: fn(&wire::Decision) -> String,
) -> anyhow::Result<()> {
    let mut decisions = query.watch(revision).await?;
    while let Some(decision) = decisions.next().await? {
        print(&[tell(&decision)])?;
    }
    Ok(())
}

/// Prints lines on standard output.
pub(crate) fn print(lines: &[String]) -> anyhow::Result<()> {
    let mut out = io::stdout().lock();
    for line in lines {
        writeln!(out, "{line}")?;
    }
    Ok(out.flush()?)
}
