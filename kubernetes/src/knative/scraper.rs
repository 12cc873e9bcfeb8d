//! Asks pods for their statistics, and Services whether an activator answers for them.

use std::hash::{BuildHasher, RandomState};
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT, CONTENT_TYPE, USER_AGENT};
use http::{Request, StatusCode};
use http_body_util::{BodyExt, Empty, Limited};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use tidegate_autoscaler::lifecycle::ActivatorProbe;
use tidegate_autoscaler::scrape::ScrapeResponse;
use tidegate_knative::headers::NETWORK_PROBE;
use tidegate_knative::probe::{ACTIVATOR, AUTOSCALER_AGENT};
use tidegate_kubernetes_podautoscaler::effect::{ProbeOrder, ScrapeOrder};
use tidegate_kubernetes_podautoscaler::names::STATISTICS_PORT;
use tidegate_kubernetes_podautoscaler::statistics;
use tidegate_proto::STAT_CONTENT_TYPE;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::metrics::Metrics;

/// Requests to pods at a time. More wait, and come later in their second.
const REQUESTS_MAX: usize = 256;

/// How long a pod may take; as Knative has it.
const SCRAPE_TIMEOUT: Duration = Duration::from_secs(3);

/// How long a probe may take; as Knative has it.
const PROBE_TIMEOUT: Duration = Duration::from_secs(5);

/// How long a connection to a pod is kept without use.
const IDLE_TIMEOUT: Duration = Duration::from_secs(10);

/// The longest response that is read. A Stat has six numbers and the name of a pod.
const RESPONSE_BYTES_MAX: usize = 1 << 10;

/// A client of pods.
#[derive(Clone)]
pub(crate) struct PodClient {
    client: Client<HttpConnector, Empty<Bytes>>,
    requests: Arc<Semaphore>,
    metrics: Metrics,
}

impl PodClient {
    pub(crate) fn new(metrics: Metrics) -> Self {
        let mut connector = HttpConnector::new();
        connector.set_connect_timeout(Some(SCRAPE_TIMEOUT));
        connector.set_nodelay(true);
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(IDLE_TIMEOUT)
            .pool_max_idle_per_host(1)
            .build(connector);
        Self { client, requests: Arc::new(Semaphore::new(REQUESTS_MAX)), metrics }
    }

    /// Asks as many pods at once as are wanted, and another for each that fails. Returns what they
    /// answered.
    pub(crate) async fn scrape(&self, order: ScrapeOrder) -> Vec<ScrapeResponse> {
        let mut pods = shuffled(order.young);
        // The last is taken first.
        pods.extend(shuffled(order.settled));
        let pods = Arc::new(Mutex::new(pods));
        let mut askers = JoinSet::new();
        for _ in 0..order.wanted {
            let (client, pods) = (self.clone(), Arc::clone(&pods));
            askers.spawn(async move { client.ask_in_turn(&pods).await });
        }
        askers.join_all().await.concat()
    }

    /// Asks one pod after the other until one has answered.
    async fn ask_in_turn(&self, pods: &Mutex<Vec<IpAddr>>) -> Vec<ScrapeResponse> {
        let mut responses = Vec::new();
        loop {
            let next = pods.lock().ok().and_then(|mut pods| pods.pop());
            let Some(pod) = next else { return responses };
            let response = timeout(SCRAPE_TIMEOUT, self.ask(pod)).await;
            let response = response.unwrap_or(ScrapeResponse::Failure);
            responses.push(response);
            if matches!(response, ScrapeResponse::Sample(_)) {
                self.metrics.scraped.increment(1);
                return responses;
            }
            self.metrics.scrapes_failed.increment(1);
        }
    }

    async fn ask(&self, pod: IpAddr) -> ScrapeResponse {
        let Ok(_place) = self.requests.acquire().await else { return ScrapeResponse::Failure };
        let address = SocketAddr::new(pod, STATISTICS_PORT);
        let request = Request::get(format!("http://{address}/metrics"))
            .header(ACCEPT, STAT_CONTENT_TYPE)
            .header(CONTENT_TYPE, STAT_CONTENT_TYPE)
            .body(Empty::new());
        let Ok(request) = request else { return ScrapeResponse::Failure };
        let Ok(response) = self.client.request(request).await else {
            return ScrapeResponse::Failure;
        };
        let (head, body) = response.into_parts();
        match head.status {
            status if status.is_success() => {}
            StatusCode::BAD_GATEWAY | StatusCode::SERVICE_UNAVAILABLE => {
                return ScrapeResponse::MeshRefusal;
            }
            _ => return ScrapeResponse::Failure,
        }
        let Ok(body) = Limited::new(body, RESPONSE_BYTES_MAX).collect().await else {
            return ScrapeResponse::Failure;
        };
        match statistics::scraped(&body.to_bytes()) {
            Ok(sample) => ScrapeResponse::Sample(sample),
            Err(why) => {
                tracing::debug!(%pod, why, "the statistics of a pod cannot be read");
                ScrapeResponse::Failure
            }
        }
    }

    /// Whether an activator answers at a Service.
    pub(crate) async fn probe(&self, order: &ProbeOrder) -> ActivatorProbe {
        match timeout(PROBE_TIMEOUT, self.asks_activator(order)).await {
            Ok(true) => ActivatorProbe::Confirmed,
            _ => ActivatorProbe::Denied,
        }
    }

    async fn asks_activator(&self, order: &ProbeOrder) -> bool {
        let ProbeOrder { service, port, .. } = order;
        let host = format!("{}.{}.svc:{port}", service.name, service.namespace);
        let request = Request::get(format!("http://{host}/healthz"))
            .header(USER_AGENT, AUTOSCALER_AGENT)
            .header(NETWORK_PROBE, ACTIVATOR)
            // A kept connection would lead to where the Service led before.
            .header(http::header::CONNECTION, "close")
            .body(Empty::new());
        let Ok(request) = request else { return false };
        let Ok(response) = self.client.request(request).await else { return false };
        let is_ok = response.status() == StatusCode::OK;
        let body = Limited::new(response.into_body(), RESPONSE_BYTES_MAX).collect().await;
        is_ok && body.is_ok_and(|body| body.to_bytes() == ACTIVATOR)
    }
}

/// In another order each time: the standard library's hash keys are random.
fn shuffled(pods: Vec<IpAddr>) -> Vec<IpAddr> {
    let random = RandomState::new();
    let mut pods = pods;
    pods.sort_by_cached_key(|pod| random.hash_one(pod));
    pods
}
