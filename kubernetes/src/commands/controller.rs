//! `tidegate-kubernetes controller`: scales the workloads that TrafficScalers name.
//!
//! It turns the arguments into the settings of [`tidegate_kubernetes::run`], and serves metrics
//! and readiness beside it.

use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::{Context, bail};
use tidegate_admin::{Admin, Readiness, Subject};
use tidegate_controller::{Access, Addresses, Authenticate, Handle, Metrics};
use tidegate_flags::log::ROLE_DEFAULT;
use tidegate_flags::{
    AccessArgs, AdminArgs, CallArgs, LISTEN_VARIABLE, LogArgs, PushArgs, admin, listen_address,
    push,
};
use tidegate_kubernetes::port_range::PortRange;
use tidegate_kubernetes::run::{Config, RunError, run};
use tidegate_kubernetes::token_review::TokenReviews;
use tidegate_kubernetes::world::ObjectKey;
use tidegate_kubernetes_objects::names::ACTIVATOR_SERVICE;
use tidegate_telemetry::{Family, Registry};
use tokio::sync::watch;

use super::adapters::AdapterArgs;
use super::installation::SystemNamespaceArgs;
use super::page::PageArgs;
use super::{NAMESPACE_VARIABLE, client, on_every_core, own_name, stopped};

/// How messages name this program.
const US: &str = "tidegate-kubernetes controller";

/// What was typed after `tidegate-kubernetes controller`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Where reports of queue-proxies and activators come in, while we decide.
    #[arg(
        long,
        value_name = "ADDR",
        default_value = "0.0.0.0:9400",
        env = LISTEN_VARIABLE,
        value_parser = listen_address
    )]
    listen: SocketAddr,
    #[command(flatten)]
    access: AccessArgs,
    /// Take tokens of ServiceAccounts that are for this audience besides, and ask the API server
    /// whose they are: one of the system namespace speaks for everything, any other for its own
    /// namespace. Only over TLS, since whoever reads a token can show it.
    #[arg(long, value_name = "AUDIENCE", env = "TIDEGATE_TOKEN_AUDIENCE", requires = "tls_cert")]
    token_audience: Option<String>,
    /// Scale only the workloads of this namespace, with the rights of a Role; all namespaces when
    /// absent, with those of a ClusterRole.
    #[arg(long, value_name = "NAMESPACE", env = NAMESPACE_VARIABLE)]
    namespace: Option<String>,
    #[command(flatten)]
    installation: SystemNamespaceArgs,
    /// The Service whose endpoints are the activators.
    #[arg(long, value_name = "NAME", default_value = ACTIVATOR_SERVICE)]
    activator_service: String,
    /// The ports of activators that may be given to Services.
    #[arg(long, value_name = "FIRST-LAST", default_value = "20000-29999")]
    activator_ports: PortRange,
    /// Our name, unique among the controllers of the cluster.
    #[arg(long, value_name = "NAME", env = "POD_NAME")]
    name: Option<String>,
    #[command(flatten)]
    call: CallArgs,
    #[command(flatten)]
    admin: AdminArgs,
    #[command(flatten)]
    push: PushArgs,
    #[command(flatten)]
    page: PageArgs,
    #[command(flatten)]
    adapters: AdapterArgs,
    #[command(flatten)]
    log: LogArgs,
}

pub(crate) fn execute(args: Args) -> anyhow::Result<()> {
    args.log.install(ROLE_DEFAULT);
    on_every_core(serve(args))
}

async fn serve(args: Args) -> anyhow::Result<()> {
    let stop = stopped()?;
    let access = access(&args)?;
    let caller = args.call.caller()?;
    let registry = Registry::new();
    let metrics = Metrics::new(&registry);
    let (decides, handle) = watch::channel(None);
    let push = args.push.settings("tidegate-kubernetes-controller", args.name.as_deref())?;
    let observed = Arc::new(Observed { registry: registry.clone(), handle });
    let push = push::start(US, push, &registry, &observed)?;
    let _admin = serve_admin(&args, observed, &access)?;
    let client = client().await?;
    let access = Access { tokens: tokens(&args, &client), ..access };
    let adapters =
        args.adapters.settings(&args.installation.system_namespace, access.tls.clone())?;
    let config = Config {
        client,
        namespace: args.namespace,
        activators: ObjectKey::new(&args.installation.system_namespace, &args.activator_service),
        system_namespace: args.installation.system_namespace,
        port_range: args.activator_ports,
        name: own_name("controller", args.name)?,
        listen: args.listen,
        access,
        caller,
        metrics,
        adapters,
        decides,
    };
    let ended = run(config, stop).await.map_err(|error: RunError| error.into());
    push.finish().await;
    ended
}

/// Serves the admin address: metrics and health, and the page if there is to be one.
fn serve_admin(
    args: &Args,
    observed: Arc<Observed>,
    access: &Access,
) -> anyhow::Result<Option<Admin>> {
    let Some(listener) = args.admin.bind()? else {
        return match args.page.is_wanted() {
            true => bail!("--page: give --admin as well, the address that it is served on"),
            false => Ok(None),
        };
    };
    let page = args.page.on(listener.local_addr()?, access, observed.handle.clone());
    match page.context("--page")? {
        Some(page) => Ok(Some(admin::serve_beside(US, listener, observed, page)?)),
        None => Ok(admin::serve(US, Some(listener), observed)?),
    }
}

/// The access rules that the flags make. Reports decide how workloads are scaled, and whoever can
/// send some can scale: nobody can without showing something.
fn access(args: &Args) -> anyhow::Result<Access> {
    let access = args.access.access(Addresses::Own)?;
    if access.admits_anybody() && args.token_audience.is_none() {
        bail!(
            "reporters must authenticate themselves: give --secret-file, --tls-client-ca or \
             --token-audience"
        );
    }
    Ok(access)
}

/// Who says whose a token is, where tokens are taken.
fn tokens(args: &Args, client: &kube::Client) -> Option<Arc<dyn Authenticate>> {
    let audience = args.token_audience.clone()?;
    let reviews =
        TokenReviews::new(client.clone(), audience, args.installation.system_namespace.clone());
    Some(Arc::new(reviews))
}

/// Metrics and readiness. A controller that waits for the Lease is ready.
struct Observed {
    registry: Registry,
    /// The decision library, once we decide.
    handle: watch::Receiver<Option<Handle>>,
}

impl Subject for Observed {
    async fn gather(&self) -> Vec<Family> {
        let handle = self.handle.borrow().clone();
        if let Some(handle) = handle {
            // Once it has ended its numbers no longer change.
            let _ = handle.refresh_metrics().await;
        }
        self.registry.gather()
    }

    async fn readiness(&self) -> Readiness {
        Readiness::Ready
    }
}
