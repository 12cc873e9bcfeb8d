//! The metrics of a process: one registry that every exporter reads.
//!
//! A crate of the project declares each metric once, as a [`Metric`], and creates handles of it at
//! its start; from then on an event costs an atomic addition. The [`Registry`] keeps the values,
//! and [`Registry::gather`] gives them to exporters: [`page`] writes Prometheus' text format, and
//! the sidecar's OTLP push reads the same families. The handles are those of the `metrics` facade,
//! so an embedder may hand in a recorder of its own instead.
//!
//! It must never open a connection, block the caller, grow without bound, or depend on the meaning
//! of a metric.
//!
//! Modules in reading order: [`metric`] declares; [`registry`] keeps, with `histogram` for
//! distributions; [`family`] is what it gathers; [`page`] is Prometheus' text; [`process`] is
//! what the system reports about the process.

pub mod family;
mod histogram;
pub mod metric;
pub mod page;
pub mod process;
pub mod registry;

pub use family::{Buckets, Family, Series, Value};
pub use histogram::bounds_of;
pub use metric::{Kind, Metric, Scope};
pub use metrics::{Counter, Gauge, Histogram, Label, NoopRecorder, Recorder};
pub use registry::Registry;

/// The metrics that every registry gathers by itself.
pub fn metrics() -> impl Iterator<Item = &'static Metric> {
    process::METRICS.iter().chain([&registry::SERIES_REFUSED])
}
