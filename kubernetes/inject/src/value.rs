//! A node's value as JSON, with aliases and merged mappings resolved.

use std::collections::BTreeMap;

use serde_json::{Map, Number, Value};

use crate::document::{DEPTH_MAX, Form, Kind, Node};

/// Values of all workloads and Services of an input once their aliases are resolved. Without
/// aliases an input has no more nodes than that; an alias bomb has billions.
pub(crate) const VALUES_MAX: usize = 1_000_000;

/// Why a node has no value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NoValue {
    #[error("line {0}: its aliases stand for more than {VALUES_MAX} values, expected fewer")]
    TooLarge(usize),
    #[error("line {0}: the key stands twice in this mapping, expected it once")]
    Twice(usize),
    #[error("line {0}: a key that is no text, expected one such as `name:`")]
    Key(usize),
    #[error("line {0}: an alias to nothing, or to what it is a part of")]
    Alias(usize),
    #[error("line {0}: `<<` merges what is no mapping")]
    Merge(usize),
}

/// Resolves nodes of one document.
pub(crate) struct Resolver<'n, 't> {
    anchors: BTreeMap<usize, &'n Node<'t>>,
    values_left: usize,
}

impl<'n, 't> Resolver<'n, 't> {
    /// For the nodes under `root`.
    pub(crate) fn new(root: &'n Node<'t>) -> Self {
        let mut anchors = BTreeMap::new();
        collect(root, &mut anchors);
        Self { anchors, values_left: 0 }
    }

    /// The value of a node; `values_left` is what it and others may still amount to.
    pub(crate) fn value(
        &mut self,
        node: &'n Node<'t>,
        values_left: &mut usize,
    ) -> Result<Value, NoValue> {
        self.values_left = *values_left;
        let value = self.resolve(node, 0);
        *values_left = self.values_left;
        value
    }

    fn resolve(&mut self, node: &'n Node<'t>, depth: usize) -> Result<Value, NoValue> {
        if self.values_left == 0 || depth > DEPTH_MAX {
            return Err(NoValue::TooLarge(node.line));
        }
        self.values_left -= 1;
        match &node.kind {
            Kind::Scalar { text, form: Form::Plain } => Ok(typed(text)),
            Kind::Scalar { text, .. } => Ok(Value::String(text.clone().into_owned())),
            Kind::Alias(anchor) => {
                let target = self.anchors.get(anchor).copied();
                self.resolve(target.ok_or(NoValue::Alias(node.line))?, depth + 1)
            }
            Kind::Sequence { items, .. } => {
                let items = items.iter().map(|item| self.resolve(item, depth + 1));
                items.collect::<Result<Vec<_>, _>>().map(Value::Array)
            }
            Kind::Mapping { entries, .. } => self.mapping(entries, depth),
        }
    }

    fn mapping(
        &mut self,
        entries: &'n [(Node<'t>, Node<'t>)],
        depth: usize,
    ) -> Result<Value, NoValue> {
        let (mut own, mut merged) = (Map::new(), Map::new());
        for (key, node) in entries {
            let Kind::Scalar { text, form } = &key.kind else {
                return Err(NoValue::Key(key.line));
            };
            let value = self.resolve(node, depth + 1)?;
            if text == "<<" && *form == Form::Plain {
                merge(&mut merged, value).map_err(|_| NoValue::Merge(key.line))?;
            } else if own.insert(text.clone().into_owned(), value).is_some() {
                return Err(NoValue::Twice(key.line));
            }
        }
        for (key, value) in merged {
            own.entry(key).or_insert(value);
        }
        Ok(Value::Object(own))
    }
}

/// What is no mapping, nor a list of them.
struct NoMapping;

/// Earlier mappings win over later ones, as YAML's merge has it.
fn merge(into: &mut Map<String, Value>, value: Value) -> Result<(), NoMapping> {
    match value {
        Value::Object(map) => {
            for (key, value) in map {
                into.entry(key).or_insert(value);
            }
            Ok(())
        }
        Value::Array(maps) => maps.into_iter().try_for_each(|map| merge(into, map)),
        _ => Err(NoMapping),
    }
}

fn collect<'n, 't>(node: &'n Node<'t>, anchors: &mut BTreeMap<usize, &'n Node<'t>>) {
    if node.anchor > 0 {
        anchors.insert(node.anchor, node);
    }
    match &node.kind {
        Kind::Sequence { items, .. } => items.iter().for_each(|item| collect(item, anchors)),
        Kind::Mapping { entries, .. } => entries.iter().for_each(|(key, value)| {
            collect(key, anchors);
            collect(value, anchors);
        }),
        Kind::Scalar { .. } | Kind::Alias(_) => {}
    }
}

/// A plain scalar, as Kubernetes' tools read it.
pub(crate) fn typed(text: &str) -> Value {
    let is = |word: &str| text.eq_ignore_ascii_case(word);
    if text.is_empty() || text == "~" || is("null") {
        return Value::Null;
    }
    if is("true") || is("false") {
        return Value::Bool(is("true"));
    }
    if let Ok(number) = text.parse::<i64>() {
        return Value::Number(number.into());
    }
    let looks_like_a_number = text.bytes().all(|byte| b"0123456789.eE+-".contains(&byte))
        && text.bytes().any(|byte| byte.is_ascii_digit());
    let float = text.parse::<f64>().ok().filter(|_| looks_like_a_number);
    match float.and_then(Number::from_f64) {
        Some(number) => Value::Number(number),
        None => Value::String(text.to_owned()),
    }
}
