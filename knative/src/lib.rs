//! What Knative's parts say to each other, for those of ours that take their place.
//!
//! Its ingress names a revision in two headers, its activator and its autoscaler ask a sidecar
//! whether it is ready, its controller configures the sidecar through the environment. Names, rules
//! and texts of that contract stand here once; the sidecar, the activator and whoever starts a
//! sidecar take them from here.
//!
//! It must never: open, read or wait for anything; decide what becomes of a request; hold a setting
//! of the autoscaler, whose names are `autoscaler::settings`'; or depend on more than `http`.
//!
//! Modules: [`headers`] (names, routing), [`probe`] (who asks what, and what a wrong question is
//! told), [`text`] (what clients are told), [`environment`] (the sidecar's variables).

pub mod environment;
pub mod headers;
pub mod probe;
pub mod text;
