//! What Tidegate adds to a cluster's API: the kind `TrafficScaler`, and the names it uses.
//!
//! One object beside a workload and its Service says how the workload is scaled by its requests.
//! [`DEFINITION`] is the text that `tidegate crd` prints and that a cluster is given; it is
//! generated from the Rust types behind the feature `types`, and a test compares the two.
//!
//! It must never hold a client of a cluster, read a clock, or have a field that does nothing:
//! whoever writes one is told by the cluster that it does not exist.
//!
//! Modules in reading order: [`names`] is the vocabulary that all parts share, `traffic_scaler`
//! the kind, `settings` how its keys become Knative's.

pub mod names;
#[cfg(feature = "types")]
pub mod settings;
#[cfg(feature = "types")]
pub mod traffic_scaler;

#[cfg(feature = "types")]
pub use traffic_scaler::{TrafficScaler, TrafficScalerSpec, TrafficScalerStatus};

/// The CustomResourceDefinition of [`names::KIND`], as YAML.
pub const DEFINITION: &str = include_str!("../trafficscalers.tidegate.dev.yaml");
