//! Go's texts, read and written as Go does.
//!
//! Knative is written in Go, so its settings, its environment and its request log follow Go's
//! rules, and users notice where a parser does not: Go takes `T` for true, `0x10` and `1_000` for
//! integers, `1h30m` but no bare `90` for a time, and prints a million as `1e+06`. Each rule
//! is implemented here once.
//!
//! It must never: read a clock, an environment or a file; depend on anything; depend on the use of
//! a text; or be more lenient than Go, whose refusals are part of the contract.
//!
//! Modules in reading order: [`number`] and [`float`] (`strconv`), [`duration`] (`time`),
//! [`mod@quote`] (`strconv.Quote`), [`escape`] and [`template`] (`text/template`).

pub mod duration;
pub mod escape;
pub mod float;
pub mod number;
pub mod quote;
pub mod template;

pub use duration::{DurationError, GoDuration};
pub use float::{parse_float, print_float};
pub use number::{NumberError, parse_bool, parse_int32, parse_int64, parse_literal};
pub use quote::quote;
pub use template::Template;
