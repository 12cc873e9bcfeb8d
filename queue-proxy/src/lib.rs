//! The sidecar: enforces container concurrency and reports request statistics.
//!
//! It stands in front of one instance of an app, inside the same pod or on the same machine. It
//! takes Knative's environment variables, ports, headers and probes as they are, so that it can
//! take the place of Knative's own sidecar, and adds settings under the prefix `TIDEGATE_`.
//!
//! It must never decide how many instances there are, hold a Kubernetes client, write a file that
//! is not configured, make a request wait for the controller, or lose one while it shuts down.
//!
//! Modules in reading order:
//!
//! * [`environment`], [`settings`]: the variables, and the validated settings; [`identity`]: the
//!   names of instance and revision.
//! * [`process`]: from settings to a running process, and to its end.
//! * [`proxy`]: the data path, from [`dispatch`] (probe or traffic?) through [`gate`] (enter, wait
//!   or be refused; with [`adaptive_limit`] a limit that follows latency) to the app, or through
//!   [`overflow`] to an activator; [`error`] is why the sidecar responds itself, [`respond`] how
//!   that becomes HTTP. [`tcp`] is its place for an app without HTTP.
//! * [`front_doors`]: activators that hold credits of the gate, so that its limit is exact behind
//!   any number of them.
//! * [`probe`]: is the app ready? [`drain`]: how the sidecar shuts down.
//! * [`statistics`]: the load, for autoscalers, with what [`tcp_connections`] counts; [`observe`]
//!   publishes single requests to [`metrics`], [`request_log`], [`record`], [`trace`] and
//!   [`otlp`]; [`nonblocking_writer`] keeps slow readers off the data path.
//! * [`tls`]: the main listener's TLS.
//!
//! Knative's names of headers and variables and its rules for probes are in `tidegate-knative`;
//! Go's parsing of numbers and its templates in `tidegate-go-text`; the log of the process, and
//! what of a URL may be written down, in `tidegate-logging`.

pub mod adaptive_limit;
pub mod begin_drain;
pub mod dispatch;
pub mod drain;
pub mod environment;
pub mod error;
pub mod front_doors;
pub mod gate;
pub mod identity;
pub mod metrics;
pub mod nonblocking_writer;
pub mod observe;
pub mod otlp;
pub mod overflow;
pub mod probe;
pub mod process;
pub mod proxy;
pub mod record;
pub mod request_log;
pub mod respond;
pub mod settings;
pub mod statistics;
pub mod tcp;
pub mod tcp_connections;
pub mod tls;
pub mod trace;

pub use begin_drain::begin_drain;
pub use process::run;
