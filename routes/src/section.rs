//! A table of a TOML file, which knows where it stands and which of its keys are read: for this
//! format, and for those that hold routes among other things.

use std::ops::Range;
use std::time::Duration;

use tidegate_words::{did_you_mean, excerpt, list, parse_duration, shorten};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::error::FileError;
use crate::share::Share;

/// A value, and where it stands.
#[derive(Debug, Clone)]
pub struct At<T> {
    /// The value.
    pub value: T,
    /// Where it stands in the text, in bytes.
    pub span: Range<usize>,
}

/// One table of a file.
#[derive(Debug, Clone)]
pub struct Section<'a> {
    text: &'a str,
    /// What it is called in messages.
    name: String,
    table: &'a DeTable<'a>,
    span: Range<usize>,
}

/// Reads the text of a file as tables, for [`Section::top`].
///
/// # Errors
///
/// The first place that is no TOML.
pub fn tables(text: &str) -> Result<Spanned<DeTable<'_>>, FileError> {
    DeTable::parse(text).map_err(|error| {
        let offset = error.span().map_or(0, |span| span.start);
        FileError::at(text, offset, shorten(error.message()))
    })
}

impl<'a> Section<'a> {
    /// The whole of a file, whose [`tables`] are those of `text`.
    #[must_use]
    pub fn top(text: &'a str, tables: &'a Spanned<DeTable<'a>>) -> Self {
        Self { text, name: String::new(), table: tables.get_ref(), span: tables.span() }
    }

    /// Where it stands in the text, in bytes.
    #[must_use]
    pub fn span(&self) -> Range<usize> {
        self.span.clone()
    }

    /// An error at this table.
    #[must_use]
    pub fn wrong(&self, what: impl std::fmt::Display) -> FileError {
        self.wrong_at(&self.span, what)
    }

    /// An error at a place.
    #[must_use]
    pub fn wrong_at(&self, span: &Range<usize>, what: impl std::fmt::Display) -> FileError {
        let what = match self.name.as_str() {
            "" => what.to_string(),
            name => format!("{name}: {what}"),
        };
        FileError::at(self.text, span.start, what)
    }

    /// Refuses keys that nobody reads.
    ///
    /// # Errors
    ///
    /// The first such key, and those that are read.
    pub fn only(&self, known: &[&str]) -> Result<(), FileError> {
        for (key, _) in self.table {
            let name: &str = key.get_ref();
            if !known.contains(&name) {
                let near = did_you_mean(name, known.iter().copied());
                let what = format!(
                    "unknown key `{}`, expected {}{near}",
                    excerpt(name),
                    list(known.iter().copied())
                );
                return Err(self.wrong_at(&key.span(), what));
            }
        }
        Ok(())
    }

    /// Every key with its value, in the order of the keys.
    pub fn entries(&self) -> impl Iterator<Item = (At<&'a str>, &'a Spanned<DeValue<'a>>)> {
        self.table
            .iter()
            .map(|(key, value)| (At { value: &**key.get_ref(), span: key.span() }, value))
    }

    /// A value, if it is there.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&'a Spanned<DeValue<'a>>> {
        self.entries().find(|(name, _)| name.value == key).map(|(_, value)| value)
    }

    /// Where a value stands, if it is there.
    #[must_use]
    pub fn place(&self, key: &str) -> Option<Range<usize>> {
        self.get(key).map(Spanned::span)
    }

    /// Text.
    ///
    /// # Errors
    ///
    /// Where it is something else, and what was expected.
    pub fn text(&self, key: &str) -> Result<Option<At<&'a str>>, FileError> {
        self.get(key).map(|value| self.as_text(key, value)).transpose()
    }

    /// A value as text; `key` is what it is called in messages.
    ///
    /// # Errors
    ///
    /// Where it is something else.
    pub fn as_text(
        &self,
        key: &str,
        value: &'a Spanned<DeValue<'a>>,
    ) -> Result<At<&'a str>, FileError> {
        match value.get_ref() {
            DeValue::String(text) => Ok(At { value: text, span: value.span() }),
            _ => Err(self.wrong_at(&value.span(), format!("`{key}`: expected text in quotes"))),
        }
    }

    /// Text that has to be there.
    ///
    /// # Errors
    ///
    /// Where it is something else, and what was expected.
    pub fn needed_text(&self, key: &str) -> Result<At<&'a str>, FileError> {
        let what = || self.wrong(format!("`{key}` is missing, expected text in quotes"));
        self.text(key)?.ok_or_else(what)
    }

    /// Another table.
    ///
    /// # Errors
    ///
    /// Where it is something else, and what was expected.
    pub fn section(&self, key: &str) -> Result<Option<Section<'a>>, FileError> {
        let Some(value) = self.get(key) else { return Ok(None) };
        let name = match self.name.as_str() {
            "" => format!("`{key}`"),
            name => format!("{name}, `{key}`"),
        };
        self.as_section(name, value).map(Some)
    }

    /// A value as a table, called `name` in messages.
    ///
    /// # Errors
    ///
    /// Where it is something else.
    pub fn as_section(
        &self,
        name: String,
        value: &'a Spanned<DeValue<'a>>,
    ) -> Result<Section<'a>, FileError> {
        match value.get_ref() {
            DeValue::Table(table) => Ok(Self { text: self.text, name, table, span: value.span() }),
            _ => Err(FileError::at(
                self.text,
                value.span().start,
                format!("{name}: expected a table, such as {{ … }}"),
            )),
        }
    }

    /// A list.
    ///
    /// # Errors
    ///
    /// Where it is something else, and what was expected.
    pub fn list(&self, key: &str) -> Result<&'a [Spanned<DeValue<'a>>], FileError> {
        match self.get(key).map(|value| (value.get_ref(), value.span())) {
            None => Ok(&[]),
            Some((DeValue::Array(array), _)) => Ok(array),
            Some((_, span)) => {
                Err(self.wrong_at(&span, format!("`{key}`: expected a list, such as [ … ]")))
            }
        }
    }

    /// A whole number.
    ///
    /// # Errors
    ///
    /// Where it is something else, and what was expected.
    pub fn whole(&self, key: &str) -> Result<Option<At<u64>>, FileError> {
        let Some(value) = self.get(key) else { return Ok(None) };
        let number = match value.get_ref() {
            DeValue::Integer(number) => u64::from_str_radix(number.as_str(), number.radix()).ok(),
            _ => None,
        };
        let wrong = || self.wrong_at(&value.span(), format!("`{key}`: expected a whole number"));
        Ok(Some(At { value: number.ok_or_else(wrong)?, span: value.span() }))
    }

    /// Yes or no.
    ///
    /// # Errors
    ///
    /// Where it is something else, and what was expected.
    pub fn truth(&self, key: &str) -> Result<Option<bool>, FileError> {
        match self.get(key).map(|value| (value.get_ref(), value.span())) {
            None => Ok(None),
            Some((DeValue::Boolean(truth), _)) => Ok(Some(*truth)),
            Some((_, span)) => {
                Err(self.wrong_at(&span, format!("`{key}`: expected true or false")))
            }
        }
    }

    /// A share in percent, in steps of a tenth.
    ///
    /// # Errors
    ///
    /// Where it is something else, and what was expected.
    pub fn percent(&self, key: &str) -> Result<Option<At<Share>>, FileError> {
        self.get(key).map(|value| self.as_percent(key, value)).transpose()
    }

    /// A value as a share in percent.
    ///
    /// # Errors
    ///
    /// Where it is something else.
    pub fn as_percent(
        &self,
        key: &str,
        value: &'a Spanned<DeValue<'a>>,
    ) -> Result<At<Share>, FileError> {
        let number = match value.get_ref() {
            DeValue::Integer(number) => number.as_str().parse().ok(),
            DeValue::Float(number) => number.as_str().parse().ok(),
            _ => None,
        };
        let share = number.and_then(Share::from_percent);
        let wrong = || {
            let expected = "expected a percentage from 0 to 100 in steps of 0.1, such as 30 or 0.1";
            self.wrong_at(&value.span(), format!("`{}`: {expected}", excerpt(key)))
        };
        Ok(At { value: share.ok_or_else(wrong)?, span: value.span() })
    }

    /// A length of time, in milliseconds.
    ///
    /// # Errors
    ///
    /// Where it is something else, and what was expected.
    pub fn time_ms(&self, key: &str) -> Result<Option<At<u64>>, FileError> {
        let Some(At { value, span }) = self.text(key)? else { return Ok(None) };
        let time = parse_duration(value);
        let time: Duration =
            time.map_err(|error| self.wrong_at(&span, format!("`{key}`: {error}")))?;
        Ok(Some(At { value: u64::try_from(time.as_millis()).unwrap_or(u64::MAX), span }))
    }
}
