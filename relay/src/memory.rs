//! What all connections of this process may hold in memory together.
//!
//! A bound per item does not bound their sum: a head of 1 MiB is fine, 2,500 of them at a time are
//! not. So everything that a peer can make the process keep is charged here: buffers that grew,
//! heads (as parsed and as written again), windows that were opened, send buffers. The budget is
//! one for the process, as its memory is, and each HTTP/2 connection may use a share of it at most.
//! When it is used up, new work is refused; admitted work goes on.
//!
//! A `Charge` is a guard: its drop gives back. Threads reserve in steps of `STEP_BYTES`, so
//! that a request in the ordinary case touches nothing that threads share.

mod attached;
mod cgroup;
mod quantity;

use std::cell::Cell;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

pub(crate) use attached::attach;
pub use cgroup::limit_bytes;
pub use quantity::{BadQuantity, ByteCount};

/// Bytes that a thread reserves at a time, and keeps reserved while unused.
const STEP_BYTES: usize = 128 << 10;

/// The smallest budget, in bytes: two heads of the largest size, and some room for other requests.
pub const BUDGET_BYTES_MIN: usize = 16 << 20;

/// One connection may use this part of the budget.
const CONNECTION_SHARE: usize = 4;

/// The smallest share of a connection, in bytes: one head of the largest size, as received, parsed
/// and written again.
const CONNECTION_BYTES_MIN: usize = 8 << 20;

/// A budget derived from a memory limit is this part of it: the rest is for code, stacks, the
/// allocator's own needs, and metrics.
const LIMIT_PART: u64 = 4;

static PROCESS: Budget = Budget::new(usize::MAX);

struct Budget {
    limit: AtomicUsize,
    reserved: AtomicUsize,
    refusals: AtomicU64,
}

/// The use of this process's memory budget.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Usage {
    /// The budget, in bytes.
    pub budget_bytes: usize,
    /// What is charged to it, in bytes, up to a step for each thread.
    pub charged_bytes: usize,
    /// How often work was refused because the budget was used up.
    pub refusals: u64,
}

/// Sets the budget of this process, in bytes; at least [`BUDGET_BYTES_MIN`]. A process that never
/// calls it has no budget: everything is counted and nothing refused.
pub fn set_budget(bytes: usize) {
    PROCESS.limit.store(bytes.max(BUDGET_BYTES_MIN), Ordering::Relaxed);
}

/// The use of this process's memory budget.
pub fn usage() -> Usage {
    Usage {
        budget_bytes: PROCESS.limit.load(Ordering::Relaxed),
        charged_bytes: PROCESS.reserved.load(Ordering::Relaxed),
        refusals: PROCESS.refusals.load(Ordering::Relaxed),
    }
}

/// The default budget, in bytes: a quarter of the process's memory limit, and `most_bytes` where
/// there is no limit, or a large one.
pub fn default_budget(limit_bytes: Option<u64>, most_bytes: usize) -> usize {
    let part = limit_bytes
        .map_or(most_bytes, |limit| usize::try_from(limit / LIMIT_PART).unwrap_or(usize::MAX));
    part.clamp(BUDGET_BYTES_MIN, most_bytes.max(BUDGET_BYTES_MIN))
}

/// Bytes that one field of a parsed head takes beside its text: its entry in the map, which grows
/// by doubling, and the allocation of its name.
const FIELD_BYTES: usize = 192;

/// Bytes that a head takes, parsed and written again, by its number of fields and its bytes of
/// text.
pub(crate) fn head_bytes(fields: usize, text_bytes: usize) -> usize {
    fields * FIELD_BYTES + 2 * text_bytes
}

/// Bytes that a set of fields takes, parsed and written again.
pub(crate) fn fields_bytes(fields: &http::HeaderMap) -> usize {
    let text = |(name, value): (&http::HeaderName, &http::HeaderValue)| {
        name.as_str().len() + value.len() + b": \r\n".len()
    };
    head_bytes(fields.len(), fields.iter().map(text).sum())
}

/// A head that takes fewer bytes than this is not charged, because its connection's buffers cover
/// it: some 24 fields of the usual length.
const ORDINARY_HEAD_BYTES: usize = 8 * 1024;

/// The budget or the connection's share of it is used up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct OverBudget;

/// Counts work that was refused for lack of memory.
pub(crate) fn count_refusal() {
    PROCESS.refusals.fetch_add(1, Ordering::Relaxed);
}

/// Whether less than half of the budget is charged, so that memory may be spent on speed alone.
pub(crate) fn is_ample() -> bool {
    PROCESS.reserved.load(Ordering::Relaxed) < PROCESS.limit.load(Ordering::Relaxed) / 2
}

/// Whether all of the budget is charged.
fn is_used_up() -> bool {
    PROCESS.reserved.load(Ordering::Relaxed) >= PROCESS.limit.load(Ordering::Relaxed)
}

impl Budget {
    const fn new(limit: usize) -> Budget {
        Budget {
            limit: AtomicUsize::new(limit),
            reserved: AtomicUsize::new(0),
            refusals: AtomicU64::new(0),
        }
    }

    fn reserve(&self, bytes: usize) -> Result<(), OverBudget> {
        // Add first, then check: two threads can then never both take the last bytes. One of them
        // may be refused although the other gives up as well, which errs on the side of the limit.
        let before = self.reserved.fetch_add(bytes, Ordering::Relaxed);
        if before.saturating_add(bytes) > self.limit.load(Ordering::Relaxed) {
            self.reserved.fetch_sub(bytes, Ordering::Relaxed);
            return Err(OverBudget);
        }
        Ok(())
    }

    fn give_back(&self, bytes: usize) {
        self.reserved.fetch_sub(bytes, Ordering::Relaxed);
    }
}

/// Bytes that this thread has reserved and does not use.
struct Slack(Cell<usize>);

thread_local! {
    static SLACK: Slack = const { Slack(Cell::new(0)) };
}

impl Drop for Slack {
    fn drop(&mut self) {
        PROCESS.give_back(self.0.get());
    }
}

fn reserve(bytes: usize) -> Result<(), OverBudget> {
    let reserved = SLACK.try_with(|slack| {
        let have = slack.0.get();
        if let Some(left) = have.checked_sub(bytes) {
            slack.0.set(left);
            return Ok(());
        }
        let missing = bytes - have;
        // Reserve one step more than is needed, so that the next charges stay on this thread.
        if PROCESS.reserve(missing + STEP_BYTES).is_ok() {
            slack.0.set(STEP_BYTES);
            return Ok(());
        }
        // There is no room for a whole step. What is needed now may still fit.
        PROCESS.reserve(missing)?;
        slack.0.set(0);
        Ok(())
    });
    // A thread that is about to end has no reserve any more.
    reserved.unwrap_or_else(|_| PROCESS.reserve(bytes))
}

fn give_back(bytes: usize) {
    let kept = SLACK.try_with(|slack| {
        let have = slack.0.get() + bytes;
        // Two steps apart, so that a charge that is taken and given back in turns does not reach
        // the shared counter each time.
        if have > 2 * STEP_BYTES {
            PROCESS.give_back(have - STEP_BYTES);
            slack.0.set(STEP_BYTES);
        } else {
            slack.0.set(have);
        }
    });
    if kept.is_err() {
        PROCESS.give_back(bytes);
    }
}

/// The bytes that one HTTP/2 connection holds, all of its streams together. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub(crate) struct Account {
    held: Arc<AtomicUsize>,
}

impl Account {
    /// Whether the connection may hold this many more bytes.
    fn take(&self, bytes: usize) -> Result<(), OverBudget> {
        let budget = PROCESS.limit.load(Ordering::Relaxed);
        let share = (budget / CONNECTION_SHARE).max(CONNECTION_BYTES_MIN);
        let before = self.held.fetch_add(bytes, Ordering::Relaxed);
        if before.saturating_add(bytes) > share {
            self.held.fetch_sub(bytes, Ordering::Relaxed);
            return Err(OverBudget);
        }
        Ok(())
    }
}

/// Memory that is charged until this is dropped.
#[derive(Debug, Default)]
pub(crate) struct Charge {
    bytes: usize,
    account: Option<Account>,
}

impl Charge {
    /// An empty charge, on the account of a connection that many share.
    pub(crate) fn on(account: &Account) -> Charge {
        Charge { bytes: 0, account: Some(account.clone()) }
    }

    /// Bytes charged.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Charges this many more bytes.
    ///
    /// # Errors
    ///
    /// When there is no room for it; what was charged before stays charged.
    pub(crate) fn add(&mut self, bytes: usize) -> Result<(), OverBudget> {
        if let Some(account) = &self.account {
            account.take(bytes)?;
        }
        if reserve(bytes).is_err() {
            if let Some(account) = &self.account {
                account.held.fetch_sub(bytes, Ordering::Relaxed);
            }
            return Err(OverBudget);
        }
        self.bytes += bytes;
        Ok(())
    }

    /// Charges what a request's head of `bytes` takes beyond an ordinary one. While the
    /// budget is used up, no head is admitted at all.
    ///
    /// # Errors
    ///
    /// As [`Charge::add`].
    pub(crate) fn admit_head(&mut self, bytes: usize) -> Result<(), OverBudget> {
        match bytes.checked_sub(ORDINARY_HEAD_BYTES) {
            Some(more) => self.add(more),
            None if is_used_up() => Err(OverBudget),
            None => Ok(()),
        }
    }

    /// Charges until the sum is `bytes`, if it is less.
    ///
    /// # Errors
    ///
    /// As [`Charge::add`].
    pub(crate) fn raise_to(&mut self, bytes: usize) -> Result<(), OverBudget> {
        match bytes.checked_sub(self.bytes) {
            None | Some(0) => Ok(()),
            Some(more) => self.add(more),
        }
    }

    /// Charges until the sum is `bytes`, even beyond the budget: for the small buffers without
    /// which admitted work could not end.
    pub(crate) fn force_to(&mut self, bytes: usize) {
        let Some(more) = bytes.checked_sub(self.bytes).filter(|more| *more > 0) else { return };
        if reserve(more).is_err() {
            PROCESS.reserved.fetch_add(more, Ordering::Relaxed);
        }
        if let Some(account) = &self.account {
            account.held.fetch_add(more, Ordering::Relaxed);
        }
        self.bytes = bytes;
    }

    /// Gives back until the sum is `bytes`, if it is more.
    pub(crate) fn lower_to(&mut self, bytes: usize) {
        let Some(less) = self.bytes.checked_sub(bytes).filter(|less| *less > 0) else { return };
        self.bytes = bytes;
        if let Some(account) = &self.account {
            account.held.fetch_sub(less, Ordering::Relaxed);
        }
        give_back(less);
    }
}

/// Memory for the sake of a client that has not asked for anything yet, such as a handshake's,
/// charged until this is dropped.
#[derive(Debug)]
pub struct Reservation {
    _charge: Charge,
}

impl Reservation {
    /// Charges `bytes`, unless more than half of the budget is used: clients that have not asked
    /// yet leave the rest to those that have. A refusal is counted.
    #[must_use]
    pub fn take(bytes: usize) -> Option<Reservation> {
        let mut charge = Charge::default();
        if is_ample() && charge.add(bytes).is_ok() {
            return Some(Reservation { _charge: charge });
        }
        count_refusal();
        None
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        self.lower_to(0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refused_reservation_leaves_the_budget_unchanged() {
        let budget = Budget::new(100);
        assert_eq!(budget.reserve(60), Ok(()));
        assert_eq!(budget.reserve(41), Err(OverBudget));
        assert_eq!(budget.reserve(40), Ok(()));
        budget.give_back(100);
        assert_eq!(budget.reserved.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn a_connection_gets_its_share_and_no_more() {
        let account = Account { held: Arc::default() };
        let share = (usize::MAX / CONNECTION_SHARE).max(CONNECTION_BYTES_MIN);
        assert_eq!(account.take(share), Ok(()));
        assert_eq!(account.take(1), Err(OverBudget));
    }

    #[test]
    fn a_charge_gives_back_what_it_holds() {
        let account = Account::default();
        let mut charge = Charge::on(&account);
        charge.add(1000).unwrap();
        charge.raise_to(5000).unwrap();
        charge.raise_to(10).unwrap();
        charge.force_to(6000);
        assert_eq!(account.held.load(Ordering::Relaxed), 6000);
        charge.lower_to(2000);
        assert_eq!(account.held.load(Ordering::Relaxed), 2000);
        drop(charge);
        assert_eq!(account.held.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn the_default_is_a_quarter_of_the_limit_within_bounds() {
        let most = 48 << 20;
        assert_eq!(default_budget(None, most), most);
        assert_eq!(default_budget(Some(128 << 20), most), 32 << 20);
        assert_eq!(default_budget(Some(10 << 30), most), most);
        assert_eq!(default_budget(Some(1 << 20), most), BUDGET_BYTES_MIN);
    }
}
