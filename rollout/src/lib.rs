//! How traffic goes from a stable revision to a new one, step by step, and back when the new one
//! fails.
//!
//! A [`Rollout`] is told what time it is, what became of the requests of both revisions, and what a
//! person orders; it answers with the [`Split`] of the traffic and the reason of each change. It
//! compares the new revision with the stable one at the same time, by a test that may be looked at
//! after every report without finding more by chance: a new revision that is no worse is returned
//! in at most one of a thousand rollouts by each of its two measures.
//!
//! ```
//! use tidegate_rollout::{Gate, Outcomes, Rollout, Settings, Step, Strategy, Weight};
//!
//! let tenth = Weight::from_permille(100)?;
//! let strategy = Strategy::steps(vec![Step { weight: tenth, hold_ms: 60_000 }])?;
//! let (mut rollout, began) = Rollout::begin(Settings { strategy, gate: Gate::default() }, 0);
//! assert_eq!(began.to.new_revision(), tenth);
//!
//! let (mut stable, mut new) = (Outcomes::default(), Outcomes::default());
//! let returned = (0..20).find_map(|second| {
//!     let change = rollout.observe(second * 1_000, &stable, &new);
//!     stable.count(90, 0);
//!     new.count(10, 1);
//!     change
//! });
//! println!("{}", returned.ok_or("one of ten fails")?);
//! assert_eq!(rollout.split().new_revision(), Weight::ZERO);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! What it must never do: read a clock, do I/O, draw random numbers, or make a split whose two
//! weights are not the whole. Time is an argument, in milliseconds since 1970; the same inputs give
//! the same outputs on every machine.
//!
//! Modules in reading order: [`weight`] is shares of the traffic, [`outcomes`] what became of
//! requests, [`strategy`] how fast to go, `comparison` the statistical test, [`health`] what it is
//! asked, [`mod@rollout`] all of it as one state, [`explain`] its words.

mod comparison;
pub mod explain;
pub mod health;
pub mod outcomes;
pub mod rollout;
pub mod strategy;
pub mod weight;

pub use comparison::Counts;
pub use explain::{Progress, Reason};
pub use health::{Finding, Gate, Measure};
pub use outcomes::Outcomes;
pub use rollout::{Change, Checkpoint, Order, Phase, Rollout};
pub use strategy::{Settings, Step, Strategy, StrategyError};
pub use weight::{Split, Weight};
