//! What a throttler's lock protects of credits: which streams there are, and what passes by them.

use std::sync::Arc;

use tidegate_admission::credits::{Demand, Disobedience, Orders, Report};
use tidegate_admission::{Grant, InstanceId, Limit};
use tidegate_relay::Address;

use super::super::backend::Backend;
use super::super::credit::Pace;
use super::super::roster::Stream;
use super::{Assignment, Deliveries, State};

impl State {
    /// Whether an instance is listed that may grant credits, and that no stream leads to.
    pub(in super::super) fn wants_streams(&self) -> bool {
        self.streams_wanted
    }

    /// Those instances. From here on a stream leads to each, or is to be opened.
    pub(in super::super) fn take_streamless(&mut self) -> Vec<(InstanceId, Arc<Backend>)> {
        self.streams_wanted = false;
        let dispatcher = &self.dispatcher;
        let limited = |id| dispatcher.limit_of(id).is_some_and(|limit| limit != Limit::UNLIMITED);
        let mut streamless = Vec::new();
        for instance in self.roster.iter_mut() {
            let reachable = matches!(instance.backend.upstream.address(), Address::Tcp(_));
            let idle = matches!(instance.stream, Stream::None);
            if idle && instance.listed && reachable && limited(instance.id) {
                instance.stream = Stream::Sought;
                streamless.push((instance.id, Arc::clone(&instance.backend)));
            }
        }
        streamless
    }

    /// Nothing leads to an instance any more, until a request makes it wanted again.
    pub(in super::super) fn end_stream(&mut self, id: InstanceId) {
        if let Some(instance) = self.roster.get_mut(id) {
            instance.stream = Stream::None;
            self.streams_wanted = true;
        }
    }

    /// An instance's stream is open. False if the instance is not listed any more.
    pub(in super::super) fn open_stream(&mut self, id: InstanceId, name: Arc<str>) -> bool {
        let Some(instance) = self.roster.get_mut(id).filter(|instance| instance.listed) else {
            return false;
        };
        instance.stream = Stream::Open(name);
        self.purse.open(&mut self.dispatcher, id);
        true
    }

    /// An instance's stream has ended: its limit alone decides.
    pub(in super::super) fn close_stream(&mut self, id: InstanceId) -> Deliveries {
        if let Some(instance) = self.roster.get_mut(id) {
            instance.stream = Stream::Sought;
        }
        let sent = self.purse.close(&mut self.dispatcher, id);
        self.deliveries(sent)
    }

    /// Does what an instance says.
    pub(in super::super) fn obey(
        &mut self,
        id: InstanceId,
        orders: &Orders,
    ) -> Result<Deliveries, Disobedience> {
        let sent = self.purse.obey(&mut self.dispatcher, id, orders)?;
        Ok(self.deliveries(sent))
    }

    /// What an instance is to be told, if it is to be told something.
    pub(in super::super) fn report(&mut self, id: InstanceId, pace: Pace) -> Option<Report> {
        let demand = self.demand();
        match pace {
            Pace::Prompt => self.purse.report(id, demand),
            Pace::Leisurely => self.purse.late_report(id, demand),
        }
    }

    /// Whether instances are to be told what waits. Gives it once for each change.
    pub(in super::super) fn has_demand_changed(&mut self) -> bool {
        let demand = self.demand();
        self.purse.has_changed(demand)
    }

    /// An instance gets no request for now: what it granted goes back.
    pub(super) fn suspend(&mut self, id: InstanceId) {
        self.dispatcher.drain(id);
        self.purse.suspend(&mut self.dispatcher, id);
    }

    /// Requests are sent now, each with the credit that it takes.
    pub(super) fn deliver_grants(&mut self, grants: impl IntoIterator<Item = Grant>) -> Deliveries {
        let sent = self.purse.with_credits(grants);
        self.deliveries(sent)
    }

    /// The dispatcher chose this instance for a request that did not wait.
    pub(in super::super) fn spend_on(
        &mut self,
        instance: InstanceId,
        order: u64,
    ) -> Option<Assignment> {
        let credit = self.purse.spend(instance);
        self.assignment(instance, order, credit)
    }

    fn demand(&self) -> Demand {
        let oldest = self.dispatcher.oldest();
        let oldest = oldest.and_then(|ticket| self.waiters.get(ticket.place())?.as_ref());
        oldest.map_or(Demand::NONE, |oldest| Demand {
            waiting: self.dispatcher.waiting(),
            oldest: oldest.arrived,
            newest: self.newest,
        })
    }
}
