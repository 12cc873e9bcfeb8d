//! A front door's credits at all instances of a revision, beside its dispatcher.

use super::holder::{Demand, Disobedience, Holder, Settled, Spent};
use super::message::{Orders, Report};
use crate::dispatcher::{Dispatcher, Grant, InstanceId};
use crate::invariants::{self, Violation};

/// A request that waited is sent, with a credit where its instance grants some.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sent {
    /// The ticket that waited, and the instance.
    pub grant: Grant,
    /// What goes with the request.
    pub credit: Option<Spent>,
}

#[derive(Debug, Clone)]
struct Account {
    instance: InstanceId,
    holder: Holder,
    /// What the instance was last told of the requests that wait.
    told: Demand,
}

/// The credits of one front door for one revision. Instances without an account are sent requests
/// as their limits allow.
#[derive(Debug, Clone)]
pub struct Purse {
    /// By slot of the dispatcher.
    accounts: Vec<Option<Account>>,
    /// What all instances were last to be told.
    announced: Demand,
    /// Streams that were opened so far.
    streams: u32,
}

impl Default for Purse {
    fn default() -> Self {
        Self::new()
    }
}

impl Purse {
    /// Without accounts. Allocates nothing until there is one.
    pub const fn new() -> Self {
        Self { accounts: Vec::new(), announced: Demand::NONE, streams: 0 }
    }

    /// An instance's stream is open: from here on it is sent requests with credits only.
    pub fn open(&mut self, dispatcher: &mut Dispatcher, instance: InstanceId) {
        if self.accounts.len() <= instance.slot() {
            self.accounts.resize_with(instance.slot() + 1, || None);
        }
        self.streams = self.streams.wrapping_add(1);
        let account = Account { instance, holder: Holder::new(self.streams), told: Demand::NONE };
        self.accounts[instance.slot()] = Some(account);
        let sent = dispatcher.set_credits(instance, Some(0));
        debug_assert!(sent.is_empty(), "less room calls nobody");
    }

    /// An instance's stream has ended: its credits are void, and its limit alone decides. Gives the
    /// requests that are sent now.
    #[must_use = "what is returned must be sent"]
    pub fn close(&mut self, dispatcher: &mut Dispatcher, instance: InstanceId) -> Vec<Sent> {
        if self.account_mut(instance).is_none() {
            return Vec::new();
        }
        self.accounts[instance.slot()] = None;
        let grants = dispatcher.set_credits(instance, None);
        self.with_credits(grants)
    }

    /// Does what an instance says. Gives the requests that are sent now.
    ///
    /// # Errors
    ///
    /// When no instance may say so: its stream is to be ended.
    pub fn obey(
        &mut self,
        dispatcher: &mut Dispatcher,
        instance: InstanceId,
        orders: &Orders,
    ) -> Result<Vec<Sent>, Disobedience> {
        let Some(account) = self.account_mut(instance) else { return Ok(Vec::new()) };
        account.holder.obey(orders)?;
        let idle = account.holder.idle();
        let grants = dispatcher.set_credits(instance, Some(idle));
        let sent = self.with_credits(grants);
        self.tidy(dispatcher, instance);
        Ok(sent)
    }

    /// The credit that goes with a request to this instance, which the dispatcher chose.
    pub fn spend(&mut self, instance: InstanceId) -> Option<Spent> {
        self.account_mut(instance)?.holder.spend()
    }

    /// A request is done with its instance, or was never sent. Gives the requests that are sent
    /// now.
    #[must_use = "what is returned must be sent"]
    pub fn depart(
        &mut self,
        dispatcher: &mut Dispatcher,
        instance: InstanceId,
        credit: Option<Spent>,
    ) -> Vec<Sent> {
        let next = dispatcher.depart(instance);
        let mut sent = self.with_credits(next);
        if let Some(spent) = credit
            && let Some(account) = self.account_mut(instance)
            && account.holder.settle(spent) == Settled::Kept
        {
            let idle = account.holder.idle();
            let grants = dispatcher.set_credits(instance, Some(idle));
            sent.extend(self.with_credits(grants));
            if !dispatcher.is_ready(instance) {
                self.tidy(dispatcher, instance);
            }
        }
        sent
    }

    /// An instance can be sent no requests: what it granted goes back.
    pub fn suspend(&mut self, dispatcher: &mut Dispatcher, instance: InstanceId) {
        self.tidy(dispatcher, instance);
    }

    /// Whether what waits has changed so that instances are to be told: some wait or none does,
    /// another has waited longest, or they are twice as many. Gives it once for each change.
    pub fn has_changed(&mut self, demand: Demand) -> bool {
        let changed =
            is_other_number(self.announced, demand) || is_other_order(self.announced, demand);
        if changed {
            self.announced = demand;
        }
        changed
    }

    /// What an instance is to be told now; `None` if nothing. Who has waited longest matters only
    /// to one that has other front doors.
    pub fn report(&mut self, instance: InstanceId, demand: Demand) -> Option<Report> {
        let account = self.account_mut(instance)?;
        let (told, holder) = (account.told, &account.holder);
        let news = is_other_number(told, demand)
            || holder.is_shared() && is_other_order(told, demand)
            || holder.is_due();
        news.then(|| account.report(demand))
    }

    /// What an instance is to be told before long; `None` if nothing.
    pub fn late_report(&mut self, instance: InstanceId, demand: Demand) -> Option<Report> {
        let news = self.has_news(instance, demand);
        news.then(|| self.account_mut(instance).map(|account| account.report(demand)))?
    }

    /// Whether an instance is to be told something before long.
    pub fn has_news(&self, instance: InstanceId, demand: Demand) -> bool {
        self.account(instance).is_some_and(|account| {
            account.holder.has_news() || account.told.waiting != demand.waiting
        })
    }

    /// Accounts that are open.
    pub fn accounts(&self) -> usize {
        self.accounts.iter().flatten().count()
    }

    /// Credits that can be spent, at all instances.
    pub fn idle(&self) -> u64 {
        self.accounts.iter().flatten().map(|account| u64::from(account.holder.idle())).sum()
    }

    /// Checks every invariant. For tests.
    pub fn verify(&self, dispatcher: &Dispatcher) -> Result<(), Violation> {
        for account in self.accounts.iter().flatten() {
            account.holder.verify()?;
            if let Some(known) = dispatcher.credits_of(account.instance) {
                let idle = account.holder.idle();
                invariants::counts_agree("credits of an instance", known.into(), idle.into())?;
            }
        }
        Ok(())
    }

    fn account(&self, instance: InstanceId) -> Option<&Account> {
        self.accounts.get(instance.slot())?.as_ref().filter(|known| known.instance == instance)
    }

    fn account_mut(&mut self, instance: InstanceId) -> Option<&mut Account> {
        self.accounts.get_mut(instance.slot())?.as_mut().filter(|known| known.instance == instance)
    }

    /// Requests that the dispatcher sends now, each with the credit that it takes.
    #[must_use = "what is returned must be sent"]
    pub fn with_credits(&mut self, grants: impl IntoIterator<Item = Grant>) -> Vec<Sent> {
        let sent = |grant: Grant| Sent { grant, credit: self.spend(grant.instance) };
        grants.into_iter().map(sent).collect()
    }

    /// Gives up what no request can or need be sent with.
    fn tidy(&mut self, dispatcher: &mut Dispatcher, instance: InstanceId) {
        let ready = dispatcher.is_ready(instance);
        let Some(account) = self.account_mut(instance) else { return };
        if ready {
            account.holder.return_unneeded();
        } else {
            account.holder.return_all();
        }
        let sent = dispatcher.set_credits(instance, Some(account.holder.idle()));
        debug_assert!(sent.is_empty(), "less room calls nobody");
    }
}

impl Account {
    fn report(&mut self, demand: Demand) -> Report {
        self.told = demand;
        self.holder.report(demand)
    }
}

/// Whether requests begin to wait, none waits any more, or twice as many do.
const fn is_other_number(told: Demand, now: Demand) -> bool {
    let (told, now) = (told.waiting, now.waiting);
    (told == 0) != (now == 0) || now / 2 >= told && now > told
}

/// Whether another request has waited longest.
fn is_other_order(told: Demand, now: Demand) -> bool {
    now.waiting > 0 && told.oldest != now.oldest
}
