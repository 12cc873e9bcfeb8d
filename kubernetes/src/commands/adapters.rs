//! What of `tidegate-kubernetes controller` is about other autoscalers.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use anyhow::Context;
use tidegate_kubernetes::adapters::{Adapters, ExternalMetrics, ExternalScaler};
use tidegate_kubernetes::extension::Extension;
use tidegate_kubernetes::world::ObjectKey;
use tidegate_kubernetes_objects::names::EXTERNAL_METRICS_SERVICE;
use tidegate_trust::ServerTls;

/// The variable with the name of our Pod, which is also our name as a controller.
const POD_NAME_VARIABLE: &str = "POD_NAME";

#[derive(Debug, clap::Args)]
pub(crate) struct AdapterArgs {
    /// Where to serve external metrics to the API server, while we decide; not served when absent.
    #[arg(long, value_name = "ADDR")]
    external_metrics: Option<SocketAddr>,
    /// The Service, in our namespace and without a selector, that leads to external metrics.
    #[arg(long, value_name = "NAME", default_value = EXTERNAL_METRICS_SERVICE)]
    external_metrics_service: String,
    /// Our address, to which that Service is led.
    #[arg(long, value_name = "IP", env = "POD_IP")]
    pod_ip: Option<IpAddr>,
    /// The uid of our Pod: with it goes what leads to it.
    #[arg(long, value_name = "UID", env = "POD_UID")]
    pod_uid: Option<String>,
    /// Where to answer KEDA, while we decide; over TLS where --tls-cert is given. Not answered when
    /// absent.
    #[arg(long, value_name = "ADDR")]
    external_scaler: Option<SocketAddr>,
}

impl AdapterArgs {
    /// What is to be served, with TLS for KEDA as for reports.
    pub(crate) fn settings(
        &self,
        system_namespace: &str,
        tls: Option<Arc<ServerTls>>,
    ) -> anyhow::Result<Adapters> {
        let external_metrics = match self.external_metrics {
            Some(listen) => {
                Some(ExternalMetrics { listen, extension: self.extension(system_namespace)? })
            }
            None => None,
        };
        let external_scaler = self.external_scaler.map(|listen| ExternalScaler { listen, tls });
        Ok(Adapters { external_metrics, external_scaler })
    }

    fn extension(&self, system_namespace: &str) -> anyhow::Result<Extension> {
        let address = self.pod_ip.context(
            "--external-metrics needs our address for the Service that leads to it: set POD_IP \
             from status.podIP, or give --pod-ip",
        )?;
        let name = std::env::var(POD_NAME_VARIABLE).ok();
        Ok(Extension {
            service: ObjectKey::new(system_namespace, &self.external_metrics_service),
            address,
            pod: name.zip(self.pod_uid.clone()),
        })
    }
}
