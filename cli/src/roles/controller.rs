//! `tidegate controller`: the autoscaler as a process of its own. It decides and explains; the
//! platform that runs the instances reads its decisions.

mod standby;

use std::collections::BTreeMap;
use std::mem;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::str::FromStr;
use std::sync::Arc;

use anyhow::{Context, bail};
use tidegate_activator::Table;
use tidegate_admin::{Listening, Readiness, Subject};
use tidegate_autoscaler::Improvements;
use tidegate_autoscaler::settings::files::{FileFormat, read_data};
use tidegate_autoscaler::settings::{
    CONFIG_KEYS, Config, Strictness, Violations, unknown_config_keys,
};
use tidegate_call::Caller;
use tidegate_controller::Ended;
use tidegate_controller::routes::{RolloutRecord, divided_rollouts};
use tidegate_controller::{
    Access, Addresses, Handle, Metrics, NoActuator, RevisionId, Shard, Template,
    UndeclaredRevisions,
};
use tidegate_flags::log::ROLE_DEFAULT;
use tidegate_flags::{
    AccessArgs, AdminArgs, CallArgs, LISTEN_VARIABLE, LogArgs, PushArgs, listen_address, push,
};
use tidegate_local::settings::sort_settings;
use tidegate_page::{Anonymous, NoPage, Page};
use tidegate_shutdown_signals::ShutdownSignals;
use tidegate_telemetry::{Family, Registry};
use tidegate_words::{did_you_mean, excerpt};
use tokio::net::TcpListener;

use self::standby::Leadership;
use crate::page::{PageArgs, serve_admin};
use crate::rollout_state;
use crate::typed::{as_typed, setting};
use tidegate_activator_program::routes_file::RoutesFile;
use tidegate_flags::ending::mistyped;
use tidegate_flags::files::text_of;

/// How messages name this program.
const US: &str = "tidegate controller";

/// What was typed after `tidegate controller`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Where to listen for reports and questions. Beyond this machine only with a secret, with
    /// client certificates, or with --allow-anonymous.
    #[arg(
        long,
        value_name = "ADDR",
        default_value = "127.0.0.1:9400",
        env = LISTEN_VARIABLE,
        value_parser = listen_address
    )]
    listen: SocketAddr,
    #[command(flatten)]
    access: AccessArgs,
    /// Listen beyond this machine without a secret: every peer that reaches the port can then read
    /// all addresses, divert requests of any revision to itself, and scale anything up or down.
    #[arg(long)]
    allow_anonymous: bool,
    /// Which addresses instances may claim: their stream's own, or any, as behind a mesh or NAT.
    #[arg(long, value_enum, default_value = "own")]
    addresses: AddressesName,
    /// Settings of config-autoscaler: a ConfigMap manifest, or flat YAML or TOML.
    #[arg(long, value_name = "FILE")]
    settings: Option<PathBuf>,
    /// A key of config-autoscaler or an annotation of autoscaling.knative.dev, for every revision;
    /// may be repeated.
    #[arg(long = "set", value_name = "KEY=VALUE", value_parser = setting)]
    set: Vec<(String, String)>,
    /// A revision known from the start, with the requests that an instance takes at a time (0 or
    /// none: unlimited); may be repeated.
    #[arg(long = "revision", value_name = "NAMESPACE/NAME[,CONCURRENCY]")]
    revisions: Vec<Declared>,
    /// What to do about reporters of undeclared revisions.
    #[arg(long, value_enum, default_value = "adopt")]
    undeclared: StrangersName,
    /// Where activators send requests, by host, path, shares and more: a file that is read again
    /// when it changes. Its rollouts are led here.
    #[arg(long, value_name = "FILE")]
    routes: Option<PathBuf>,
    /// Where to keep how far the rollouts of --routes have come: a controller that starts goes on
    /// there. Without it, they begin anew.
    #[arg(long, value_name = "FILE", requires = "routes")]
    rollout_state: Option<PathBuf>,
    /// Decide only while the lock on this file is ours: of several controllers with the same file
    /// one decides, and the next takes over when it ends, however it ends. Until then a controller
    /// listens nowhere.
    #[arg(long, value_name = "LOCKFILE")]
    standby: Option<PathBuf>,
    /// Which of several controllers this is that divide the revisions among them, such as 2/3 for
    /// the second of three. Reporters and activators name all of them, with semicolons between.
    #[arg(
        long,
        value_name = "NUMBER/SHARDS",
        default_value_t = Shard::ONLY,
        env = "TIDEGATE_SHARD",
        hide_default_value = true,
        hide_short_help = true
    )]
    shard: Shard,
    /// Decide exactly as Knative does.
    #[arg(long)]
    like_knative: bool,
    #[command(flatten)]
    call: CallArgs,
    #[command(flatten)]
    admin: AdminArgs,
    #[command(flatten)]
    push: PushArgs,
    #[command(flatten)]
    page: PageArgs,
    #[command(flatten)]
    log: LogArgs,
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum StrangersName {
    /// Decide for them as for declared ones.
    Adopt,
    /// Refuse their reporters.
    Refuse,
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum AddressesName {
    /// The IP address that the stream comes from, with any port.
    Own,
    /// Any address: every authenticated reporter can direct requests anywhere.
    Any,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Declared {
    revision: RevisionId,
    concurrency: u32,
}

impl FromStr for Declared {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (name, concurrency) = text.split_once(',').unwrap_or((text, "0"));
        let (namespace, name) = name
            .split_once('/')
            .ok_or("expected NAMESPACE/NAME[,CONCURRENCY], such as prod/web,10")?;
        let concurrency =
            concurrency.parse().map_err(|_| "expected a whole number after the comma")?;
        let revision = RevisionId::new(namespace, name).map_err(|error| error.to_string())?;
        Ok(Self { revision, concurrency })
    }
}

/// Decides until a signal to stop.
pub(crate) fn execute(args: Args) -> anyhow::Result<ExitCode> {
    args.log.install(ROLE_DEFAULT);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(serve(args))
}

async fn serve(args: Args) -> anyhow::Result<ExitCode> {
    let mut signals = ShutdownSignals::of_role().context("cannot wait for signals")?;
    let access = access(&args).map_err(mistyped)?;
    let caller = args.call.caller().map_err(mistyped)?;
    let push = args.push.settings("tidegate-controller", None).map_err(mistyped)?;
    let template = template(&args).map_err(mistyped)?;
    check_owners(args.shard, &args.revisions).map_err(mistyped)?;
    let declarations: Vec<_> = args
        .revisions
        .iter()
        .map(|declared| {
            let Declared { revision, concurrency } = declared;
            template.declare(revision.clone(), *concurrency)
        })
        .collect::<Result<_, _>>()?;
    let undeclared = match args.undeclared {
        StrangersName::Adopt => UndeclaredRevisions::Adopt(Box::new(template)),
        StrangersName::Refuse => UndeclaredRevisions::Refuse,
    };
    let leadership = match &args.standby {
        Some(path) => tokio::select! {
            taken = Leadership::take(path, stands_by) => Some(taken?),
            _ = signals.next() => return Ok(ExitCode::SUCCESS),
        },
        None => None,
    };
    let routes = routes(&args)?;
    let records = args.rollout_state.as_deref().map(rollout_state::read).transpose()?;
    let (admin, listener) = match leadership {
        Some(_) => standby::insist(|| bind(&args)).await?,
        None => bind(&args)?,
    };
    announce(listener.local_addr()?, args.shard);
    let registry = Registry::new();
    let metrics = Metrics::new(&registry);
    let (handle, controller) = tidegate_controller::of_shard(args.shard, undeclared, metrics);
    tokio::spawn(controller.run(NoActuator));
    let observed = Arc::new(Observed { registry: registry.clone(), handle: handle.clone() });
    let push = push::start(US, push, &registry, &observed)?;
    let _admin = match admin {
        Some(admin) => {
            let page = page(&args, &handle, &access, &admin)?;
            serve_admin(US, admin, observed, page)?
        }
        None => None,
    };
    for declaration in declarations {
        handle.declare(declaration).await?;
    }
    if let Some((file, table)) = routes {
        if let Some(path) = args.rollout_state.clone() {
            let rollouts = handle.watch_rollouts();
            tokio::spawn(async move { rollout_state::keep(&path, rollouts).await });
        }
        tokio::spawn(lead(file, table, records.unwrap_or_default(), handle.clone()));
    }
    if let Some(caller) = caller {
        tokio::spawn(call(caller, handle.clone()));
    }
    let stopped = async {
        signals.next().await;
    };
    let serving = tidegate_controller::serve(handle, listener, access, stopped);
    tokio::select! {
        served = serving => served?,
        why = lost(leadership.as_ref()) => return Err(why),
    }
    push.finish().await;
    Ok(ExitCode::SUCCESS)
}

/// Calls a view for as long as the controller lives, and answers what it asks.
async fn call(caller: Caller, handle: Handle) {
    eprintln!("tidegate controller: calling the view at {} as {}", caller.view(), caller.site());
    let answer = |stream| {
        let handle = handle.clone();
        async move {
            if let Err(error) = tidegate_controller::answer(handle, stream).await {
                tracing::debug!(%error, "a call broke off");
            }
        }
    };
    caller.run(answer).await;
}

/// Whether every declared revision is this shard's; all that are not are named.
fn check_owners(shard: Shard, revisions: &[Declared]) -> anyhow::Result<()> {
    let foreign = revisions.iter().filter_map(|Declared { revision, .. }| {
        let owner = shard.owner(revision.namespace(), revision.name());
        (owner != shard).then(|| format!("{revision} belongs to shard {owner}"))
    });
    let foreign: Vec<String> = foreign.collect();
    if !foreign.is_empty() {
        bail!(
            "this is shard {shard}: {}; give each --revision to the controller of its shard",
            foreign.join(", ")
        );
    }
    Ok(())
}

/// The file of routes, each rollout of which some shard can lead.
fn routes(args: &Args) -> anyhow::Result<Option<(RoutesFile, Table)>> {
    let Some(path) = args.routes.clone() else { return Ok(None) };
    let (file, table) = RoutesFile::open(path)?;
    match divided_rollouts(&table, args.shard).into_iter().next() {
        Some(divided) => Err(divided.into()),
        None => Ok(Some((file, table))),
    }
}

/// Says where it listens, and which part of the revisions is its own.
fn announce(address: SocketAddr, shard: Shard) {
    let part = match shard {
        Shard::ONLY => String::new(),
        shard => format!(", shard {shard} of the revisions"),
    };
    eprintln!("{US}: listening on {address}{part}");
}

/// The address of the operator, if there is one, and that of reporters.
fn bind(args: &Args) -> anyhow::Result<(Option<Listening>, TcpListener)> {
    let admin = args.admin.bind()?;
    let listener = tidegate_relay::listen(args.listen)
        .and_then(TcpListener::from_std)
        .with_context(|| format!("cannot listen on {}", args.listen))?;
    Ok((admin, listener))
}

fn stands_by() {
    eprintln!("tidegate controller: another one decides, standing by");
}

/// Resolves when another controller may decide as well.
async fn lost(leadership: Option<&Leadership>) -> anyhow::Error {
    match leadership {
        Some(leadership) => leadership.lost().await,
        None => std::future::pending().await,
    }
}

/// The page on the admin address; or why there is none.
fn page(
    args: &Args,
    handle: &Handle,
    access: &Access,
    admin: &Listening,
) -> anyhow::Result<Result<Page, NoPage>> {
    let anonymous = if args.allow_anonymous { Anonymous::Allowed } else { Anonymous::Refused };
    args.page.of_controller(handle.clone(), (access, anonymous), admin.local_addr()?)
}

/// Has the controller follow a file with routes, for as long as it lives.
async fn lead(
    mut file: RoutesFile,
    mut table: Table,
    mut records: Vec<RolloutRecord>,
    handle: Handle,
) {
    let shard = handle.shard();
    // What was kept is about the rollouts of the file as it was at the start.
    while handle.follow_routes(file.text().into(), table, mem::take(&mut records)).await.is_ok() {
        table = file.changed().await;
        for divided in divided_rollouts(&table, shard) {
            tracing::warn!(%divided, "a rollout is led by nobody");
        }
    }
}

/// A controller's metrics and readiness.
struct Observed {
    registry: Registry,
    handle: Handle,
}

impl Subject for Observed {
    async fn gather(&self) -> Vec<Family> {
        // One that has ended has no newer numbers.
        let _ = self.handle.refresh_metrics().await;
        self.registry.gather()
    }

    async fn readiness(&self) -> Readiness {
        match self.handle.has_ended() {
            false => Readiness::Ready,
            true => Readiness::not_ready(Ended),
        }
    }
}

/// The access rules that the flags make.
fn access(args: &Args) -> anyhow::Result<Access> {
    let access = args.access.access(match args.addresses {
        AddressesName::Own => Addresses::Own,
        AddressesName::Any => Addresses::Any,
    })?;
    let is_open = !args.listen.ip().to_canonical().is_loopback();
    if access.admits_anybody() && is_open && !args.allow_anonymous {
        bail!(
            "{} is open to others: give --secret-file, --tls-client-ca or --allow-anonymous",
            args.listen
        );
    }
    Ok(access)
}

fn template(args: &Args) -> anyhow::Result<Template> {
    let mut config = match &args.settings {
        Some(path) => {
            let config =
                read_settings(path).with_context(|| format!("cannot use {}", path.display()))?;
            for key in unknown_config_keys(&config) {
                let hint = did_you_mean(key, CONFIG_KEYS.iter().copied());
                let (key, path) = (excerpt(key), path.display());
                eprintln!("tidegate controller: {path}: {key} is unknown and does nothing{hint}");
            }
            config
        }
        None => BTreeMap::new(),
    };
    let annotations =
        sort_settings(&mut config, &args.set).map_err(|wrong| as_typed(wrong, &args.set, &[]))?;
    let improvements = if args.like_knative { Improvements::none() } else { Improvements::all() };
    let typed = |wrong: Violations| as_typed(wrong.into(), &args.set, &[]);
    let config = Config::from_map(&config, Strictness::Strict).map_err(typed)?;
    let template = Template { config, annotations, improvements };
    // Annotations are checked together with a revision; this finds a mistake before there is one.
    template.declare(RevisionId::new("check", "check")?, 0).map_err(typed)?;
    Ok(template)
}

fn read_settings(path: &Path) -> anyhow::Result<BTreeMap<String, String>> {
    let extension = path.extension().and_then(|extension| extension.to_str()).unwrap_or_default();
    let format = FileFormat::of_extension(extension)
        .context("its name must end in .yaml, .yml, .json or .toml")?;
    Ok(read_data(&text_of(path)?, format)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn revisions_are_read_with_and_without_a_concurrency() {
        let declared: Declared = "prod/web,5".parse().expect("valid");
        assert_eq!((declared.revision.name(), declared.concurrency), ("web", 5));
        let declared: Declared = "prod/web".parse().expect("valid");
        assert_eq!(declared.concurrency, 0);
        for bad in ["", "web", "/web", "prod/", "prod/web,x", "prod/web,-1", "a b/c"] {
            assert!(bad.parse::<Declared>().is_err(), "{bad}");
        }
    }
}
