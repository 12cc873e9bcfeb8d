//! The seam for deciders: what the controller and the simulator call, and who can answer.

mod fixed;
mod keep_alive;
mod knative;
mod seam;

pub use fixed::FixedPolicy;
pub use keep_alive::KeepAlivePolicy;
pub use knative::KnativePolicy;
pub use seam::{Policy, TickInput};
