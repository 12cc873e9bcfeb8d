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
//! * [`service`]: one service: a controller and an activator in this process, and a pair of
//!   processes for each instance.
//! * [`recording`]: every request as the front door saw it, for the simulator.
//! * [`roles`]: the processes beside an app: queue-proxy, launcher, reaper.
//! * [`presence`]: discovery of running services by other programs of the same user.

pub mod environment;
pub mod presence;
pub mod recording;
pub mod roles;
pub mod service;
pub mod settings;

pub use recording::{Recording, RecordingError};
pub use roles::RoleProgram;
pub use service::{Config, Service, StartError, Status, View};
pub use settings::{Settings, SettingsError};

/// Compiles the code of the book's page.
#[cfg(doctest)]
#[doc = include_str!("../../docs/local-mode.md")]
struct LocalModePage;
