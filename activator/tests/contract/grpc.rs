//! gRPC through the activator: calls of the four kinds, deadlines, and a service's own health.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::Pin;
use std::time::Duration;

use hyper::body::Incoming;
use hyper::http::uri::PathAndQuery;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpListener;
use tokio_stream::wrappers::ReceiverStream;
use tokio_stream::{Stream, StreamExt};
use tonic::client::Grpc;
use tonic::server::StreamingService;
use tonic::transport::{Channel, Endpoint as Target};
use tonic::{Code, Request, Response, Status, Streaming};
use tonic_prost::ProstCodec;

use crate::controller::Controller;
use crate::stage::{close_whole, config, open, until, web};
use tidegate_activator::{Config, Endpoint};

/// Messages of a call that streams.
const MESSAGES: usize = 50;

/// What a call does is the last part of its path. On the wire all kinds are streams both ways.
#[derive(Clone)]
struct Service(String);

type Answers = Pin<Box<dyn Stream<Item = Result<String, Status>> + Send>>;

impl StreamingService<String> for Service {
    type Response = String;
    type ResponseStream = Answers;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Answers>, Status>> + Send>>;

    fn call(&mut self, request: Request<Streaming<String>>) -> Self::Future {
        let what = self.0.clone();
        Box::pin(async move {
            let timeout = request.metadata().get("grpc-timeout").is_some();
            let mut messages = request.into_inner();
            let answers: Answers = match &*what {
                "Unary" | "Check" => {
                    let asked = messages.message().await?.unwrap_or_default();
                    Box::pin(tokio_stream::once(Ok(format!("{asked}, timeout {timeout}"))))
                }
                "ClientStreaming" => {
                    let mut all = String::new();
                    while let Some(message) = messages.message().await? {
                        all.push_str(&message);
                    }
                    Box::pin(tokio_stream::once(Ok(all)))
                }
                "ServerStreaming" => {
                    let asked = messages.message().await?.unwrap_or_default();
                    let each = (0..MESSAGES).map(move |n| Ok(format!("{asked} {n}")));
                    Box::pin(tokio_stream::iter(each))
                }
                "Streaming" => Box::pin(messages.map(|message| message.map(|m| m + "!"))),
                "Forbidden" => return Err(Status::permission_denied("not for you")),
                _ => std::future::pending().await,
            };
            Ok(Response::new(answers))
        })
    }
}

async fn serve(listener: TcpListener) {
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        let handler = service_fn(|request: hyper::Request<Incoming>| async {
            let what = request.uri().path().rsplit('/').next().unwrap_or_default().to_owned();
            let mut grpc = tonic::server::Grpc::new(ProstCodec::<String, String>::default());
            Ok::<_, Infallible>(grpc.streaming(Service(what), request).await)
        });
        let connection = hyper::server::conn::http2::Builder::new(TokioExecutor::new())
            .serve_connection(TokioIo::new(stream), handler);
        tokio::spawn(connection);
    }
}

/// A service, and an activator in front of it.
async fn service() -> Config {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    tokio::spawn(serve(listener));
    let endpoint = Endpoint { instance: "web-0".into(), address, limit: 0 };
    Config { endpoints: vec![(web(), endpoint)], ..config(None) }
}

async fn client(address: SocketAddr) -> Grpc<Channel> {
    let channel = Target::from_shared(format!("http://{address}")).unwrap().connect().await;
    let mut client = Grpc::new(channel.unwrap());
    client.ready().await.unwrap();
    client
}

fn path(what: &str) -> PathAndQuery {
    format!("/shop.v1.Shop/{what}").parse().unwrap()
}

fn codec() -> ProstCodec<String, String> {
    ProstCodec::default()
}

async fn unary(client: &mut Grpc<Channel>, request: Request<String>) -> Result<String, Status> {
    client.ready().await.unwrap();
    client.unary(request, path("Unary"), codec()).await.map(Response::into_inner)
}

#[tokio::test]
async fn calls_of_all_four_kinds_arrive_with_their_status() {
    let (running, address) = open(service().await);
    let mut client = client(address).await;
    let answer = unary(&mut client, Request::new("a".into())).await.unwrap();
    assert_eq!(answer, "a, timeout false");

    let many = || tokio_stream::iter((0..MESSAGES).map(|n| n.to_string()));
    client.ready().await.unwrap();
    let all = client.client_streaming(Request::new(many()), path("ClientStreaming"), codec()).await;
    let expected: String = (0..MESSAGES).map(|n| n.to_string()).collect();
    assert_eq!(all.unwrap().into_inner(), expected);

    client.ready().await.unwrap();
    let asked = Request::new("n".to_owned());
    let each = client.server_streaming(asked, path("ServerStreaming"), codec()).await;
    let each: Vec<String> = each.unwrap().into_inner().map(Result::unwrap).collect().await;
    assert_eq!((each.len(), each[MESSAGES - 1].as_str()), (MESSAGES, "n 49"));

    // Each message is sent when the one before it was answered: nothing waits for the end.
    let (sender, receiver) = tokio::sync::mpsc::channel(1);
    client.ready().await.unwrap();
    let asked = Request::new(ReceiverStream::new(receiver));
    let answers = client.streaming(asked, path("Streaming"), codec()).await;
    let mut answers: Streaming<String> = answers.unwrap().into_inner();
    for n in 0..MESSAGES {
        sender.send(n.to_string()).await.unwrap();
        assert_eq!(answers.message().await.unwrap(), Some(format!("{n}!")));
    }
    until(&running, |status| status.in_flight == 1).await;
    drop(sender);
    assert_eq!(answers.message().await.unwrap(), None);

    client.ready().await.unwrap();
    let refused = client.unary(Request::new(String::new()), path("Forbidden"), codec()).await;
    let refused: Status =
        refused.map(|answer| answer.into_inner()).map(drop::<String>).unwrap_err();
    assert_eq!((refused.code(), refused.message()), (Code::PermissionDenied, "not for you"));
    drop((client, answers));
    close_whole(running).await;
}

#[tokio::test]
async fn a_deadline_ends_a_call_at_the_instance_and_in_the_queue() {
    const DEADLINE: Duration = Duration::from_millis(200);
    let with_deadline = || {
        let mut request = Request::new("late".to_owned());
        request.set_timeout(DEADLINE);
        request
    };
    let (running, address) = open(service().await);
    let mut at_instance = client(address).await;
    // It is passed on to the service, which may have to know it.
    assert_eq!(unary(&mut at_instance, with_deadline()).await.unwrap(), "late, timeout true");
    at_instance.ready().await.unwrap();
    let call = at_instance.unary(with_deadline(), path("Never"), codec());
    let late: Result<Response<String>, Status> = call.await;
    assert!(late.is_err());
    until(&running, |status| status.in_flight == 0).await;
    drop(at_instance);
    close_whole(running).await;

    let controller = Controller::start().await;
    let (running, address) = open(config(Some(&controller)));
    let mut held = client(address).await;
    let call = tokio::spawn(async move { unary(&mut held, with_deadline()).await });
    until(&running, |status| status.waiting == 1).await;
    let late = call.await.unwrap().unwrap_err();
    assert!(matches!(late.code(), Code::DeadlineExceeded | Code::Cancelled), "{late:?}");
    until(&running, |status| status.waiting == 0 && status.in_flight == 0).await;
    close_whole(running).await;
}

#[tokio::test]
async fn the_health_of_a_service_is_its_own_to_tell() {
    let (running, address) = open(service().await);
    let mut client = client(address).await;
    let check = "/grpc.health.v1.Health/Check".parse().unwrap();
    let answer = client.unary(Request::new("shop".to_owned()), check, codec()).await;
    assert_eq!(answer.unwrap().into_inner() as String, "shop, timeout false");
    drop(client);
    close_whole(running).await;
}
