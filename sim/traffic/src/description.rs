//! What a format is, as data: how a record lies, which fields tell it apart, and what they mean.
//!
//! A description says nothing by code. [`crate::catalogue`] lists the built-in ones,
//! [`crate::plan`] resolves one against the fields a file really has, and
//! [`crate::described`] reads rows by the result.

use crate::field::Unit;
use crate::rows::StampedAt;

/// How one record lies in its file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Record {
    /// A line of text, in the notation of nginx's `log_format`.
    Text(&'static str),
    /// A line of columns that a header names.
    Columns,
    /// A line of columns without a header, whose names are these.
    Bare(&'static [&'static str]),
    /// A line of columns named by a `#Fields:` line, as W3C's extended format has it.
    Directives,
    /// An object of JSON.
    Json,
    /// A line of `key=value`, as logfmt and attributes of XML have it.
    Pairs,
}

/// What the number in a field stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Measure {
    /// Time in this unit.
    Time(Unit),
    /// Tokens of a prompt.
    PromptTokens,
    /// Tokens of an answer.
    AnswerTokens,
}

/// Whether a term is added or taken away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sign {
    Plus,
    Minus,
}

/// One part of a span of time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Term {
    pub(crate) field: &'static str,
    pub(crate) measure: Measure,
    pub(crate) sign: Sign,
}

/// A field, or several joined by a blank, that hold a moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stamped {
    pub(crate) fields: &'static [&'static str],
    /// Unit of a bare number; by its magnitude when `None`.
    pub(crate) unit: Option<Unit>,
    pub(crate) at: StampedAt,
}

/// A field that must hold one of these values in a row that is a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Only {
    pub(crate) field: &'static str,
    pub(crate) values: &'static [&'static str],
    /// Whether the values are those of rows to leave out.
    pub(crate) kept: Kept,
}

/// What becomes of rows with one of the values of an [`Only`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kept {
    /// They are requests, all others are none.
    These,
    /// They are none, all others are requests.
    Others,
}

/// Whether a format says something itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Said {
    /// It is always the same.
    Known,
    /// Only its user can say.
    ByUser,
}

/// A format.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Description {
    /// The name that `--format` takes.
    pub(crate) name: &'static str,
    pub(crate) record: Record,
    /// Fields that all must be there.
    pub(crate) signature: &'static [&'static str],
    pub(crate) only: &'static [Only],
    /// When a request came, in order of preference.
    pub(crate) stamps: &'static [Stamped],
    /// How long the app took, in order of preference.
    pub(crate) services: &'static [&'static [Term]],
    /// How long the request took in all, when that is another field.
    pub(crate) totals: &'static [&'static [Term]],
    /// Which revision it was for, in order of preference.
    pub(crate) revision: &'static [&'static str],
    /// Whether the unit of the service time differs from writer to writer, and has to be declared.
    pub(crate) unit: Said,
    /// What to do when a row has no time at all, for formats that may leave it out; may be empty.
    pub(crate) no_time: &'static str,
    /// What is taken for granted because the format does not say it; may be empty.
    pub(crate) assumed: &'static str,
}

impl Description {
    /// A format of `record` without any meaning yet.
    pub(crate) const fn new(name: &'static str, record: Record) -> Self {
        Description {
            name,
            record,
            signature: &[],
            only: &[],
            stamps: &[],
            services: &[],
            totals: &[],
            revision: &[],
            unit: Said::Known,
            no_time: "",
            assumed: "",
        }
    }
}

/// A stamp that is the beginning of a request.
pub(crate) const fn start(fields: &'static [&'static str]) -> Stamped {
    Stamped { fields, unit: None, at: StampedAt::Start }
}

/// A stamp that is the end of a request.
pub(crate) const fn end(fields: &'static [&'static str]) -> Stamped {
    Stamped { fields, unit: None, at: StampedAt::End }
}

impl Stamped {
    /// The same as a number of this unit.
    pub(crate) const fn of(mut self, unit: Unit) -> Self {
        self.unit = Some(unit);
        self
    }
}

/// A time that is added.
pub(crate) const fn time(field: &'static str, unit: Unit) -> Term {
    Term { field, measure: Measure::Time(unit), sign: Sign::Plus }
}

/// A time that is taken away.
pub(crate) const fn less(field: &'static str, unit: Unit) -> Term {
    Term { field, measure: Measure::Time(unit), sign: Sign::Minus }
}

/// Rows are requests when `field` is one of `values`.
pub(crate) const fn only(field: &'static str, values: &'static [&'static str]) -> Only {
    Only { field, values, kept: Kept::These }
}

/// Rows are no requests when `field` is one of `values`.
pub(crate) const fn never(field: &'static str, values: &'static [&'static str]) -> Only {
    Only { field, values, kept: Kept::Others }
}
