//! The fewest changes of a text that turn its value into a wanted one.
//!
//! Everything else stays as it is, comments and odd spacing included. The caller parses the result
//! and compares: a failed change, such as of a mapping that an alias repeats elsewhere, is detected
//! there.

use std::ops::Range;

use serde_json::{Map, Value};

use crate::document::{Form, Kind, Node, Style};
use crate::render::{Layout, flow, leaf, ordered, scalar};

/// The text cannot be changed in place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct NotEditable {
    /// Its line, from 1.
    pub(crate) line: usize,
}

/// Collects changes of one text.
pub(crate) struct Editor<'t> {
    text: &'t str,
    newline: &'static str,
    edits: Vec<(Range<usize>, String)>,
}

impl<'t> Editor<'t> {
    /// No change yet.
    pub(crate) fn new(text: &'t str) -> Self {
        let newline = if text.contains("\r\n") { "\r\n" } else { "\n" };
        Self { text, newline, edits: Vec::new() }
    }

    /// The text with all changes.
    pub(crate) fn finish(mut self) -> String {
        // Stable: what is inserted at one place stays in its order. A removal that ends where
        // something is inserted begins before it.
        self.edits.sort_by_key(|(range, _)| range.start);
        let mut out = String::with_capacity(self.text.len() + 4096);
        let mut done = 0;
        for (range, new) in &self.edits {
            out.push_str(self.text.get(done..range.start).unwrap_or_default());
            out.push_str(new);
            done = done.max(range.end);
        }
        out.push_str(&self.text[done..]);
        out
    }

    /// Changes the object at `node` from `old` to `new`.
    pub(crate) fn change(
        &mut self,
        node: &Node<'_>,
        old: &Value,
        new: &Value,
    ) -> Result<(), NotEditable> {
        if old == new {
            return Ok(());
        }
        let layout = Layout { newline: self.newline, dash_indent: self.dash_indent(node) };
        let mut change = Change { editor: self, layout };
        if change.inside(node, (node.range.start, Style::Block), old, new)? {
            return Ok(());
        }
        Err(NotEditable { line: node.line })
    }

    /// How far the dashes of the object's lists are indented: as in the first list that it has.
    fn dash_indent(&self, node: &Node<'_>) -> usize {
        let Kind::Mapping { entries, .. } = &node.kind else { return 0 };
        let mut waiting: Vec<_> = entries.iter().collect();
        while let Some((key, value)) = waiting.pop() {
            match &value.kind {
                Kind::Sequence { style: Style::Block, .. } => {
                    return self.dash_column(value).saturating_sub(self.column(key.range.start));
                }
                Kind::Mapping { entries, .. } => waiting.extend(entries),
                _ => {}
            }
        }
        0
    }

    fn column(&self, offset: usize) -> usize {
        let line = self.text[..offset].rfind('\n').map_or(0, |newline| newline + 1);
        self.text[line..offset].chars().count()
    }

    /// Where the dashes of a list stand.
    fn dash_column(&self, list: &Node<'_>) -> usize {
        if self.text[list.range.start..].starts_with('-') {
            return self.column(list.range.start);
        }
        let first = list.items().first().map_or(list.range.start, |item| item.range.start);
        let line = self.text[..first].rfind('\n').map_or(0, |newline| newline + 1);
        let before = &self.text[line..first];
        match before.rfind("- ") {
            // The last dash before the item is its own.
            Some(dash) => before[..dash].chars().count(),
            None => self.column(list.range.start),
        }
    }

    /// The end of the line at `offset`, its line break left out.
    fn line_end(&self, offset: usize) -> usize {
        let rest = &self.text[offset..];
        let line = rest.find('\n').map_or(rest, |newline| &rest[..newline]);
        offset + line.strip_suffix('\r').unwrap_or(line).len()
    }

    /// Where the text of a value ends.
    fn end(&self, node: &Node<'_>) -> usize {
        match &node.kind {
            Kind::Scalar { form: Form::Lines, .. } => {
                node.range.start + self.text[node.range.clone()].trim_end().len()
            }
            Kind::Sequence { items, style: Style::Block } => {
                items.last().map_or(node.range.end, |item| self.end(item))
            }
            Kind::Mapping { entries, style: Style::Block } => {
                entries.last().map_or(node.range.end, |entry| self.entry_end(entry))
            }
            _ => node.range.end,
        }
    }

    fn entry_end(&self, (key, value): &(Node<'_>, Node<'_>)) -> usize {
        if value.range.is_empty() { self.colon(key) } else { self.end(value) }
    }

    /// Just behind the colon of a key.
    fn colon(&self, key: &Node<'_>) -> usize {
        let colon = self.text[key.range.end..].find(':');
        colon.map_or(key.range.end, |colon| key.range.end + colon + 1)
    }

    fn replace(&mut self, range: Range<usize>, new: String) {
        self.edits.push((range, new));
    }

    fn insert(&mut self, at: usize, new: String) {
        self.edits.push((at..at, new));
    }
}

struct Change<'e, 't> {
    editor: &'e mut Editor<'t>,
    layout: Layout,
}

impl Change<'_, '_> {
    /// Changes a value within itself; false when it must be rewritten as a whole. `owner` is
    /// where the text before it ends, behind its key's colon, and `around` how what it is in is
    /// written.
    fn inside(
        &mut self,
        node: &Node<'_>,
        (owner, around): (usize, Style),
        old: &Value,
        new: &Value,
    ) -> Result<bool, NotEditable> {
        match (&node.kind, old, new) {
            (Kind::Scalar { form, .. }, _, new) if !new.is_object() && !new.is_array() => {
                let is_in_one_line = *form != Form::Lines && !node.range.is_empty();
                if is_in_one_line {
                    let is_quoted = self.editor.text[node.range.clone()].starts_with('"');
                    let as_json = is_quoted || around == Style::Flow;
                    let text = if as_json { new.to_string() } else { leaf(new) };
                    self.editor.replace(node.range.clone(), text);
                }
                Ok(is_in_one_line)
            }
            (Kind::Mapping { entries, style }, Value::Object(old), Value::Object(new)) => {
                self.mapping(node, entries, *style, (old, new))
            }
            (Kind::Sequence { items, style }, Value::Array(old), Value::Array(new)) => {
                self.sequence((node, owner), items, *style, (old, new))
            }
            _ => Ok(false),
        }
    }

    fn mapping(
        &mut self,
        node: &Node<'_>,
        entries: &[(Node<'_>, Node<'_>)],
        style: Style,
        (old, new): (&Map<String, Value>, &Map<String, Value>),
    ) -> Result<bool, NotEditable> {
        let key = |index: usize| entries[index].0.text().unwrap_or_default();
        let stays: Vec<bool> = (0..entries.len())
            .map(|index| new.contains_key(key(index)) || !old.contains_key(key(index)))
            .collect();
        if !stays.contains(&true) {
            return Ok(false);
        }
        // A key from a merge can be overridden, but not removed.
        let own = |key: &str| entries.iter().any(|(known, _)| known.text() == Some(key));
        if old.keys().any(|key| !new.contains_key(key) && !own(key)) {
            return Err(NotEditable { line: node.line });
        }
        let ends: Vec<_> = entries.iter().map(|entry| self.editor.entry_end(entry)).collect();
        let starts: Vec<_> = entries.iter().map(|(key, _)| key.range.start).collect();
        self.remove(&stays, &starts, &ends, (style, None));
        for (index, entry) in entries.iter().enumerate() {
            if let (Some(old), Some(new)) = (old.get(key(index)), new.get(key(index)))
                && old != new
            {
                self.entry(entry, style, (old, new))?;
            }
        }
        let added: Vec<_> = ordered(new)
            .into_iter()
            .filter(|(key, value)| !own(key) && old.get(*key) != Some(*value))
            .collect();
        self.add(&starts, &ends, style, &added);
        Ok(true)
    }

    /// Changes the value of a key, or writes key and value anew.
    fn entry(
        &mut self,
        entry: &(Node<'_>, Node<'_>),
        style: Style,
        (old, new): (&Value, &Value),
    ) -> Result<(), NotEditable> {
        let (key, value) = entry;
        let owner = self.editor.colon(key);
        if self.inside(value, (owner, style), old, new)? {
            return Ok(());
        }
        let whole = key.range.start..self.editor.entry_end(entry);
        let name = key.text().unwrap_or_default();
        let text = match style {
            Style::Block => self.layout.entry(name, new, self.editor.column(key.range.start)),
            Style::Flow => {
                let name = Value::String(name.to_owned());
                format!("{name}: {}", flow(new, None, self.layout.newline))
            }
        };
        self.editor.replace(whole, text);
        Ok(())
    }

    /// Adds entries at the end of a mapping.
    fn add(&mut self, starts: &[usize], ends: &[usize], style: Style, added: &[(&String, &Value)]) {
        let (Some(first), Some(last)) = (starts.first(), ends.last()) else { return };
        for (key, value) in added {
            match style {
                Style::Block => {
                    let column = self.editor.column(*first);
                    let text = self.layout.line(column) + &self.layout.entry(key, value, column);
                    let at = self.editor.line_end(*last);
                    self.editor.insert(at, text);
                }
                Style::Flow => {
                    let (gap, indent) = self.gap(*first);
                    let is_quoted = self.editor.text[*first..].starts_with('"');
                    let key = match is_quoted {
                        true => Value::String((*key).clone()).to_string(),
                        false => scalar(key),
                    };
                    let value = flow(value, indent, self.layout.newline);
                    self.editor.insert(*last, format!(",{gap}{key}: {value}"));
                }
            }
        }
    }

    /// What stands between two entries of a bracket, and its indentation if that is a line break.
    /// It looks at blanks alone: a whole list may stand in one line.
    fn gap(&self, first: usize) -> (String, Option<usize>) {
        let before = &self.editor.text[..first];
        let blanks = &before[before.trim_end_matches([' ', '\t']).len()..];
        if before[..first - blanks.len()].ends_with('\n') {
            (format!("{}{blanks}", self.layout.newline), Some(blanks.len()))
        } else {
            (" ".to_owned(), None)
        }
    }

    fn sequence(
        &mut self,
        (node, owner): (&Node<'_>, usize),
        items: &[Node<'_>],
        style: Style,
        (old, new): (&[Value], &[Value]),
    ) -> Result<bool, NotEditable> {
        let middle = middle(old, new);
        if old.is_empty() || items.len() != old.len() {
            return Ok(false);
        }
        if middle.old.len() == middle.new.len() {
            for (before, after) in middle.old.zip(middle.new) {
                self.item(&items[before], style, (&old[before], &new[after]))?;
            }
            return Ok(true);
        }
        if middle.old.len() == items.len() {
            return Ok(false);
        }
        if style == Style::Block && !self.editor.text[owner..node.range.start].contains('\n') {
            return Err(NotEditable { line: node.line });
        }
        let stays: Vec<_> = (0..items.len()).map(|index| !middle.old.contains(&index)).collect();
        let starts: Vec<_> = items.iter().map(|item| item.range.start).collect();
        let ends: Vec<_> = items.iter().map(|item| self.editor.end(item)).collect();
        self.remove(&stays, &starts, &ends, (style, Some(owner)));
        let at = middle.old.start;
        match style {
            Style::Block => {
                let before = at.checked_sub(1).map_or(owner, |last| ends[last]);
                let at = self.editor.line_end(before);
                let dash = self.editor.dash_column(node);
                for value in &new[middle.new] {
                    let item = self.layout.item(value, dash + 2);
                    let text = format!("{}- {item}", self.layout.line(dash));
                    self.editor.insert(at, text);
                }
            }
            Style::Flow => {
                let (gap, indent) = self.gap(starts[0]);
                for value in &new[middle.new] {
                    let text = flow(value, indent, self.layout.newline);
                    match at.checked_sub(1) {
                        Some(last) => self.editor.insert(ends[last], format!(",{gap}{text}")),
                        None => self.editor.insert(starts[0], format!("{text},{gap}")),
                    }
                }
            }
        }
        Ok(true)
    }

    fn item(
        &mut self,
        item: &Node<'_>,
        style: Style,
        (old, new): (&Value, &Value),
    ) -> Result<(), NotEditable> {
        if old == new || self.inside(item, (item.range.start, style), old, new)? {
            return Ok(());
        }
        let whole = item.range.start..self.editor.end(item);
        let text = match style {
            Style::Block => self.layout.item(new, self.editor.column(item.range.start)),
            Style::Flow => flow(new, None, self.layout.newline),
        };
        self.editor.replace(whole, text);
        Ok(())
    }

    /// Removes the items that do not stay, in runs: each with what separates it from what was
    /// before, or, at the begin, from what comes after. A list's `owner` is what stands before its
    /// first dash.
    fn remove(
        &mut self,
        stays: &[bool],
        starts: &[usize],
        ends: &[usize],
        (style, owner): (Style, Option<usize>),
    ) {
        let mut index = 0;
        while index < stays.len() {
            let run = stays[index..].iter().take_while(|stays| !**stays).count();
            if run == 0 {
                index += 1;
                continue;
            }
            let (first, next) = (index, index + run);
            let line_end = |offset: usize| self.editor.line_end(offset);
            let range = match (style, first.checked_sub(1), owner) {
                (Style::Block, Some(before), _) => line_end(ends[before])..line_end(ends[next - 1]),
                (Style::Block, None, Some(owner)) => line_end(owner)..line_end(ends[next - 1]),
                (Style::Flow, Some(before), _) => ends[before]..ends[next - 1],
                (_, None, _) => starts[first]..starts[next],
            };
            self.editor.replace(range, String::new());
            index = next;
        }
    }
}

/// The part of two lists in which they differ.
pub(crate) struct Middle {
    pub(crate) old: Range<usize>,
    pub(crate) new: Range<usize>,
}

/// What two lists do not have in common at their begin and their end.
pub(crate) fn middle(old: &[Value], new: &[Value]) -> Middle {
    let begin = old.iter().zip(new).take_while(|(old, new)| old == new).count();
    let rest = (&old[begin..], &new[begin..]);
    let end = rest.0.iter().rev().zip(rest.1.iter().rev()).take_while(|(o, n)| o == n).count();
    Middle { old: begin..old.len() - end, new: begin..new.len() - end }
}

#[cfg(test)]
mod tests;
