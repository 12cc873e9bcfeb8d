//! The decision library: request statistics in, a number of instances and its reason out.
//!
//! Feed a [`RevisionAutoscaler`] one [`Sample`] a second and ask it every two seconds for a
//! [`Decision`]. Configured with [`Improvements::none`] it decides exactly as Knative's KPA does,
//! to the last bit; [`Improvements::all`] is how Tidegate runs it.
//!
//! ```
//! use tidegate_autoscaler::{
//!     Observed, Origin, RevisionAutoscaler, RevisionSettings, Sample, Timestamp,
//! };
//!
//! let start = Timestamp::from_secs(1_700_000_000);
//! let mut autoscaler = RevisionAutoscaler::new(RevisionSettings::default(), start, 1)?;
//! autoscaler.record(start, Origin::Instances, &Sample::of_concurrency(300.0)?);
//! let decision = autoscaler.tick(start.plus_millis(500), Some(Observed::ready(1)), &[]);
//! assert_eq!(decision.desired, 5);
//! println!("{}", decision.explanation);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! What it must never do: read a clock, do I/O, spawn, draw random numbers, panic. Time is an
//! argument, the same inputs give the same outputs on every machine.
//!
//! # Map, in reading order
//!
//! * [`time`], [`sample`], [`spec`], [`observed`]: the vocabulary of everything else.
//! * [`window`]: seconds in rings, and what is asked of them.
//! * [`collector`]: the windows of one revision.
//! * [`signal`]: what a recommendation can be based on besides concurrency and request rate.
//! * [`decision`]: what a decision is made from and what it comes to, as data.
//! * [`decide`]: the rule itself, a pure function from inputs to an explained outcome.
//! * [`explain`]: that explanation, as a value and in sentences.
//! * `service_time`: how long requests take without a queue, as learned while nothing starts.
//! * [`revision`]: collector, rule and memory put together.
//! * [`history`]: an autoscaler made anew from what its reporters kept.
//! * [`policy`]: the trait that every algorithm implements.
//! * [`hpa`]: Kubernetes' own algorithm behind that trait.
//! * [`settings`]: Knative's configuration and annotations, resolved to those types.
//! * [`subset`]: consistent choice of activators and owners.
//! * [`lifecycle`]: from decisions to replicas: bounds, scale to zero, the activator in the path.
//! * [`driver`]: policy, lifecycle and cadence put together: when to decide, and what follows.
//! * [`start_turns`]: how many instances may start at a time, and whose turn it is.
//! * [`scrape`]: a sample of all instances from the responses of some.

pub mod collector;
pub mod decide;
pub mod decision;
pub mod driver;
pub mod explain;
pub mod history;
pub mod hpa;
pub mod lifecycle;
pub mod observed;
mod pauses;
pub mod policy;
pub mod revision;
pub mod sample;
pub mod scrape;
mod service_time;
pub mod settings;
pub mod signal;
pub mod spec;
pub mod start_turns;
pub mod subset;
pub mod time;
pub mod window;

pub use decide::{Decision, Outcome};
pub use driver::Driver;
pub use explain::Explanation;
pub use hpa::{HpaPolicy, HpaSettings};
pub use lifecycle::{Lifecycle, LifecycleSpec};
pub use observed::Observed;
pub use pauses::Outlook;
pub use policy::{FixedPolicy, KeepAlivePolicy, KnativePolicy, NextWake, Policy, TickInput};
pub use revision::{RevisionAutoscaler, RevisionSettings, Status, Steady};
pub use sample::{Origin, Sample};
pub use signal::{Signal, SignalKind};
pub use spec::{Aggregation, DecisionSpec, Improvements, MetricSpec, ScalingMetric};
pub use start_turns::{Lacks, StartPace, StartTurns};
pub use time::Timestamp;

/// Compiles and runs the code of the book's page.
#[cfg(doctest)]
#[doc = include_str!("../../docs/embedding.md")]
struct EmbeddingPage;
