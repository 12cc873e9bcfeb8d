//! The routes of a running controller: who asks about them, and what becomes of it.

use std::sync::Arc;

use tidegate_autoscaler::Timestamp;
use tidegate_routes::{Revision, Share, Table};
use tidegate_shards::Shard;
use tokio::sync::{oneshot, watch};

use super::{Handle, Message};
use crate::error::Ended;
use crate::routes::{
    OrderError, RolloutRecord, RouteBook, RouteChange, RouteOrder, RouteStatus, RoutesNews,
};
use crate::state::State;

/// What is asked about routes.
pub(crate) enum RoutesRequest {
    Follow { text: Arc<str>, table: Table, records: Vec<RolloutRecord> },
    Statuses(oneshot::Sender<Vec<RouteStatus>>),
    Order(String, RouteOrder, Answer),
    SetShares(String, Vec<(Revision, Share)>, Answer),
}

type Answer = oneshot::Sender<Result<(), OrderError>>;

/// Leads the shares of routes.
pub(crate) struct Leader {
    book: RouteBook,
    records: watch::Sender<Vec<RolloutRecord>>,
    /// Whether activators have to be told.
    is_news: bool,
}

impl Leader {
    /// Leads the routes of this shard.
    pub(crate) fn new(shard: Shard) -> (Self, watch::Receiver<Vec<RolloutRecord>>) {
        let (records, seen) = watch::channel(Vec::new());
        (Self { book: RouteBook::of(shard), records, is_news: false }, seen)
    }

    /// When [`Leader::observe`] has something to do.
    pub(crate) fn next_due(&self) -> Option<Timestamp> {
        self.book.next_due()
    }

    /// Compares revisions, if that is due.
    pub(crate) fn observe(&mut self, now: Timestamp, state: &State) {
        if self.next_due().is_some_and(|due| due <= now) {
            let changes = self.book.observe(now, |revision| state.outcomes(revision));
            self.changed(&changes);
        }
    }

    /// Does what is asked. Whoever asked may have stopped waiting.
    pub(crate) fn answer(&mut self, now: Timestamp, request: RoutesRequest) {
        match request {
            RoutesRequest::Follow { text, table, records } => {
                self.book.follow(now, (text, table), &records);
                self.is_news = true;
            }
            RoutesRequest::Statuses(answer) => drop(answer.send(self.book.statuses())),
            RoutesRequest::Order(route, order, answer) => {
                let change = self.book.order(now, &route, order);
                let change = change.map(|change| self.changed(change.as_slice()));
                drop(answer.send(change));
            }
            RoutesRequest::SetShares(route, shares, answer) => {
                let change = self.book.set_shares(&route, shares);
                drop(answer.send(change.map(|change| self.changed(&[change]))));
            }
        }
    }

    fn changed(&mut self, changes: &[RouteChange]) {
        for RouteChange { route, what } in changes {
            tracing::info!(route, "{what}");
        }
        self.is_news |= !changes.is_empty();
    }

    /// What activators are to be told, if there is something new.
    pub(crate) fn take_news(&mut self) -> Option<RoutesNews> {
        if !std::mem::take(&mut self.is_news) {
            return None;
        }
        let records = self.book.records();
        self.records.send_if_modified(|known| {
            let is_new = *known != records;
            *known = records;
            is_new
        });
        self.book.news()
    }
}

impl Handle {
    /// Follows this table from now on, which is read from `text`, and leads its rollouts. A rollout
    /// that goes on between the same two revisions stays where it is; one that was under way in
    /// another process goes on where `records` says.
    ///
    /// # Errors
    ///
    /// When the controller has ended.
    pub async fn follow_routes(
        &self,
        text: Arc<str>,
        table: Table,
        records: Vec<RolloutRecord>,
    ) -> Result<(), Ended> {
        self.send(Message::Routes(RoutesRequest::Follow { text, table, records })).await
    }

    /// Every route and how it does.
    ///
    /// # Errors
    ///
    /// When the controller has ended.
    pub async fn routes(&self) -> Result<Vec<RouteStatus>, Ended> {
        let (answer, answered) = oneshot::channel();
        self.send(Message::Routes(RoutesRequest::Statuses(answer))).await?;
        answered.await.map_err(|_| Ended)
    }

    /// Follows what a person wants of the rollout of a route.
    ///
    /// # Errors
    ///
    /// When the controller has ended; within, why the order is not followed.
    pub async fn order_rollout(
        &self,
        route: String,
        order: RouteOrder,
    ) -> Result<Result<(), OrderError>, Ended> {
        let (answer, answered) = oneshot::channel();
        self.send(Message::Routes(RoutesRequest::Order(route, order, answer))).await?;
        answered.await.map_err(|_| Ended)
    }

    /// Divides the requests of a route as a person wants it.
    ///
    /// # Errors
    ///
    /// When the controller has ended; within, why that is not done.
    pub async fn set_shares(
        &self,
        route: String,
        shares: Vec<(Revision, Share)>,
    ) -> Result<Result<(), OrderError>, Ended> {
        let (answer, answered) = oneshot::channel();
        self.send(Message::Routes(RoutesRequest::SetShares(route, shares, answer))).await?;
        answered.await.map_err(|_| Ended)
    }

    /// Where each rollout is, whenever that changes: what [`Handle::follow_routes`] takes after a
    /// restart.
    #[must_use]
    pub fn watch_rollouts(&self) -> watch::Receiver<Vec<RolloutRecord>> {
        self.rollouts.clone()
    }
}
