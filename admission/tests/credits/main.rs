//! Credits between many front doors and many instances, in a world with a network: messages take
//! time, streams are cut, and requests arrive earlier or later than what was said about them.
//!
//! The world runs the machines of production and nothing else decides. What is counted is counted
//! at the instances, as an app would.

#![allow(clippy::unwrap_used, reason = "a helper of a test may fail like the test itself")]

mod figures;
mod losses;
mod network;
mod world;
