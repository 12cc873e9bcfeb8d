//! `ScaleService`: status, past decisions, and decisions as they are made.

use std::pin::Pin;
use std::sync::Arc;

use crate::error::CallError;
use crate::identity::RevisionId;
use crate::journal::{DECISIONS_MAX, DecisionRecord};
use crate::status::RevisionStatus;
use crate::task::{Handle, WATCHERS_MAX};
use tidegate_proto::scale::v1 as wire;
use tidegate_proto::scale::v1::scale_service_server::ScaleService;
use tokio_stream::wrappers::BroadcastStream;
use tokio_stream::wrappers::errors::BroadcastStreamRecvError;
use tokio_stream::{Stream, StreamExt};
use tonic::{Request, Response, Status};

/// Serves `ScaleService`.
pub(crate) struct Scale {
    handle: Handle,
}

impl Scale {
    pub(crate) fn new(handle: Handle) -> Self {
        Self { handle }
    }
}

type Decisions = Pin<Box<dyn Stream<Item = Result<wire::Decision, Status>> + Send>>;

#[tonic::async_trait]
impl ScaleService for Scale {
    type WatchDecisionsStream = Decisions;

    async fn list_revisions(
        &self,
        _request: Request<wire::ListRevisionsRequest>,
    ) -> Result<Response<wire::ListRevisionsResponse>, Status> {
        let statuses = self.handle.statuses().await.map_err(CallError::from)?;
        let revisions = statuses.into_iter().map(status).collect();
        Ok(Response::new(wire::ListRevisionsResponse { revisions }))
    }

    async fn watch_decisions(
        &self,
        request: Request<wire::WatchDecisionsRequest>,
    ) -> Result<Response<Decisions>, Status> {
        let wire::WatchDecisionsRequest { namespace, name } = request.into_inner();
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
        let last = tokio_stream::iter(last).map(|record| Ok(decision(&record)));
        let missed = self.handle.metrics().decisions_missed.clone();
        let coming = coming.filter_map(move |record| match record {
            Ok(record) if wanted.as_ref().is_none_or(|wanted| *wanted == record.revision) => {
                Some(Ok(decision(&record)))
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
        let wire::ExplainRequest { namespace, name, last } = request.into_inner();
        let id = revision(&namespace, &name)?;
        let count = usize::try_from(last.max(1)).unwrap_or(DECISIONS_MAX).min(DECISIONS_MAX);
        let records = self.handle.decisions(id.clone(), count).await.map_err(CallError::from)?;
        let records = records.ok_or_else(|| CallError::UnknownRevision(id.clone()))?;
        let decisions = records.iter().map(decision).collect();
        let starts = self.handle.cold_starts(id).await.map_err(CallError::from)?;
        let cold_starts = starts.iter().map(Into::into).collect();
        Ok(Response::new(wire::ExplainResponse { decisions, cold_starts }))
    }
}

fn revision(namespace: &str, name: &str) -> Result<RevisionId, CallError> {
    Ok(RevisionId::new(namespace, name)?)
}

fn status(status: RevisionStatus) -> wire::RevisionStatus {
    wire::RevisionStatus {
        namespace: status.revision.namespace().to_owned(),
        name: status.revision.name().to_owned(),
        desired: status.desired,
        ready: status.ready,
        starting: status.starting,
        draining: status.draining,
        in_panic: status.in_panic,
        stable_concurrency: status.stable_concurrency,
        panic_concurrency: status.panic_concurrency,
        waiting: status.waiting,
        in_flight: status.in_flight,
        last_reason: status.last_reason,
    }
}

fn decision(record: &Arc<DecisionRecord>) -> wire::Decision {
    wire::Decision {
        namespace: record.revision.namespace().to_owned(),
        name: record.revision.name().to_owned(),
        unix_ms: record.unix_ms,
        desired: record.replicas(),
        excess_burst_capacity: record.excess_burst_capacity(),
        reason: record.to_string(),
        explanation_json: record.json(),
        provisional: record.provisional.is_some(),
    }
}
