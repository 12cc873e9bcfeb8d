//! How results are written: doubles as the shortest text that reads back exactly.

use serde::{Serialize, Serializer};

/// Whole doubles below this magnitude are written as integers.
const WHOLE_BELOW: f64 = 9_007_199_254_740_992.0;

/// A double that is written without `.0` when it is whole.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Number(pub(crate) f64);

impl Serialize for Number {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let value = self.0;
        if !value.is_finite() {
            let message = format!("a result is {value}, which JSON cannot write");
            return Err(serde::ser::Error::custom(message));
        }
        if value.fract() == 0.0 && value.abs() < WHOLE_BELOW {
            return serializer.serialize_i64(value as i64);
        }
        serializer.serialize_f64(value)
    }
}
