//! The part of Go's `text/template` that lines of text need: text, trim markers, comments, fields,
//! the functions `js`, `html`, `urlquery`, `index`, `len`, `print`, `printf`, `println`, `and`,
//! `or`, `not`, `eq`, `ne`, `lt`, `le`, `gt`, `ge`, pipelines, parentheses and
//! `if`/`else if`/`else`.
//!
//! Anything else of the language (`range`, `with`, `define`, `template`, `block`, variables) is
//! refused when the template is parsed, with a message that names it.

mod evaluate;
mod parse;
mod printf;
mod value;

use std::fmt;

pub use value::Value;

/// The longest template, in bytes: a line is made anew for every request, and its maker keeps it.
const TEMPLATE_BYTES_MAX: usize = 64 << 10;

/// A parsed template.
#[derive(Debug, Clone)]
pub struct Template {
    nodes: Vec<Node>,
}

/// Why a template cannot be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParseError {
    message: String,
}

impl fmt::Display for ParseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cannot parse the template: {}", self.message)
    }
}

impl std::error::Error for ParseError {}

/// Why one line cannot be rendered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExecuteError {
    message: String,
}

impl fmt::Display for ExecuteError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cannot execute the template: {}", self.message)
    }
}

impl std::error::Error for ExecuteError {}

/// What a template talks about.
pub trait Data {
    /// The value of a field path such as `Request.Method`; a method's arguments, if any, follow.
    /// `None` when there is no such field.
    fn lookup(&self, path: &[&str], arguments: &[Value]) -> Option<Value>;
}

#[derive(Debug, Clone)]
enum Node {
    Text(String),
    Print(Expression),
    If { branches: Vec<(Expression, Vec<Self>)>, otherwise: Vec<Self> },
}

#[derive(Debug, Clone)]
enum Expression {
    Literal(Value),
    Field { path: Vec<String>, arguments: Vec<Self> },
    Call { function: Function, arguments: Vec<Self> },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Function {
    And,
    Eq,
    Ge,
    Gt,
    Html,
    Index,
    Js,
    Le,
    Len,
    Lt,
    Ne,
    Not,
    Or,
    Print,
    Printf,
    Println,
    UrlQuery,
}

impl Template {
    /// Parses `text`.
    ///
    /// # Errors
    ///
    /// The first thing in it that is not understood.
    pub fn parse(text: &str) -> Result<Self, ParseError> {
        if text.len() > TEMPLATE_BYTES_MAX {
            let message = format!("{} bytes are more than {TEMPLATE_BYTES_MAX}", text.len());
            return Err(ParseError { message });
        }
        parse::template(text).map(|nodes| Self { nodes })
    }

    /// Renders one line.
    ///
    /// # Errors
    ///
    /// A field that does not exist, or a function applied to what it cannot take.
    pub fn render(&self, data: &impl Data) -> Result<String, ExecuteError> {
        let mut out = String::with_capacity(512);
        evaluate::nodes(&self.nodes, data, &mut out)?;
        Ok(out)
    }
}

impl Function {
    fn named(name: &str) -> Option<Self> {
        Some(match name {
            "and" => Self::And,
            "eq" => Self::Eq,
            "ge" => Self::Ge,
            "gt" => Self::Gt,
            "html" => Self::Html,
            "index" => Self::Index,
            "js" => Self::Js,
            "le" => Self::Le,
            "len" => Self::Len,
            "lt" => Self::Lt,
            "ne" => Self::Ne,
            "not" => Self::Not,
            "or" => Self::Or,
            "print" => Self::Print,
            "printf" => Self::Printf,
            "println" => Self::Println,
            "urlquery" => Self::UrlQuery,
            _ => return None,
        })
    }
}

#[cfg(test)]
mod tests;
