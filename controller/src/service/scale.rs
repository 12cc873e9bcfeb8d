//! `ScaleService`: status, past decisions, and decisions as they are made.

use std::collections::BTreeMap;
use std::pin::Pin;

use super::parts::parts;
use super::told;
use crate::error::CallError;
use crate::identity::RevisionId;
use crate::journal::DECISIONS_MAX;
use crate::overview::{Detail, DetailQuery, Overview};
use crate::status::RevisionStatus;
use crate::task::{Handle, WATCHERS_MAX};
use tidegate_proto::scale::v1 as wire;
use tidegate_proto::scale::v1::scale_service_server::ScaleService;
use tokio_stream::wrappers::BroadcastStream;
use tokio_stream::wrappers::errors::BroadcastStreamRecvError;
use tokio_stream::{Stream, StreamExt};
use tonic::{Request, Response, Status};

/// Instances of one revision that are told at a time; the rest are counted.
const INSTANCES_TOLD_MAX: usize = 1_000;

/// Serves `ScaleService`.
pub(crate) struct Scale {
    handle: Handle,
}

impl Scale {
    pub(crate) fn new(handle: Handle) -> Self {
        Self { handle }
    }
}

impl Scale {
    /// Every revision with its numbers.
    async fn revisions(&self) -> Result<Vec<wire::RevisionStatus>, CallError> {
        let statuses = self.handle.statuses().await?;
        let numbers = self.handle.overviews().await?;
        let numbers: BTreeMap<RevisionId, Overview> =
            numbers.into_iter().map(|of| (of.revision.clone(), of)).collect();
        // One that went between the two questions has no numbers any more, and is left out.
        let with_numbers = |status: RevisionStatus| {
            numbers.get(&status.revision).map(|numbers| told::status(status, numbers))
        };
        Ok(statuses.into_iter().filter_map(with_numbers).collect())
    }
}

type Parts = Pin<Box<dyn Stream<Item = Result<wire::ListRevisionsResponse, Status>> + Send>>;

type Decisions = Pin<Box<dyn Stream<Item = Result<wire::Decision, Status>> + Send>>;

#[tonic::async_trait]
impl ScaleService for Scale {
    type StreamRevisionsStream = Parts;
    type WatchDecisionsStream = Decisions;

    async fn list_revisions(
        &self,
        _request: Request<wire::ListRevisionsRequest>,
    ) -> Result<Response<wire::ListRevisionsResponse>, Status> {
        let revisions = self.revisions().await?;
        Ok(Response::new(wire::ListRevisionsResponse { revisions, sites: Vec::new() }))
    }

    async fn stream_revisions(
        &self,
        _request: Request<wire::ListRevisionsRequest>,
    ) -> Result<Response<Parts>, Status> {
        let parts = parts(self.revisions().await?);
        Ok(Response::new(Box::pin(tokio_stream::iter(parts.map(Ok)))))
    }

    async fn watch_decisions(
        &self,
        request: Request<wire::WatchDecisionsRequest>,
    ) -> Result<Response<Decisions>, Status> {
        let wire::WatchDecisionsRequest { namespace, name, site } = request.into_inner();
        of_one_site(&site)?;
        let wanted = match (namespace.is_empty(), name.is_empty()) {
            (true, true) => None,
            _ => Some(revision(&namespace, &name)?),
        };
        let Some(place) = self.handle.watcher() else {
            self.handle.metrics().watches_refused.increment(1);
            return Err(CallError::TooManyWatchers { most: WATCHERS_MAX }.into());
        };
        // Subscribed first, so that no decision falls between the snapshot and the stream.
        let coming = BroadcastStream::new(self.handle.watch_decisions());
        let mut last = Vec::new();
        for status in self.handle.statuses().await.map_err(CallError::from)? {
            if wanted.as_ref().is_none_or(|wanted| *wanted == status.revision) {
                let newest = self.handle.decisions(status.revision, 1).await;
                let newest = newest.map_err(CallError::from)?;
                last.extend(newest.unwrap_or_default());
            }
        }
        // Written out one by one as they are read; until then all watchers share them.
        let last = tokio_stream::iter(last).map(|record| Ok(told::decision(0, &record)));
        let missed = self.handle.metrics().decisions_missed.clone();
        let coming = coming.filter_map(move |record| match record {
            Ok(record) if wanted.as_ref().is_none_or(|wanted| *wanted == record.revision) => {
                Some(Ok(told::decision(0, &record)))
            }
            Ok(_) => None,
            // The newest ones matter.
            Err(BroadcastStreamRecvError::Lagged(count)) => {
                missed.increment(count);
                None
            }
        });
        let decisions = last.chain(coming).map(move |decision| {
            // Held for as long as the stream is watched.
            let _place = &place;
            decision
        });
        Ok(Response::new(Box::pin(decisions)))
    }

    async fn explain(
        &self,
        request: Request<wire::ExplainRequest>,
    ) -> Result<Response<wire::ExplainResponse>, Status> {
        let wire::ExplainRequest { namespace, name, last, site, instances_max } =
            request.into_inner();
        of_one_site(&site)?;
        let id = revision(&namespace, &name)?;
        let most = |asked: u32, most: usize| usize::try_from(asked).unwrap_or(most).min(most);
        let query = DetailQuery {
            after: 0,
            decisions_max: most(last.max(1), DECISIONS_MAX),
            instances_max: most(instances_max, INSTANCES_TOLD_MAX),
        };
        let detail = self.handle.detail(id.clone(), query).await.map_err(CallError::from)?;
        let Detail { declaration, decisions, instances, cold_starts, .. } =
            detail.ok_or(CallError::UnknownRevision(id))?;
        Ok(Response::new(wire::ExplainResponse {
            decisions: decisions.iter().map(|(n, of)| told::decision(*n, of)).collect(),
            cold_starts: cold_starts.iter().map(Into::into).collect(),
            instances: instances.iter().map(told::instance).collect(),
            settings: told::settings(&declaration),
        }))
    }
}

/// A controller is one site, and has no name for it.
fn of_one_site(site: &str) -> Result<(), CallError> {
    if site.is_empty() { Ok(()) } else { Err(CallError::NoSites) }
}

fn revision(namespace: &str, name: &str) -> Result<RevisionId, CallError> {
    Ok(RevisionId::new(namespace, name)?)
}
