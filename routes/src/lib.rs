//! Which revision a request goes to.
//!
//! A [`Table`] is read from a file once and asked for each request. It says to which revision the
//! request goes, by host and path, by header, cookie or tag, and by the shares of the revisions; or
//! how it is answered without any app.
//!
//! ```
//! use http::{HeaderMap, Method};
//! use tidegate_routes::{Outcome, Request, Table};
//!
//! let table = Table::parse(
//!     r#"
//!     [route.shop]
//!     hosts = ["shop.example.com"]
//!     split = { "default/web-v1" = 70, "default/web-v2" = 30 }
//!
//!     [route.robots]
//!     exact = "/robots.txt"
//!     answer = { body = "User-agent: *\nDisallow: /\n" }
//!     "#,
//! )?;
//! let headers = HeaderMap::new();
//! let mut request = Request {
//!     host: Some("shop.example.com"),
//!     target: b"/cart",
//!     headers: &headers,
//!     draw: 0,
//! };
//! let Outcome::Forward(forward) = table.find(&request) else { panic!("it is forwarded") };
//! assert_eq!(table.revision(forward.revision).to_string(), "default/web-v1");
//! request = Request { host: None, target: b"/robots.txt", ..request };
//! assert!(matches!(table.find(&request), Outcome::Answer { .. }));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! What it must never do: read a clock or a file, do I/O, draw random numbers (each request brings
//! its draw), name a revision or an address that the file does not, or make shares whose sum is not
//! the whole.
//!
//! Modules in reading order: [`share`] is shares of the requests, [`visitor`] who stays with a
//! revision, [`host`] and [`path`] how a request is matched, [`answer`] what is answered without an
//! app, [`plan`] one route, [`table`] all of them, [`file`](mod@file) how they are read, with
//! [`section`], which knows what is read and what is not, and [`error`], which says where it
//! stands.

pub mod answer;
pub mod error;
pub mod file;
pub mod host;
pub mod path;
pub mod plan;
pub mod section;
pub mod share;
pub mod table;
pub mod visitor;

pub use answer::{Answer, Redirect};
pub use error::FileError;
pub use file::{FILE_BYTES_MAX, ROLLOUT_KEYS, is_label, renamed, rollout_settings};
pub use plan::{Choice, Revision, RolloutPlan, Route, RouteKind};
pub use share::{Share, ShareError, Split};
pub use table::{Forward, Outcome, Request, Table, Tag};
pub use visitor::Visitor;
