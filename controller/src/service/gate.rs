//! A layer in front of a service that admits or refuses each call before any of its body is
//! read.

use std::convert::Infallible;
use std::net::SocketAddr;
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
use crate::access::{Gatekeeper, Shown};
use crate::caller::Caller;
use crate::error::CallError;

/// How long the body of a refused call is held, unread. A call whose body is dropped is reset, and
/// a reset that overtakes the response hides from the client why it was refused.
const HELD_AFTER_REFUSAL: Duration = Duration::from_secs(1);

/// What a service is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// Reports, about which the service checks what its caller may speak for.
    Report,
    /// Questions, which not every caller may ask; orders among them, about which the service checks
    /// whether its caller may give any.
    Ask,
}

impl Purpose {
    /// Whether a caller may use a service of this purpose at all.
    fn admits(self, caller: &Caller) -> Result<(), CallError> {
        match self {
            Self::Report => Ok(()),
            Self::Ask => Ok(caller.may_ask()?),
        }
    }
}

/// A service behind a gatekeeper.
#[derive(Debug, Clone)]
pub(crate) struct Gate<S> {
    purpose: Purpose,
    gatekeeper: Gatekeeper,
    unfinished: UnfinishedBytes,
    service: S,
}

impl<S> Gate<S> {
    pub(crate) fn before(
        service: S,
        purpose: Purpose,
        gatekeeper: &Gatekeeper,
        unfinished: &UnfinishedBytes,
    ) -> Self {
        let (gatekeeper, unfinished) = (gatekeeper.clone(), unfinished.clone());
        Self { purpose, gatekeeper, unfinished, service }
    }
}

/// Whether this is a call by gRPC's own rules. What a web page can make a browser send is none.
fn is_grpc(request: &Request<Body>) -> bool {
    let content_type = request.headers().get(CONTENT_TYPE);
    let is_grpc = content_type.is_some_and(|kind| kind.as_bytes().starts_with(b"application/grpc"));
    request.method() == Method::POST && is_grpc
}

/// Whether the caller may use a service of this purpose.
async fn caller(
    gatekeeper: &Gatekeeper,
    token: &str,
    peer: Option<SocketAddr>,
    purpose: Purpose,
) -> Result<Caller, CallError> {
    let caller = gatekeeper.authenticate(token, peer).await?;
    purpose.admits(&caller)?;
    Ok(caller)
}

/// The response to a call that is refused.
fn refused(body: Body, refusal: CallError) -> Response<Body> {
    tokio::spawn(async move {
        tokio::time::sleep(HELD_AFTER_REFUSAL).await;
        drop(body);
    });
    Status::from(refusal).into_http()
}

impl<S: NamedService> NamedService for Gate<S> {
    const NAME: &'static str = S::NAME;
}

type ResponseFuture = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;

impl<S> Service<Request<Body>> for Gate<S>
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible>,
    S: Clone + Send + 'static,
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
        let admitted = self.gatekeeper.admit(request.headers(), peer);
        let mut request = request.map(|body| self.unfinished.charge(body));
        match admitted {
            Ok(Shown::Caller(caller)) => match self.purpose.admits(&caller) {
                Ok(()) => {
                    request.extensions_mut().insert(caller);
                    Box::pin(self.service.call(request))
                }
                Err(refusal) => {
                    let response = refused(request.into_body(), refusal);
                    Box::pin(std::future::ready(Ok(response)))
                }
            },
            Ok(Shown::Token(token)) => {
                // The one that is ready is used, and the one that is kept becomes so.
                let next = self.service.clone();
                let mut service = std::mem::replace(&mut self.service, next);
                let (gatekeeper, purpose) = (self.gatekeeper.clone(), self.purpose);
                Box::pin(async move {
                    match caller(&gatekeeper, &token, peer, purpose).await {
                        Ok(caller) => {
                            request.extensions_mut().insert(caller);
                            service.call(request).await
                        }
                        Err(refusal) => Ok(refused(request.into_body(), refusal)),
                    }
                })
            }
            Err(refusal) => {
                let response = refused(request.into_body(), refusal.into());
                Box::pin(std::future::ready(Ok(response)))
            }
        }
    }
}
