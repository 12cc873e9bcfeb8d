//! Gathered metrics and their values at one moment, for exporters.

use metrics::{Label, SharedString};

use crate::metric::Kind;

/// A metric and its values at one moment.
#[derive(Debug, Clone, PartialEq)]
pub struct Family {
    /// Its name on the wire.
    pub name: String,
    /// What its value does.
    pub kind: Kind,
    /// Its meaning; empty where none was given.
    pub help: SharedString,
    /// Its series, at least one, in the order of their labels.
    pub series: Vec<Series>,
}

/// One series of a metric.
#[derive(Debug, Clone, PartialEq)]
pub struct Series {
    /// Its labels, those of the scope first.
    pub labels: Vec<Label>,
    /// Its value.
    pub value: Value,
}

/// What a series has counted.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// Of a counter or a gauge.
    Number(f64),
    /// Of a histogram.
    Buckets(Buckets),
}

/// Events by size.
#[derive(Debug, Clone, PartialEq)]
pub struct Buckets {
    /// Upper bounds, rising.
    pub bounds: &'static [f64],
    /// Events up to each bound, and at the end all of them.
    pub cumulative: Vec<u64>,
    /// The sizes of all events together.
    pub sum: f64,
    /// All events.
    pub count: u64,
}
