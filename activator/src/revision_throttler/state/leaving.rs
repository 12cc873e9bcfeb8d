//! How requests leave the queue: without their turn, and in which order with it.

use tidegate_admission::{Attributes, Classes, Coming, Moment, Order, Ticket};

use super::{PermitSender, State};

impl State {
    /// A request was given a place in the queue, and there is none for it among those of all
    /// revisions. What is returned must be dropped without the lock.
    pub(in super::super) fn refuse(&mut self, ticket: Ticket) -> Option<PermitSender> {
        self.totals.refused += 1;
        self.leave_queue(ticket)
    }

    /// Leaves the queue, if still in it. What is returned must be dropped without the lock.
    pub(in super::super) fn leave_queue(&mut self, ticket: Ticket) -> Option<PermitSender> {
        if !self.dispatcher.abandon(ticket) {
            return None;
        }
        self.take_waiter(ticket)
    }

    /// Refuses the requests whose time is up: dropping what is returned notifies them.
    pub(in super::super) fn expire(&mut self, now: Moment) -> Vec<PermitSender> {
        let mut expired = Vec::new();
        while let Some(ticket) = self.dispatcher.expire(now) {
            self.totals.refused += 1;
            expired.extend(self.take_waiter(ticket));
        }
        expired
    }

    /// When the next request's time is up; `None` when none waits, and whoever asked for it looks
    /// after none any more.
    pub(in super::super) fn next_deadline(&mut self) -> Option<Moment> {
        let next = self.dispatcher.next_deadline();
        self.is_followed = next.is_some();
        next
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
