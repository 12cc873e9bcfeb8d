//! The account of a policy of the embedder: its name, and the figures it went by.
//!
//! An explanation is made at every decision without allocating, so names are kept in place and are
//! as short as a column of a table.

use std::fmt;

use super::figure::Figure;

/// The most figures an account has; more are left out.
pub const FIGURES_MAX: usize = 8;

/// The most bytes a name has; longer ones are cut at a character's end.
pub const LABEL_BYTES_MAX: usize = 31;

/// How a policy of the embedder came to its decision.
///
/// ```
/// use tidegate_autoscaler::explain::Custom;
///
/// let account = Custom::new("double").with("busy", 3.0).with("per busy one", 2.0);
/// assert_eq!(account.to_string(), "double (busy 3, per busy one 2)");
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Custom {
    name: Label,
    names: [Label; FIGURES_MAX],
    values: [f64; FIGURES_MAX],
    count: u8,
}

impl Custom {
    /// The account of the policy `name`, without figures yet.
    pub fn new(name: &str) -> Custom {
        let names = [Label::EMPTY; FIGURES_MAX];
        Custom { name: Label::new(name), names, values: [0.0; FIGURES_MAX], count: 0 }
    }

    /// The same account with one more figure. One that is not finite is left out,
    /// as is one beyond [`FIGURES_MAX`].
    #[must_use]
    pub fn with(mut self, name: &str, value: f64) -> Custom {
        let place = usize::from(self.count);
        if place < FIGURES_MAX && value.is_finite() {
            self.names[place] = Label::new(name);
            self.values[place] = value;
            self.count += 1;
        }
        self
    }

    /// The name of the policy.
    pub fn name(&self) -> &str {
        self.name.as_str()
    }

    /// The figures, in the order in which they were added.
    pub fn figures(&self) -> impl Iterator<Item = (&str, f64)> {
        let names = self.names.iter().map(Label::as_str);
        names.zip(self.values).take(usize::from(self.count))
    }
}

impl fmt::Display for Custom {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())?;
        for (index, (name, value)) in self.figures().enumerate() {
            let value = Figure(value);
            write!(f, "{}{name} {value}", if index == 0 { " (" } else { ", " })?;
        }
        f.write_str(if self.count == 0 { "" } else { ")" })
    }
}

/// A short text, in place.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Label {
    bytes: [u8; LABEL_BYTES_MAX],
    length: u8,
}

impl Label {
    const EMPTY: Label = Label { bytes: [0; LABEL_BYTES_MAX], length: 0 };

    fn new(text: &str) -> Label {
        let length = text.floor_char_boundary(LABEL_BYTES_MAX);
        let mut label = Label::EMPTY;
        label.bytes[..length].copy_from_slice(&text.as_bytes()[..length]);
        label.length = length as u8;
        label
    }

    fn as_str(&self) -> &str {
        let bytes = self.bytes.get(..usize::from(self.length)).unwrap_or_default();
        // It was cut at a character's end, so it is text.
        std::str::from_utf8(bytes).unwrap_or_default()
    }
}

impl fmt::Debug for Label {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

/// As `{"name": "double", "figures": {"busy": 3.0}}`.
#[cfg(feature = "serde")]
mod as_data {
    use std::fmt;

    use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
    use serde::ser::{Serialize, SerializeMap, SerializeStruct, Serializer};

    use super::Custom;

    struct Figures<'a>(&'a Custom);

    impl Serialize for Figures<'_> {
        fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            let mut map = serializer.serialize_map(Some(usize::from(self.0.count)))?;
            for (name, value) in self.0.figures() {
                map.serialize_entry(name, &value)?;
            }
            map.end()
        }
    }

    impl Serialize for Custom {
        fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            let mut account = serializer.serialize_struct("Custom", 2)?;
            account.serialize_field("name", self.name())?;
            account.serialize_field("figures", &Figures(self))?;
            account.end()
        }
    }

    impl<'de> Deserialize<'de> for Custom {
        fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            #[derive(serde::Deserialize)]
            struct Account {
                name: String,
                figures: Read,
            }
            let account = Account::deserialize(deserializer)?;
            let none = Custom::new(&account.name);
            let add = |custom: Custom, (name, value): &(String, f64)| custom.with(name, *value);
            Ok(account.figures.0.iter().fold(none, add))
        }
    }

    /// Figures as they were written: in their order, and each name as often as it was written.
    struct Read(Vec<(String, f64)>);

    impl<'de> Deserialize<'de> for Read {
        fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            struct Entries;

            impl<'de> Visitor<'de> for Entries {
                type Value = Read;

                fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                    f.write_str("figures by name")
                }

                fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Read, A::Error> {
                    let mut figures = Vec::new();
                    while let Some(figure) = map.next_entry()? {
                        // Read to the end, but no more is kept than counts.
                        if figures.len() < super::FIGURES_MAX {
                            figures.push(figure);
                        }
                    }
                    Ok(Read(figures))
                }
            }

            deserializer.deserialize_map(Entries)
        }
    }
}
