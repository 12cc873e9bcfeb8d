//! What this user's other commands see of the services of this process, and what they order.
//!
//! A [`Roster`] has the services by name: with it come the last lines of their instances, the last
//! events and the last minutes. A [`Socket`] serves it to processes of the same user and to nobody
//! else. An order to stop goes to whoever owns the services.
//!
//! Modules in reading order: [`roster`], [`events`] and [`history`] are what is known, `watching`
//! sends it on as it comes, `wire` puts it into messages, `office` answers calls, [`socket`] admits
//! callers.

mod closing;
pub mod events;
pub mod history;
mod office;
pub mod roster;
pub mod socket;
mod watching;
mod wire;

pub use events::{Event, EventMemory};
pub use roster::{Roster, StopOrder, StopOrders, Stopped};
pub use socket::Socket;
