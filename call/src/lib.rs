//! Connections that one end dials and the other asks over.
//!
//! A site that can only call out, such as an edge behind NAT, keeps a connection to a view. It
//! begins with a request to upgrade (RFC 9110, 7.8), which names the site and carries its secret;
//! once the view has switched protocols, the view is the client on that connection, and the site
//! the server.
//!
//! It must never: know what is asked over a connection; tell a stranger whether a name is known;
//! give a name that is in use to another process; hold more connections than it has names, and a
//! bounded number that have not said theirs yet.
//!
//! Modules in reading order: [`site`] is a name, [`greeting`] what is said at first, [`caller`] the
//! end that dials, by a stream that is `noted`, `place` the place of a site that one process has,
//! [`calls`] the end that listens.

pub mod caller;
pub mod calls;
pub mod greeting;
mod noted;
mod place;
pub mod site;

pub use caller::{CallError, Caller};
pub use calls::{Calls, Expected};
pub use site::{SiteName, SiteNameError};
