//! The controller of Knative's PodAutoscalers of our class: `tidegate-kubernetes knative`.
//!
//! What is decided is decided in `tidegate-kubernetes-podautoscaler`. This observes, asks pods, and
//! carries out. In reading order: [`run`] ties everything together, `watches` observes, `happened`
//! is what is taken in, `scraper` asks pods and Services, `pod_listeners` listens to pods,
//! `statistics_relay` stands between Knative's activators and its autoscaler and listens, `peers`
//! passes on what one of us hears to the others, [`metrics`] counts.

mod happened;
pub mod metrics;
mod peers;
mod pod_listeners;
pub mod run;
mod scraper;
mod statistics_relay;
mod watches;
