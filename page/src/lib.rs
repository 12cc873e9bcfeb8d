//! A page in a browser that shows a running controller, live.
//!
//! It looks at the controller once a second, for all browsers, and tells each what it asked for: a
//! page of the table of all revisions, one revision with its decisions, instances and cold starts,
//! or routes and their rollouts. The page itself is three files without a framework, part of the
//! program.
//!
//! It must never: delay a tick (a look copies numbers, and no text); hold more for a browser than
//! one event; answer under a name that is not its own; change anything unless that is switched on;
//! make markup of what comes from outside, here or in the browser.
//!
//! Modules in reading order: [`source`] is whose revisions are shown, a controller's or those of
//! several sites, with an [`answer`] about one; `trail` keeps what was seen, `fleet` searches and
//! sorts it, `sampler` looks; `query` is what is asked for, `told` what is told as JSON, `viewer`
//! one browser, `stream` its events; [`what_if`] is asked what would have been; [`access`] is who
//! may look, `origin` from where; `assets` are the files, [`service`] answers requests.

pub mod access;
pub mod answer;
mod assets;
mod fleet;
mod origin;
mod query;
mod sampler;
pub mod service;
pub mod source;
mod stream;
mod told;
mod trail;
mod viewer;
pub mod what_if;

pub use access::{Access, Anonymous, NoPage};
pub use service::{Orders, Page, Serving, Settings, VIEWERS_MAX};
pub use source::{Id, Source};
pub use what_if::WhatIf;
