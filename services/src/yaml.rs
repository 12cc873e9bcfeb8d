//! YAML as a tree that knows where everything stands.

use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_saphyr::Spanned;
use tidegate_routes::FileError;
use tidegate_words::shorten;

/// A part of a document.
#[derive(Debug, Clone)]
pub(crate) struct Node {
    pub(crate) value: Tree,
    pub(crate) line: usize,
    pub(crate) column: usize,
}

/// What a part is.
#[derive(Debug, Clone)]
pub(crate) enum Tree {
    Nothing,
    /// Text, a number or a truth value, as text.
    Scalar(String),
    List(Vec<Node>),
    Map(Vec<(String, Node)>),
}

/// The documents of a file.
///
/// # Errors
///
/// Where it is no YAML.
pub(crate) fn documents(text: &str) -> Result<Vec<Node>, FileError> {
    let read: Result<Vec<Spanned<Tree>>, _> = serde_saphyr::from_multiple(text);
    let read = read.map_err(|error| {
        let at = error.location();
        FileError {
            line: at.map_or(1, |at| whole(at.line())),
            column: at.map_or(1, |at| whole(at.column())),
            what: shorten(error.to_string().lines().next().unwrap_or_default()).into_owned(),
        }
    })?;
    Ok(read.into_iter().map(node).collect())
}

fn whole(number: u64) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX).max(1)
}

fn node(spanned: Spanned<Tree>) -> Node {
    let at = spanned.referenced;
    Node { value: spanned.value, line: whole(at.line()), column: whole(at.column()) }
}

impl Node {
    /// What stands under a key.
    pub(crate) fn get(&self, key: &str) -> Option<&Node> {
        self.entries().iter().find(|(name, _)| name == key).map(|(_, node)| node)
    }

    /// What stands under several keys, one within the other.
    pub(crate) fn at(&self, path: &[&str]) -> Option<&Node> {
        path.iter().try_fold(self, |node, key| node.get(key))
    }

    pub(crate) fn entries(&self) -> &[(String, Node)] {
        match &self.value {
            Tree::Map(entries) => entries,
            _ => &[],
        }
    }

    pub(crate) fn list(&self) -> &[Node] {
        match &self.value {
            Tree::List(nodes) => nodes,
            _ => &[],
        }
    }

    pub(crate) fn text(&self) -> Option<&str> {
        match &self.value {
            Tree::Scalar(text) => Some(text),
            _ => None,
        }
    }

    /// The text under a key.
    pub(crate) fn text_of(&self, key: &str) -> Option<&str> {
        self.get(key).and_then(Node::text)
    }

    /// An error here.
    pub(crate) fn wrong(&self, what: impl fmt::Display) -> FileError {
        FileError { line: self.line, column: self.column, what: what.to_string() }
    }
}

impl<'de> Deserialize<'de> for Tree {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(TreeVisitor)
    }
}

struct TreeVisitor;

impl<'de> Visitor<'de> for TreeVisitor {
    type Value = Tree;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("YAML")
    }

    fn visit_unit<E>(self) -> Result<Tree, E> {
        Ok(Tree::Nothing)
    }

    fn visit_none<E>(self) -> Result<Tree, E> {
        Ok(Tree::Nothing)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Tree, D::Error> {
        deserializer.deserialize_any(self)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Tree, E> {
        Ok(Tree::Scalar(value.to_string()))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Tree, E> {
        Ok(Tree::Scalar(value.to_string()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Tree, E> {
        Ok(Tree::Scalar(value.to_string()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Tree, E> {
        Ok(Tree::Scalar(value.to_string()))
    }

    fn visit_str<E>(self, value: &str) -> Result<Tree, E> {
        Ok(Tree::Scalar(value.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut values: A) -> Result<Tree, A::Error> {
        let mut nodes = Vec::new();
        while let Some(value) = values.next_element::<Spanned<Tree>>()? {
            nodes.push(node(value));
        }
        Ok(Tree::List(nodes))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut values: A) -> Result<Tree, A::Error> {
        let mut entries = Vec::new();
        while let Some((key, value)) = values.next_entry::<String, Spanned<Tree>>()? {
            entries.push((key, node(value)));
        }
        Ok(Tree::Map(entries))
    }
}
