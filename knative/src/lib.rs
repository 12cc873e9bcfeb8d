//! The contract between Knative's components, for the components of Tidegate that replace them.
//!
//! Knative's ingress names a revision in two headers, its activator and its autoscaler probe a
//! sidecar for readiness, its controller configures the sidecar through the environment. The names,
//! rules and texts of that contract are defined here once; the sidecar, the activator and every
//! program that starts a sidecar use them from here.
//!
//! It must never: open, read or wait for anything; decide how a request is handled; hold a setting
//! of the autoscaler, whose names are `autoscaler::settings`'; or depend on more than `http`.
//!
//! Modules in reading order: [`headers`] (names, routing), [`probe`] (which requests are probes,
//! and of what), [`text`] (error texts for clients), [`environment`] (the sidecar's variables).

pub mod environment;
pub mod headers;
pub mod probe;
pub mod text;
