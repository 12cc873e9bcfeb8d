//! The trait that the controller and the simulator call, and its implementations.

mod fixed;
mod keep_alive;
mod knative;
mod seam;

pub use fixed::FixedPolicy;
pub use keep_alive::KeepAlivePolicy;
pub use knative::KnativePolicy;
pub use seam::{NextWake, Policy, TickInput};
