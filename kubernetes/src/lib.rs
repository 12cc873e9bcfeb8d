//! Workloads of a cluster, scaled by their requests, to zero and back.
//!
//! A `TrafficScaler` beside a workload and its Service has the settings; the decision library,
//! which runs in the same process, decides how many; this crate sets the workload's replicas and
//! routes its Service's requests to the activators while there is no replica. It never writes to
//! the workload (but for its scale), to the Service, or to any object that it did not create.
//!
//! It must never set a target to zero while a request to its Service could get no response, decide
//! at the same time as another controller, make a choice outside of [`plan`], or be linked into
//! what runs beside an app: of all packages only this one has a client of a cluster.
//!
//! Modules in reading order: [`world`] is what is known, in a store a kind, [`observe`] how
//! objects become that; [`rival`] is who else scales, [`claim`] whose a target is, [`ports`] which
//! port of the activators is whose, of a [`port_range`], [`listen`] what they do with its
//! connections, [`slices`] what leads to them ([`endpoint_slice`] keeps them by Service), [`mode`]
//! where a target is on its way, [`deletion_cost`] which pods go first; [`mod@plan`] is what is to
//! be done for one scaler, with [`mod@status`] and [`request`]; [`planner`] keeps the plans of all,
//! by an [`index`] of what they depend on; [`rollout`] is the same for the weights of routes;
//! [`dispatch`] is what may begin now, [`reconciler`] all of it as one state, with [`recorder`] and
//! [`settings`]; [`lease`] is who decides, [`extension`] how the cluster comes to ask us for
//! metrics, [`overview`] what a person is told of many. Those are pure: time is an argument.
//! `cluster` sends requests, `watch` observes, `decisions` asks the decision library, `leader`
//! keeps the Lease, [`adapters`] serves other autoscalers, [`run`] ties them together.
//!
//! Beside the controller: [`certificates`] is where certificates are kept and published,
//! [`certificate_keeper`] does it; [`refusals`] is what is told of pods without the sidecar,
//! [`webhook`] puts it into all others; [`token_review`] is whose a reporter's token is;
//! [`knative`] is another controller, for Knative's PodAutoscalers.

pub mod adapters;
pub mod certificate_keeper;
pub mod certificates;
pub mod claim;
mod cluster;
mod decisions;
pub mod deletion_cost;
pub mod dispatch;
pub mod endpoint_slice;
pub mod extension;
pub mod index;
pub mod knative;
mod leader;
pub mod lease;
pub mod listen;
pub mod mode;
pub mod observe;
pub mod overview;
pub mod plan;
pub mod planner;
pub mod port_range;
pub mod ports;
pub mod reconciler;
pub mod recorder;
pub mod refusals;
pub mod request;
pub mod rival;
pub mod rollout;
pub mod run;
pub mod settings;
pub mod slices;
pub mod status;
pub mod token_review;
mod watch;
pub mod webhook;
pub mod world;
