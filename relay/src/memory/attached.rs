//! Charges that are passed to the HTTP/2 library with a set of fields.
//!
//! The library keeps a head until its connection has room to write it, which may be long after its
//! exchange is over, and does not report when it has. But it drops the fields then. So one of them
//! owns the charge.

use bytes::Bytes;
use http::header::{HeaderMap, HeaderValue};

/// A value, and the charge that lives as long as the value.
struct Held<T> {
    value: HeaderValue,
    _kept: T,
}

impl<T> AsRef<[u8]> for Held<T> {
    fn as_ref(&self) -> &[u8] {
        self.value.as_bytes()
    }
}

/// Keeps `kept` until the longest of the fields is dropped. Without fields it is dropped at once.
pub(crate) fn attach<T: Send + 'static>(fields: &mut HeaderMap, kept: T) {
    let Some(longest) = fields.values_mut().max_by_key(|value| value.len()) else { return };
    let held = Held { value: longest.clone(), _kept: kept };
    // It was validated before, so it still is valid.
    if let Ok(mut value) = HeaderValue::from_maybe_shared(Bytes::from_owner(held)) {
        // Compression tables would keep it for as long as their connection lives.
        value.set_sensitive(true);
        *longest = value;
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[test]
    fn what_is_attached_is_dropped_with_the_fields() {
        let kept = Arc::new(());
        let mut fields = HeaderMap::new();
        fields.insert("a", HeaderValue::from_static("short"));
        fields.insert("b", HeaderValue::from_static("the longest"));
        attach(&mut fields, kept.clone());
        assert_eq!(fields["b"], "the longest");
        assert_eq!(Arc::strong_count(&kept), 2);
        drop(fields);
        assert_eq!(Arc::strong_count(&kept), 1);
    }
}
