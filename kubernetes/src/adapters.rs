//! Serves other autoscalers while we decide: external metrics for the API server, and KEDA's calls.
//!
//! A controller that waits for its turn serves neither. KEDA tries all controllers and finds the
//! one that listens; the API server asks a Service, whose one endpoint is whoever decides.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::Value;
use tidegate_kubernetes_adapters::Published;
use tidegate_kubernetes_adapters::front_proxy::FrontProxy;
use tidegate_kubernetes_adapters::server::{
    Guarded, serve_external_metrics, serve_external_scaler,
};
use tidegate_kubernetes_certificates::{Kept, UnixSeconds, Wanted};
use tidegate_trust::ServerTls;
use tidegate_trust::renewed::RENEW_EVERY;
use tokio::net::TcpListener;
use tokio::sync::watch;

use crate::cluster::Cluster;
use crate::extension::{self, Endpoint, Extension};
use crate::reconciler::Response;
use crate::request::ApiRequest;
use crate::run::RunError;

/// The name of our certificate among those that are kept.
const CERTIFICATE: &str = "external-metrics";

/// Time between two looks whether the cluster still leads to us: what somebody has undone is done
/// again within the autoscaler's next look or two.
const LOOK_EVERY: Duration = Duration::from_secs(10);

/// What is served to other autoscalers.
#[derive(Debug, Clone, Default)]
pub struct Adapters {
    /// External metrics.
    pub external_metrics: Option<ExternalMetrics>,
    /// KEDA's calls.
    pub external_scaler: Option<ExternalScaler>,
}

/// External metrics.
#[derive(Debug, Clone)]
pub struct ExternalMetrics {
    /// Where they are served.
    pub listen: SocketAddr,
    /// How the cluster comes to ask there.
    pub extension: Extension,
}

/// KEDA's calls.
#[derive(Debug, Clone)]
pub struct ExternalScaler {
    /// Where they are answered.
    pub listen: SocketAddr,
    /// TLS; plaintext when `None`.
    pub tls: Option<Arc<ServerTls>>,
}

impl Adapters {
    /// Serves for as long as it is polled.
    ///
    /// # Errors
    /// One of them cannot be served.
    pub(crate) async fn serve(
        self,
        cluster: Cluster,
        published: Arc<Published>,
    ) -> Result<(), RunError> {
        let metrics = async {
            match self.external_metrics {
                Some(settings) => settings.serve(cluster, Arc::clone(&published)).await,
                None => std::future::pending().await,
            }
        };
        let scaler = async {
            match self.external_scaler {
                Some(settings) => settings.serve(Arc::clone(&published)).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            ended = metrics => ended,
            ended = scaler => ended,
        }
    }
}

fn listen(address: SocketAddr) -> Result<TcpListener, RunError> {
    let listener = tidegate_relay::listen(address).and_then(TcpListener::from_std);
    listener.map_err(|source| RunError::Listen { address, source })
}

impl ExternalScaler {
    async fn serve(self, published: Arc<Published>) -> Result<(), RunError> {
        let listener = listen(self.listen)?;
        tracing::info!(address = %self.listen, "KEDA's calls are answered");
        let renewing = {
            let renewals = self.tls.as_ref().map(|tls| tls.renewals());
            async move {
                match renewals {
                    Some(renewals) => renewals.watch(RENEW_EVERY).await,
                    None => std::future::pending().await,
                }
            }
        };
        let tls = move || self.tls.as_ref().map(|tls| tls.current());
        tokio::select! {
            () = serve_external_scaler(listener, tls, published) => {}
            () = renewing => {}
        }
        Err(RunError::PartEnded("the service for KEDA"))
    }
}

impl ExternalMetrics {
    async fn serve(self, cluster: Cluster, published: Arc<Published>) -> Result<(), RunError> {
        let listener = listen(self.listen)?;
        let dns_names = self.extension.dns_names();
        let wanted = [Wanted { name: CERTIFICATE.to_owned(), dns_names }];
        // Each process has an authority of its own, which goes with it: the cluster is told anew.
        let mut kept = Kept::default().renewed(now(), &wanted)?;
        let (sender, guarded) = watch::channel(guard(front_proxy(&cluster).await, &kept)?);
        let endpoint = Endpoint { port: self.listen.port(), extension: &self.extension };
        tracing::info!(address = %self.listen, "external metrics are served");
        let leading = async {
            loop {
                lead(&cluster, &endpoint, &kept.bundle()).await;
                tokio::time::sleep(LOOK_EVERY).await;
                let trusted = front_proxy(&cluster).await;
                match kept.renewed(now(), &wanted).map_err(RunError::from) {
                    Ok(renewed) => kept = renewed,
                    Err(error) => tracing::error!(%error, "the certificate stays as it is"),
                }
                match guard(trusted, &kept) {
                    Ok(guarded) => drop(sender.send_replace(guarded)),
                    Err(error) => tracing::error!(%error, "who may ask stays as it is"),
                }
            }
        };
        tokio::select! {
            () = serve_external_metrics(listener, guarded, published) => {}
            () = leading => {}
        }
        Err(RunError::PartEnded("the service of external metrics"))
    }
}

fn now() -> UnixSeconds {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

fn guard(front_proxy: FrontProxy, kept: &Kept) -> Result<Guarded, RunError> {
    let issued = kept.issued.get(CERTIFICATE);
    let (certificate, key) = issued
        .map(|issued| (issued.identity.certificate.as_str(), issued.identity.key.as_str()))
        .unwrap_or_default();
    let config = front_proxy
        .server_config(certificate, key)
        .map_err(|error| RunError::Certificates(error.to_string()))?;
    Ok(Guarded { config, front_proxy: Arc::new(front_proxy) })
}

/// Who may ask, as the cluster says; asked again until it does.
async fn front_proxy(cluster: &Cluster) -> FrontProxy {
    loop {
        let why = match cluster.send(&ApiRequest::get(extension::authentication_path())).await {
            Response::Done(object) => {
                let value = |key: &str| object.get("data")?.get(key)?.as_str();
                match FrontProxy::read(value) {
                    Ok(front_proxy) => return front_proxy,
                    Err(error) => error.to_string(),
                }
            }
            other => extension::failure(&other),
        };
        tracing::warn!(why, "external metrics wait: whom to let in is not known");
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// Leads the cluster to us: the endpoint of the Service, then the authorities of the APIService.
async fn lead(cluster: &Cluster, endpoint: &Endpoint<'_>, authorities: &str) {
    let service = read(cluster, extension::api_service_path()).await;
    let steps = [
        Ok(Some(endpoint.lead())),
        service.and_then(|service| endpoint.api_service_step(service.as_ref(), authorities)),
    ];
    for step in steps {
        let why = match step {
            Ok(None) => continue,
            Ok(Some(request)) => match cluster.send(&request).await {
                Response::Done(_) => continue,
                other => extension::failure(&other),
            },
            Err(why) => why,
        };
        tracing::warn!(why, "the cluster is not led to our external metrics");
    }
}

/// An object; `None` where there is none.
async fn read(cluster: &Cluster, path: String) -> Result<Option<Value>, String> {
    match cluster.send(&ApiRequest::get(path)).await {
        Response::Done(object) => Ok(Some(object)),
        Response::NotFound => Ok(None),
        other => Err(extension::failure(&other)),
    }
}
