//! What a running controller says of its decisions: asked over gRPC, told as text.
//!
//! Every command that explains uses it, whichever way it reaches the controller.
//!
//! It must never decide anything, print, or look for a controller: whoever calls it says where one
//! is, or hands over a connection.
//!
//! Modules in reading order: [`query`] asks, [`find`](mod@find) knows a revision by what a person
//! wrote, [`text`] tells of decisions, [`route_text`] of routes and [`site_text`] of sites.

pub mod find;
pub mod query;
pub mod route_text;
pub mod site_text;
pub mod text;

pub use find::{FindError, find, full_name};
pub use query::{MissingShard, Past, Query, QueryError};
