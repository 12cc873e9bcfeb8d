//! Questions to a controller, and why they are not answered.

use std::ops::ControlFlow;
use std::time::Duration;

use tidegate_proto::routes::v1 as routes;
use tidegate_proto::routes::v1::route_service_client::RouteServiceClient;
use tidegate_proto::scale::v1 as wire;
use tidegate_proto::scale::v1::scale_service_client::ScaleServiceClient;
use tidegate_proto::stats::v1::ColdStart;
use tidegate_reporter::transport::{self, ConnectError, Connection, Target};
use tidegate_trust::Credentials;
use tidegate_words::shorten;
use tokio::io::{AsyncRead, AsyncWrite};
use tonic::Streaming;

/// Longest wait for a controller's response; it only reads what it has stored.
pub const RESPONSE_TIMEOUT: Duration = Duration::from_secs(5);

/// Longest response that is read: a hundred thousand revisions, each with its last reason.
const RESPONSE_BYTES_MAX: usize = 128 * 1024 * 1024;

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum QueryError {
    /// Address or credentials cannot be used.
    #[error(transparent)]
    Config(#[from] tidegate_reporter::ConfigError),
    /// The two ends do not trust each other, or only one of them speaks TLS.
    #[error("cannot speak to the controller at {controller}:\n  {fault}\n  {remedy}")]
    Mismatch {
        /// Where it was looked for.
        controller: String,
        /// What does not fit.
        fault: String,
        /// What to do.
        remedy: String,
    },
    /// Nobody answers there.
    #[error("no controller answers at {controller} ({why})")]
    Unreachable {
        /// Where it was looked for.
        controller: String,
        /// What was seen instead.
        why: String,
    },
    /// The peer does not speak this protocol, or closed the connection in the middle.
    #[error("what answers there is no controller, or of another version: {0}")]
    NoController(String),
    /// The controller says no.
    #[error("the controller refuses: {message} ({code:?})")]
    Refused {
        /// Why, in its words.
        message: String,
        /// gRPC's code.
        code: tonic::Code,
    },
    /// It has accepted the question and says nothing.
    #[error("the controller does not answer within {RESPONSE_TIMEOUT:?}")]
    Silent,
}

impl From<tonic::Status> for QueryError {
    fn from(status: tonic::Status) -> Self {
        let message = shorten(status.message()).into_owned();
        match status.code() {
            tonic::Code::Internal | tonic::Code::Unknown | tonic::Code::Unimplemented => {
                Self::NoController(message)
            }
            code => Self::Refused { message, code },
        }
    }
}

/// A connection to a controller, for questions. Clones share it.
#[derive(Clone)]
pub struct Query {
    client: ScaleServiceClient<Connection>,
    routes: RouteServiceClient<Connection>,
}

impl Query {
    /// Connects to the controller at `host:port`, `http://host:port` or `https://host:port`; of
    /// several with commas between, to the first one that is there.
    ///
    /// # Errors
    /// Why there is none. Cancel safe.
    pub async fn connect(controller: &str, credentials: &Credentials) -> Result<Self, QueryError> {
        let mut last = None;
        for target in Target::all(controller, credentials)? {
            match Self::begin(&target, transport::connect(&target)).await {
                Err(error @ QueryError::Unreachable { .. }) => last = Some(error),
                other => return other,
            }
        }
        let controller = controller.to_owned();
        let why = "there is no address".to_owned();
        Err(last.unwrap_or(QueryError::Unreachable { controller, why }))
    }

    /// Speaks to a controller over a stream that leads to it. `controller` is its name, as
    /// [`connect`](Self::connect) takes it: certificates are checked against it.
    ///
    /// # Errors
    /// Why there is none. Cancel safe.
    pub async fn over(
        stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
        controller: &str,
        credentials: &Credentials,
    ) -> Result<Self, QueryError> {
        let target = Target::new(controller, credentials)?;
        Self::begin(&target, transport::connect_over(&target, stream)).await
    }

    /// Asks over a stream that leads to a controller which has proved already that it is the one
    /// that is meant, and asks for nothing: such as one that called. `name` is sent as its host.
    ///
    /// # Errors
    /// Why there is none. Cancel safe.
    pub async fn over_call(
        stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
        name: &str,
    ) -> Result<Self, QueryError> {
        let target = Target::new(&format!("{name}:80"), &Credentials::default())?;
        Self::begin(&target, transport::speak_over(stream)).await
    }

    /// Reads no message that is longer than `bytes`, for a controller that is not trusted.
    #[must_use]
    pub fn bounded(mut self, bytes: usize) -> Self {
        self.client = self.client.max_decoding_message_size(bytes);
        self
    }

    async fn begin(
        target: &Target,
        connecting: impl Future<Output = Result<Connection, ConnectError>>,
    ) -> Result<Self, QueryError> {
        let controller = target.authority().to_owned();
        let connection = match tokio::time::timeout(RESPONSE_TIMEOUT, connecting).await {
            Ok(Ok(connection)) => connection,
            Ok(Err(ConnectError::Tls(mismatch))) => {
                let (fault, remedy) = (mismatch.fault().to_string(), mismatch.remedy().to_string());
                return Err(QueryError::Mismatch { controller, fault, remedy });
            }
            Ok(Err(ConnectError::Io(error))) => {
                return Err(QueryError::Unreachable { controller, why: error.to_string() });
            }
            Ok(Err(error)) => {
                return Err(QueryError::Unreachable { controller, why: error.to_string() });
            }
            Err(_) => {
                let why = "it does not answer".to_owned();
                return Err(QueryError::Unreachable { controller, why });
            }
        };
        let client = ScaleServiceClient::with_origin(connection.clone(), target.origin());
        let client = client.max_decoding_message_size(RESPONSE_BYTES_MAX);
        Ok(Self { client, routes: RouteServiceClient::with_origin(connection, target.origin()) })
    }

    /// The status of every revision.
    ///
    /// # Errors
    /// Why it is not told.
    pub async fn revisions(&mut self) -> Result<Vec<wire::RevisionStatus>, QueryError> {
        Ok(self.list().await?.revisions)
    }

    /// The status of every revision, and of every site where a view of several answers.
    ///
    /// # Errors
    /// Why it is not told.
    pub async fn list(&mut self) -> Result<wire::ListRevisionsResponse, QueryError> {
        in_time(self.client.list_revisions(wire::ListRevisionsRequest {})).await
    }

    /// The status of every revision, in parts, of which `take` says whether another is wanted. Each
    /// part must come in time, and is as long as [`Self::bounded`] allows at most.
    ///
    /// # Errors
    /// Why it is not told to its end.
    pub async fn list_in_parts(
        &mut self,
        mut take: impl FnMut(wire::ListRevisionsResponse) -> ControlFlow<()>,
    ) -> Result<(), QueryError> {
        let asked = self.client.stream_revisions(wire::ListRevisionsRequest {});
        let mut parts = in_time(asked).await?;
        loop {
            match tokio::time::timeout(RESPONSE_TIMEOUT, parts.message()).await {
                Ok(Ok(Some(part))) => {
                    if take(part).is_break() {
                        return Ok(());
                    }
                }
                Ok(Ok(None)) => return Ok(()),
                Ok(Err(status)) => return Err(status.into()),
                Err(_) => return Err(QueryError::Silent),
            }
        }
    }

    /// What there is to read of a revision.
    ///
    /// # Errors
    /// Why it is not told.
    pub async fn detail(
        &mut self,
        request: wire::ExplainRequest,
    ) -> Result<wire::ExplainResponse, QueryError> {
        in_time(self.client.explain(request)).await
    }

    /// The last decisions of a revision and its last cold starts.
    ///
    /// # Errors
    /// Why they are not told.
    pub async fn past(
        &mut self,
        revision: &wire::RevisionStatus,
        last: u32,
    ) -> Result<Past, QueryError> {
        let wire::RevisionStatus { namespace, name, site, .. } = revision;
        let request = wire::ExplainRequest {
            namespace: namespace.clone(),
            name: name.clone(),
            last,
            site: site.clone(),
            instances_max: 0,
        };
        let wire::ExplainResponse { mut decisions, mut cold_starts, .. } =
            self.detail(request).await?;
        decisions.reverse();
        cold_starts.reverse();
        Ok(Past { decisions, cold_starts })
    }

    /// Every route and how it does.
    ///
    /// # Errors
    /// Why it is not told.
    pub async fn routes(&mut self) -> Result<Vec<routes::RouteStatus>, QueryError> {
        Ok(in_time(self.routes.list_routes(routes::ListRoutesRequest {})).await?.routes)
    }

    /// Orders something of the rollout of a route, which then does like this.
    ///
    /// # Errors
    /// Why it is not followed.
    pub async fn order_rollout(
        &mut self,
        route: &str,
        order: routes::RolloutOrder,
    ) -> Result<Option<routes::RouteStatus>, QueryError> {
        let (route, order) = (route.to_owned(), order.into());
        let asked = self.routes.order_rollout(routes::OrderRolloutRequest { route, order });
        Ok(in_time(asked).await?.route)
    }

    /// Divides the requests of a route, which then does like this.
    ///
    /// # Errors
    /// Why that is not done.
    pub async fn set_shares(
        &mut self,
        route: &str,
        shares: Vec<routes::RevisionShare>,
    ) -> Result<Option<routes::RouteStatus>, QueryError> {
        let route = route.to_owned();
        let asked = self.routes.set_shares(routes::SetSharesRequest { route, shares });
        Ok(in_time(asked).await?.route)
    }

    /// Decisions as they are made, of one revision or of all; the last one first.
    ///
    /// # Errors
    /// Why they are not told.
    pub async fn watch(
        &mut self,
        revision: Option<&wire::RevisionStatus>,
    ) -> Result<Decisions, QueryError> {
        let request = match revision {
            Some(revision) => wire::WatchDecisionsRequest {
                namespace: revision.namespace.clone(),
                name: revision.name.clone(),
                site: revision.site.clone(),
            },
            None => wire::WatchDecisionsRequest::default(),
        };
        Ok(Decisions { stream: self.client.watch_decisions(request).await?.into_inner() })
    }
}

/// What was, oldest first, as people read it.
#[derive(Debug, Clone, Default)]
pub struct Past {
    /// The last decisions.
    pub decisions: Vec<wire::Decision>,
    /// The last cold starts that a controller keeps.
    pub cold_starts: Vec<ColdStart>,
}

/// Decisions as they are made.
pub struct Decisions {
    stream: Streaming<wire::Decision>,
}

impl Decisions {
    /// The next one; `None` when the controller has ended.
    ///
    /// # Errors
    /// Why there are no more.
    pub async fn next(&mut self) -> Result<Option<wire::Decision>, QueryError> {
        Ok(self.stream.message().await?)
    }

    /// The same as a stream.
    #[must_use]
    pub fn into_stream(self) -> Streaming<wire::Decision> {
        self.stream
    }
}

async fn in_time<T>(
    asked: impl Future<Output = Result<tonic::Response<T>, tonic::Status>>,
) -> Result<T, QueryError> {
    match tokio::time::timeout(RESPONSE_TIMEOUT, asked).await {
        Ok(response) => Ok(response?.into_inner()),
        Err(_) => Err(QueryError::Silent),
    }
}
