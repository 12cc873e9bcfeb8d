//! What the proxy harnesses share: the processes they compare, the app behind them, the load in
//! front of them, and the figures they read.
//!
//! [`process`] starts peers and reads their cost from `/proc`, [`peers`] knows how each is
//! configured and [`front_doors`] how those are that route, [`app`] is what they proxy to, [`load`]
//! and [`streams`] are the clients, [`turns`] lets peers take turns, [`metrics_page`] reads
//! what a role counts, [`report`] prints, [`soak`] misbehaves.

pub mod app;
pub mod front_doors;
pub mod load;
pub mod metrics_page;
pub mod peers;
pub mod process;
pub mod report;
pub mod soak;
pub mod streams;
pub mod turns;
