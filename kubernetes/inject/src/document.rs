//! YAML text as trees of nodes with their positions, so that an edit changes nothing else.
//!
//! The same parser reads JSON, which is YAML as well but for two cases: several objects in a row,
//! and tabs between tokens.

use std::borrow::Cow;
use std::ops::Range;

use granit_parser::{Event, Parser, ScalarStyle, Span, StructureStyle, Tag};

use crate::Malformed;

/// Collections within collections. A pod has some ten, a schema some thirty.
pub(crate) const DEPTH_MAX: usize = 100;

/// Nodes of one input. The manifests of a whole monitoring stack have 200,000; a node takes some
/// hundred bytes.
pub(crate) const NODES_MAX: usize = 1_000_000;

/// One value in the text.
#[derive(Debug)]
pub(crate) struct Node<'t> {
    pub(crate) kind: Kind<'t>,
    /// Its range in bytes, without anchor and tag.
    pub(crate) range: Range<usize>,
    /// The line on which it begins, from 1.
    pub(crate) line: usize,
    /// The anchor that names it, or 0.
    pub(crate) anchor: usize,
}

/// What a node is.
#[derive(Debug)]
pub(crate) enum Kind<'t> {
    Scalar { text: Cow<'t, str>, form: Form },
    Sequence { items: Vec<Node<'t>>, style: Style },
    Mapping { entries: Vec<(Node<'t>, Node<'t>)>, style: Style },
    Alias(usize),
}

/// How a scalar is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    /// Without quotes: it may be a number, a truth value or nothing.
    Plain,
    /// In quotes, or marked as a string.
    Quoted,
    /// As a block of lines.
    Lines,
}

/// How a collection is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Style {
    /// By indentation.
    Block,
    /// In brackets.
    Flow,
}

/// The roots of all documents that are not empty.
pub(crate) fn parse(text: &str) -> Result<Vec<Node<'_>>, Malformed> {
    let mut nodes_left = NODES_MAX;
    let mut roots = Vec::new();
    for part in parts(text) {
        let line = text[..part.start].bytes().filter(|byte| *byte == b'\n').count();
        let mut builder = Builder { base: (part.start, line), nodes_left, ..Builder::default() };
        builder.read(&text[part])?;
        nodes_left = builder.nodes_left;
        roots.append(&mut builder.roots);
    }
    Ok(roots)
}

/// JSON objects that follow each other without a separator; anything else is one part.
fn parts(text: &str) -> Vec<Range<usize>> {
    let whole = 0..text.len();
    if !text.trim_start().starts_with(['{', '[']) {
        return vec![whole];
    }
    let values = serde_json::Deserializer::from_str(text);
    let mut values = values.into_iter::<&serde_json::value::RawValue>();
    let (mut found, mut start) = (Vec::new(), 0);
    while let Some(value) = values.next() {
        if value.is_err() {
            // The YAML parser reports the error, if there is one.
            return vec![whole];
        }
        found.push(start..values.byte_offset());
        start = values.byte_offset();
    }
    found
}

#[derive(Default)]
struct Builder<'t> {
    /// Bytes and lines before the part.
    base: (usize, usize),
    nodes_left: usize,
    open: Vec<Open<'t>>,
    roots: Vec<Node<'t>>,
}

/// A collection whose end was not read yet.
struct Open<'t> {
    node: Node<'t>,
    key: Option<Node<'t>>,
}

impl<'t> Builder<'t> {
    fn read(&mut self, text: &'t str) -> Result<(), Malformed> {
        let mut options = granit_parser::options! {
            flow_nesting_limit: DEPTH_MAX,
            block_nesting_limit: DEPTH_MAX,
        };
        options.set_emit_comments(false);
        for event in Parser::new_from_str_with_options(text, options) {
            let (event, span) = event.map_err(|error| {
                let marker = error.marker();
                self.malformed(marker.line(), marker.col() + 1, error.info())
            })?;
            self.take(event, &span)?;
        }
        Ok(())
    }

    fn malformed(&self, line: usize, column: usize, problem: String) -> Malformed {
        Malformed { line: self.base.1 + line, column, problem }
    }

    fn take(&mut self, event: Event<'t>, span: &Span) -> Result<(), Malformed> {
        match event {
            Event::Scalar(text, style, anchor, tag) => {
                let form = form(style, tag.as_deref());
                let node = self.node(Kind::Scalar { text, form }, span, anchor)?;
                self.complete(node);
            }
            Event::Alias(anchor) => {
                let node = self.node(Kind::Alias(anchor), span, 0)?;
                self.complete(node);
            }
            Event::SequenceStart(style, anchor, _) => {
                let kind = Kind::Sequence { items: Vec::new(), style: style.into() };
                let node = self.node(kind, span, anchor)?;
                self.open(node, span)?;
            }
            Event::MappingStart(style, anchor, _) => {
                let kind = Kind::Mapping { entries: Vec::new(), style: style.into() };
                let node = self.node(kind, span, anchor)?;
                self.open(node, span)?;
            }
            Event::SequenceEnd | Event::MappingEnd => {
                if let Some(Open { mut node, .. }) = self.open.pop() {
                    node.range.end = self.offset(span.end.byte_offset());
                    self.complete(node);
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn node(&mut self, kind: Kind<'t>, span: &Span, anchor: usize) -> Result<Node<'t>, Malformed> {
        let Some(left) = self.nodes_left.checked_sub(1) else {
            let problem = format!("more than {NODES_MAX} values, expected fewer; split the input");
            return Err(self.malformed(span.start.line(), span.start.col() + 1, problem));
        };
        self.nodes_left = left;
        let range = self.offset(span.start.byte_offset())..self.offset(span.end.byte_offset());
        Ok(Node { kind, range, line: self.base.1 + span.start.line(), anchor })
    }

    fn offset(&self, in_part: Option<usize>) -> usize {
        self.base.0 + in_part.unwrap_or_default()
    }

    fn open(&mut self, node: Node<'t>, span: &Span) -> Result<(), Malformed> {
        if self.open.len() >= DEPTH_MAX {
            let problem = format!("nested deeper than {DEPTH_MAX} levels, expected fewer");
            return Err(self.malformed(span.start.line(), span.start.col() + 1, problem));
        }
        self.open.push(Open { node, key: None });
        Ok(())
    }

    /// Adds a node to the open collection, or to the roots.
    fn complete(&mut self, node: Node<'t>) {
        let Some(open) = self.open.last_mut() else {
            if !node.is_nothing() {
                self.roots.push(node);
            }
            return;
        };
        match &mut open.node.kind {
            Kind::Sequence { items, .. } => items.push(node),
            Kind::Mapping { entries, .. } => match open.key.take() {
                Some(key) => entries.push((key, node)),
                None => open.key = Some(node),
            },
            Kind::Scalar { .. } | Kind::Alias(_) => {}
        }
    }
}

impl From<StructureStyle> for Style {
    fn from(style: StructureStyle) -> Self {
        match style {
            StructureStyle::Block => Self::Block,
            StructureStyle::Flow => Self::Flow,
        }
    }
}

fn form(style: ScalarStyle, tag: Option<&Tag>) -> Form {
    match style {
        ScalarStyle::Plain if tag.is_some_and(|tag| tag.core_suffix() == Some("str")) => {
            Form::Quoted
        }
        ScalarStyle::Plain => Form::Plain,
        ScalarStyle::SingleQuoted | ScalarStyle::DoubleQuoted => Form::Quoted,
        _ => Form::Lines,
    }
}

impl<'t> Node<'t> {
    fn is_nothing(&self) -> bool {
        matches!(&self.kind, Kind::Scalar { text, form: Form::Plain } if text.is_empty())
    }

    /// The value of a key, if this is a mapping that has it.
    pub(crate) fn get(&self, key: &str) -> Option<&Node<'t>> {
        let Kind::Mapping { entries, .. } = &self.kind else { return None };
        entries.iter().find(|(known, _)| known.text() == Some(key)).map(|(_, value)| value)
    }

    /// Its text, if it is a scalar.
    pub(crate) fn text(&self) -> Option<&str> {
        match &self.kind {
            Kind::Scalar { text, .. } => Some(text),
            _ => None,
        }
    }

    /// Its items, if it is a sequence.
    pub(crate) fn items(&self) -> &[Node<'t>] {
        match &self.kind {
            Kind::Sequence { items, .. } => items,
            _ => &[],
        }
    }
}
