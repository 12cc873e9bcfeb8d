//! Traffic for the simulator: readers of recordings, generators, and changes to both.
//!
//! Everything here is a [`Traffic`](tidegate_sim::Traffic): it can be opened any number of times
//! and gives the same arrivals each time, in order, in memory that does not grow with the number of
//! requests.
//!
//! It must never: simulate, or know what the simulator does with an arrival; guess where a row is
//! wrong; or read a line or a compressed stream without a bound ([`LINE_BYTES_MAX`]).
//!
//! * [`TraceFile`] reads a file. Its format is told from its first bytes ([`Format`] lists them);
//!   bad rows are refused with file, line and column, or counted ([`BadRows`]). Stamps that name
//!   the end of a request are moved to its beginning through a bounded reorder buffer
//!   ([`REORDER_ROWS_END`]), coarse stamps are spread inside their tick ([`Spread`]), and counts
//!   per interval become arrivals by a [`Placement`].
//! * [`Generated`] makes arrivals up from a specification such as `poisson:70` ([`GENERATORS`]), or
//!   fitted to a trace ([`FittedArrivals`]).
//! * [`Transformed`] scales, warps, slices and samples; [`Merged`] plays several together.
//!
//! Modules in reading order: `error` and `input` (files as hashed, bounded lines), `field` (numbers
//! and stamps), `format` (detection), `options`
//! (what a reader is told), `layout` and `table` (one request a line in columns),
//! `combined`, `json`, `document` (the other row formats), `rows` (order and origin), `counts`,
//! `azure2019`, `wide`, `prometheus` and `profile` (counts per interval), `trace` (a file as a
//! whole); `curve`, `generator`, `specification`, `fitted`, `generated`; `transform`.

mod azure2019;
mod combined;
mod counts;
mod curve;
mod document;
mod error;
mod field;
mod fitted;
mod format;
mod generated;
mod generator;
mod input;
mod json;
mod layout;
mod options;
mod profile;
mod prometheus;
mod rows;
mod specification;
mod table;
mod trace;
mod transform;
mod wide;

#[cfg(test)]
mod tests;

pub use counts::Placement;
pub use error::{Location, TrafficError};
pub use fitted::FittedArrivals;
pub use format::Format;
pub use generated::Generated;
pub use input::{DETECT_BYTES_MAX, LINE_BYTES_MAX};
pub use options::{Grouping, Spread, TokenTimes};
pub use prometheus::PrometheusValue;
pub use rows::{BadRows, REORDER_ROWS_END, REORDER_ROWS_START};
pub use specification::GENERATORS;
pub use trace::{TraceFile, TraceOptions};
pub use transform::{Merged, SCALE_MAX, Transform, Transformed};
