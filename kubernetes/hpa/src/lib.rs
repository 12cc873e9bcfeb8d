//! Why a HorizontalPodAutoscaler did or did not scale: its formula, replayed on its status.
//!
//! Kubernetes' own autoscaler writes down what it read and what came of it, but not why. This
//! computes the same steps again from the object alone: each metric's ratio and proposal, the
//! tolerance, the stabilization windows, the scaling policies and the bounds.
//!
//! It must never guess in silence: what the object does not hold (how many pods were ready, what
//! was recommended before, what was scaled a moment ago) is named where it could change the result.
//! It holds no client of a cluster, reads no clock, and changes nothing.
//!
//! Modules in reading order: [`quantity`] reads Kubernetes' numbers, [`object`] is what of an HPA
//! matters, [`metric`] the formula for one metric, [`behavior`] how far one step may go,
//! [`mod@replay`] all of it in order, [`text`] says it in words.

pub mod behavior;
pub mod metric;
pub mod object;
pub mod quantity;
pub mod replay;
pub mod text;

pub use object::{Hpa, ReadError};
pub use replay::{Replay, replay};
