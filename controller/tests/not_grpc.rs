//! A GET, or a POST of JSON, to the path of a call was carried out like the call: the library looks
//! at the path alone. Such requests are what a web page can have a browser send; gRPC's rules ask
//! for POST and `application/grpc`, and for 415 otherwise.

use http::{Method, Request, StatusCode};
use tidegate_controller::{Access, NoActuator, UndeclaredRevisions};
use tokio::net::TcpListener;
use tonic::body::Body;
use tonic::codegen::Service;
use tonic::transport::Channel;

const CALLS: [&str; 2] =
    ["/tidegate.stats.v1.StatsService/Report", "/tidegate.scale.v1.ScaleService/ListRevisions"];

async fn answer(channel: &mut Channel, method: Method, call: &str, kind: &str) -> StatusCode {
    std::future::poll_fn(|cx| channel.poll_ready(cx)).await.expect("it listens");
    let request = Request::builder().method(method).uri(call);
    let request = if kind.is_empty() { request } else { request.header("content-type", kind) };
    let request = request.body(Body::empty()).expect("a request");
    channel.call(request).await.expect("it is answered").status()
}

#[tokio::test]
async fn what_is_no_call_by_grpcs_rules_is_none() {
    let (handle, controller) = tidegate_controller::controller(UndeclaredRevisions::Refuse);
    tokio::spawn(controller.run(NoActuator));
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("an address");
    let access = Access::anonymous();
    tokio::spawn(tidegate_controller::serve(handle, listener, access, std::future::pending()));
    let endpoint = Channel::from_shared(format!("http://{address}")).expect("a good address");
    let mut channel = endpoint.connect().await.expect("it listens");
    for call in CALLS {
        for (method, kind) in [
            (Method::GET, "application/grpc"),
            (Method::PUT, "application/grpc"),
            (Method::POST, "application/json"),
            (Method::POST, "text/plain"),
            (Method::POST, ""),
        ] {
            let status = answer(&mut channel, method.clone(), call, kind).await;
            assert_eq!(status, StatusCode::UNSUPPORTED_MEDIA_TYPE, "{method} {kind} {call}");
        }
        for kind in ["application/grpc", "application/grpc+proto"] {
            assert_eq!(answer(&mut channel, Method::POST, call, kind).await, StatusCode::OK);
        }
    }
}
