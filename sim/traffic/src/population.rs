//! Many functions at once, as they are in a cloud: most are called a few times a day and a few of
//! them all the time, half of them by a clock, the others in clusters of every length.
//!
//! A [`Population`] is a law of functions (`law`). Its built-in numbers are measured from 250
//! functions of Azure Functions 2019 (`measured`), and it can be learnt from any trace of several
//! functions (`learn`). A function drawn from it (`member`) is one renewal process with few
//! numbers, so that a million of them take little memory; `source` plays them in order of time, and
//! `asked` is what people type.
//!
//! How like the original it is, is measured and not believed: see [`crate::portrait`].

mod asked;
mod law;
mod learn;
mod measured;
mod member;
mod source;

pub(crate) use asked::Asked;
#[cfg(test)]
pub(crate) use law::Choice;
pub(crate) use law::Population;
pub(crate) use source::PopulationSource;
