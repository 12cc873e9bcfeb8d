//! The same routes with other names for their revisions.

use toml::{Table, Value};

/// The routes of a file, by their names, with what `rename` makes of each name of a revision.
#[must_use]
pub fn renamed(routes: &Table, rename: &dyn Fn(&str) -> String) -> Table {
    let of_route = |(name, route): (&String, &Value)| {
        let mut route = route.clone();
        if let Value::Table(route) = &mut route {
            rename_route(route, rename);
        }
        (name.clone(), route)
    };
    routes.iter().map(of_route).collect()
}

fn rename_route(route: &mut Table, rename: &dyn Fn(&str) -> String) {
    rename_values(route, &["to"], rename);
    if let Some(Value::Table(split)) = route.get_mut("split") {
        let shares = std::mem::take(split).into_iter();
        *split = shares.map(|(name, share)| (rename(&name), share)).collect();
    }
    for key in ["mirror", "rollout"] {
        if let Some(Value::Table(part)) = route.get_mut(key) {
            rename_values(part, &["from", "to"], rename);
        }
    }
    if let Some(Value::Table(tags)) = route.get_mut("tags") {
        tags.iter_mut().for_each(|(_, value)| rename_value(value, rename));
    }
    if let Some(Value::Array(conditions)) = route.get_mut("when") {
        for condition in conditions {
            if let Value::Table(condition) = condition {
                rename_values(condition, &["to"], rename);
            }
        }
    }
}

fn rename_values(table: &mut Table, keys: &[&str], rename: &dyn Fn(&str) -> String) {
    for key in keys {
        if let Some(value) = table.get_mut(*key) {
            rename_value(value, rename);
        }
    }
}

fn rename_value(value: &mut Value, rename: &dyn Fn(&str) -> String) {
    if let Value::String(name) = value {
        *name = rename(name);
    }
}
