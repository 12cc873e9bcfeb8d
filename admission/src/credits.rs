//! Credits: one instance's limit, exact behind any number of front doors.
//!
//! An instance has as many places as its limit. It hands them out to front doors as *credits*: who
//! holds one may send the instance one request, which then enters without waiting. So no front door
//! has to guess what the others have sent, and each sees every place that is free.
//!
//! * The [`Grantor`] is the instance's end. What is inside and what is promised is never more than
//!   the limit. A place that comes free goes to the front door whose request has waited longest.
//! * The [`Holder`] is a front door's end of one instance: it spends a credit on each request, and
//!   gives up those that others need more. The [`Purse`] has one for each instance, beside the
//!   [`Dispatcher`](crate::Dispatcher) that chooses among them.
//!
//! A credit that nobody else needs is *kept*: when its request is done it is its holder's again, on
//! both ends, without a word between them. So a front door that is alone sends no message for a
//! request. When others wait, credits are for *one* request, and kept ones are recalled: an idle
//! one comes back at once, one whose request is inside when that is done.
//!
//! Orders to a front door and its reports arrive in the order in which they were sent, or their
//! stream is cut; requests travel apart and may come earlier or later than either. A stream that is
//! cut voids its credits: the grantor counts what is inside all the same, and a request that shows
//! a void credit is one without.

mod grantor;
mod holder;
mod message;
mod purse;

pub use grantor::{ANSWER_DUE, DOORS_MAX, DoorId, Grantor, Occupant};
pub use holder::{CREDITS_MAX, Demand, Disobedience, Holder, Settled, Spent};
pub use message::{Granted, Orders, Report, Tenure, Yielded};
pub use purse::{Purse, Sent};
