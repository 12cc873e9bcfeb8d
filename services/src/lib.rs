//! Several services in one file: what `tidegate up` reads.
//!
//! [`Services::parse`] reads the file, [`Services::parse_knative`] Knative's manifests. Both say
//! what cannot be followed, where it stands, and what would be accepted. [`Difference`] says what
//! has changed between two files, [`routes`] which route leads where, [`schema()`] what editors are
//! told, [`init`] makes a first file of what is found in a folder.
//!
//! ```
//! use tidegate_services::{Lead, Services, routes};
//!
//! let services = Services::parse(
//!     r#"
//!     [service.web]
//!     command = "python3 -m http.server {PORT}"
//!     concurrency = 10
//!     "#,
//! )
//! .expect("it can be followed");
//! assert_eq!(services.services["web"].scale.max, 10);
//! let leads = [("web", Lead::To("web-00001"))].into();
//! assert!(routes(&services, &leads).contains("local/web-00001"));
//! let wrong = Services::parse("[service.web]\ncomand = 'x'").expect_err("a typing error");
//! assert!(wrong[0].to_string().contains("did you mean `command`?"), "{}", wrong[0]);
//! ```
//!
//! It must never read a file, a clock or the environment, start anything, or know which revisions
//! there are: whoever runs the services tells it.
//!
//! Modules in reading order: [`service`] is what a file says, `keys` its keys, `shape` what their
//! values may be, [`file`](mod@file) how it is read, `command`, `quantity`, `queue`
//! and [`env_file`] parts of it,
//! `together` what services say together, [`routing`] where requests go, [`difference`] what has
//! changed, [`schema`](mod@schema) the same for editors; `yaml`, [`knative`] and [`init`] read
//! what others have written.

mod command;
pub mod difference;
pub mod env_file;
pub mod file;
pub mod init;
mod keys;
pub mod knative;
mod quantity;
mod queue;
pub mod routing;
pub mod schema;
pub mod service;
mod shape;
mod together;
mod yaml;

pub use difference::{Common, Difference, Part};
pub use keys::{INSTANCES_MAX, SERVICES_MAX};
pub use knative::Ignored;
pub use routing::{Lead, NAMESPACE, routes};
pub use schema::schema;
pub use service::{
    Abandoned, Build, Concurrency, Entrance, IdleMode, Limits, Protocol, Ready, Rollout, Scale,
    Service, Services, Template,
};
pub use tidegate_admission::{QueueClass, QueueOrder, QueueRules};
pub use tidegate_routes::FileError;
