//! The simulator in a browser: a trace in, cost against latency out; nothing leaves the machine.
//!
//! The same readers, the same engine and the same pages as `tidegate sim`, compiled to WebAssembly:
//! [`session`] is what a page holds of one trace, [`knobs`] are the settings that its sliders turn,
//! [`question`] is what a page asks, and [`binding`] is the one module that JavaScript sees.
//! `page` (with the feature of that name) puts everything into one file; `cargo xtask browser`
//! runs it.
//!
//! It must never: read a clock, a file or the network; answer anything but what `tidegate sim run`
//! answers for the same trace and settings; hold more than its bounds.

pub mod binding;
pub mod knobs;
#[cfg(feature = "page")]
pub mod page;
pub mod question;
pub mod replay;
pub mod session;

pub use knobs::{KNOBS, Knob};
pub use question::{Problem, Question, ReadingOptions};
pub use session::Session;
