//! How requests leave the queue: without their turn, and in which order with it.

use tidegate_admission::{Attributes, Classes, Coming, Order, Ticket};
use tokio::sync::oneshot;

use super::{Permit, State};

impl State {
    /// A request was given a place in the queue, and there is none for it among those of all
    /// revisions. What is returned must be dropped without the lock.
    pub(in super::super) fn refuse(&mut self, ticket: Ticket) -> Option<oneshot::Sender<Permit>> {
        self.totals.refused += 1;
        self.leave_queue(ticket)
    }

    /// Leaves the queue, if still in it. What is returned must be dropped without the lock.
    pub(in super::super) fn leave_queue(
        &mut self,
        ticket: Ticket,
    ) -> Option<oneshot::Sender<Permit>> {
        if !self.dispatcher.abandon(ticket) {
            return None;
        }
        self.take_waiter(ticket)
    }

    /// Changes whose turn it is among those that wait, and among those to come.
    pub(in super::super) fn set_order(&mut self, order: Order, classes: Classes) {
        let waiters = &self.waiters;
        let known = |ticket: Ticket| {
            let waiter = waiters.get(ticket.place()).and_then(Option::as_ref);
            waiter.map_or((Attributes::default(), Coming::First), |waiter| {
                (waiter.attributes, waiter.coming)
            })
        };
        self.dispatcher.set_order((order, classes), known);
    }
}
