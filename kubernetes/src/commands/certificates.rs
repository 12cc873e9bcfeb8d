//! `tidegate-kubernetes certificates`: makes and renews the certificates of an installation.

use tidegate_admin::{Readiness, Subject};
use tidegate_flags::log::ROLE_DEFAULT;
use tidegate_flags::{AdminArgs, LogArgs, admin};
use tidegate_kubernetes::certificate_keeper::{Config, keep};
use tidegate_telemetry::{Family, Registry};
use tokio::sync::watch;

use super::installation::SystemNamespaceArgs;
use super::{NAMESPACE_VARIABLE, client, stopped};

/// What was typed after `tidegate-kubernetes certificates`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    installation: SystemNamespaceArgs,
    /// Publish who vouches for the controller in this namespace only; in every namespace that opts
    /// in to the sidecar, by the label tidegate.dev/inject=enabled, when absent.
    #[arg(long, value_name = "NAMESPACE", env = NAMESPACE_VARIABLE)]
    namespace: Option<String>,
    /// The MutatingWebhookConfiguration whose caBundle is written; none when absent.
    #[arg(long, value_name = "NAME", env = "TIDEGATE_WEBHOOK_CONFIGURATION")]
    webhook_configuration: Option<String>,
    #[command(flatten)]
    admin: AdminArgs,
    #[command(flatten)]
    log: LogArgs,
}

pub(crate) fn execute(args: Args) -> anyhow::Result<()> {
    args.log.install(ROLE_DEFAULT);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(serve(args))
}

async fn serve(args: Args) -> anyhow::Result<()> {
    let stop = stopped()?;
    let config = Config {
        client: client().await?,
        system_namespace: args.installation.system_namespace,
        namespace: args.namespace,
        webhook_configuration: args.webhook_configuration,
    };
    let (health, problem) = watch::channel(Some("nothing has been checked yet".to_owned()));
    let health_pages = Health { registry: Registry::new(), problem };
    let _admin =
        admin::serve("tidegate-kubernetes certificates", args.admin.bind()?, health_pages)?;
    tokio::select! {
        () = keep(config, health) => {}
        () = stop => {}
    }
    Ok(())
}

/// Ready while the last check of the certificates went well.
struct Health {
    registry: Registry,
    problem: watch::Receiver<Option<String>>,
}

impl Subject for Health {
    async fn gather(&self) -> Vec<Family> {
        self.registry.gather()
    }

    async fn readiness(&self) -> Readiness {
        match &*self.problem.borrow() {
            None => Readiness::Ready,
            Some(problem) => Readiness::not_ready(problem),
        }
    }
}
