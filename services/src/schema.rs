//! A schema of files for editors, made from what files are held to.

use serde_json::{Map, Value, json};

use crate::keys::FILE;
use crate::shape::{Foreign, Key, Shape};

/// Where editors know this dialect of schemas from.
const DIALECT: &str = "https://json-schema.org/draft/2020-12/schema";

/// A number, a sign and a unit, repeated: what a time looks like.
const TIME: &str = "^ *\\+?[0-9.]";

/// The JSON schema of a file.
#[must_use]
pub fn schema() -> Value {
    let mut schema = table(FILE);
    if let Value::Object(fields) = &mut schema {
        fields.insert("$schema".to_owned(), json!(DIALECT));
        fields.insert("title".to_owned(), json!("Services of Tidegate"));
        fields.insert("required".to_owned(), json!(["service"]));
    }
    schema
}

fn table(keys: &[Key]) -> Value {
    let of = |key: &Key| {
        let mut value = shape(&key.shape);
        if let Value::Object(fields) = &mut value {
            fields.insert("description".to_owned(), json!(key.about));
        }
        (key.name.to_owned(), value)
    };
    let properties: Map<String, Value> = keys.iter().map(of).collect();
    json!({ "type": "object", "properties": properties, "additionalProperties": false })
}

fn shape(of: &Shape) -> Value {
    match of {
        Shape::Text => json!({ "type": "string", "minLength": 1 }),
        Shape::Form(form) => json!({ "type": "string", "pattern": form.pattern }),
        Shape::Words(words) => json!({ "type": "string", "enum": words }),
        Shape::Time { .. } => json!({ "type": "string", "pattern": TIME }),
        Shape::Whole { least, most } => {
            json!({ "type": "integer", "minimum": least, "maximum": most })
        }
        Shape::List { of, most } => {
            json!({ "type": "array", "items": shape(of), "minItems": 1, "maxItems": most })
        }
        Shape::Named(form) => json!({
            "type": "object",
            "propertyNames": { "pattern": form.pattern },
            "additionalProperties": { "type": ["string", "number", "boolean"] },
        }),
        Shape::Table(keys) => table(keys),
        Shape::OneOf(keys) => {
            let mut value = table(keys);
            if let Value::Object(fields) = &mut value {
                fields.insert("minProperties".to_owned(), json!(1));
                fields.insert("maxProperties".to_owned(), json!(1));
            }
            value
        }
        Shape::ByName(form, of) => {
            let mut value = shape(of);
            // The only key of a table by names that has to be there.
            if let (Shape::Table(_), Value::Object(fields)) = (of, &mut value) {
                fields.insert("required".to_owned(), json!(["command"]));
            }
            json!({
                "type": "object",
                "propertyNames": { "pattern": form.pattern },
                "additionalProperties": value,
            })
        }
        Shape::Foreign(Foreign::Rollout) => json!({
            "type": "object",
            "anyOf": [{ "required": ["steps"] }, { "required": ["over"] }],
        }),
        Shape::Foreign(Foreign::Route) => json!({ "type": "object" }),
        Shape::Either(shapes) => {
            json!({ "anyOf": shapes.iter().map(shape).collect::<Vec<_>>() })
        }
    }
}
