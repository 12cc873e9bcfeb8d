//! A layer in front of a service that admits or refuses each call before any of its body is
//! read.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use http::header::CONTENT_TYPE;
use http::{Method, Request, Response, StatusCode};
use tonic::Status;
use tonic::body::Body;
use tonic::codegen::Service;
use tonic::server::NamedService;
use tonic::transport::server::TcpConnectInfo;

use super::unfinished::UnfinishedBytes;
use crate::access::Gatekeeper;
use crate::error::CallError;

/// How long the body of a refused call is held, unread. A call whose body is dropped is reset, and
/// a reset that overtakes the response hides from the client why it was refused.
const HELD_AFTER_REFUSAL: Duration = Duration::from_secs(1);

/// A service behind a gatekeeper.
#[derive(Debug, Clone)]
pub(crate) struct Gate<S> {
    gatekeeper: Gatekeeper,
    unfinished: UnfinishedBytes,
    service: S,
}

impl<S> Gate<S> {
    pub(crate) fn before(
        service: S,
        gatekeeper: &Gatekeeper,
        unfinished: &UnfinishedBytes,
    ) -> Self {
        Self { gatekeeper: gatekeeper.clone(), unfinished: unfinished.clone(), service }
    }
}

/// Whether this is a call by gRPC's own rules. What a web page can make a browser send is none.
fn is_grpc(request: &Request<Body>) -> bool {
    let content_type = request.headers().get(CONTENT_TYPE);
    let is_grpc = content_type.is_some_and(|kind| kind.as_bytes().starts_with(b"application/grpc"));
    request.method() == Method::POST && is_grpc
}

impl<S: NamedService> NamedService for Gate<S> {
    const NAME: &'static str = S::NAME;
}

type ResponseFuture = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;

impl<S> Service<Request<Body>> for Gate<S>
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible>,
    S::Future: Send + 'static,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = ResponseFuture;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.service.poll_ready(context)
    }

    fn call(&mut self, request: Request<Body>) -> ResponseFuture {
        if !is_grpc(&request) {
            self.gatekeeper.metrics().calls_not_grpc.increment(1);
            let mut response = Response::new(Body::empty());
            *response.status_mut() = StatusCode::UNSUPPORTED_MEDIA_TYPE;
            return Box::pin(std::future::ready(Ok(response)));
        }
        let peer = request.extensions().get::<TcpConnectInfo>().and_then(|info| info.remote_addr());
        match self.gatekeeper.admit(request.headers(), peer) {
            Ok(()) => {
                let request = request.map(|body| self.unfinished.charge(body));
                Box::pin(self.service.call(request))
            }
            Err(refusal) => {
                let body = request.into_body();
                tokio::spawn(async move {
                    tokio::time::sleep(HELD_AFTER_REFUSAL).await;
                    drop(body);
                });
                let status = Status::from(CallError::from(refusal));
                Box::pin(std::future::ready(Ok(status.into_http())))
            }
        }
    }
}
