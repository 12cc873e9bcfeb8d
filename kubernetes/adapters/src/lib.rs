//! Tidegate's numbers for autoscalers of others: external metrics for a HorizontalPodAutoscaler,
//! and the calls of a KEDA `external-push` scaler.
//!
//! The numbers are those by which the controller would set replicas itself, with all that makes a
//! step safe: what is led to activators first may become zero, what nobody is heard of from does
//! not shrink. Who sets the replicas is the other.
//!
//! It must never serve a number that is not in force (then it serves an error, which makes the
//! other leave everything as it is), decide anything, or hold a client of a cluster.
//!
//! Modules in reading order: [`published`] is what is served, [`measure`] which numbers there are;
//! [`selector`] reads label selectors, [`external_metrics`] answers as an extension of the API
//! server, [`front_proxy`] is who may ask there, [`server`] listens; [`external_scaler`] answers
//! KEDA.

pub mod external_metrics;
pub mod external_scaler;
pub mod front_proxy;
pub mod measure;
pub mod published;
pub mod selector;
pub mod server;

pub use published::{NotRecommended, Published, Recommendation, ScalerName};
