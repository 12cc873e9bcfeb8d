//! Any command that listens on a port, served on this machine from zero instances to many and
//! back: what `tidegate run` does, without its screen.
//!
//! ```no_run
//! use std::process::ExitCode;
//! use std::time::Duration;
//!
//! use tidegate_local::{Config, RoleProgram, Service, Settings, roles};
//!
//! fn main() -> Result<ExitCode, Box<dyn std::error::Error>> {
//!     // A service starts this very program again, as the queue-proxy beside each instance.
//!     if let Some(code) = roles::play() {
//!         return Ok(code);
//!     }
//!     let runtime = tokio::runtime::Runtime::new()?;
//!     runtime.block_on(async {
//!         let mut settings = Settings::new("web", ["my-server", "--port", "{PORT}"]);
//!         settings.concurrency = 10;
//!         settings.idle = Some(Duration::from_secs(2));
//!         let config = Config::new(settings.declare()?, RoleProgram::Ourselves)?;
//!         let mut service = Service::start(config).await?;
//!         service.wait_until(|status| status.revision.ready > 0).await?;
//!         // Requests to http://{service.address()} …
//!         service.drain(Duration::from_secs(5)).await?;
//!         service.finish().await;
//!         Ok(ExitCode::SUCCESS)
//!     })
//! }
//! ```
//!
//! [`Config::with_routes`] serves several revisions, among which a file of routes divides requests.
//! `examples/scale_to_zero.rs` is a whole program. A test with a `main` of its own
//! (`harness = false`) does the same; one without names a `tidegate` program instead
//! ([`RoleProgram::Other`]).
//!
//! It must never: print (except in a role whose standard error is the app's); decide about scaling
//! or requests itself; leave a process behind.
//!
//! # Map, in reading order
//!
//! * [`settings`]: a service's settings, and the declaration that they make.
//! * [`environment`]: variables that are added to an app's environment.
//! * [`keep`]: what outlives a run that is killed, and who takes it over.
//! * `engine`: a controller and an activator in this process, and the reaper beside it.
//! * [`service`]: one service, with a pair of processes for each instance; `revisions`: what
//!   several of them share.
//! * [`names`]: whose a revision and an instance are, of several services.
//! * [`platform`]: several services, as a file says that may change.
//! * [`pace`]: how many instances this machine starts at a time.
//! * [`recording`]: every request as the front door saw it, for the simulator.
//! * [`roles`]: the processes beside an app: queue-proxy, launcher, reaper.
//! * [`View`] and [`Status`]: how a service does.
//! * [`operate`]: what this user's other commands see of services and order of them, by a socket.
//! * [`presence`]: discovery of running services by other programs of the same user.

mod engine;
pub mod environment;
pub mod keep;
pub mod names;
pub mod operate;
pub mod pace;
pub mod platform;
pub mod presence;
pub mod recording;
mod revisions;
pub mod roles;
pub mod service;
pub mod settings;
mod view;

pub use engine::StartError;
pub use platform::{Platform, PlatformConfig};
pub use recording::{Recording, RecordingError};
pub use roles::RoleProgram;
pub use service::{Config, Service};
pub use settings::{Settings, SettingsError};
pub use tidegate_activator::{Carries, ServerTimingHeader, TlsListen};
pub use tidegate_controller::{IdleMode, StartPace};
pub use tidegate_relay::StreamLimits;
pub use view::{Status, View};

/// Compiles the code of the book's page.
#[cfg(doctest)]
#[doc = include_str!("../../docs/local-mode.md")]
struct LocalModePage;
