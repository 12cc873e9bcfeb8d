//! Metrics that leave a process by themselves: for a site that nobody can scrape.
//!
//! An exporter reads the registry at its own pace. What rules keep and what has changed becomes a
//! message, in OTLP or in Prometheus' remote write; what cannot be sent waits within bounds, in a
//! folder if there is one, and is sent in order and with its own times when the link is back.
//!
//! It must never delay a request, follow a redirect, print a header, send what no rule keeps, send
//! two messages at a time, or hold more than its bounds in memory or on disk.
//!
//! Modules in reading order: [`settings`] is what there is to choose; [`rules`] with [`pattern`]
//! says which series leave, [`sampler`] which of their values; [`message`] makes messages,
//! [`outbox`] keeps their order and [`folder`] keeps them over a restart; [`headers`] is what they
//! are sent with, [`judgement`] what an answer means; [`exporter`] is the task, `channel` its way
//! to the receiver, [`thread`] where it runs; [`metrics`] is what it counts; [`page`] and
//! [`preview`] say what would leave, and what that would weigh.

mod channel;
pub mod exporter;
pub mod folder;
pub mod headers;
pub mod judgement;
pub mod message;
pub mod metrics;
pub mod outbox;
pub mod page;
pub mod pattern;
pub mod preview;
pub mod rules;
pub mod sampler;
pub mod settings;
pub mod thread;

pub use exporter::{Exporter, FLUSH_TIMEOUT, StartError};
pub use headers::{Headers, HeadersError};
pub use message::Identity;
pub use metrics::Metrics;
pub use rules::Rules;
pub use settings::{Protocol, Settings};
pub use thread::{Running, spawn};
