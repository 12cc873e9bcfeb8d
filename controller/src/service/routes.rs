//! `RouteService`: where routes lead, and orders for their rollouts.

use tidegate_proto::routes::v1 as wire;
use tidegate_proto::routes::v1::route_service_server::RouteService;
use tidegate_rollout::Phase;
use tidegate_routes::{Revision, Share};
use tonic::{Request, Response, Status};

use crate::caller::Caller;
use crate::error::CallError;
use crate::routes::{RolloutStatus, RouteOrder, RouteStatus};
use crate::task::Handle;

/// Serves `RouteService`.
pub(crate) struct RouteOffice {
    handle: Handle,
}

impl RouteOffice {
    pub(crate) fn new(handle: Handle) -> Self {
        Self { handle }
    }

    /// How a route does now.
    async fn status(&self, route: &str) -> Result<Option<wire::RouteStatus>, Status> {
        let all = self.handle.routes().await.map_err(CallError::from)?;
        Ok(all.iter().find(|status| status.route.name == route).map(told))
    }
}

#[tonic::async_trait]
impl RouteService for RouteOffice {
    async fn list_routes(
        &self,
        _request: Request<wire::ListRoutesRequest>,
    ) -> Result<Response<wire::ListRoutesResponse>, Status> {
        let all = self.handle.routes().await.map_err(CallError::from)?;
        Ok(Response::new(wire::ListRoutesResponse { routes: all.iter().map(told).collect() }))
    }

    async fn order_rollout(
        &self,
        request: Request<wire::OrderRolloutRequest>,
    ) -> Result<Response<wire::OrderRolloutResponse>, Status> {
        may_order(&request)?;
        let request = request.into_inner();
        let order = match request.order() {
            wire::RolloutOrder::Pause => RouteOrder::Pause,
            wire::RolloutOrder::Resume => RouteOrder::Resume,
            wire::RolloutOrder::Promote => RouteOrder::Promote,
            wire::RolloutOrder::Abort => RouteOrder::Abort,
            wire::RolloutOrder::Restart => RouteOrder::Restart,
            wire::RolloutOrder::Unspecified => return Err(CallError::UnknownOrder.into()),
        };
        let done = self.handle.order_rollout(request.route.clone(), order).await;
        done.map_err(CallError::from)?.map_err(CallError::from)?;
        let route = self.status(&request.route).await?;
        Ok(Response::new(wire::OrderRolloutResponse { route }))
    }

    async fn set_shares(
        &self,
        request: Request<wire::SetSharesRequest>,
    ) -> Result<Response<wire::SetSharesResponse>, Status> {
        may_order(&request)?;
        let wire::SetSharesRequest { route, shares } = request.into_inner();
        let read = |given: wire::RevisionShare| {
            let wire::RevisionShare { namespace, name, millionths } = given;
            let share = Share::from_millionths(millionths.into());
            share.map(|share| (Revision { namespace, name }, share))
        };
        let shares: Result<Vec<_>, _> = shares.into_iter().map(read).collect();
        let shares =
            shares.map_err(|error| CallError::from(crate::routes::OrderError::from(error)))?;
        let done = self.handle.set_shares(route.clone(), shares).await;
        done.map_err(CallError::from)?.map_err(CallError::from)?;
        Ok(Response::new(wire::SetSharesResponse { route: self.status(&route).await? }))
    }
}

/// Whether who calls may change something. Where nothing is required everybody may.
fn may_order<T>(request: &Request<T>) -> Result<(), CallError> {
    let caller = request.extensions().get::<Caller>().unwrap_or(&Caller::Trusted);
    Ok(caller.may_order()?)
}

fn told(status: &RouteStatus) -> wire::RouteStatus {
    let RouteStatus { route, shares, rollout, led_by } = status;
    let share = |(revision, share): &(Revision, Share)| wire::RevisionShare {
        namespace: revision.namespace.clone(),
        name: revision.name.clone(),
        millionths: share.millionths(),
    };
    wire::RouteStatus {
        name: route.name.clone(),
        hosts: status.hosts(),
        path: status.path(),
        answer: status.answer(),
        shares: shares.iter().map(share).collect(),
        rollout: rollout.as_ref().map(rollout_told),
        led_by_shard: led_by.map_or(0, |shard| shard.number().get().into()),
    }
}

fn rollout_told(status: &RolloutStatus) -> wire::RolloutStatus {
    let phase = match status.phase {
        None => wire::RolloutPhase::Waiting,
        Some(Phase::Progressing) => wire::RolloutPhase::Progressing,
        Some(Phase::Paused) => wire::RolloutPhase::Paused,
        Some(Phase::Promoted) => wire::RolloutPhase::Promoted,
        Some(Phase::Returned) => wire::RolloutPhase::Returned,
        Some(Phase::Aborted) => wire::RolloutPhase::Aborted,
    };
    let (at, what) = match &status.last_change {
        Some((at, what)) => (at.as_millis(), what.clone()),
        None => (0, String::new()),
    };
    wire::RolloutStatus {
        phase: phase.into(),
        new_permille: status.new_permille.into(),
        progress: status.progress.clone(),
        last_change: what,
        last_change_unix_ms: at,
    }
}
