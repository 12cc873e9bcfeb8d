//! `tidegate explain`: queries a running controller for its decisions and their reasons.

use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;
use tidegate_explain::{Query, QueryError, find, text};
use tidegate_knative::environment;
use tidegate_kubernetes_hpa::metric::{TOLERANCE, parse_tolerance};
use tidegate_local::presence::{self, Presence};
use tidegate_proto::scale::v1 as wire;
use tidegate_trust::{Credentials, Secret};
use tidegate_words::{did_you_mean, excerpt};

use tidegate_flags::CredentialArgs;

use crate::typed::{authority, whole};

mod hpa;

/// Most decisions that a controller keeps of one revision.
const LAST_MAX: u32 = tidegate_controller::journal::DECISIONS_MAX as u32;

/// What was typed after `tidegate explain`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The revision, as NAME or NAMESPACE/NAME; all of them are listed when none is named.
    #[arg(value_name = "REVISION")]
    revision: Option<String>,
    /// Where the controller listens [default: that of the `tidegate run` on this machine].
    #[arg(
        long,
        value_name = "HOST:PORT",
        env = environment::TIDEGATE_CONTROLLER,
        value_parser = authority
    )]
    controller: Option<String>,
    #[command(flatten)]
    credentials: CredentialArgs,
    /// How many of the last decisions to show.
    #[arg(
        long,
        value_name = "N",
        default_value_t = 1,
        value_parser = whole(1..=LAST_MAX),
        conflicts_with = "watch"
    )]
    last: u32,
    /// Show decisions as they are made, until interrupted.
    #[arg(long)]
    watch: bool,
    /// Explain a HorizontalPodAutoscaler instead, from the text that `kubectl get hpa NAME -o yaml`
    /// prints; `-` reads standard input. No controller is asked.
    #[arg(
        long,
        value_name = "FILE",
        conflicts_with_all = ["revision", "controller", "watch", "last"]
    )]
    hpa: Option<PathBuf>,
    /// How far a ratio may be from 1 without effect: `--horizontal-pod-autoscaler-tolerance` of the
    /// cluster's kube-controller-manager.
    #[arg(
        long,
        value_name = "RATIO",
        requires = "hpa",
        default_value_t = TOLERANCE,
        value_parser = parse_tolerance,
        allow_negative_numbers = true
    )]
    tolerance: f64,
    /// Print JSON, one object per line, with every number that went into a decision.
    #[arg(long)]
    json: bool,
}

/// Queries the controller, and prints the response.
pub(crate) fn execute(args: Args) -> anyhow::Result<ExitCode> {
    if let Some(file) = &args.hpa {
        let format = if args.json { hpa::Format::Json } else { hpa::Format::Text };
        return print(&hpa::explain(file, args.tolerance, format)?).map(|()| ExitCode::SUCCESS);
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot start the asynchronous runtime")?;
    runtime.block_on(ask(args)).map(|()| ExitCode::SUCCESS)
}

async fn ask(args: Args) -> anyhow::Result<()> {
    let mut query = connect(&args).await?;
    let known = query.revisions().await?;
    let revision = match &args.revision {
        Some(asked) => Some(find(&known, asked)?),
        None => None,
    };
    match (revision, args.watch) {
        (revision, true) => {
            let tell = if args.json { text::decision_json } else { text::decision };
            watch(&mut query, revision, tell).await
        }
        (Some(revision), false) => explain(&mut query, revision, &args).await,
        (None, false) => {
            let statuses = known.iter();
            match args.json {
                true => print(&statuses.map(text::status_json).collect::<Vec<_>>()),
                false => print(&text::table(&known)),
            }
        }
    }
}

async fn connect(args: &Args) -> anyhow::Result<Query> {
    let mut credentials = args.credentials.credentials()?;
    let running = presence::running();
    let controller = match &args.controller {
        Some(controller) => {
            let ours = running.iter().find(|presence| presence.controller == *controller);
            if let Some(ours) = ours {
                credentials = of_run(ours)?;
            }
            controller
        }
        None => {
            let only = choose(&running, args.revision.as_deref())?;
            credentials = of_run(only)?;
            &only.controller
        }
    };
    Query::connect(controller, &credentials).await.map_err(|error| match error {
        QueryError::Unreachable { .. } => {
            anyhow::anyhow!("{error}; `tidegate run` prints where its own listens")
        }
        other => other.into(),
    })
}

/// The credentials for a run on this machine, whatever is set for other controllers.
fn of_run(presence: &Presence) -> anyhow::Result<Credentials> {
    let secret = Secret::new(&presence.secret, "what the run left for us")?;
    Ok(Credentials { secret: Some(secret.into()), certificates: None })
}

/// The service on this machine to query when no controller was named.
fn choose<'a>(running: &'a [Presence], asked: Option<&str>) -> anyhow::Result<&'a Presence> {
    let meant = |presence: &&Presence| {
        asked.is_none_or(|asked| {
            let name = presence.revision.rsplit('/').next();
            presence.revision == asked || name == Some(asked)
        })
    };
    let found: Vec<&Presence> = running.iter().filter(meant).collect();
    let list = |all: &mut dyn Iterator<Item = &Presence>| {
        let shown: Vec<String> =
            all.map(|p| format!("{} (--controller {})", p.revision, p.controller)).collect();
        shown.join(", ")
    };
    match (found.as_slice(), running) {
        ([only], _) => Ok(only),
        ([], []) => anyhow::bail!(
            "no `tidegate run` of this user runs on this machine; say where the controller \
             listens with --controller HOST:PORT"
        ),
        ([], some) => {
            let asked = asked.unwrap_or_default();
            let names = some.iter().flat_map(|p| p.revision.rsplit('/').next());
            anyhow::bail!(
                "no service \"{}\" runs here; running are: {}{}",
                excerpt(asked),
                list(&mut some.iter()),
                did_you_mean(asked, names)
            )
        }
        (several, _) => anyhow::bail!(
            "several services run here, say which: {}",
            list(&mut several.iter().copied())
        ),
    }
}

async fn explain(
    query: &mut Query,
    revision: &wire::RevisionStatus,
    args: &Args,
) -> anyhow::Result<()> {
    let decisions = query.decisions(revision, args.last).await?;
    print(&match args.json {
        true => decisions.iter().map(text::decision_json).collect(),
        false => text::history(revision, &decisions),
    })
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

fn print(lines: &[String]) -> anyhow::Result<()> {
    let mut out = io::stdout().lock();
    for line in lines {
        writeln!(out, "{line}")?;
    }
    Ok(out.flush()?)
}
