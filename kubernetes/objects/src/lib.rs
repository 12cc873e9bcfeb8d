//! What Tidegate adds to a cluster's API: the kinds `TrafficScaler` and `TrafficRollout`, and the
//! names it uses.
//!
//! One object beside a workload and its Service says how the workload is scaled by its requests;
//! another beside a route says how its requests go from one Service to the next. [`DEFINITIONS`]
//! are the texts that `tidegate crd` prints and that a cluster is given; they are generated from
//! the Rust types behind the feature `types`, and a test compares the two.
//!
//! It must never hold a client of a cluster, read a clock, or have a field that does nothing:
//! the API server refuses unknown fields by name.
//!
//! Modules in reading order: [`names`] is the vocabulary that all parts share, [`store`] holds
//! objects as they were last seen, `traffic_scaler` is the one kind, `activator_queue` a part of
//! it, `settings` how its keys become Knative's, `traffic_rollout` the other kind.

#[cfg(feature = "types")]
pub mod activator_queue;
pub mod names;
#[cfg(feature = "types")]
pub mod settings;
pub mod store;
#[cfg(feature = "types")]
pub mod traffic_rollout;
#[cfg(feature = "types")]
pub mod traffic_scaler;

#[cfg(feature = "types")]
pub use traffic_rollout::{TrafficRollout, TrafficRolloutSpec, TrafficRolloutStatus};
#[cfg(feature = "types")]
pub use traffic_scaler::{TrafficScaler, TrafficScalerSpec, TrafficScalerStatus};

/// The CustomResourceDefinition of [`names::KIND`], as YAML.
pub const DEFINITION: &str = include_str!("../trafficscalers.tidegate.dev.yaml");

/// The CustomResourceDefinition of [`names::ROLLOUT_KIND`], as YAML.
pub const ROLLOUT_DEFINITION: &str = include_str!("../trafficrollouts.tidegate.dev.yaml");

/// All definitions, in the order in which they are printed.
pub const DEFINITIONS: [&str; 2] = [DEFINITION, ROLLOUT_DEFINITION];
