//! The autoscaler as a service: ingest reports, decide, actuate, explain.
//!
//! Reporters stream their load to it; it keeps each revision's windows, decides, and has instances
//! started and stopped. One task owns all state: it waits for an [`Event`], applies it to the
//! [`State`] without waiting for anything, and carries out the [`Effect`]s. It keeps nothing on
//! disk: a restarted controller gets the history from its reporters.
//!
//! It must never read silence as idleness, let a wire type past its edge, decide outside `State`,
//! kill a process that it did not start, or be required by a request in flight.
//!
//! Modules in reading order: [`identity`] and [`report`] are validated input, with `outcomes`;
//! [`demand`] and [`history`] add it up; [`declaration`] describes a revision; [`event`] lists
//! events and effects; [`state`] and `revision` apply them, with [`instance`], `instances`,
//! `crash_loop_backoff`, `pin`, `kept`, [`journal`], [`cold_start`], [`notice`] and [`status`], and
//! [`overview`] for those who look each second; [`routes`] leads requests between revisions;
//! [`task`] runs them by a [`Clock`], `response_stream` is the output of a stream; [`access`] is
//! access control, [`caller`] who calls, `sharding` who is another controller's, `service` is the
//! gRPC edge, `error` lists why a call is refused or a stream ended and `respond` makes it a
//! status; [`metrics`] counts all of it; [`process`] starts and stops instances on this machine.

pub mod access;
pub mod caller;
mod clock;
pub mod cold_start;
mod crash_loop_backoff;
pub mod declaration;
pub mod demand;
mod error;
pub mod event;
pub mod history;
pub mod identity;
pub mod instance;
mod instances;
pub mod journal;
mod kept;
pub mod metrics;
pub mod notice;
mod outcomes;
pub mod overview;
mod pin;
pub mod process;
pub mod report;
mod respond;
mod response_stream;
mod revision;
pub mod routes;
mod service;
mod sharding;
pub mod state;
pub mod status;
pub mod task;

pub use access::{Access, Addresses};
pub use caller::{Authenticate, Authentication, Caller, TokenRefused};
pub use clock::Clock;
pub use cold_start::ColdStart;
pub use declaration::{
    ActivatorPorts, Custom, CustomPolicy, Declaration, HoldBounds, IdleMode, Launch, Limits,
    PolicyChoice, QueueClass, QueueOrder, QueueRules, Readiness, ServiceMode, TcpPort, Template,
    UserIds,
};
pub use error::Ended;
pub use event::{Effect, Event, StopMode, StreamRefusal};
pub use identity::{InstanceName, RevisionId};
pub use instance::Proof;
pub use kept::{KeptInstance, KeptProcess};
pub use metrics::Metrics;
pub use notice::{Notice, Termination};
pub use pin::{Pin, Pinned};
pub use service::answer::{answer, answer_by};
pub use service::parts::parts;
pub use service::{serve, serve_questions};
pub use state::{State, UndeclaredRevisions};
pub use task::{Actuator, Controller, Handle, NoActuator, controller, counted, of_shard};
pub use tidegate_autoscaler::StartPace;
pub use tidegate_shards::{Shard, ShardError};
