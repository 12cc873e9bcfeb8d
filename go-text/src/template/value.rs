//! Values of a template, printed as Go prints them.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use crate::float::print_float;

/// A value.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// Go's `nil`.
    Nil,
    /// A boolean.
    Bool(bool),
    /// An integer.
    Int(i64),
    /// A float.
    Float(f64),
    /// A string.
    Text(String),
    /// A list of strings, such as the values of one header.
    List(Vec<String>),
    /// A map from strings to lists of them, such as all headers.
    Map(BTreeMap<String, Vec<String>>),
}

impl Value {
    /// Whether an `if` takes its branch: Go counts zero and empty values as false.
    pub fn is_true(&self) -> bool {
        match self {
            Self::Nil => false,
            Self::Bool(value) => *value,
            Self::Int(value) => *value != 0,
            Self::Float(value) => *value != 0.0,
            Self::Text(value) => !value.is_empty(),
            Self::List(values) => !values.is_empty(),
            Self::Map(values) => !values.is_empty(),
        }
    }

    /// The value as `{{.}}` prints it.
    pub fn print(&self) -> String {
        match self {
            Self::Nil => "<no value>".to_owned(),
            Self::Bool(value) => value.to_string(),
            Self::Int(value) => value.to_string(),
            Self::Float(value) => print_float(*value),
            Self::Text(value) => value.clone(),
            Self::List(values) => format!("[{}]", values.join(" ")),
            Self::Map(map) => {
                let mut out = "map[".to_owned();
                for (index, (key, values)) in map.iter().enumerate() {
                    let space = if index == 0 { "" } else { " " };
                    // Writing to a string cannot fail.
                    let _ = write!(out, "{space}{key}:[{}]", values.join(" "));
                }
                out.push(']');
                out
            }
        }
    }
}
