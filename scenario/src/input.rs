//! From a scenario's input to what its kind reads: where it is wrong, and which fields it does
//! not have.
//!
//! `serde` tells a visitor the fields of a struct before it reads them, and only there are the
//! names known that a misspelt one could have been. So this deserializer visits the value by
//! itself, and leaves single values to `serde_json`.

use std::fmt;

use serde::de::value::StrDeserializer;
use serde::de::{
    DeserializeOwned, DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Unexpected,
    Visitor,
};
use serde::forward_to_deserialize_any;
use serde_json::{Error, Value};
use tidegate_words::{did_you_mean, excerpt, list};

use crate::error::ScenarioError;

/// A field that a kind does not have. Most likely it is misspelt, which would silently count as
/// zero.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnknownField {
    path: String,
    near: String,
}

impl UnknownField {
    /// The field `name` at `path`, where only those in `known` would be read.
    pub(crate) fn new(path: String, name: &str, known: &[&'static str]) -> Self {
        Self { path, near: did_you_mean(name, known.iter().copied()) }
    }

    /// Where it is, such as `input.ticks[0].redy`.
    pub fn path(&self) -> &str {
        &self.path
    }
}

impl fmt::Display for UnknownField {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = excerpt(&self.path);
        write!(f, "{path}: ignored, because there is no such field{}", self.near)
    }
}

/// Called with each field that is not known.
pub(crate) type OnUnknown<'a> = dyn FnMut(&UnknownField) + 'a;

/// What a kind reads of `input`.
pub(crate) fn read<I: DeserializeOwned>(
    input: &Value,
    unknown: &mut OnUnknown<'_>,
) -> Result<I, ScenarioError> {
    let reader = Reader { value: input, path: Path::Input, unknown };
    serde_path_to_error::deserialize(reader).map_err(|error| {
        let path = match error.path().to_string().as_str() {
            "." => "input".to_owned(),
            path => format!("input.{path}"),
        };
        ScenarioError::new(path, error.into_inner())
    })
}

/// Where in the input a value is.
#[derive(Clone, Copy)]
enum Path<'p> {
    Input,
    Field(&'p Path<'p>, &'p str),
    Item(&'p Path<'p>, usize),
}

impl fmt::Display for Path<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Input => f.write_str("input"),
            Self::Field(parent, name) => write!(f, "{parent}.{name}"),
            Self::Item(parent, index) => write!(f, "{parent}[{index}]"),
        }
    }
}

/// A value of the input, ready to be read.
struct Reader<'de, 'p> {
    value: &'de Value,
    path: Path<'p>,
    unknown: &'p mut OnUnknown<'p>,
}

impl<'de> Deserializer<'de> for Reader<'de, '_> {
    type Error = Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        let Self { value, path, unknown } = self;
        match value {
            Value::Array(items) => {
                visitor.visit_seq(Items { items: items.iter(), index: 0, path: &path, unknown })
            }
            Value::Object(fields) => {
                let fields = Fields { fields: fields.iter(), known: None, value: None };
                visitor.visit_map(Entries { fields, path: &path, unknown })
            }
            scalar => scalar.deserialize_any(visitor),
        }
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        known: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        let Self { value, path, unknown } = self;
        let Value::Object(fields) = value else {
            return Err(Error::invalid_type(unexpected(value), &"an object"));
        };
        let fields = Fields { fields: fields.iter(), known: Some(known), value: None };
        visitor.visit_map(Entries { fields, path: &path, unknown })
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        if let Value::String(typed) = self.value
            && !variants.contains(&typed.as_str())
        {
            let known = || variants.iter().copied().filter(|variant| !variant.is_empty());
            let (found, near) = (excerpt(typed), did_you_mean(typed, known()));
            let message = format!("found \"{found}\", expected {}{near}", list(known()));
            return Err(Error::custom(message));
        }
        self.value.deserialize_enum(name, variants, visitor)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.value {
            Value::Null => visitor.visit_none(),
            _ => visitor.visit_some(self),
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Error> {
        visitor.visit_newtype_struct(self)
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit
        unit_struct seq tuple tuple_struct map identifier ignored_any
    }
}

/// The items of a list.
struct Items<'de, 'p> {
    items: std::slice::Iter<'de, Value>,
    index: usize,
    path: &'p Path<'p>,
    unknown: &'p mut OnUnknown<'p>,
}

impl<'de> SeqAccess<'de> for Items<'de, '_> {
    type Error = Error;

    fn next_element_seed<T: DeserializeSeed<'de>>(
        &mut self,
        seed: T,
    ) -> Result<Option<T::Value>, Error> {
        let Some(value) = self.items.next() else { return Ok(None) };
        let path = Path::Item(self.path, self.index);
        self.index += 1;
        seed.deserialize(Reader { value, path, unknown: &mut *self.unknown }).map(Some)
    }
}

/// The fields of an object that are still to be read.
struct Fields<'de> {
    fields: serde_json::map::Iter<'de>,
    /// Those that there are; `None` where any name will do.
    known: Option<&'static [&'static str]>,
    /// The one whose name was read and whose value was not.
    value: Option<(&'de str, &'de Value)>,
}

/// An object on its way to a struct or a map.
struct Entries<'de, 'p> {
    fields: Fields<'de>,
    path: &'p Path<'p>,
    unknown: &'p mut OnUnknown<'p>,
}

impl<'de> MapAccess<'de> for Entries<'de, '_> {
    type Error = Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, Error> {
        for (name, value) in self.fields.fields.by_ref() {
            if let Some(known) = self.fields.known
                && !known.contains(&name.as_str())
            {
                let path = Path::Field(self.path, name).to_string();
                (self.unknown)(&UnknownField::new(path, name, known));
                continue;
            }
            self.fields.value = Some((name, value));
            return seed.deserialize(StrDeserializer::new(name)).map(Some);
        }
        Ok(None)
    }

    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, Error> {
        let (name, value) =
            self.fields.value.take().ok_or_else(|| Error::custom("a value without a name"))?;
        let path = Path::Field(self.path, name);
        seed.deserialize(Reader { value, path, unknown: &mut *self.unknown })
    }
}

/// How `serde` names what was found.
fn unexpected(value: &Value) -> Unexpected<'_> {
    match value {
        Value::Null => Unexpected::Unit,
        Value::Bool(value) => Unexpected::Bool(*value),
        Value::Number(value) => match (value.as_u64(), value.as_i64(), value.as_f64()) {
            (Some(value), ..) => Unexpected::Unsigned(value),
            (None, Some(value), _) => Unexpected::Signed(value),
            (None, None, value) => Unexpected::Float(value.unwrap_or(f64::NAN)),
        },
        Value::String(value) => Unexpected::Str(value),
        Value::Array(_) => Unexpected::Seq,
        Value::Object(_) => Unexpected::Map,
    }
}
