//! The sidecar: enforces container concurrency and reports request statistics.
//!
//! It stands in front of one instance of an app, inside the same pod or on the same machine. It
//! takes Knative's environment variables, ports, headers and probes as they are, so that it can
//! take the place of Knative's own sidecar, and adds settings under the prefix `TIDEGATE_`.
//!
//! It must never decide how many instances there are, hold a Kubernetes client, write a file that
//! nobody asked for, make a request wait for the controller, or lose one on its way down.
//!
//! Modules in reading order:
//!
//! * [`environment`], [`settings`]: what was typed, and what is true; [`identity`]: who we are.
//! * [`process`]: from settings to a running process, and to its end.
//! * [`proxy`]: the data path, from [`dispatch`] (probe or traffic?) through [`gate`] (enter, wait
//!   or be refused; with [`capacity`] a limit that follows latency) to the app; [`respond`] turns
//!   failures into HTTP.
//! * [`probe`]: is the app ready? [`drain`]: how it all ends.
//! * [`statistics`]: how busy it is, for autoscalers; [`observe`] tells everybody else:
//!   [`metrics`], [`request_log`], [`record`], [`trace`], [`otlp`];
//!   [`secrets`] says what of a URL they may write down, [`sink`] keeps slow readers off the data
//!   path.
//! * [`tls`], [`logging`]: as they say.
//!
//! What Knative calls its headers and variables, and how it tells a probe, is `tidegate-knative`'s;
//! how Go reads numbers and fills templates, `tidegate-go-text`'s.

pub mod adaptive_limit;
pub mod dispatch;
pub mod drain;
pub mod environment;
pub mod gate;
pub mod identity;
pub mod logging;
pub mod metrics;
pub mod nonblocking_writer;
pub mod observe;
pub mod otlp;
pub mod probe;
pub mod process;
pub mod proxy;
pub mod record;
pub mod request_log;
pub mod respond;
pub mod secrets;
pub mod settings;
pub mod shutdown_signals;
pub mod statistics;
pub mod tls;
pub mod trace;

pub use process::run;
