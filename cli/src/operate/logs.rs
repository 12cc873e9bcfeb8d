//! `tidegate logs`: what the instances of a service wrote.

use std::io::{self, BufWriter, Write};
use std::process::ExitCode;
use std::time::SystemTime;

use serde_json::json;
use tidegate_proto::operate::v1 as wire;
use tidegate_words::{did_you_mean, excerpt};
use tonic::Streaming;

use super::reach::{self, Found, answered, refused};
use crate::terminal::{Surface, counted, name_colour};
use crate::typed::{Moment, moment};
use tidegate_flags::ending::Absent;

/// What was typed after `tidegate logs`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The service; may be left out when there is only one.
    #[arg(value_name = "SERVICE")]
    service: Option<String>,
    /// Go on with what is written from now on, until interrupted.
    #[arg(short, long)]
    follow: bool,
    /// Only what this instance wrote, such as web-3.
    #[arg(long, value_name = "NAME")]
    instance: Option<String>,
    /// Only what was written since: how long ago, such as 5m, or a time in UTC.
    #[arg(long, value_name = "TIME", value_parser = moment)]
    since: Option<Moment>,
    /// Show what the queue-proxies log as well.
    #[arg(long)]
    sidecars: bool,
    /// Print the time of each line.
    #[arg(short, long)]
    timestamps: bool,
    /// Print JSON, one object per line.
    #[arg(long)]
    json: bool,
}

/// Prints the lines.
pub(super) async fn execute(args: &Args) -> anyhow::Result<ExitCode> {
    let mut found = reach::service(args.service.as_deref()).await?;
    let request = wire::ReadLinesRequest {
        service: found.service.name.clone(),
        instance: args.instance.clone().unwrap_or_default(),
        since_unix_ms: args.since.map_or(0, |since| since.unix_ms(SystemTime::now())),
        follow: args.follow,
        sidecars: args.sidecars,
    };
    let lines = answered(found.run.client.read_lines(request)).await?;
    let shown = show(args, &found.service.name, lines).await?;
    if let (0, Some(instance)) = (shown, &args.instance) {
        check_instance(&found, instance)?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Prints what comes; gives how many lines there were.
async fn show(
    args: &Args,
    service: &str,
    mut lines: Streaming<wire::ReadLinesResponse>,
) -> anyhow::Result<u64> {
    let surface = Surface::of_stdout();
    let mut out = BufWriter::new(io::stdout());
    let mut shown = 0;
    while let Some(wire::ReadLinesResponse { lines }) = lines.message().await.map_err(refused)? {
        for line in &lines {
            shown += 1;
            match args.json {
                true => writeln!(out, "{}", as_json(service, line))?,
                false => write!(out, "{}", as_text(args, surface, line))?,
            }
        }
        out.flush()?;
    }
    Ok(shown)
}

fn as_text(args: &Args, surface: Surface, line: &wire::Line) -> String {
    let source = match line.source() {
        wire::LineSource::Sidecar => " queue-proxy",
        _ => "",
    };
    let name = format!("{}{source} |", line.instance);
    let name = surface.paint(name_colour(&line.instance), &name);
    let mut text = String::new();
    if line.missed > 0 {
        text.push_str(&format!("{name} … {} left out\n", counted(line.missed, "line")));
    }
    if let Some(written) = &line.text {
        if args.timestamps {
            text.push_str(&tidegate_explain::text::time(line.unix_ms));
            text.push(' ');
        }
        text.push_str(&format!("{name} {}\n", surface.tame(written)));
    }
    text
}

fn as_json(service: &str, line: &wire::Line) -> String {
    let stream = match line.source() {
        wire::LineSource::Unspecified => None,
        wire::LineSource::Stdout => Some("stdout"),
        wire::LineSource::Stderr => Some("stderr"),
        wire::LineSource::Sidecar => Some("sidecar"),
    };
    json!({
        "service": service,
        "instance": line.instance,
        "unix_ms": line.unix_ms,
        "stream": stream,
        "text": line.text,
        "missed": line.missed,
    })
    .to_string()
}

/// An instance that wrote nothing may be there all the same.
fn check_instance(found: &Found, asked: &str) -> anyhow::Result<()> {
    let names: Vec<&str> = found.service.instances.iter().map(|it| it.name.as_str()).collect();
    if names.contains(&asked) {
        return Ok(());
    }
    let there = if names.is_empty() { "none".to_owned() } else { names.join(", ") };
    let hint = did_you_mean(asked, names);
    let (service, asked) = (&found.service.name, excerpt(asked));
    let problem = format!(
        "nothing is kept of an instance \"{asked}\" of {service}; there are: {there}{hint}"
    );
    Err(Absent(problem).into())
}
