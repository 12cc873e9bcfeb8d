//! Attributes: of the process that sends, and of what it sends.

use std::borrow::Cow;
use std::time::{SystemTime, UNIX_EPOCH};

use tidegate_proto::otlp::v1::any_value::Value as AnyValueKind;
use tidegate_proto::otlp::v1::{AnyValue, KeyValue, Resource as ResourceMessage};

/// An attribute's value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    /// Text.
    Text(String),
    /// A number.
    Int(i64),
}

/// The attributes of this process in everything that it sends.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Resource {
    /// Key and value of each attribute.
    pub attributes: Vec<(Cow<'static, str>, String)>,
}

impl Resource {
    /// The same as a message.
    #[must_use]
    pub fn message(&self) -> ResourceMessage {
        let attributes = self.attributes.iter();
        let attributes = attributes.map(|(key, value)| attribute(key, &Value::Text(value.clone())));
        ResourceMessage { attributes: attributes.collect() }
    }
}

/// One attribute as a message.
#[must_use]
pub fn attribute(key: &str, value: &Value) -> KeyValue {
    let kind = match value {
        Value::Text(text) => AnyValueKind::StringValue(text.clone()),
        Value::Int(number) => AnyValueKind::IntValue(*number),
    };
    KeyValue { key: key.to_owned(), value: Some(AnyValue { value: Some(kind) }) }
}

/// Nanoseconds since 1970; 0 before that.
#[must_use]
pub fn nanos(time: SystemTime) -> u64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}
