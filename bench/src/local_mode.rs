//! `tidegate run` from outside: a service that is started, asked, and looked at through `/proc`.
//!
//! Modules in reading order: [`service`] is the process, [`client`] asks it, [`server_timing`] is
//! where its cold starts say that their time went, [`starts`] wants many instances at once,
//! [`frozen`] wakes one again and again.

pub mod client;
pub mod frozen;
pub mod server_timing;
pub mod service;
pub mod starts;
