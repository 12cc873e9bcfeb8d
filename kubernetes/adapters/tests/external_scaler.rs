//! KEDA's side: its own calls over a real connection, in the order in which it makes them.

#![expect(clippy::unwrap_used, reason = "what cannot be reached fails the test")]

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tidegate_kubernetes_adapters::server::serve_external_scaler;
use tidegate_kubernetes_adapters::{NotRecommended, Published, Recommendation, ScalerName};
use tidegate_proto::keda::external_scaler_client::ExternalScalerClient;
use tidegate_proto::keda::{GetMetricsRequest, ScaledObjectRef};
use tokio::net::TcpListener;
use tonic::Code;
use tonic::transport::Channel;

fn web() -> ScalerName {
    ScalerName { namespace: "shop".to_owned(), name: "web".to_owned() }
}

fn recommended(replicas: i32) -> Option<Result<Recommendation, NotRecommended>> {
    let (target, service) = ("web".to_owned(), "web".to_owned());
    Some(Ok(Recommendation { target, service, replicas }))
}

/// What KEDA says of a trigger of ScaledObject `shop/NAME` with this metadata.
fn reference(name: &str, metadata: &[(&str, &str)]) -> ScaledObjectRef {
    let own = [("scalerAddress", "tidegate-controller.tidegate-system:9401")];
    let all = own.iter().chain(metadata);
    let scaler_metadata: HashMap<String, String> =
        all.map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
    ScaledObjectRef { name: name.to_owned(), namespace: "shop".to_owned(), scaler_metadata }
}

async fn start(published: Arc<Published>) -> ExternalScalerClient<Channel> {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(serve_external_scaler(listener, || None, published));
    let channel = Channel::from_shared(address).unwrap().connect().await.unwrap();
    ExternalScalerClient::new(channel)
}

#[tokio::test]
async fn the_four_calls_say_what_is_published() {
    let published = Arc::new(Published::new(|| true));
    published.publish(web(), recommended(3));
    published.publish_concurrency([(web(), 12_500)]);
    let mut keda = start(Arc::clone(&published)).await;
    let asked = reference("web", &[]);
    let spec = keda.get_metric_spec(asked.clone()).await.unwrap().into_inner().metric_specs;
    assert_eq!(spec.len(), 1);
    assert_eq!(spec[0].metric_name, "tidegate-desired-replicas");
    assert_eq!((spec[0].target_size, spec[0].target_size_float), (1, 1.0));
    let request = GetMetricsRequest {
        scaled_object_ref: Some(asked.clone()),
        metric_name: spec[0].metric_name.clone(),
    };
    let values = keda.get_metrics(request).await.unwrap().into_inner().metric_values;
    assert_eq!((values[0].metric_value, values[0].metric_value_float), (3, 3.0));
    assert!(keda.is_active(asked.clone()).await.unwrap().into_inner().result);
    let load = reference(
        "other",
        &[("trafficScaler", "web"), ("metric", "concurrency"), ("target", "7.5")],
    );
    let spec = keda.get_metric_spec(load.clone()).await.unwrap().into_inner().metric_specs;
    assert_eq!((spec[0].target_size, spec[0].target_size_float), (8, 7.5));
    let request = GetMetricsRequest {
        scaled_object_ref: Some(load),
        metric_name: spec[0].metric_name.clone(),
    };
    let values = keda.get_metrics(request).await.unwrap().into_inner().metric_values;
    assert_eq!((values[0].metric_value, values[0].metric_value_float), (13, 12.5));
    published.publish(web(), recommended(0));
    assert!(!keda.is_active(asked).await.unwrap().into_inner().result);
}

#[tokio::test]
async fn a_stream_says_at_once_and_then_what_changes() {
    let published = Arc::new(Published::new(|| true));
    let mut keda = start(Arc::clone(&published)).await;
    let mut stream = keda.stream_is_active(reference("web", &[])).await.unwrap().into_inner();
    // It may be opened before there is a scaler.
    published.publish(web(), recommended(0));
    assert!(!stream.message().await.unwrap().unwrap().result);
    published.publish(web(), recommended(2));
    assert!(stream.message().await.unwrap().unwrap().result);
    // Neither another number nor a moment without one is a change.
    published.publish(web(), recommended(5));
    published.publish(web(), Some(Err(NotRecommended("it has not been seen yet".to_owned()))));
    published.publish(web(), recommended(0));
    assert!(!stream.message().await.unwrap().unwrap().result);
}

#[tokio::test]
async fn what_has_no_number_is_an_error_that_says_why() {
    let is_in_force = Arc::new(AtomicBool::new(true));
    let in_force = Arc::clone(&is_in_force);
    let published = Arc::new(Published::new(move || in_force.load(Ordering::Relaxed)));
    let mut keda = start(Arc::clone(&published)).await;
    let asked = reference("web", &[]);
    let error = keda.is_active(asked.clone()).await.unwrap_err();
    assert_eq!(error.code(), Code::NotFound);
    assert!(error.message().contains("no TrafficScaler shop/web"), "{error}");
    published.publish(web(), Some(Err(NotRecommended("nothing has been decided yet".to_owned()))));
    let error = keda.is_active(asked.clone()).await.unwrap_err();
    assert_eq!(error.code(), Code::Unavailable);
    assert!(error.message().contains("nothing has been decided yet"), "{error}");
    for (metadata, expected) in [
        (("metric", "cpu"), "expected desiredReplicas or concurrency"),
        (("metric", "concurrency"), "needs a target"),
        (("target", "none"), "no number above 0"),
        (("target", "-1"), "no number above 0"),
        (("target", "inf"), "no number above 0"),
    ] {
        let error = keda.get_metric_spec(reference("web", &[metadata])).await.unwrap_err();
        assert_eq!(error.code(), Code::InvalidArgument);
        assert!(error.message().contains(expected), "{error}");
    }
    published.publish(web(), recommended(3));
    let mut stream = keda.stream_is_active(asked.clone()).await.unwrap().into_inner();
    assert!(stream.message().await.unwrap().unwrap().result);
    // Another decides by now: no number is served that is not in force.
    is_in_force.store(false, Ordering::Relaxed);
    assert_eq!(keda.is_active(asked).await.unwrap_err().code(), Code::Unavailable);
    published.publish(web(), recommended(0));
    assert_eq!(stream.message().await.unwrap_err().code(), Code::Unavailable);
}
