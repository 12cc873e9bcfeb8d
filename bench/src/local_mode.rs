//! `tidegate run` from outside: a service that is started, asked, and looked at through `/proc`.
//!
//! Modules in reading order: [`service`] is the process, [`client`] asks it.

pub mod client;
pub mod service;
