//! `tidegate events`: what happened, and what happens.

use std::process::ExitCode;
use std::time::SystemTime;

use serde_json::json;
use tidegate_proto::operate::v1 as wire;

use super::reach::{self, Run, answered, refused};
use crate::explain::print;
use crate::terminal::{Surface, counted};
use crate::typed::{Moment, moment};

/// What was typed after `tidegate events`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The service; all of them when none is named.
    #[arg(value_name = "SERVICE")]
    service: Option<String>,
    /// Go on with what happens from now on, until interrupted.
    #[arg(short, long)]
    follow: bool,
    /// Only what happened since: how long ago, such as 5m, or a time in UTC.
    #[arg(long, value_name = "TIME", value_parser = moment)]
    since: Option<Moment>,
    /// Print JSON, one object per line.
    #[arg(long)]
    json: bool,
}

/// What comes from the runs: events, or how many were missed.
enum Told {
    Event(wire::Event),
    Missed(u64),
}

/// Prints the events.
pub(super) async fn execute(args: &Args) -> anyhow::Result<ExitCode> {
    let (runs, service) = match &args.service {
        Some(asked) => {
            let found = reach::service(Some(asked)).await?;
            (vec![found.run], found.service.name)
        }
        None => (reach::runs(reach::services().await?), String::new()),
    };
    let since_unix_ms = args.since.map_or(0, |since| since.unix_ms(SystemTime::now()));
    let request = wire::ReadEventsRequest { service, since_unix_ms, follow: args.follow };
    let (sender, mut told) = tokio::sync::mpsc::channel(runs.len().max(1));
    for run in runs {
        tokio::spawn(forward(run, request.clone(), sender.clone()));
    }
    drop(sender);
    let surface = Surface::of_stdout();
    let mut kept = Vec::new();
    while let Some(batch) = told.recv().await {
        kept.extend(batch?);
        if args.follow {
            show(args, surface, std::mem::take(&mut kept))?;
        }
    }
    show(args, surface, kept)?;
    Ok(ExitCode::SUCCESS)
}

async fn forward(
    mut run: Run,
    request: wire::ReadEventsRequest,
    told: tokio::sync::mpsc::Sender<anyhow::Result<Vec<Told>>>,
) {
    let reading = async {
        let mut events = answered(run.client.read_events(request)).await?;
        while let Some(message) = events.message().await.map_err(refused)? {
            let wire::ReadEventsResponse { missed, events } = message;
            let missed = (missed > 0).then_some(Told::Missed(missed));
            let batch = missed.into_iter().chain(events.into_iter().map(Told::Event)).collect();
            if told.send(Ok(batch)).await.is_err() {
                break;
            }
        }
        anyhow::Ok(())
    };
    if let Err(error) = reading.await {
        // Nobody may be left who wants to know.
        let _ = told.send(Err(error)).await;
    }
}

/// Prints what was told, in the order of its times.
fn show(args: &Args, surface: Surface, mut told: Vec<Told>) -> anyhow::Result<()> {
    told.sort_by_key(|told| match told {
        Told::Event(event) => event.unix_ms,
        Told::Missed(_) => i64::MIN,
    });
    let line = |told: &Told| match (told, args.json) {
        (Told::Event(event), true) => as_json(event),
        (Told::Event(event), false) => as_text(surface, event),
        (Told::Missed(count), true) => json!({ "missed": count }).to_string(),
        (Told::Missed(count), false) => format!("… {} left out", counted(*count, "event")),
    };
    print(&told.iter().map(line).collect::<Vec<_>>())
}

/// The event with its time and its service.
pub(super) fn as_text(surface: Surface, event: &wire::Event) -> String {
    let time = tidegate_explain::text::time(event.unix_ms);
    format!("{time}  {}  {}", event.service, sentence(surface, event))
}

/// What happened, and why.
pub(super) fn sentence(surface: Surface, event: &wire::Event) -> String {
    let text = surface.tame(&event.text);
    match event.reason.as_str() {
        "" => text,
        reason => format!("{text}. {reason}"),
    }
}

fn as_json(event: &wire::Event) -> String {
    json!({
        "unix_ms": event.unix_ms,
        "service": event.service,
        "kind": event.kind,
        "instance": Some(&event.instance).filter(|name| !name.is_empty()),
        "text": event.text,
        "before": event.before,
        "after": event.after,
        "reason": Some(&event.reason).filter(|reason| !reason.is_empty()),
    })
    .to_string()
}
