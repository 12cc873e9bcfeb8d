//! `tidegate restart`, `scale` and `stop`: orders for a service that runs.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{anyhow, bail};
use serde_json::json;
use tidegate_proto::operate::v1 as wire;
use tidegate_words::time::compact;

use super::events::sentence;
use super::ps::{self, scale as scale_in_words};
use super::reach::{self, Found, Run, answered, refused};
use crate::explain::print;
use crate::terminal::{Surface, counted};
use crate::typed::{WAIT_MAX, time_within, wait};
use tidegate_flags::ending::mistyped;

/// What was typed after `tidegate restart`.
#[derive(Debug, clap::Args)]
pub(crate) struct RestartArgs {
    /// The service; may be left out when there is only one.
    #[arg(value_name = "SERVICE")]
    service: Option<String>,
    /// How long to wait until every instance is replaced; 0 does not wait.
    #[arg(long, value_name = "TIME", default_value = "10m", value_parser = wait)]
    timeout: Duration,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// What was typed after `tidegate scale`.
#[derive(Debug, clap::Args)]
#[command(override_usage = "tidegate scale [OPTIONS] [SERVICE] <N|MIN..MAX|auto>")]
pub(crate) struct ScaleArgs {
    /// The service, which may be left out when there is only one, and how many instances it is to
    /// have: a number, such as 3; bounds, such as 1..5; or `auto`, as it was declared.
    #[arg(value_name = "SERVICE> <N|MIN..MAX|auto", required = true, num_args = 1..=2)]
    words: Vec<String>,
    /// For how long; then it is scaled as declared again. Until told otherwise when absent.
    #[arg(long = "for", value_name = "TIME", value_parser = some_time)]
    length: Option<Duration>,
    /// Print JSON: the service as `tidegate ps --json` has it.
    #[arg(long)]
    json: bool,
}

/// What was typed after `tidegate stop`.
#[derive(Debug, clap::Args)]
pub(crate) struct StopArgs {
    /// The service; may be left out when there is only one.
    #[arg(value_name = "SERVICE")]
    service: Option<String>,
    /// Stop everything that runs here.
    #[arg(long, conflicts_with = "service")]
    all: bool,
    /// Print JSON, one object per line for each process that ended: its summary.
    #[arg(long)]
    json: bool,
}

fn some_time(text: &str) -> Result<Duration, String> {
    time_within(Duration::from_millis(1), WAIT_MAX)(text)
}

/// Has every instance replaced, and tells how that goes.
pub(super) async fn restart(args: &RestartArgs) -> anyhow::Result<ExitCode> {
    let begun = Instant::now();
    let mut found = reach::service(args.service.as_deref()).await?;
    let name = found.service.name.clone();
    // Before the order, so that nothing of what follows from it is missed.
    let watched = wire::ReadEventsRequest {
        service: name.clone(),
        since_unix_ms: found.unix_ms,
        follow: true,
    };
    let mut events = answered(found.run.client.read_events(watched)).await?;
    let order = wire::RestartRequest { service: name.clone() };
    let wire::RestartResponse { instances } = answered(found.run.client.restart(order)).await?;
    let told = if args.json { Told::AtTheEnd } else { Told::AsItGoes };
    if !args.timeout.is_zero() {
        let waiting = until_restarted(&mut events, told);
        match tokio::time::timeout(args.timeout, waiting).await {
            Ok(done) => done?,
            Err(_) => bail!(
                "{name} is not restarted after {}: `tidegate ps {name}` says what is left",
                compact(args.timeout)
            ),
        }
    }
    let seconds = begun.elapsed().as_secs_f64();
    if args.json {
        let is_done = !args.timeout.is_zero();
        let answer = json!({
            "service": name, "instances": instances, "done": is_done, "seconds": seconds,
        });
        print(&[answer.to_string()])?;
    } else if args.timeout.is_zero() {
        print(&[format!("{name} restarts {}", counted(instances.into(), "instance"))])?;
    }
    Ok(ExitCode::SUCCESS)
}

/// When people are told of what happens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Told {
    AsItGoes,
    AtTheEnd,
}

/// Waits for the end of the restart.
async fn until_restarted(
    events: &mut tonic::Streaming<wire::ReadEventsResponse>,
    told: Told,
) -> anyhow::Result<()> {
    let surface = Surface::of_stdout();
    let mut has_begun = false;
    while let Some(message) = events.message().await.map_err(refused)? {
        for event in &message.events {
            has_begun |= event.kind == "restarting";
            if has_begun && told == Told::AsItGoes {
                print(&[sentence(surface, event)])?;
            }
            if has_begun && event.kind == "restarted" {
                return Ok(());
            }
        }
    }
    bail!("it ended before every instance was replaced")
}

/// How many instances there are to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Size {
    /// As declared.
    Auto,
    /// At least and at most so many.
    Within(wire::Bounds),
}

fn size(text: &str) -> anyhow::Result<Size> {
    let number = |text: &str| text.trim().parse::<u32>().ok();
    let bounds = match text.split_once("..") {
        Some((min, max)) => number(min).zip(number(max)),
        None => number(text).map(|count| (count, count)),
    };
    match bounds {
        _ if text == "auto" => Ok(Size::Auto),
        Some((0, 0)) => bail!(
            "0 is no number to keep: requests would wait for ever; `tidegate stop` ends a service, \
             and `auto` lets an idle one go to zero"
        ),
        Some((min, max)) if min <= max => Ok(Size::Within(wire::Bounds { min, max })),
        _ => bail!("{text:?} is no size: expected a number such as 3, 1..5, or auto"),
    }
}

/// Sets how many there are.
pub(super) async fn scale(args: &ScaleArgs) -> anyhow::Result<ExitCode> {
    let (service, wanted) = match args.words.as_slice() {
        [wanted] => (None, wanted),
        [service, wanted] => (Some(service.as_str()), wanted),
        _ => return Err(mistyped(anyhow!("say how many, such as: tidegate scale web 3"))),
    };
    let size = size(wanted).map_err(mistyped)?;
    let bounds = match size {
        Size::Auto if args.length.is_some() => {
            return Err(mistyped(anyhow!("--for belongs to a number, and not to auto")));
        }
        Size::Auto => None,
        Size::Within(bounds) => Some(bounds),
    };
    let mut found = reach::service(service).await?;
    let length_ms = args.length.unwrap_or_default().as_millis();
    let for_ms = u64::try_from(length_ms).unwrap_or(u64::MAX);
    let service = found.service.name.clone();
    let order = wire::ScaleRequest { service, bounds, for_ms };
    let answer = answered(found.run.client.scale(order)).await?;
    let service = answer.service.ok_or_else(|| anyhow!("the answer has no service"))?;
    let found = Found { service, ..found };
    let line = match args.json {
        true => ps::json(&found).to_string(),
        false => {
            format!("{}: {}", found.service.name, scale_in_words(&found.service, found.unix_ms))
        }
    };
    print(&[line])?;
    Ok(ExitCode::SUCCESS)
}

/// Ends what runs, and prints its summary.
pub(super) async fn stop(args: &StopArgs) -> anyhow::Result<ExitCode> {
    let targets: Vec<(Run, String)> = match args.all {
        true => {
            let runs = reach::runs(reach::services().await?).into_iter();
            runs.map(|run| (run, String::new())).collect()
        }
        false => {
            let found = reach::service(args.service.as_deref()).await?;
            vec![(found.run, found.service.name)]
        }
    };
    let mut code = ExitCode::SUCCESS;
    for (mut run, service) in targets {
        let shown = match service.as_str() {
            "" => format!("process {}", run.pid),
            name => name.to_owned(),
        };
        // As long as requests take: the run itself bounds that.
        let stopping = run.client.stop(wire::StopRequest { service });
        let wire::StopResponse { summary, summary_json, exit_code } =
            stopping.await.map_err(refused)?.into_inner();
        match args.json {
            true => {
                let nothing = summary_json.is_empty();
                print(&[if nothing { "null".to_owned() } else { summary_json }])?;
            }
            false => {
                print(&[format!("{shown} stopped")])?;
                print(&summary)?;
            }
        }
        if exit_code != 0 {
            code = ExitCode::from(tidegate_flags::ending::EXIT_FAILED);
        }
    }
    Ok(code)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_numbers_bounds_or_auto() {
        let within = |min, max| Size::Within(wire::Bounds { min, max });
        assert_eq!(size("3").expect("a size"), within(3, 3));
        assert_eq!(size("0..5").expect("a size"), within(0, 5));
        assert_eq!(size("auto").expect("a size"), Size::Auto);
        for bad in ["", "-1", "5..1", "many", "1..", "99999999999"] {
            let error = size(bad).expect_err(bad).to_string();
            assert!(error.contains("expected a number"), "{error}");
        }
        assert!(size("0").expect_err("none").to_string().contains("tidegate stop"));
    }
}
