//! From text to nodes.

use super::{Expression, Function, Node, ParseError, Value};
use crate::number::parse_literal;

/// Nesting of `if` and of parentheses; a log line needs one or two.
const DEEPEST: usize = 32;

/// Parses a whole template.
pub(super) fn template(text: &str) -> Result<Vec<Node>, ParseError> {
    let mut parser = Parser { pieces: pieces(text)?, next: 0 };
    let (nodes, end) = parser.nodes(0)?;
    match end {
        None => Ok(nodes),
        Some(action) => Err(error(format!("unexpected {{{{{action}}}}}"))),
    }
}

fn error(message: impl Into<String>) -> ParseError {
    ParseError { message: message.into() }
}

/// Either text or the inside of `{{ }}`.
#[derive(Debug, Clone)]
enum Piece {
    Text(String),
    Action(String),
}

/// Cuts the template at its delimiters and applies trim markers.
fn pieces(text: &str) -> Result<Vec<Piece>, ParseError> {
    let mut pieces = Vec::new();
    let mut rest = text;
    let mut trim_next = false;
    while let Some((before, after)) = rest.split_once("{{") {
        let (trim_before, after) = match after.strip_prefix("- ") {
            Some(after) => (true, after),
            None => (false, after),
        };
        let mut before = if trim_next { before.trim_start() } else { before };
        if trim_before {
            before = before.trim_end();
        }
        if !before.is_empty() {
            pieces.push(Piece::Text(before.to_owned()));
        }
        let length = action_length(after).ok_or_else(|| error("unclosed action, expected }}"))?;
        let mut action = &after[..length];
        rest = &after[length + 2..];
        trim_next = action.ends_with(" -");
        if trim_next {
            action = &action[..action.len() - 2];
        }
        let action = action.trim();
        if action.starts_with("/*") {
            if !action.ends_with("*/") {
                return Err(error("unclosed comment, expected */}}"));
            }
            continue;
        }
        pieces.push(Piece::Action(action.to_owned()));
    }
    let rest = if trim_next { rest.trim_start() } else { rest };
    if !rest.is_empty() {
        pieces.push(Piece::Text(rest.to_owned()));
    }
    Ok(pieces)
}

/// The position of an action's `}}`, outside of quotes and comments.
fn action_length(text: &str) -> Option<usize> {
    if text.trim_start().starts_with("/*") {
        let end = text.find("*/")?;
        return text[end..].find("}}").map(|offset| end + offset);
    }
    let bytes = text.as_bytes();
    let mut quote = None;
    let mut index = 0;
    while index < bytes.len() {
        let byte = bytes[index];
        match quote {
            Some(b'"') if byte == b'\\' => index += 1,
            Some(open) if byte == open => quote = None,
            Some(_) => {}
            None if byte == b'"' || byte == b'`' => quote = Some(byte),
            None if text[index..].starts_with("}}") => return Some(index),
            None => {}
        }
        index += 1;
        // Stay on character boundaries: everything that this function searches for is ASCII.
        while index < bytes.len() && !text.is_char_boundary(index) {
            index += 1;
        }
    }
    None
}

struct Parser {
    pieces: Vec<Piece>,
    next: usize,
}

impl Parser {
    /// Parses up to an `else` or an `end`, which is returned, or up to the end of the text.
    fn nodes(&mut self, depth: usize) -> Result<(Vec<Node>, Option<String>), ParseError> {
        if depth > DEEPEST {
            return Err(error(format!("more than {DEEPEST} nested actions")));
        }
        let mut nodes = Vec::new();
        while let Some(piece) = self.pieces.get(self.next).cloned() {
            self.next += 1;
            let action = match piece {
                Piece::Text(text) => {
                    nodes.push(Node::Text(text));
                    continue;
                }
                Piece::Action(action) => action,
            };
            let keyword = action.split_whitespace().next().unwrap_or("");
            match keyword {
                "end" | "else" => return Ok((nodes, Some(action))),
                "if" => nodes.push(self.conditional(&action[2..], depth)?),
                "range" | "with" | "define" | "template" | "block" | "break" | "continue" => {
                    return Err(error(format!("action '{keyword}' is not supported")));
                }
                "" => return Err(error("an action is empty")),
                _ => nodes.push(Node::Print(expression(&action)?)),
            }
        }
        Ok((nodes, None))
    }

    fn conditional(&mut self, condition: &str, depth: usize) -> Result<Node, ParseError> {
        let mut condition = expression(condition)?;
        let mut branches = Vec::new();
        loop {
            let (body, end) = self.nodes(depth + 1)?;
            branches.push((condition, body));
            let end = end.ok_or_else(|| error("an if has no {{end}}"))?;
            if end == "end" {
                return Ok(Node::If { branches, otherwise: Vec::new() });
            }
            let tail = end.trim_start_matches("else").trim_start();
            if let Some(next) = tail.strip_prefix("if ") {
                condition = expression(next)?;
                continue;
            }
            if !tail.is_empty() {
                return Err(error(format!("unexpected '{tail}' after else")));
            }
            let (otherwise, end) = self.nodes(depth + 1)?;
            return match end.as_deref() {
                Some("end") => Ok(Node::If { branches, otherwise }),
                Some(other) => Err(error(format!("unexpected {{{{{other}}}}} after else"))),
                None => Err(error("an else has no {{end}}")),
            };
        }
    }
}

#[derive(Debug, Clone, PartialEq)]
enum Token {
    Path(Vec<String>),
    Word(String),
    Literal(Value),
    Open,
    Close,
    Pipe,
}

fn expression(text: &str) -> Result<Expression, ParseError> {
    let tokens = tokens(text)?;
    let mut position = 0;
    let expression = pipeline(&tokens, &mut position, 0)?;
    match tokens.get(position) {
        None => Ok(expression),
        Some(_) => Err(error(format!("unexpected ')' in '{}'", text.trim()))),
    }
}

fn pipeline(
    tokens: &[Token],
    position: &mut usize,
    depth: usize,
) -> Result<Expression, ParseError> {
    if depth > DEEPEST {
        return Err(error(format!("more than {DEEPEST} nested parentheses")));
    }
    let mut result = command(tokens, position, depth)?;
    while tokens.get(*position) == Some(&Token::Pipe) {
        *position += 1;
        result = match command(tokens, position, depth)? {
            Expression::Call { function, mut arguments } => {
                arguments.push(result);
                Expression::Call { function, arguments }
            }
            Expression::Field { path, mut arguments } => {
                arguments.push(result);
                Expression::Field { path, arguments }
            }
            Expression::Literal(_) => return Err(error("a pipe leads into a literal")),
        };
    }
    Ok(result)
}

fn command(tokens: &[Token], position: &mut usize, depth: usize) -> Result<Expression, ParseError> {
    let head = operand(tokens, position, depth)?;
    let mut given = Vec::new();
    while matches!(
        tokens.get(*position),
        Some(Token::Path(_) | Token::Word(_) | Token::Literal(_) | Token::Open)
    ) {
        given.push(operand(tokens, position, depth)?);
    }
    match head {
        Expression::Call { function, mut arguments } => {
            arguments.extend(given);
            Ok(Expression::Call { function, arguments })
        }
        Expression::Field { path, mut arguments } => {
            arguments.extend(given);
            Ok(Expression::Field { path, arguments })
        }
        literal if given.is_empty() => Ok(literal),
        Expression::Literal(_) => Err(error("a literal takes no arguments")),
    }
}

fn operand(tokens: &[Token], position: &mut usize, depth: usize) -> Result<Expression, ParseError> {
    let token = tokens.get(*position).ok_or_else(|| error("a value is missing"))?;
    *position += 1;
    match token {
        Token::Path(path) => Ok(Expression::Field { path: path.clone(), arguments: Vec::new() }),
        Token::Literal(value) => Ok(Expression::Literal(value.clone())),
        Token::Word(name) => match Function::named(name) {
            Some(function) => Ok(Expression::Call { function, arguments: Vec::new() }),
            None => Err(error(format!("function '{name}' is not supported"))),
        },
        Token::Open => {
            let inner = pipeline(tokens, position, depth + 1)?;
            if tokens.get(*position) != Some(&Token::Close) {
                return Err(error("a parenthesis is not closed"));
            }
            *position += 1;
            // A parenthesised call is whole: wrapping it keeps later arguments out of it.
            Ok(Expression::Call { function: Function::And, arguments: vec![inner] })
        }
        Token::Close => Err(error("unexpected ')'")),
        Token::Pipe => Err(error("a value is missing before '|'")),
    }
}

fn tokens(text: &str) -> Result<Vec<Token>, ParseError> {
    let mut tokens = Vec::new();
    let mut rest = text.trim_start();
    while let Some(first) = rest.chars().next() {
        let (token, length) = match first {
            '(' => (Token::Open, 1),
            ')' => (Token::Close, 1),
            '|' => (Token::Pipe, 1),
            '"' => quoted(rest)?,
            '`' => raw(rest)?,
            '$' => {
                // Only `$.Field` is left of variables: it is the same as `.Field` here.
                let length = word_length(&rest[1..]);
                if !rest[1..].starts_with('.') {
                    return Err(error("variables are not supported"));
                }
                (path(&rest[1..=length])?, 1 + length)
            }
            '.' => {
                let length = word_length(rest);
                (path(&rest[..length])?, length)
            }
            '-' | '+' | '0'..='9' => number(rest)?,
            letter if letter.is_alphabetic() || letter == '_' => {
                let length = word_length(rest);
                (word(&rest[..length]), length)
            }
            other => return Err(error(format!("unexpected '{other}'"))),
        };
        tokens.push(token);
        rest = rest[length..].trim_start();
    }
    Ok(tokens)
}

fn word_length(text: &str) -> usize {
    let end = |character: char| !(character.is_alphanumeric() || matches!(character, '_' | '.'));
    text.find(end).unwrap_or(text.len())
}

fn path(text: &str) -> Result<Token, ParseError> {
    let names: Vec<String> = text[1..].split('.').map(str::to_owned).collect();
    if text != "." && names.iter().any(String::is_empty) {
        return Err(error(format!("cannot read field '{text}'")));
    }
    Ok(Token::Path(if text == "." { Vec::new() } else { names }))
}

fn word(text: &str) -> Token {
    match text {
        "true" => Token::Literal(Value::Bool(true)),
        "false" => Token::Literal(Value::Bool(false)),
        "nil" => Token::Literal(Value::Nil),
        other => Token::Word(other.to_owned()),
    }
}

fn number(text: &str) -> Result<(Token, usize), ParseError> {
    let end = |character: char| !(character.is_ascii_alphanumeric() || "+-._".contains(character));
    let length = text.find(end).unwrap_or(text.len());
    let digits = &text[..length];
    if let Ok(integer) = parse_literal(digits) {
        return Ok((Token::Literal(Value::Int(integer)), length));
    }
    match digits.parse() {
        Ok(float) => Ok((Token::Literal(Value::Float(float)), length)),
        Err(_) => Err(error(format!("cannot read number '{digits}'"))),
    }
}

fn raw(text: &str) -> Result<(Token, usize), ParseError> {
    let length = text[1..].find('`').ok_or_else(|| error("a raw string is not closed"))?;
    Ok((Token::Literal(Value::Text(text[1..=length].to_owned())), length + 2))
}

fn quoted(text: &str) -> Result<(Token, usize), ParseError> {
    let mut out = String::new();
    let mut characters = text.char_indices().skip(1);
    while let Some((index, character)) = characters.next() {
        match character {
            '"' => return Ok((Token::Literal(Value::Text(out)), index + 1)),
            '\\' => match characters.next().map(|(_, escaped)| escaped) {
                Some('n') => out.push('\n'),
                Some('t') => out.push('\t'),
                Some('r') => out.push('\r'),
                Some(same @ ('"' | '\\' | '\'')) => out.push(same),
                _ => return Err(error("cannot read an escape in a string")),
            },
            other => out.push(other),
        }
    }
    Err(error("a string is not closed"))
}
