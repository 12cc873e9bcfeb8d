//! A front door's credits at one instance.

use core::fmt;

use super::message::{Granted, Orders, Report, Tenure, Yielded};
use crate::invariants::{self, Violation};
use crate::time::Moment;

/// The most credits that one instance may grant to one front door: ten times the highest limit that
/// Knative lets anyone set.
pub const CREDITS_MAX: u32 = 10_000;

/// What is to be said of the requests that wait at a front door.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Demand {
    /// How many they are.
    pub waiting: u32,
    /// When the one arrived that has waited longest.
    pub oldest: Moment,
    /// When the one arrived that came last.
    pub newest: Moment,
}

impl Demand {
    /// Nothing waits.
    pub const NONE: Self = Self { waiting: 0, oldest: Moment::ZERO, newest: Moment::ZERO };
}

/// A credit that goes with a request. It must be [settled](Holder::settle) when that is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Spent {
    /// Which of the streams to the instance it came by.
    stream: u32,
    place: u32,
    number: u64,
}

impl Spent {
    /// The number that the request shows.
    pub const fn number(self) -> u64 {
        self.number
    }
}

/// What a credit is once its request is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Settled {
    /// It can be spent again.
    Kept,
    /// It is used up.
    Gone,
}

/// Orders that no instance may give: the stream is of no use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Disobedience {
    /// More credits than [`CREDITS_MAX`].
    TooMany,
    /// A number that was granted before.
    NotNew,
}

impl fmt::Display for Disobedience {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooMany => write!(f, "more than {CREDITS_MAX} credits were granted"),
            Self::NotNew => f.write_str("a credit was granted twice"),
        }
    }
}

impl core::error::Error for Disobedience {}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Vacant,
    Idle,
    Spent,
}

#[derive(Debug, Clone, Copy)]
struct Entry {
    number: u64,
    /// Requests that it was spent on.
    uses: u32,
    tenure: Tenure,
    state: State,
    /// The instance knows that it is gone: it is not to be returned.
    void: bool,
}

/// The credits of one front door at one instance, for the life of one stream.
///
/// Spending and settling take constant time; obeying takes a step for each credit that is held, for
/// each that is recalled.
#[derive(Debug, Clone)]
pub struct Holder {
    stream: u32,
    entries: Vec<Entry>,
    vacant: Vec<u32>,
    idle: Vec<u32>,
    seen: u64,
    answered: u64,
    returned: Vec<u64>,
    yielded: Vec<Yielded>,
    /// Whether the instance has other front doors.
    shared: bool,
    /// Whether the instance waits for what is to be reported.
    due: bool,
}

impl Holder {
    /// No credits. `stream` is another for each stream to the instance.
    pub const fn new(stream: u32) -> Self {
        Self {
            stream,
            entries: Vec::new(),
            vacant: Vec::new(),
            idle: Vec::new(),
            seen: 0,
            answered: 0,
            returned: Vec::new(),
            yielded: Vec::new(),
            shared: false,
            due: false,
        }
    }

    /// Does what the instance says. An answer is due then.
    ///
    /// # Errors
    ///
    /// When no instance may say so.
    pub fn obey(&mut self, orders: &Orders) -> Result<(), Disobedience> {
        for granted in &orders.granted {
            self.take(*granted)?;
        }
        for number in &orders.recalled {
            self.give_up(*number);
        }
        for number in &orders.voided {
            self.void(*number);
        }
        self.answered = orders.sequence;
        self.shared = orders.shared;
        self.due |= !orders.granted.is_empty() || !orders.recalled.is_empty();
        Ok(())
    }

    /// Takes a credit for a request; `None` if there is none.
    pub fn spend(&mut self) -> Option<Spent> {
        let place = self.idle.pop()?;
        let entry = self.entries.get_mut(place as usize)?;
        entry.state = State::Spent;
        entry.uses = entry.uses.saturating_add(1);
        Some(Spent { stream: self.stream, place, number: entry.number })
    }

    /// The request of a credit is done, or was never sent. A credit of another stream is void.
    pub fn settle(&mut self, spent: Spent) -> Settled {
        if spent.stream != self.stream {
            return Settled::Gone;
        }
        let Some(entry) = self.entries.get_mut(spent.place as usize) else { return Settled::Gone };
        if entry.state != State::Spent || entry.number != spent.number {
            return Settled::Gone;
        }
        if entry.tenure == Tenure::Kept && !entry.void {
            entry.state = State::Idle;
            self.idle.push(spent.place);
            return Settled::Kept;
        }
        if !entry.void {
            // The instance knows it already, unless the request never arrived there.
            self.returned.push(spent.number);
        }
        self.vacate(spent.place);
        Settled::Gone
    }

    /// Credits that can be spent.
    pub fn idle(&self) -> u32 {
        u32::try_from(self.idle.len()).unwrap_or(u32::MAX)
    }

    /// Gives up the credits for one request that no request needs: somebody else waits for them.
    pub fn return_unneeded(&mut self) {
        self.return_idle(|entry| entry.tenure == Tenure::Once);
    }

    /// Gives up every credit that is not spent: no request can be sent.
    pub fn return_all(&mut self) {
        self.return_idle(|_| true);
    }

    /// Whether the instance has other front doors.
    pub const fn is_shared(&self) -> bool {
        self.shared
    }

    /// Whether the instance waits for a report, whatever there is to say of demand.
    pub const fn is_due(&self) -> bool {
        self.due
    }

    /// Whether a report has something to say that can wait.
    pub fn has_news(&self) -> bool {
        self.due || !self.returned.is_empty()
    }

    /// What is to be told to the instance now. It is told once.
    pub fn report(&mut self, demand: Demand) -> Report {
        self.due = false;
        Report {
            answered: self.answered,
            seen: self.seen,
            waiting: demand.waiting,
            oldest: demand.oldest,
            newest: demand.newest,
            returned: core::mem::take(&mut self.returned),
            yielded: core::mem::take(&mut self.yielded),
        }
    }

    /// Checks every invariant. For tests.
    pub fn verify(&self) -> Result<(), Violation> {
        let idle = self.entries.iter().filter(|entry| entry.state == State::Idle).count();
        invariants::counts_agree("idle credits", self.idle.len() as u64, idle as u64)?;
        let vacant = self.entries.iter().filter(|entry| entry.state == State::Vacant).count();
        invariants::counts_agree("vacant entries", self.vacant.len() as u64, vacant as u64)
    }

    fn take(&mut self, granted: Granted) -> Result<(), Disobedience> {
        let live = self.entries.len() - self.vacant.len();
        if granted.count > CREDITS_MAX || live + granted.count as usize > CREDITS_MAX as usize {
            return Err(Disobedience::TooMany);
        }
        if granted.first <= self.seen {
            return Err(Disobedience::NotNew);
        }
        for number in granted.first..granted.first.saturating_add(granted.count.into()) {
            let entry =
                Entry { number, uses: 0, tenure: granted.tenure, state: State::Idle, void: false };
            let place = match self.vacant.pop() {
                Some(place) => {
                    self.entries[place as usize] = entry;
                    place
                }
                None => {
                    self.entries.push(entry);
                    // Their number is bounded by CREDITS_MAX.
                    u32::try_from(self.entries.len() - 1).unwrap_or(u32::MAX)
                }
            };
            self.idle.push(place);
            self.seen = number;
        }
        Ok(())
    }

    /// A credit was recalled. One that is unknown was returned before.
    fn give_up(&mut self, number: u64) {
        let Some(place) = self.place_of(number) else {
            self.returned.push(number);
            return;
        };
        let entry = &mut self.entries[place as usize];
        if entry.state == State::Spent {
            entry.tenure = Tenure::Once;
            self.yielded.push(Yielded { number, uses: entry.uses });
            return;
        }
        self.returned.push(number);
        self.idle.retain(|idle| *idle != place);
        self.vacate(place);
    }

    fn void(&mut self, number: u64) {
        let Some(place) = self.place_of(number) else { return };
        let entry = &mut self.entries[place as usize];
        if entry.state == State::Spent {
            entry.void = true;
            return;
        }
        self.idle.retain(|idle| *idle != place);
        self.vacate(place);
    }

    fn return_idle(&mut self, chosen: impl Fn(&Entry) -> bool) {
        let mut kept = core::mem::take(&mut self.idle);
        kept.retain(|place| {
            let entry = &self.entries[*place as usize];
            let returned = chosen(entry);
            if returned {
                self.returned.push(entry.number);
                self.due = true;
                self.entries[*place as usize].state = State::Vacant;
                self.vacant.push(*place);
            }
            !returned
        });
        self.idle = kept;
    }

    fn place_of(&self, number: u64) -> Option<u32> {
        let found = self
            .entries
            .iter()
            .position(|entry| entry.state != State::Vacant && entry.number == number)?;
        u32::try_from(found).ok()
    }

    fn vacate(&mut self, place: u32) {
        self.entries[place as usize].state = State::Vacant;
        self.vacant.push(place);
    }
}
