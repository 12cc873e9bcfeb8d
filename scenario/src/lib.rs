//! Scenarios: questions to the libraries that run in production, written as JSON, and the answers.
//!
//! A [`Scenario`] names a kind and an input. [`Interpreter::answer`] hands the input to the library
//! that the kind is about, step by step in the order of the scenario's own time, and writes down
//! what comes out. `tidegate decide`, the autoscaler's replay tests and other people's tests run
//! this one interpreter.
//!
//! ```
//! use tidegate_scenario::{Explains, Interpreter, Rules, Scenario};
//!
//! let text = r#"{"kind": "sample_size", "input": {"populations": [3, 100]}}"#;
//! let scenario = Scenario::split(text).remove(0)?;
//! let interpreter = Interpreter { rules: Rules::Knative, explains: Explains::No };
//! let answer = interpreter.answer(&scenario, &mut |field| panic!("{field}"))?;
//! assert_eq!(answer.expected.get(), r#"{"sizes":[3,14]}"#);
//! # Ok::<(), tidegate_scenario::ScenarioError>(())
//! ```
//!
//! What it must never do: decide anything itself, read a file or a clock, print. Two runs of a
//! scenario give the same bytes.
//!
//! # Map, in reading order
//!
//! * `envelope`: a scenario as it lies in a file.
//! * `error`: what can be wrong with one.
//! * `input`: where an input is wrong, and which fields its kind does not have.
//! * `rules`: whose rules count where Knative and Tidegate differ.
//! * `interpret`: from kind and input to the answer.
//! * `context`: what each kind gets besides its input: its time, the rules, where reasons go.
//! * `number`: how results are written.
//! * the kinds: `window`, `scale`, `collector`, `pipeline`, `settings`, `kpa`, `request_stats`,
//!   `subset`, `wire`.

mod collector;
mod context;
mod envelope;
mod error;
mod input;
mod interpret;
mod kpa;
mod number;
mod pipeline;
mod request_stats;
mod rules;
mod scale;
mod settings;
mod subset;
mod window;
mod wire;

pub use envelope::Scenario;
pub use error::ScenarioError;
pub use input::UnknownField;
pub use interpret::{Answer, Explains, Interpreter};
pub use rules::Rules;

/// Compiles and runs the code of the book's page.
#[cfg(doctest)]
#[doc = include_str!("../../docs/decide.md")]
struct DecidePage;
