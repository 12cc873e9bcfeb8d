//! Knative's PodAutoscalers of Tidegate's class: what is seen of them, and what is to be done.
//!
//! A revision whose class is [`names::CLASS`] is scaled here instead of by Knative's autoscaler:
//! its Deployment's replicas, its ServerlessService's mode and number of activators, its Metric and
//! its PodAutoscaler's status become what Knative's own class would make of them, by the decisions
//! of `tidegate-autoscaler`. What it is decided from is what Knative's activators report, and what
//! its pods' sidecars say when they are scraped.
//!
//! It must never open a connection, read a clock or draw a random number, set a revision to zero
//! that no activator was found in the path of, or touch a PodAutoscaler of another class.
//!
//! Modules in reading order: [`names`] is the vocabulary, [`object`] what is read of objects, with
//! [`condition`]; [`settings`] is how a revision is scaled; [`listener`] and [`statistics`] are
//! what activators and sidecars say; [`revision`] is one revision, [`reconciler`] all of them, with
//! `pods` and `agenda`; `wanted` is what follows from it, [`effect`] what is to be carried out,
//! [`request`] what is sent to the API server.

mod agenda;
pub mod condition;
pub mod effect;
pub mod listener;
pub mod names;
pub mod object;
mod pods;
pub mod reconciler;
pub mod request;
pub mod revision;
pub mod settings;
pub mod statistics;
mod wanted;
