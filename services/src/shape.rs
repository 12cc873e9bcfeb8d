//! What values may be: the one definition that files are held to and that the schema is made from.

use std::time::Duration;

use tidegate_routes::FileError;
use tidegate_routes::section::Section;
use tidegate_words::time::compact;
use tidegate_words::{choose, excerpt, list, parse_duration};
use toml::Spanned;
use toml::de::DeValue;

/// A key of a table.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Key {
    pub(crate) name: &'static str,
    pub(crate) shape: Shape,
    /// What it means, for editors.
    pub(crate) about: &'static str,
}

/// What a value may be.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Shape {
    /// Text that is not empty.
    Text,
    /// Text of a form.
    Form(Form),
    /// One of these words.
    Words(&'static [&'static str]),
    /// A length of time, as text.
    Time { least: Duration, most: Duration },
    /// A whole number.
    Whole { least: u64, most: u64 },
    /// A list.
    List { of: &'static Shape, most: usize },
    /// Values by names: text, numbers, true or false.
    Named(Form),
    /// A table with these keys.
    Table(&'static [Key]),
    /// A table with one of these keys.
    OneOf(&'static [Key]),
    /// A table by names of one's own.
    ByName(Form, &'static Shape),
    /// A table of the routes' format, which is read there.
    Foreign(Foreign),
    /// One of these, which are of different types.
    Either(&'static [Shape]),
}

/// A form of text.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Form {
    /// As an editor is told it: a regular expression of ECMAScript.
    pub(crate) pattern: &'static str,
    /// As it is checked.
    pub(crate) is: fn(&str) -> bool,
    pub(crate) expected: &'static str,
}

/// Tables that are read elsewhere.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Foreign {
    /// A rollout.
    Rollout,
    /// A route.
    Route,
}

/// A type of TOML.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Text,
    Whole,
    List,
    Table,
    Other,
}

fn kind_of(value: &DeValue<'_>) -> Kind {
    match value {
        DeValue::String(_) => Kind::Text,
        DeValue::Integer(_) => Kind::Whole,
        DeValue::Array(_) => Kind::List,
        DeValue::Table(_) => Kind::Table,
        _ => Kind::Other,
    }
}

impl Shape {
    /// The type of values of this shape; `None` for several.
    fn kind(&self) -> Option<Kind> {
        match self {
            Self::Text | Self::Form(_) | Self::Words(_) | Self::Time { .. } => Some(Kind::Text),
            Self::Whole { .. } => Some(Kind::Whole),
            Self::List { .. } => Some(Kind::List),
            Self::Named(_)
            | Self::Table(_)
            | Self::OneOf(_)
            | Self::ByName(..)
            | Self::Foreign(_) => Some(Kind::Table),
            Self::Either(_) => None,
        }
    }

    /// What would be accepted, in words.
    pub(crate) fn expected(&self) -> String {
        match self {
            Self::Text => "text in quotes".to_owned(),
            Self::Form(form) => form.expected.to_owned(),
            Self::Words(words) => {
                let quoted: Vec<String> = words.iter().map(|word| format!("\"{word}\"")).collect();
                list(quoted.iter().map(String::as_str))
            }
            Self::Time { least, most } if least.is_zero() => {
                format!("a time such as \"30s\", at most {}", compact(*most))
            }
            Self::Time { least, most } => {
                format!("a time such as \"30s\", {} to {}", compact(*least), compact(*most))
            }
            Self::Whole { least, most } => format!("a whole number from {least} to {most}"),
            Self::List { of, .. } => format!("a list, each {}", of.expected()),
            Self::Named(_) => "a table, such as { NAME = \"value\" }".to_owned(),
            Self::Table(keys) => {
                format!("a table with {}", list(keys.iter().map(|key| key.name)))
            }
            Self::OneOf(keys) => {
                format!("a table with one of {}", list(keys.iter().map(|key| key.name)))
            }
            Self::ByName(..) => "tables".to_owned(),
            Self::Foreign(Foreign::Rollout) => {
                "a table with `steps` or `over`, as a route's rollout".to_owned()
            }
            Self::Foreign(Foreign::Route) => "a route".to_owned(),
            Self::Either(shapes) => {
                let all: Vec<String> = shapes.iter().map(Shape::expected).collect();
                list(all.iter().map(String::as_str))
            }
        }
    }

    /// Checks a value, which is called `key` in `section`.
    ///
    /// # Errors
    ///
    /// Where it is something else, and what was expected.
    pub(crate) fn check<'a>(
        &self,
        section: &Section<'a>,
        key: &str,
        value: &'a Spanned<DeValue<'a>>,
    ) -> Result<(), FileError> {
        let found = kind_of(value.get_ref());
        let wrong = |expected: &str| {
            let what = format!("`{}`: expected {expected}", excerpt(key));
            Err(section.wrong_at(&value.span(), what))
        };
        if let Self::Either(shapes) = self {
            let fits = shapes.iter().find(|shape| shape.kind() == Some(found));
            return match fits {
                Some(shape) => match shape.check(section, key, value) {
                    // Of a text that does not fit, all that may stand there is of interest.
                    Err(_) if found == Kind::Text => wrong(&self.expected()),
                    checked => checked,
                },
                None => wrong(&self.expected()),
            };
        }
        if self.kind() != Some(found) {
            return wrong(&self.expected());
        }
        match (self, value.get_ref()) {
            (Self::Text, DeValue::String(text)) if text.is_empty() => wrong("text"),
            (Self::Form(form), DeValue::String(text)) if !(form.is)(text) => {
                wrong(&format!("{}, found \"{}\"", form.expected, excerpt(text)))
            }
            (Self::Words(words), DeValue::String(text)) => {
                choose(text, words, |word| word).map(drop).map_err(|what| {
                    let what = format!("`{}`: {what}", excerpt(key));
                    section.wrong_at(&value.span(), what)
                })
            }
            (Self::Time { least, most }, DeValue::String(text)) => match parse_duration(text) {
                Ok(time) if (*least..=*most).contains(&time) => Ok(()),
                _ => wrong(&self.expected()),
            },
            (Self::Whole { least, most }, DeValue::Integer(number)) => {
                let number = u64::from_str_radix(number.as_str(), number.radix()).ok();
                match number.is_some_and(|number| (*least..=*most).contains(&number)) {
                    true => Ok(()),
                    false => wrong(&self.expected()),
                }
            }
            (Self::List { of, most }, DeValue::Array(values)) => {
                if values.is_empty() || values.len() > *most {
                    return wrong(&format!("1 to {most} entries"));
                }
                values.iter().try_for_each(|value| of.check(section, key, value))
            }
            (Self::Named(form), DeValue::Table(_)) => {
                let part = section.as_section(format!("`{}`", excerpt(key)), value)?;
                check_names(&part, *form)
            }
            (Self::Table(keys), DeValue::Table(_)) => {
                check_all(&section.as_section(format!("`{}`", excerpt(key)), value)?, keys)
            }
            (Self::OneOf(keys), DeValue::Table(table)) => {
                check_all(&section.as_section(format!("`{}`", excerpt(key)), value)?, keys)?;
                if table.len() == 1 { Ok(()) } else { wrong(&self.expected()) }
            }
            _ => Ok(()),
        }
    }
}

/// Checks values by names of one's own.
fn check_names(part: &Section<'_>, form: Form) -> Result<(), FileError> {
    part.entries().try_for_each(|(name, value)| {
        let shown = excerpt(name.value);
        if !(form.is)(name.value) {
            let what = format!("\"{shown}\": expected {}", form.expected);
            return Err(part.wrong_at(&name.span, what));
        }
        if scalar(value.get_ref()).is_none() {
            let what = format!("`{shown}`: expected text, a number, true or false");
            return Err(part.wrong_at(&value.span(), what));
        }
        Ok(())
    })
}

/// Checks every key of a table.
///
/// # Errors
///
/// The first that is unknown, or whose value is something else than expected.
pub(crate) fn check_all(section: &Section<'_>, keys: &[Key]) -> Result<(), FileError> {
    let names: Vec<&str> = keys.iter().map(|key| key.name).collect();
    section.only(&names)?;
    for key in keys {
        if let Some(value) = section.get(key.name) {
            key.shape.check(section, key.name, value)?;
        }
    }
    Ok(())
}

/// A value as text, where it is text, a number, true or false.
pub(crate) fn scalar(value: &DeValue<'_>) -> Option<String> {
    match value {
        DeValue::String(text) => Some(text.to_string()),
        DeValue::Integer(number) if number.radix() == 10 => Some(number.as_str().to_owned()),
        DeValue::Float(number) => Some(number.as_str().to_owned()),
        DeValue::Boolean(truth) => Some(truth.to_string()),
        _ => None,
    }
}
