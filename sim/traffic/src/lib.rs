//! Traffic for the simulator: readers of recordings, generators, and changes to both.
//!
//! Everything here is a [`Traffic`](tidegate_sim::Traffic): it can be opened any number of times
//! and gives the same arrivals each time, in order, in memory that does not grow with the number of
//! requests.
//!
//! It must never: simulate, or know what the simulator does with an arrival; guess what a field
//! means, or where a row is wrong; or read a line or a compressed stream without a bound
//! ([`LINE_BYTES_MAX`]).
//!
//! * [`TraceFile`] reads a file. Its format is told from its first bytes ([`Format`] lists them);
//!   bad rows are refused with file, line and column, or counted ([`BadRows`]). Stamps that name
//!   the end of a request are moved to its beginning through a bounded reorder buffer
//!   ([`REORDER_ROWS_END`]), coarse stamps are spread inside their tick ([`Spread`]), and counts
//!   per interval become arrivals by a [`Placement`].
//! * [`Generated`] makes arrivals up from a specification such as `poisson:70` ([`GENERATORS`]), or
//!   fitted to a trace ([`FittedArrivals`]); also those of a whole population of functions, whose
//!   likeness to the original is measured ([`Portrait`]).
//! * [`Transformed`] scales, warps, slices and samples; [`Merged`] plays several together;
//!   [`Ahead`] reads or makes them up on a thread of its own.
//!
//! Modules in reading order: `error` and `input` (files as hashed, bounded lines), `wrapper` (what
//! lines come in), `flatten` and `gob` (documents as lines), `field` (numbers and stamps),
//! `options` (what a reader is told).
//!
//! Formats with one request a record are data: `description` says what a format is, `catalogue`
//! lists them, `variables` gives the variables of log formats their meaning, `notation` and
//! `pattern` read such formats, `tail` what sites add to them, `generic` files with names only, and
//! `refusals` knows what holds no requests. `detection` tells them apart, `plan` resolves one
//! against a file, `record` finds its fields, `described` reads rows, and `reading` says what was
//! taken for what.
//!
//! The others: `recording` (our own), `layout` and `table` (public data sets in columns),
//! `document` (whole documents), `counts`, `azure2019`, `wide`, `prometheus` and `profile` (counts
//! per interval), `format` (all formats by name). `rows` puts rows into order, `trace` is a file as
//! a whole; `curve`, `generator`, `specification`, `fitted`, `population`, `generated`;
//! `portrait`; `transform`, `ahead`.

mod ahead;
mod azure2019;
mod catalogue;
mod counts;
mod curve;
mod described;
mod description;
mod detection;
mod document;
mod error;
mod field;
mod fitted;
mod flatten;
mod format;
mod generated;
mod generator;
mod generic;
mod gob;
mod input;
mod layout;
mod notation;
mod options;
mod pattern;
mod plan;
mod population;
mod portrait;
mod profile;
mod prometheus;
mod reading;
mod record;
mod recording;
mod refusals;
mod rows;
mod specification;
mod table;
mod tail;
mod trace;
mod transform;
mod variables;
mod wide;
mod wrapper;

#[cfg(test)]
mod tests;

pub use ahead::Ahead;
pub use counts::Placement;
pub use error::{Location, TrafficError};
pub use field::Unit;
pub use fitted::FittedArrivals;
pub use format::Format;
pub use generated::Generated;
pub use input::{DETECT_BYTES_MAX, LINE_BYTES_MAX};
pub use options::{Declared, Grouping, Spread, TokenTimes};
pub use portrait::{DISPERSION_MINUTES, FunctionPortrait, Portrait, PortraitDistance};
pub use prometheus::PrometheusValue;
pub use reading::Reading;
pub use rows::{BadRows, REORDER_ROWS_END, REORDER_ROWS_START, StampedAt};
pub use specification::GENERATORS;
pub use trace::{TraceFile, TraceOptions};
pub use transform::{Merged, SCALE_MAX, Transform, Transformed};
