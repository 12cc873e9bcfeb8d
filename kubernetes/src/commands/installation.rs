//! What a subcommand is told of the installation that it is a part of.

use tidegate_kubernetes_objects::names::SYSTEM_NAMESPACE;

/// Where Tidegate itself is.
#[derive(Debug, clap::Args)]
pub(crate) struct SystemNamespaceArgs {
    /// The namespace of Tidegate: its Lease, its activators, and the Secrets of its certificates.
    #[arg(
        long,
        value_name = "NAMESPACE",
        default_value = SYSTEM_NAMESPACE,
        env = "TIDEGATE_SYSTEM_NAMESPACE"
    )]
    pub(crate) system_namespace: String,
}
