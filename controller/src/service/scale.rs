//! `ScaleService`: status, past decisions, and decisions as they are made.

use std::pin::Pin;
use std::sync::Arc;

use tidegate_proto::scale::v1 as wire;
use tidegate_proto::scale::v1::scale_service_server::ScaleService;
use tokio_stream::wrappers::BroadcastStream;
use tokio_stream::{Stream, StreamExt};
use tonic::{Request, Response, Status};

use crate::identity::RevisionId;
use crate::journal::{DECISIONS_MAX, DecisionRecord};
use crate::status::RevisionStatus;
use crate::task::{Ended, Handle, WATCHERS_MAX};

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
        let statuses = self.handle.statuses().await.map_err(ended)?;
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
        let place = self.handle.watcher().ok_or_else(|| {
            Status::resource_exhausted(format!("{WATCHERS_MAX} watch decisions already"))
        })?;
        // Subscribed first, so that no decision falls between the snapshot and the stream.
        let coming = BroadcastStream::new(self.handle.watch_decisions());
        let mut last = Vec::new();
        for status in self.handle.statuses().await.map_err(ended)? {
            if wanted.as_ref().is_none_or(|wanted| *wanted == status.revision) {
                let newest = self.handle.decisions(status.revision, 1).await.map_err(ended)?;
                last.extend(newest.unwrap_or_default());
            }
        }
        // Written out one by one as they are read; until then all watchers share them.
        let last = tokio_stream::iter(last).map(|record| Ok(decision(&record)));
        let coming = coming.filter_map(move |record| match record {
            Ok(record) if wanted.as_ref().is_none_or(|wanted| *wanted == record.revision) => {
                Some(Ok(decision(&record)))
            }
            Ok(_) => None,
            // A watcher that reads too slowly misses some; the newest ones matter.
            Err(_) => None,
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
        let records = self.handle.decisions(id.clone(), count).await.map_err(ended)?;
        let records =
            records.ok_or_else(|| Status::not_found(format!("revision {id} is not known here")))?;
        let decisions = records.iter().map(decision).collect();
        Ok(Response::new(wire::ExplainResponse { decisions }))
    }
}

fn revision(namespace: &str, name: &str) -> Result<RevisionId, Status> {
    RevisionId::new(namespace, name).map_err(|error| Status::invalid_argument(error.to_string()))
}

fn ended(error: Ended) -> Status {
    Status::unavailable(error.to_string())
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
    }
}
