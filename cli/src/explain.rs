//! `tidegate explain`: queries a running controller for its decisions and their reasons.

use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use tidegate_knative::environment;
use tidegate_kubernetes_hpa::metric::TOLERANCE;
use tidegate_local::presence::{self, Presence};
use tidegate_proto::scale::v1 as wire;
use tidegate_proto::scale::v1::scale_service_client::ScaleServiceClient;
use tidegate_reporter::transport::{self, ConnectError, Connection, Target};
use tidegate_trust::{Credentials, Secret};
use tidegate_words::{did_you_mean, excerpt, shorten};

use crate::credentials::CredentialArgs;

use crate::typed::{authority, whole};

mod hpa;
mod text;

/// Longest wait for a controller's response; it only reads what it has stored.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);

/// Longest response that is read: a hundred thousand revisions, each with its last reason.
const ANSWER_BYTES_MAX: usize = 128 * 1024 * 1024;

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

type Client = ScaleServiceClient<Connection>;

async fn ask(args: Args) -> anyhow::Result<()> {
    let mut client = connect(&args).await?;
    let known = list(&mut client).await?;
    let revision = match &args.revision {
        Some(asked) => Some(find(&known, asked)?),
        None => None,
    };
    match (revision, args.watch) {
        (revision, true) => {
            let tell = if args.json { text::decision_json } else { text::decision };
            watch(&mut client, revision, tell).await
        }
        (Some(revision), false) => explain(&mut client, revision, &args).await,
        (None, false) => {
            let statuses = known.iter();
            match args.json {
                true => print(&statuses.map(text::status_json).collect::<Vec<_>>()),
                false => print(&text::table(&known)),
            }
        }
    }
}

async fn connect(args: &Args) -> anyhow::Result<Client> {
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
    let target = Target::new(controller, &credentials)?;
    let connecting = tokio::time::timeout(ANSWER_TIMEOUT, transport::connect(&target)).await;
    let connection = match connecting {
        Ok(Ok(connection)) => connection,
        Ok(Err(ConnectError::Tls(mismatch))) => anyhow::bail!(
            "cannot speak to the controller at {controller}:\n  {}\n  {}",
            mismatch.fault(),
            mismatch.remedy()
        ),
        Ok(Err(ConnectError::Io(error))) => return Err(unreachable_controller(controller, error)),
        Ok(Err(error)) => return Err(unreachable_controller(controller, error)),
        Err(_) => return Err(unreachable_controller(controller, "it does not answer")),
    };
    let client = ScaleServiceClient::with_origin(connection, target.origin());
    Ok(client.max_decoding_message_size(ANSWER_BYTES_MAX))
}

fn unreachable_controller(controller: &str, why: impl std::fmt::Display) -> anyhow::Error {
    anyhow::anyhow!(
        "no controller answers at {controller} ({why}); `tidegate run` prints where its own listens"
    )
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

async fn list(client: &mut Client) -> anyhow::Result<Vec<wire::RevisionStatus>> {
    let answer = client.list_revisions(wire::ListRevisionsRequest {});
    let answer = tokio::time::timeout(ANSWER_TIMEOUT, answer).await;
    let answer = answer.context("the controller does not answer")?.map_err(refused)?;
    Ok(answer.into_inner().revisions)
}

/// The revision that was asked for; a name alone is enough where it is the only one.
fn find<'a>(
    known: &'a [wire::RevisionStatus],
    asked: &str,
) -> anyhow::Result<&'a wire::RevisionStatus> {
    let matches = |status: &&wire::RevisionStatus| match asked.split_once('/') {
        Some((namespace, name)) => status.namespace == namespace && status.name == name,
        None => status.name == asked,
    };
    let found: Vec<_> = known.iter().filter(matches).collect();
    let names = |statuses: &mut dyn Iterator<Item = &wire::RevisionStatus>| {
        let names: Vec<String> =
            statuses.map(|status| format!("{}/{}", status.namespace, status.name)).collect();
        if names.is_empty() { "none".to_owned() } else { names.join(", ") }
    };
    match found.as_slice() {
        [only] => Ok(only),
        [] => {
            let (all, bare): (Vec<String>, Vec<&str>) = known
                .iter()
                .map(|status| (format!("{}/{}", status.namespace, status.name), &*status.name))
                .unzip();
            let near = match asked.contains('/') {
                true => did_you_mean(asked, all.iter().map(String::as_str)),
                false => did_you_mean(asked, bare),
            };
            anyhow::bail!(
                "no revision \"{}\" here; known are: {}{near}",
                excerpt(asked),
                names(&mut known.iter())
            )
        }
        several => anyhow::bail!(
            "{asked:?} is the name of several revisions, say which: {}",
            names(&mut several.iter().copied())
        ),
    }
}

async fn explain(
    client: &mut Client,
    revision: &wire::RevisionStatus,
    args: &Args,
) -> anyhow::Result<()> {
    let request = wire::ExplainRequest {
        namespace: revision.namespace.clone(),
        name: revision.name.clone(),
        last: args.last,
    };
    let answer = tokio::time::timeout(ANSWER_TIMEOUT, client.explain(request)).await;
    let answer = answer.context("the controller does not answer")?.map_err(refused)?;
    let mut decisions = answer.into_inner().decisions;
    // The controller sends the newest first; people read the oldest first.
    decisions.reverse();
    if args.json {
        return print(&decisions.iter().map(text::decision_json).collect::<Vec<_>>());
    }
    let mut lines = vec![text::summary(revision)];
    if decisions.is_empty() {
        lines.push("Nothing has been decided yet.".to_owned());
    }
    lines.extend(decisions.iter().map(text::decision));
    print(&lines)
}

async fn watch(
    client: &mut Client,
    revision: Option<&wire::RevisionStatus>,
    tell: fn(&wire::Decision) -> String,
) -> anyhow::Result<()> {
    let request = match revision {
        Some(revision) => wire::WatchDecisionsRequest {
            namespace: revision.namespace.clone(),
            name: revision.name.clone(),
        },
        None => wire::WatchDecisionsRequest::default(),
    };
    let mut stream = client.watch_decisions(request).await.map_err(refused)?.into_inner();
    while let Some(decision) = stream.message().await.map_err(refused)? {
        print(&[tell(&decision)])?;
    }
    Ok(())
}

fn refused(status: tonic::Status) -> anyhow::Error {
    let message = shorten(status.message());
    match status.code() {
        // The peer does not speak this protocol, or closed the connection in the middle.
        tonic::Code::Internal | tonic::Code::Unknown | tonic::Code::Unimplemented => {
            anyhow::anyhow!("what answers there is no controller, or of another version: {message}")
        }
        code => anyhow::anyhow!("the controller refuses: {message} ({code:?})"),
    }
}

fn print(lines: &[String]) -> anyhow::Result<()> {
    let mut out = io::stdout().lock();
    for line in lines {
        writeln!(out, "{line}")?;
    }
    Ok(out.flush()?)
}
