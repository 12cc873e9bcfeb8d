//! From nodes to text.

use std::cmp::Ordering;

use super::printf::printf;
use super::{Data, ExecuteError, Expression, Function, Node, Value};
use crate::escape::{escape_html, escape_js, escape_query};

/// Appends what `nodes` print.
pub(super) fn nodes(
    nodes: &[Node],
    data: &impl Data,
    out: &mut String,
) -> Result<(), ExecuteError> {
    for node in nodes {
        match node {
            Node::Text(text) => out.push_str(text),
            Node::Print(expression) => out.push_str(&evaluate(expression, data)?.print()),
            Node::If { branches, otherwise } => {
                let mut taken = otherwise;
                for (condition, body) in branches {
                    if evaluate(condition, data)?.is_true() {
                        taken = body;
                        break;
                    }
                }
                self::nodes(taken, data, out)?;
            }
        }
    }
    Ok(())
}

fn error(message: impl Into<String>) -> ExecuteError {
    ExecuteError { message: message.into() }
}

fn evaluate(expression: &Expression, data: &impl Data) -> Result<Value, ExecuteError> {
    match expression {
        Expression::Literal(value) => Ok(value.clone()),
        Expression::Field { path, arguments } => {
            let path: Vec<&str> = path.iter().map(String::as_str).collect();
            let arguments = evaluate_all(arguments, data)?;
            data.lookup(&path, &arguments)
                .ok_or_else(|| error(format!("no field or method .{}", path.join("."))))
        }
        Expression::Call { function: Function::And, arguments } => {
            choose(arguments, data, |value| !value.is_true())
        }
        Expression::Call { function: Function::Or, arguments } => {
            choose(arguments, data, Value::is_true)
        }
        Expression::Call { function, arguments } => {
            call(*function, &evaluate_all(arguments, data)?)
        }
    }
}

fn evaluate_all(expressions: &[Expression], data: &impl Data) -> Result<Vec<Value>, ExecuteError> {
    expressions.iter().map(|expression| evaluate(expression, data)).collect()
}

/// The first value that `ends` the search, else the last one; later ones are not evaluated.
fn choose(
    expressions: &[Expression],
    data: &impl Data,
    ends: impl Fn(&Value) -> bool,
) -> Result<Value, ExecuteError> {
    let mut last = None;
    for expression in expressions {
        let value = evaluate(expression, data)?;
        if ends(&value) {
            return Ok(value);
        }
        last = Some(value);
    }
    last.ok_or_else(|| error("and/or need an argument"))
}

fn call(function: Function, arguments: &[Value]) -> Result<Value, ExecuteError> {
    match function {
        Function::Js => Ok(Value::Text(escape_js(&print(arguments)))),
        Function::Html => Ok(Value::Text(escape_html(&print(arguments)))),
        Function::UrlQuery => Ok(Value::Text(escape_query(&print(arguments)))),
        Function::Print => Ok(Value::Text(print(arguments))),
        Function::Println => {
            let words: Vec<String> = arguments.iter().map(Value::print).collect();
            Ok(Value::Text(words.join(" ") + "\n"))
        }
        Function::Printf => match arguments {
            [Value::Text(format), rest @ ..] => Ok(Value::Text(printf(format, rest))),
            _ => Err(error("printf needs a format")),
        },
        Function::Len => match arguments {
            [Value::Text(text)] => Ok(Value::Int(to_int(text.len()))),
            [Value::List(list)] => Ok(Value::Int(to_int(list.len()))),
            [Value::Map(map)] => Ok(Value::Int(to_int(map.len()))),
            _ => Err(error("len needs one string, list or map")),
        },
        Function::Not => match arguments {
            [value] => Ok(Value::Bool(!value.is_true())),
            _ => Err(error("not needs one argument")),
        },
        Function::Index => index(arguments),
        Function::Eq => match arguments {
            [first, rest @ ..] if !rest.is_empty() => {
                for other in rest {
                    if compare(first, other)? == Ordering::Equal {
                        return Ok(Value::Bool(true));
                    }
                }
                Ok(Value::Bool(false))
            }
            _ => Err(error("eq needs two arguments")),
        },
        Function::Ne => ordered(arguments, Ordering::is_ne),
        Function::Lt => ordered(arguments, Ordering::is_lt),
        Function::Le => ordered(arguments, Ordering::is_le),
        Function::Gt => ordered(arguments, Ordering::is_gt),
        Function::Ge => ordered(arguments, Ordering::is_ge),
        Function::And | Function::Or => Err(error("and/or are evaluated lazily")),
    }
}

fn to_int(length: usize) -> i64 {
    i64::try_from(length).unwrap_or(i64::MAX)
}

/// Go's `Sprint`: a space between two operands when neither is a string.
fn print(values: &[Value]) -> String {
    let mut out = String::new();
    for (position, value) in values.iter().enumerate() {
        let text = |value: &Value| matches!(value, Value::Text(_));
        if position > 0 && !text(value) && !text(&values[position - 1]) {
            out.push(' ');
        }
        out.push_str(&value.print());
    }
    out
}

fn index(arguments: &[Value]) -> Result<Value, ExecuteError> {
    match arguments {
        [value] => Ok(value.clone()),
        [Value::Map(map), Value::Text(key), rest @ ..] => {
            let found = Value::List(map.get(key).cloned().unwrap_or_default());
            let mut next = vec![found];
            next.extend_from_slice(rest);
            index(&next)
        }
        [Value::List(list), Value::Int(position)] => usize::try_from(*position)
            .ok()
            .and_then(|position| list.get(position))
            .map(|item| Value::Text(item.clone()))
            .ok_or_else(|| error(format!("index {position} is out of range"))),
        _ => Err(error("index needs a map and a key, or a list and a number")),
    }
}

fn compare(left: &Value, right: &Value) -> Result<Ordering, ExecuteError> {
    match (left, right) {
        (Value::Int(left), Value::Int(right)) => Ok(left.cmp(right)),
        (Value::Float(left), Value::Float(right)) => Ok(left.total_cmp(right)),
        (Value::Text(left), Value::Text(right)) => Ok(left.cmp(right)),
        (Value::Bool(left), Value::Bool(right)) => Ok(left.cmp(right)),
        (Value::Nil, Value::Nil) => Ok(Ordering::Equal),
        _ => Err(error("incompatible types for comparison")),
    }
}

fn ordered(arguments: &[Value], holds: fn(Ordering) -> bool) -> Result<Value, ExecuteError> {
    match arguments {
        [left, right] => Ok(Value::Bool(holds(compare(left, right)?))),
        _ => Err(error("a comparison needs two arguments")),
    }
}
