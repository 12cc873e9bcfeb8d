//! Keeps the certificates of an installation: renews them in their Secret, and publishes them.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use futures::{FutureExt, Stream, StreamExt};
use k8s_openapi::api::core::v1::Namespace;
use kube::Api;
use kube::runtime::WatchStreamExt;
use kube::runtime::watcher::{self, Event, watcher};
use serde_json::Value;
use tidegate_controller::Clock;
use tidegate_kubernetes_certificates::{Kept, UnixSeconds, Wanted};
use tidegate_kubernetes_objects::names::{AUTHORITY, INJECT_LABEL};
use tokio::sync::watch;

use crate::certificates::{
    NotOurs, Publisher, Stored, ca_bundle, publications, secret_path, store, stored, wanted,
    webhook_path,
};
use crate::cluster::Cluster;
use crate::reconciler::Response;
use crate::request::{ApiRequest, api};

/// Time between two checks of what is due, of what another keeper has renewed, and of which
/// namespaces there are, should the watch have missed one.
const PERIOD: Duration = Duration::from_secs(60);

/// Time between a namespace that opts in and the check, which serves all that come meanwhile. The
/// pods of a namespace often come right after it, and a kubelet that finds no authorities for them
/// may look again only after a minute.
const GATHERING: Duration = Duration::from_millis(200);

/// Time after which a check that failed, such as one in which another keeper came first, is tried
/// again.
const RETRY: Duration = Duration::from_secs(5);

/// Namespaces that are listed in one response.
const PAGE: usize = 250;

/// Most namespaces that get the authorities; a cluster has a hundred thousand at the very most, and
/// few of them opt in.
const NAMESPACES_MAX: usize = 20_000;

/// What the keeper is configured with.
pub struct Config {
    /// The client of the API server.
    pub client: kube::Client,
    /// Where the certificates are kept.
    pub system_namespace: String,
    /// The one namespace that gets the authorities; every one that opts in to the sidecar when
    /// `None`.
    pub namespace: Option<String>,
    /// The `MutatingWebhookConfiguration` whose `caBundle` is written, if there is one.
    pub webhook_configuration: Option<String>,
}

/// Why a check failed.
#[derive(Debug, thiserror::Error)]
enum KeepError {
    #[error("cannot {what}: {why}")]
    Request { what: String, why: String },
    #[error(
        "the Secret {AUTHORITY} is not there: the manifests of Tidegate create it, empty, in the \
         namespace {0}"
    )]
    NoSecret(String),
    #[error(transparent)]
    NotOurs(#[from] NotOurs),
    #[error("cannot make a certificate: {0}")]
    Make(#[from] tidegate_kubernetes_certificates::Error),
    #[error("cannot write certificates: {0}")]
    Json(#[from] serde_json::Error),
}

/// Keeps the certificates for as long as it is polled. Tells `health` what came of each check:
/// `None` is that all is well. Cancelling it loses nothing.
pub async fn keep(config: Config, health: watch::Sender<Option<String>>) {
    let cluster = Cluster { client: config.client.clone() };
    let mut opted_in = std::pin::pin!(opted_in(&config));
    let mut keeper = Keeper {
        wanted: wanted(&config.system_namespace),
        clock: Clock::start(),
        publisher: Publisher::default(),
        seen: None,
        cluster,
        config,
    };
    loop {
        let problem = keeper.check().await.err().map(|error| error.to_string());
        if let Some(problem) = &problem {
            tracing::warn!("certificates are not kept as they should be: {problem}");
        }
        let pause = if problem.is_none() { PERIOD } else { RETRY };
        health.send_replace(problem);
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            Some(()) = opted_in.next() => {
                tokio::time::sleep(GATHERING).await;
                while opted_in.next().now_or_never().flatten().is_some() {}
            }
        }
    }
}

/// Yields when namespaces that opt in may be others than before.
fn opted_in(config: &Config) -> impl Stream<Item = ()> + use<> {
    let is_for_all = config.namespace.is_none();
    let namespaces: Api<Namespace> = Api::all(config.client.clone());
    let labelled = watcher::Config::default().labels(INJECT_LABEL);
    let changes = watcher(namespaces, labelled).default_backoff();
    let changes = changes.filter_map(|change| async {
        match change {
            // Those of the first list may have come after the check.
            Ok(Event::Apply(_) | Event::InitDone) => Some(()),
            Ok(_) => None,
            Err(error) => {
                tracing::debug!(%error, "namespaces cannot be watched");
                None
            }
        }
    });
    futures::stream::iter(is_for_all.then_some(changes)).flatten()
}

struct Keeper {
    cluster: Cluster,
    config: Config,
    wanted: Vec<Wanted>,
    clock: Clock,
    publisher: Publisher,
    /// What was kept at the last check, for the log.
    seen: Option<Kept>,
}

impl Keeper {
    async fn check(&mut self) -> Result<(), KeepError> {
        let stored = self.renewed().await?;
        if self.seen.as_ref() != Some(&stored.kept) {
            let authorities = stored.kept.authorities.len();
            tracing::info!(authorities, "certificates have changed, and are published");
            self.seen = Some(stored.kept.clone());
        }
        let namespaces = self.namespaces().await?;
        let wanted = publications(&self.config.system_namespace, &stored, &namespaces);
        let mut failed = None;
        for request in self.publisher.due(self.clock.now(), wanted) {
            match self.send(&request, "publish certificates").await {
                Ok(_) => self.publisher.published(self.clock.now(), &request),
                // The others are independent of it, such as a namespace that is being deleted.
                Err(error) => failed = Some(error),
            }
        }
        self.tell_api_server(&stored.kept.bundle()).await?;
        failed.map_or(Ok(()), Err)
    }

    /// What is kept, with everything renewed that is due.
    async fn renewed(&self) -> Result<Stored, KeepError> {
        let namespace = &self.config.system_namespace;
        let read = ApiRequest::get(secret_path(namespace, AUTHORITY));
        let secret = match self.cluster.send(&read).await {
            Response::NotFound => return Err(KeepError::NoSecret(namespace.clone())),
            other => done(other, &read, "read the authority")?,
        };
        let found = stored(&secret)?;
        let kept = found.kept.renewed(unix_seconds(), &self.wanted)?;
        if kept == found.kept {
            return Ok(found);
        }
        let request = store(namespace, &found.version, &kept)?;
        let written = self.send(&request, "store certificates").await?;
        Ok(stored(&written)?)
    }

    /// The namespaces that get the authorities: our own too, for what runs there.
    async fn namespaces(&self) -> Result<Vec<String>, KeepError> {
        if let Some(only) = &self.config.namespace {
            return Ok(vec![only.clone()]);
        }
        let selector = INJECT_LABEL.replace('/', "%2F").replace('=', "%3D");
        let mut found = vec![self.config.system_namespace.clone()];
        let mut next = String::new();
        loop {
            let path = format!(
                "{}/namespaces?labelSelector={selector}&limit={PAGE}&continue={next}",
                api("v1")
            );
            let list = self.send(&ApiRequest::get(path), "list namespaces").await?;
            let items = list.get("items").and_then(Value::as_array).into_iter().flatten();
            let is_ending = |item: &&Value| item.pointer("/metadata/deletionTimestamp").is_none();
            let names = items.filter(is_ending).filter_map(|item| {
                item.pointer("/metadata/name").and_then(Value::as_str).map(str::to_owned)
            });
            found.extend(names);
            let more = list.pointer("/metadata/continue").and_then(Value::as_str);
            next = more.unwrap_or_default().to_owned();
            if next.is_empty() || found.len() >= NAMESPACES_MAX {
                found.truncate(NAMESPACES_MAX);
                found.sort_unstable();
                found.dedup();
                return Ok(found);
            }
        }
    }

    /// Writes the authorities into the configuration of the webhook.
    async fn tell_api_server(&self, bundle: &str) -> Result<(), KeepError> {
        let Some(name) = &self.config.webhook_configuration else { return Ok(()) };
        let read = ApiRequest::get(webhook_path(name));
        let configuration = self.send(&read, "read the webhook's configuration").await?;
        if let Some(request) = ca_bundle(&configuration, name, bundle) {
            self.send(&request, "write the caBundle").await?;
            tracing::info!(configuration = name, "the caBundle of the webhook was written");
        }
        Ok(())
    }

    async fn send(&self, request: &ApiRequest, what: &str) -> Result<Value, KeepError> {
        done(self.cluster.send(request).await, request, what)
    }
}

fn done(response: Response, request: &ApiRequest, what: &str) -> Result<Value, KeepError> {
    let why = match response {
        Response::Done(object) => return Ok(object),
        Response::NotFound => "it is not there".to_owned(),
        Response::Conflict => "somebody else has changed it meanwhile".to_owned(),
        Response::Failed { why, .. } => why,
    };
    let path = request.path.split('?').next().unwrap_or_default();
    Err(KeepError::Request { what: format!("{what} ({path})"), why })
}

fn unix_seconds() -> UnixSeconds {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}
