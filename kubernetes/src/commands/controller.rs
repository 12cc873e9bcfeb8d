//! `tidegate-kubernetes controller`: scales the workloads that TrafficScalers name.
//!
//! It turns what was typed into the settings of [`tidegate_kubernetes::run`], and serves metrics and
//! readiness beside it.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context, bail};
use tidegate_admin::{Admin, Readiness, Subject};
use tidegate_controller::{Access, Addresses, Handle, Metrics};
use tidegate_kubernetes::port_range::PortRange;
use tidegate_kubernetes::run::{Config, RunError, run};
use tidegate_kubernetes::world::ObjectKey;
use tidegate_kubernetes_objects::names::{ACTIVATOR_SERVICE, SYSTEM_NAMESPACE};
use tidegate_telemetry::{Family, Registry};
use tidegate_trust::secret::{SECRET_FILE_VARIABLE, SECRET_VARIABLE, random_bytes};
use tidegate_trust::{ServerCertificates, SharedSecret};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

use super::{LogArgs, client};

/// What was typed after `tidegate-kubernetes controller`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Where reports of queue-proxies and activators come in, while we decide.
    #[arg(long, value_name = "ADDR", default_value = "0.0.0.0:9400")]
    listen: SocketAddr,
    /// The file with the secret that every reporter must present, at least 16 characters; or set
    /// TIDEGATE_SECRET to the secret.
    #[arg(long, value_name = "FILE", env = SECRET_FILE_VARIABLE)]
    secret_file: Option<PathBuf>,
    /// The controller's certificate chain, PEM; only TLS is accepted with it.
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    tls_cert: Option<PathBuf>,
    /// The key of that certificate, PEM.
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    tls_key: Option<PathBuf>,
    /// Authorities of the client certificates that are then required, PEM.
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    tls_client_ca: Option<PathBuf>,
    /// Scale only the workloads of this namespace, with the rights of a Role; all namespaces when
    /// absent, with those of a ClusterRole.
    #[arg(long, value_name = "NAMESPACE", env = "TIDEGATE_NAMESPACE")]
    namespace: Option<String>,
    /// The namespace of our Lease and of the activators.
    #[arg(
        long,
        value_name = "NAMESPACE",
        default_value = SYSTEM_NAMESPACE,
        env = "TIDEGATE_SYSTEM_NAMESPACE"
    )]
    system_namespace: String,
    /// The Service whose endpoints are the activators.
    #[arg(long, value_name = "NAME", default_value = ACTIVATOR_SERVICE)]
    activator_service: String,
    /// The ports of activators that may be given to Services.
    #[arg(long, value_name = "FIRST-LAST", default_value = "20000-29999")]
    activator_ports: PortRange,
    /// Our name, unique among the controllers of the cluster.
    #[arg(long, value_name = "NAME", env = "POD_NAME")]
    name: Option<String>,
    /// Where to serve /metrics, /healthz and /readyz, in plain HTTP and without authentication;
    /// not served when absent.
    #[arg(long, value_name = "ADDR")]
    admin: Option<SocketAddr>,
    #[command(flatten)]
    log: LogArgs,
}

pub(crate) fn execute(args: Args) -> anyhow::Result<()> {
    args.log.begin()?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(serve(args))
}

async fn serve(args: Args) -> anyhow::Result<()> {
    let mut terminate = signal(SignalKind::terminate()).context("cannot wait for signals")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("cannot wait for signals")?;
    let access = access(&args)?;
    let registry = Registry::new();
    let metrics = Metrics::new(&registry);
    let (decides, handle) = watch::channel(None);
    let _admin = admin(args.admin, Observed { registry, handle }).await?;
    let config = Config {
        client: client().await?,
        namespace: args.namespace,
        activators: ObjectKey::new(&args.system_namespace, &args.activator_service),
        system_namespace: args.system_namespace,
        port_range: args.activator_ports,
        name: match args.name {
            Some(name) => name,
            None => format!("controller-{}", random_name()?),
        },
        listen: args.listen,
        access,
        metrics,
        decides,
    };
    let stop = async {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    };
    run(config, stop).await.map_err(|error: RunError| error.into())
}

/// What no other process has: two of one name would both believe to hold the Lease.
fn random_name() -> anyhow::Result<String> {
    let random = random_bytes::<8>().context("the system gives no random numbers")?;
    Ok(format!("{:016x}", u64::from_be_bytes(random)))
}

/// The access rules that the options make. Reports decide how workloads are scaled, and whoever
/// can send some can scale: nobody can without showing something.
fn access(args: &Args) -> anyhow::Result<Access> {
    let variable = std::env::var_os(SECRET_VARIABLE).map(|s| s.to_string_lossy().into_owned());
    let secret = SharedSecret::configured(args.secret_file.as_deref(), variable.as_deref())?;
    let tls = match (&args.tls_cert, &args.tls_key) {
        (Some(certificate), Some(key)) => {
            let (certificate, key) = (certificate.clone(), key.clone());
            let client_authority = args.tls_client_ca.clone();
            let certificates = ServerCertificates { certificate, key, client_authority };
            Some(Arc::new(certificates.load()?))
        }
        _ => None,
    };
    if secret.is_none() && args.tls_client_ca.is_none() {
        bail!("whoever reports must show something: give --secret-file or --tls-client-ca");
    }
    Ok(Access { secret, tls, addresses: Addresses::Own })
}

async fn admin(address: Option<SocketAddr>, observed: Observed) -> anyhow::Result<Option<Admin>> {
    let Some(address) = address else { return Ok(None) };
    let listener = tidegate_relay::listen(address).and_then(TcpListener::from_std);
    let listener = listener.with_context(|| format!("cannot listen on {address} (--admin)"))?;
    Ok(Some(Admin::serve(listener, observed)?))
}

/// Metrics and readiness. A controller that waits for its turn is ready to take it.
struct Observed {
    registry: Registry,
    /// The decision library, once we decide.
    handle: watch::Receiver<Option<Handle>>,
}

impl Subject for Observed {
    async fn gather(&self) -> Vec<Family> {
        let handle = self.handle.borrow().clone();
        if let Some(handle) = handle {
            // One that has ended has no newer numbers.
            let _ = handle.refresh_metrics().await;
        }
        self.registry.gather()
    }

    async fn readiness(&self) -> Readiness {
        Readiness::Ready
    }
}
