//! Over a connection that the controller dialled, questions are answered and nothing else is done:
//! its other end may not report, and may not order a rollout about.

use tidegate_controller::{NoActuator, UndeclaredRevisions};
use tidegate_proto::routes::v1 as routes;
use tidegate_proto::routes::v1::route_service_client::RouteServiceClient;
use tidegate_proto::scale::v1::ListRevisionsRequest;
use tidegate_proto::scale::v1::scale_service_client::ScaleServiceClient;
use tidegate_proto::stats::v1::stats_service_client::StatsServiceClient;
use tidegate_reporter::transport::{Connection, speak_over};
use tonic::Code;
use tonic::codegen::http::Uri;

fn origin() -> Uri {
    Uri::from_static("http://site")
}

async fn called() -> (Connection, tokio::task::JoinHandle<()>) {
    let (handle, controller) = tidegate_controller::controller(UndeclaredRevisions::Refuse);
    tokio::spawn(controller.run(NoActuator));
    let (ours, theirs) = tokio::io::duplex(64 * 1024);
    let answering = tokio::spawn(async move {
        tidegate_controller::answer(handle, theirs).await.expect("it ends in order");
    });
    (speak_over(ours).await.expect("HTTP/2"), answering)
}

#[tokio::test]
async fn questions_are_answered_and_orders_and_reports_are_not() {
    let (connection, answering) = called().await;
    let mut scale = ScaleServiceClient::with_origin(connection.clone(), origin());
    let listed = scale.list_revisions(ListRevisionsRequest {}).await.expect("it is answered");
    assert!(listed.into_inner().revisions.is_empty());
    let mut parts = scale.stream_revisions(ListRevisionsRequest {}).await.expect("as well");
    assert!(parts.get_mut().message().await.expect("a part").is_some());
    assert!(parts.get_mut().message().await.expect("the end").is_none());
    let mut office = RouteServiceClient::with_origin(connection.clone(), origin());
    let order = routes::OrderRolloutRequest::default();
    let refused = office.order_rollout(order).await.expect_err("no order");
    assert_eq!(refused.code(), Code::Unimplemented);
    let mut stats = StatsServiceClient::with_origin(connection.clone(), origin());
    let refused = stats.report(tokio_stream::pending()).await.expect_err("no report");
    assert_eq!(refused.code(), Code::Unimplemented);
    drop((connection, scale, parts, office, stats));
    answering.await.expect("it ends with its connection");
}
