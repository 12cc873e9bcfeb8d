//! `OperateService`: answers what this user's commands ask, and passes on what they order.

use std::sync::Arc;

use tidegate_autoscaler::settings::ScaleBounds;
use tidegate_controller::identity::NameError;
use tidegate_controller::{Ended, InstanceName, Notice, Pin};
use tidegate_proto::operate::v1 as wire;
use tidegate_proto::operate::v1::operate_service_server::OperateService;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot, watch};
use tonic::{Code, Request, Response, Status};

use super::roster::{Entry, NotTaken, Roster, StopOrder, Stopped};
use super::watching::{self, Messages, Until, WantedLines};
use super::wire as messages;
use crate::settings::INSTANCES_MAX;

/// Streams that are followed at a time, by all commands together.
const READERS_MAX: usize = 64;

/// Why a call is refused.
#[derive(Debug, thiserror::Error)]
enum CallError {
    #[error("no service {0:?} runs here")]
    UnknownService(String),
    #[error(transparent)]
    Name(#[from] NameError),
    #[error(
        "{min} to {max} instances cannot be: expected at most {INSTANCES_MAX}, 1 or more at the \
         top, and no less there than at the bottom"
    )]
    Bounds { min: u32, max: u32 },
    #[error("{READERS_MAX} streams are followed already")]
    TooManyReaders,
    #[error(transparent)]
    NotTaken(#[from] NotTaken),
    #[error("the service ended before it answered")]
    Unanswered,
    #[error(transparent)]
    Ended(#[from] Ended),
}

impl From<CallError> for Status {
    fn from(error: CallError) -> Self {
        let code = match error {
            CallError::UnknownService(_) => Code::NotFound,
            CallError::Name(_) | CallError::Bounds { .. } => Code::InvalidArgument,
            CallError::TooManyReaders => Code::ResourceExhausted,
            CallError::NotTaken(_) => Code::FailedPrecondition,
            CallError::Unanswered | CallError::Ended(_) => Code::Unavailable,
        };
        Self::new(code, error.to_string())
    }
}

/// Answers calls.
pub(super) struct Office {
    roster: Roster,
    readers: Arc<Semaphore>,
    closing: watch::Receiver<()>,
}

impl Office {
    pub(super) fn new(roster: Roster, closing: watch::Receiver<()>) -> Self {
        Self { roster, readers: Arc::new(Semaphore::new(READERS_MAX)), closing }
    }

    fn service(&self, name: &str) -> Result<Entry, CallError> {
        self.roster.get(name).ok_or_else(|| CallError::UnknownService(name.to_owned()))
    }

    fn reader(&self) -> Result<(watch::Receiver<()>, OwnedSemaphorePermit), CallError> {
        let place = Arc::clone(&self.readers).try_acquire_owned();
        Ok((self.closing.clone(), place.map_err(|_| CallError::TooManyReaders)?))
    }

    /// The state of one service.
    async fn status(&self, name: &str) -> Result<wire::ServiceStatus, CallError> {
        let listed = self.roster.list().await?;
        let found = listed.iter().find(|listed| listed.name == name);
        found.map(messages::service).ok_or_else(|| CallError::UnknownService(name.to_owned()))
    }
}

/// The pin that is ordered; `None` takes one back.
fn pin(request: &wire::ScaleRequest) -> Result<Option<Pin>, CallError> {
    let Some(wire::Bounds { min, max }) = request.bounds else { return Ok(None) };
    let refused = CallError::Bounds { min, max };
    if max == 0 || max > INSTANCES_MAX || min > max {
        return Err(refused);
    }
    let (Ok(min), Ok(max)) = (i32::try_from(min), i32::try_from(max)) else { return Err(refused) };
    let for_ms = Some(request.for_ms).filter(|ms| *ms > 0);
    Ok(Some(Pin { bounds: ScaleBounds { min, max }, for_ms }))
}

#[tonic::async_trait]
impl OperateService for Office {
    type WatchServicesStream = Messages<wire::ListServicesResponse>;
    type ReadLinesStream = Messages<wire::ReadLinesResponse>;
    type ReadEventsStream = Messages<wire::ReadEventsResponse>;

    async fn list_services(
        &self,
        _request: Request<wire::ListServicesRequest>,
    ) -> Result<Response<wire::ListServicesResponse>, Status> {
        let listed = watching::listed(&self.roster).await.map_err(CallError::from)?;
        Ok(Response::new(listed))
    }

    async fn watch_services(
        &self,
        request: Request<wire::WatchServicesRequest>,
    ) -> Result<Response<Self::WatchServicesStream>, Status> {
        let interval_ms = request.into_inner().interval_ms;
        let states = watching::states(self.roster.clone(), interval_ms, self.reader()?);
        Ok(Response::new(states))
    }

    async fn show_history(
        &self,
        request: Request<wire::ShowHistoryRequest>,
    ) -> Result<Response<wire::ShowHistoryResponse>, Status> {
        let entry = self.service(&request.into_inner().service)?;
        let samples = entry.history.samples().iter().map(messages::sample).collect();
        Ok(Response::new(wire::ShowHistoryResponse { samples }))
    }

    async fn read_lines(
        &self,
        request: Request<wire::ReadLinesRequest>,
    ) -> Result<Response<Self::ReadLinesStream>, Status> {
        let wire::ReadLinesRequest { service, instance, since_unix_ms, follow, sidecars } =
            request.into_inner();
        let entry = self.service(&service)?;
        let instance = match instance.as_str() {
            "" => None,
            name => Some(InstanceName::new(name).map_err(CallError::from)?),
        };
        let revision = entry.view.revision().name().to_owned();
        let wanted = WantedLines { revision, instance, since_unix_ms, sidecars };
        let until = if follow { Until::Closed } else { Until::Sent };
        Ok(Response::new(watching::lines(&self.roster, wanted, until, self.reader()?)))
    }

    async fn read_events(
        &self,
        request: Request<wire::ReadEventsRequest>,
    ) -> Result<Response<Self::ReadEventsStream>, Status> {
        let wanted = request.into_inner();
        if !wanted.service.is_empty() {
            self.service(&wanted.service)?;
        }
        Ok(Response::new(watching::events(&self.roster, wanted, self.reader()?)))
    }

    async fn restart(
        &self,
        request: Request<wire::RestartRequest>,
    ) -> Result<Response<wire::RestartResponse>, Status> {
        let name = request.into_inner().service;
        let view = self.service(&name)?.view;
        let revision = view.revision().clone();
        let mut notices = view.controller().watch_notices();
        view.controller().restart(revision.clone()).await.map_err(CallError::from)?;
        // The controller takes one message after the other, so this is after the order.
        let mut instances = self.status(&name).await?.outdated;
        while let Ok(notice) = notices.try_recv() {
            if let Notice::Restarting { revision: of, instances: all } = notice
                && of == revision
            {
                instances = all;
            }
        }
        Ok(Response::new(wire::RestartResponse { instances }))
    }

    async fn scale(
        &self,
        request: Request<wire::ScaleRequest>,
    ) -> Result<Response<wire::ScaleResponse>, Status> {
        let request = request.into_inner();
        let view = self.service(&request.service)?.view;
        let (revision, pin) = (view.revision().clone(), pin(&request)?);
        view.controller().pin(revision, pin).await.map_err(CallError::from)?;
        let service = Some(self.status(&request.service).await?);
        Ok(Response::new(wire::ScaleResponse { service }))
    }

    async fn stop(
        &self,
        request: Request<wire::StopRequest>,
    ) -> Result<Response<wire::StopResponse>, Status> {
        let service = Some(request.into_inner().service).filter(|name| !name.is_empty());
        if let Some(name) = &service {
            self.service(name)?;
        }
        let (done, answer) = oneshot::channel();
        self.roster.order_stop(StopOrder { service, done }).map_err(CallError::from)?;
        let Stopped { summary, summary_json, exit_code } =
            answer.await.map_err(|_| CallError::Unanswered)?;
        let exit_code = exit_code.into();
        Ok(Response::new(wire::StopResponse { summary, summary_json, exit_code }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_that_cannot_be_are_refused() {
        let asked = |min, max, for_ms| {
            let bounds = Some(wire::Bounds { min, max });
            pin(&wire::ScaleRequest { service: String::new(), bounds, for_ms })
        };
        let good = asked(0, 3, 5).expect("it can be").expect("a pin");
        assert_eq!((good.bounds.min, good.bounds.max, good.for_ms), (0, 3, Some(5)));
        assert_eq!(asked(2, 2, 0).expect("it can be").expect("a pin").for_ms, None);
        for (min, max) in [(0, 0), (3, 2), (1, INSTANCES_MAX + 1), (u32::MAX, u32::MAX)] {
            assert!(asked(min, max, 0).is_err(), "{min} to {max}");
        }
        let back = wire::ScaleRequest::default();
        assert!(pin(&back).expect("it can be").is_none());
    }
}
