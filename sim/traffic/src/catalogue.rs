//! The formats that are built in, as a table of [`Description`]s.
//!
//! Order matters where shapes overlap: what has more to tell it apart comes first.

mod json_logs;
mod load_generators;
mod spans;
mod text_logs;

use crate::description::Description;

pub(crate) use text_logs::{COMBINED_BASE, COMMON_BASE, text};

/// The table, family by family.
const FAMILIES: [&[Description]; 4] =
    [&text_logs::ALL, &load_generators::ALL, &spans::ALL, &json_logs::ALL];

/// Every description, in the order in which they are tried.
pub(crate) fn all() -> impl Iterator<Item = &'static Description> {
    FAMILIES.iter().flat_map(|family| family.iter())
}

/// Every name once, in the order of the table.
pub(crate) fn names() -> Vec<&'static str> {
    let mut names: Vec<&'static str> = Vec::new();
    for description in all() {
        if !names.contains(&description.name) {
            names.push(description.name);
        }
    }
    names
}
