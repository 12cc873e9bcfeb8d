//! Answers questions about all sites as a controller answers them about its own revisions.

use std::pin::Pin;

use tidegate_call::SiteName;
use tidegate_controller::RevisionId;
use tidegate_explain::{Query, QueryError};
use tidegate_proto::scale::v1 as wire;
use tidegate_proto::scale::v1::scale_service_server::ScaleService;
use tokio_stream::{Stream, StreamExt, StreamMap};
use tonic::{Request, Response, Status};

use crate::board::Link;
use crate::follow::Sites;
use crate::known;

/// Decisions of one revision that are passed on at a time.
pub const DECISIONS_MAX: usize = 200;

/// Instances of one revision that are passed on.
pub const INSTANCES_MAX: usize = 200;

/// Those who watch decisions at a time: each has a stream to every site that it watches.
pub const WATCHERS_MAX: usize = 16;

/// A service that answers for all sites. It takes no order.
#[derive(Debug, Clone)]
pub struct Office {
    sites: Sites,
    watchers: std::sync::Arc<tokio::sync::Semaphore>,
}

impl Office {
    /// Answers for these.
    #[must_use]
    pub fn new(sites: Sites) -> Self {
        let watchers = std::sync::Arc::new(tokio::sync::Semaphore::new(WATCHERS_MAX));
        Self { sites, watchers }
    }

    /// What a site tells of one of its revisions.
    ///
    /// # Errors
    /// When there is no such site, or it cannot be asked, or does not answer.
    pub async fn explained(
        &self,
        request: wire::ExplainRequest,
    ) -> Result<wire::ExplainResponse, Status> {
        let site = named(&request.site)?;
        let id = revision(&request.namespace, &request.name)?;
        let mut query = self.link(&site)?;
        let asked = |asked: u32, most: usize| usize::try_from(asked).unwrap_or(most).min(most);
        let decisions_max = asked(request.last.max(1), DECISIONS_MAX);
        let instances_max = asked(request.instances_max, INSTANCES_MAX);
        let counted = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
        let request = wire::ExplainRequest {
            site: String::new(),
            last: counted(decisions_max),
            instances_max: counted(instances_max),
            ..request
        };
        let told = query.detail(request).await.map_err(|error| passed_on(&site, &error))?;
        Ok(known::explained((site.as_str(), &id), (decisions_max, instances_max), told))
    }

    fn link(&self, site: &SiteName) -> Result<Query, Status> {
        if let Some(query) = self.sites.query(site) {
            return Ok(query);
        }
        let snapshot = self.sites.snapshot();
        let Some(state) = snapshot.site(site) else {
            let names: Vec<&str> = snapshot.sites.iter().map(|site| site.name.as_str()).collect();
            let problem = format!("no site {site} here; known are: {}", names.join(", "));
            return Err(Status::not_found(problem));
        };
        let why = match &state.link {
            Link::Cut(why) => why,
            Link::Up | Link::Awaited => "it was not heard of yet",
        };
        Err(Status::unavailable(format!("the site {site} cannot be asked: {why}")))
    }
}

type Parts = Pin<Box<dyn Stream<Item = Result<wire::ListRevisionsResponse, Status>> + Send>>;

type Decisions = Pin<Box<dyn Stream<Item = Result<wire::Decision, Status>> + Send>>;

#[tonic::async_trait]
impl ScaleService for Office {
    type StreamRevisionsStream = Parts;
    type WatchDecisionsStream = Decisions;

    async fn list_revisions(
        &self,
        _request: Request<wire::ListRevisionsRequest>,
    ) -> Result<Response<wire::ListRevisionsResponse>, Status> {
        Ok(Response::new(self.sites.snapshot().to_wire()))
    }

    async fn stream_revisions(
        &self,
        _request: Request<wire::ListRevisionsRequest>,
    ) -> Result<Response<Parts>, Status> {
        let whole = self.sites.snapshot().to_wire();
        // By its sites, in the first part, another view knows that this is one.
        let sites = wire::ListRevisionsResponse { revisions: Vec::new(), sites: whole.sites };
        let rest = tidegate_controller::parts(whole.revisions);
        let parts = std::iter::once(sites).chain(rest).map(Ok);
        Ok(Response::new(Box::pin(tokio_stream::iter(parts))))
    }

    async fn watch_decisions(
        &self,
        request: Request<wire::WatchDecisionsRequest>,
    ) -> Result<Response<Decisions>, Status> {
        let wire::WatchDecisionsRequest { namespace, name, site } = request.into_inner();
        let place = std::sync::Arc::clone(&self.watchers).try_acquire_owned().map_err(|_| {
            Status::resource_exhausted(format!("{WATCHERS_MAX} watch decisions already"))
        })?;
        let of = wire::RevisionStatus { namespace, name, ..Default::default() };
        let one = match (of.namespace.is_empty(), of.name.is_empty()) {
            (true, true) => None,
            _ => Some(revision(&of.namespace, &of.name)?),
        };
        let mut all = StreamMap::new();
        if site.is_empty() {
            if one.is_some() {
                return Err(Status::invalid_argument("the question names no site"));
            }
            // Those that do not answer now are not waited for.
            for state in self.sites.snapshot().sites {
                if let Some(mut query) = self.sites.query(&state.name)
                    && let Ok(decisions) = query.watch(None).await
                {
                    all.insert(state.name, Box::pin(decisions.into_stream()));
                }
            }
        } else {
            let site = named(&site)?;
            let mut query = self.link(&site)?;
            let watched = query.watch(one.as_ref().map(|_| &of)).await;
            let watched = watched.map_err(|error| passed_on(&site, &error))?;
            all.insert(site, Box::pin(watched.into_stream()));
        }
        let decisions = all.filter_map(move |(site, decision)| {
            // Held for as long as the stream is watched.
            let _place = &place;
            // One site whose stream fails ends none of the others.
            let told = decision.ok()?;
            let id = RevisionId::new(&told.namespace, &told.name).ok()?;
            Some(Ok(known::decision(site.as_str(), &id, told)))
        });
        Ok(Response::new(Box::pin(decisions)))
    }

    async fn explain(
        &self,
        request: Request<wire::ExplainRequest>,
    ) -> Result<Response<wire::ExplainResponse>, Status> {
        self.explained(request.into_inner()).await.map(Response::new)
    }
}

fn named(site: &str) -> Result<SiteName, Status> {
    match site {
        "" => Err(Status::invalid_argument(
            "the question names no site: this is a view of several; ask for SITE:NAMESPACE/NAME",
        )),
        site => site.parse().map_err(|error| Status::invalid_argument(format!("{error}"))),
    }
}

fn revision(namespace: &str, name: &str) -> Result<RevisionId, Status> {
    RevisionId::new(namespace, name).map_err(|error| Status::invalid_argument(error.to_string()))
}

/// Why a site does not answer, in the name of the view.
fn passed_on(site: &SiteName, error: &QueryError) -> Status {
    let why = known::line(&error.to_string(), known::LINE_CHARS_MAX);
    match error {
        QueryError::Refused { code: tonic::Code::NotFound, .. } => Status::not_found(why),
        _ => Status::unavailable(format!("the site {site} does not answer: {why}")),
    }
}
