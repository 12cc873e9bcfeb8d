//! Questions to a controller, and why they are not answered.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

use futures::stream::{SelectAll, StreamExt};
use tidegate_proto::routes::v1 as routes;
use tidegate_proto::routes::v1::route_service_client::RouteServiceClient;
use tidegate_proto::scale::v1 as wire;
use tidegate_proto::scale::v1::scale_service_client::ScaleServiceClient;
use tidegate_proto::stats::v1::ColdStart;
use tidegate_reporter::transport::{self, ConnectError, Connection, Target};
use tidegate_trust::Credentials;
use tidegate_words::shorten;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::task::JoinSet;
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

/// Connections to a controller, or to all shards of one, for questions. Clones share them.
#[derive(Clone)]
pub struct Query {
    /// One for each shard that answers, in the order of their numbers.
    shards: Vec<Line>,
    /// How many there are, whether they answer or not.
    count: usize,
    missing: Arc<[MissingShard]>,
}

/// A connection to one controller.
#[derive(Clone)]
struct Line {
    /// Its place among the shards, from 0 on.
    at: usize,
    client: ScaleServiceClient<Connection>,
    routes: RouteServiceClient<Connection>,
}

/// A shard that does not answer: what is told without it is a part.
#[derive(Debug, thiserror::Error)]
#[error("shard {number} of {of} is missing in what follows: {why}")]
pub struct MissingShard {
    /// Its number, from 1 on.
    number: usize,
    /// How many there are.
    of: usize,
    /// Why it does not answer.
    why: QueryError,
}

impl Query {
    /// Connects to the controller at `host:port`, `http://host:port` or `https://host:port`; of
    /// several with commas between, to the first one that is there. To all shards, where there are
    /// several with semicolons between.
    ///
    /// # Errors
    /// Why there is none. Cancel safe.
    pub async fn connect(controller: &str, credentials: &Credentials) -> Result<Self, QueryError> {
        let of_shards = tidegate_shards::addresses(controller).map_err(|source| {
            tidegate_reporter::ConfigError::Shards { given: controller.to_owned(), source }
        })?;
        let count = of_shards.len();
        let mut connecting = JoinSet::new();
        for (at, addresses) in of_shards.into_iter().enumerate() {
            let targets = Target::all(addresses, credentials)?;
            connecting.spawn(async move { (at, Self::begin_at_one(at, &targets).await) });
        }
        let (mut shards, mut missing) = (Vec::new(), Vec::new());
        while let Some(connected) = connecting.join_next().await {
            match connected {
                Ok((_, Ok(line))) => shards.push(line),
                Ok((at, Err(why))) => {
                    missing.push(MissingShard { number: at + 1, of: count, why });
                }
                Err(error) => std::panic::resume_unwind(error.into_panic()),
            }
        }
        shards.sort_by_key(|line| line.at);
        missing.sort_by_key(|shard| shard.number);
        match missing.pop() {
            Some(last) if shards.is_empty() => return Err(last.why),
            last => missing.extend(last),
        }
        Ok(Self { shards, count, missing: missing.into() })
    }

    /// Connects to one shard, which is at one of these addresses.
    async fn begin_at_one(at: usize, targets: &[Target]) -> Result<Line, QueryError> {
        let mut last = None;
        for target in targets {
            match Self::begin(at, target, transport::connect(target)).await {
                Err(error @ QueryError::Unreachable { .. }) => last = Some(error),
                other => return other,
            }
        }
        let (controller, why) = (String::new(), "there is no address".to_owned());
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
        let line = Self::begin(0, &target, transport::connect_over(&target, stream)).await?;
        Ok(Self::of_one(line))
    }

    fn of_one(line: Line) -> Self {
        Self { shards: vec![line], count: 1, missing: Arc::default() }
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
        Ok(Self::of_one(Self::begin(0, &target, transport::speak_over(stream)).await?))
    }

    /// Reads no message that is longer than `bytes`, for a controller that is not trusted.
    #[must_use]
    pub fn bounded(mut self, bytes: usize) -> Self {
        for line in &mut self.shards {
            line.client = line.client.clone().max_decoding_message_size(bytes);
        }
        self
    }

    async fn begin(
        at: usize,
        target: &Target,
        connecting: impl Future<Output = Result<Connection, ConnectError>>,
    ) -> Result<Line, QueryError> {
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
        let routes = RouteServiceClient::with_origin(connection, target.origin());
        Ok(Line { at, client, routes })
    }

    /// The shards that do not answer; none where there is one controller.
    #[must_use]
    pub fn missing(&self) -> &[MissingShard] {
        &self.missing
    }

    /// The status of every revision, in the order of their names.
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
        let mut whole = wire::ListRevisionsResponse::default();
        let mut all = Vec::new();
        for line in &mut self.shards {
            let asked = line.client.list_revisions(wire::ListRevisionsRequest {});
            let told = in_time(asked).await?;
            let of_line = |status| (line.at, status);
            all.extend(told.revisions.into_iter().map(of_line));
            whole.sites.extend(told.sites);
        }
        if self.count > 1 {
            // While a revision moves from one shard to another, both tell of it: its owner first.
            all.sort_by_cached_key(|(at, it)| {
                let is_others = self.owner_of(&it.namespace, &it.name) != *at;
                (it.namespace.clone(), it.name.clone(), is_others)
            });
            all.dedup_by(|(_, b), (_, a)| a.namespace == b.namespace && a.name == b.name);
        }
        whole.revisions = all.into_iter().map(|(_, status)| status).collect();
        Ok(whole)
    }

    /// The status of every revision, in parts, of which `take` says whether another is wanted. Each
    /// part must come in time, and is as long as [`Self::bounded`] allows at most. Each shard tells
    /// of its own revisions.
    ///
    /// # Errors
    /// Why it is not told to its end.
    pub async fn list_in_parts(
        &mut self,
        mut take: impl FnMut(wire::ListRevisionsResponse) -> ControlFlow<()>,
    ) -> Result<(), QueryError> {
        let count = self.count;
        for line in &mut self.shards {
            let at = line.at;
            let asked = line.client.stream_revisions(wire::ListRevisionsRequest {});
            let mut parts = in_time(asked).await?;
            while let Some(mut part) = in_time_of(parts.message()).await? {
                let owner = |it: &wire::RevisionStatus| {
                    tidegate_shards::place(&it.namespace, &it.name, count)
                };
                part.revisions.retain(|it| count == 1 || owner(it) == at);
                if take(part).is_break() {
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    /// What there is to read of a revision, by the shard that it belongs to. While that one does
    /// not know it, or does not answer, by whichever does.
    ///
    /// # Errors
    /// Why it is not told.
    pub async fn detail(
        &mut self,
        request: wire::ExplainRequest,
    ) -> Result<wire::ExplainResponse, QueryError> {
        let owner = self.owner_of(&request.namespace, &request.name);
        self.shards.sort_by_key(|line| (line.at != owner, line.at));
        let mut unknown = None;
        for line in &mut self.shards {
            match in_time(line.client.explain(request.clone())).await {
                Err(error @ QueryError::Refused { code: tonic::Code::NotFound, .. }) => {
                    unknown.get_or_insert(error);
                }
                told => return told,
            }
        }
        Err(unknown.unwrap_or(QueryError::Silent))
    }

    /// Where among the shards the one is that a revision belongs to.
    fn owner_of(&self, namespace: &str, name: &str) -> usize {
        tidegate_shards::place(namespace, name, self.count)
    }

    /// The last decisions of a revision and its last cold starts, by the shard that it belongs to.
    /// While that one does not know it, or does not answer, by whichever does.
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

    /// Every route and how it does, by the shard that leads it.
    ///
    /// # Errors
    /// Why it is not told.
    pub async fn routes(&mut self) -> Result<Vec<routes::RouteStatus>, QueryError> {
        let mut all = Vec::new();
        for line in &mut self.shards {
            all.extend(line.list_routes().await?);
        }
        if self.count > 1 {
            // One that nobody leads who is there is told by the others, as its file has it. All
            // have the table, whose order is kept.
            let mut places: Vec<String> = Vec::new();
            for status in &all {
                if !places.contains(&status.name) {
                    places.push(status.name.clone());
                }
            }
            let place = |it: &routes::RouteStatus| places.iter().position(|name| *name == it.name);
            all.sort_by_key(|it| (place(it), it.led_by_shard));
            all.dedup_by(|b, a| a.name == b.name);
        }
        Ok(all)
    }

    /// The shard that leads a route; where none is known, the first that answers says why.
    async fn leader(&mut self, route: &str) -> Result<&mut Line, QueryError> {
        let mut leader = 0;
        if self.count > 1 {
            for (at, line) in self.shards.iter_mut().enumerate() {
                let all = line.list_routes().await?;
                if all.iter().any(|it| it.name == route && it.led_by_shard == 0) {
                    leader = at;
                    break;
                }
            }
        }
        self.shards.get_mut(leader).ok_or(QueryError::Silent)
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
        let line = self.leader(route).await?;
        let (route, order) = (route.to_owned(), order.into());
        let asked = line.routes.order_rollout(routes::OrderRolloutRequest { route, order });
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
        let line = self.leader(route).await?;
        let route = route.to_owned();
        let asked = line.routes.set_shares(routes::SetSharesRequest { route, shares });
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
        let owner = revision.map(|of| self.owner_of(&of.namespace, &of.name));
        // Only the owner decides; where it is not there, whoever is says so.
        let is_there = |owner: &usize| self.shards.iter().any(|line| line.at == *owner);
        let owner = owner.filter(is_there);
        let mut streams = SelectAll::new();
        for line in &mut self.shards {
            if owner.is_none_or(|owner| line.at == owner) {
                streams.push(line.client.watch_decisions(request.clone()).await?.into_inner());
            }
        }
        Ok(Decisions { streams })
    }
}

impl Line {
    async fn list_routes(&mut self) -> Result<Vec<routes::RouteStatus>, QueryError> {
        Ok(in_time(self.routes.list_routes(routes::ListRoutesRequest {})).await?.routes)
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

/// Decisions as they are made, by one controller or by all shards.
pub struct Decisions {
    streams: SelectAll<Streaming<wire::Decision>>,
}

impl Decisions {
    /// The next one; `None` when the controller has ended, or all shards have.
    ///
    /// # Errors
    /// Why there are no more.
    pub async fn next(&mut self) -> Result<Option<wire::Decision>, QueryError> {
        Ok(self.streams.next().await.transpose()?)
    }

    /// The same as a stream.
    pub fn into_stream(self) -> SelectAll<Streaming<wire::Decision>> {
        self.streams
    }
}

async fn in_time<T>(
    asked: impl Future<Output = Result<tonic::Response<T>, tonic::Status>>,
) -> Result<T, QueryError> {
    Ok(in_time_of(asked).await?.into_inner())
}

async fn in_time_of<T>(
    told: impl Future<Output = Result<T, tonic::Status>>,
) -> Result<T, QueryError> {
    match tokio::time::timeout(RESPONSE_TIMEOUT, told).await {
        Ok(told) => Ok(told?),
        Err(_) => Err(QueryError::Silent),
    }
}
