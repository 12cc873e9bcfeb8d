//! Watches of Knative's objects, as events for the reconciler.

use futures::FutureExt;
use futures::future::BoxFuture;
use kube::Api;
use kube::api::DynamicObject;
use serde_json::Value;
use tidegate_kubernetes_objects::store::{Change, ObjectKey, Versioned};
use tidegate_kubernetes_podautoscaler::names::{
    AUTOSCALING, METRICS, NETWORKING, POD_AUTOSCALERS, REVISION_UID_LABEL, SERVERLESS_SERVICES,
};
use tidegate_kubernetes_podautoscaler::object;
use tidegate_kubernetes_podautoscaler::reconciler::Event;
use tokio::sync::mpsc;

use super::happened::Happened;
use crate::watch::{follow, resource};

/// Everything that is watched. Knative's ConfigMaps are in `serving_namespace`.
pub(super) fn all(
    client: &kube::Client,
    serving_namespace: &str,
    events: &mpsc::Sender<Happened>,
) -> Vec<BoxFuture<'static, ()>> {
    let watch = |api_version: &str, kind: &str, plural: &str| Watch {
        api: Api::all_with(client.clone(), &resource(api_version, kind, plural)),
        labels: None,
        events: events.clone(),
    };
    let of_revisions = |watch: Watch| Watch { labels: Some(REVISION_UID_LABEL), ..watch };
    let configs = resource("v1", "ConfigMap", "configmaps");
    let configs = Watch {
        api: Api::namespaced_with(client.clone(), serving_namespace, &configs),
        labels: None,
        events: events.clone(),
    };
    vec![
        configs.follow(|o| Some(object::config_map(o)), Event::Configs),
        watch(AUTOSCALING, "PodAutoscaler", POD_AUTOSCALERS).follow(
            |o| Some(object::pod_autoscaler(o)),
            |change| Event::Autoscalers(Box::new(change)),
        ),
        watch(NETWORKING, "ServerlessService", SERVERLESS_SERVICES).follow(
            |o| Some(object::serverless_service(o)),
            |change| Event::Services(Box::new(change)),
        ),
        watch(AUTOSCALING, "Metric", METRICS)
            .follow(|o| Some(object::metric(o)), |change| Event::Metrics(Box::new(change))),
        of_revisions(watch("apps/v1", "Deployment", "deployments"))
            .follow(object::deployment, Event::Deployments),
        of_revisions(watch("v1", "Pod", "pods")).follow(object::pod, Event::Pods),
    ]
}

struct Watch {
    api: Api<DynamicObject>,
    labels: Option<&'static str>,
    events: mpsc::Sender<Happened>,
}

impl Watch {
    fn follow<V: Versioned + Send + 'static>(
        self,
        read: fn(&Value) -> Option<V>,
        to_event: fn(Change<ObjectKey, V>) -> Event,
    ) -> BoxFuture<'static, ()> {
        async move {
            let read = |object: &Value| Some((object::key(object)?, read(object)?));
            let to_happened = |change| Happened::Event(Box::new(to_event(change)));
            follow(self.api, self.labels, read, &self.events, to_happened, |_| None).await;
        }
        .boxed()
    }
}
