//! Formats, as Go's `fmt.Sprintf` fills them.

use super::Value;
use crate::quote::quote;

/// Go's `Sprintf` for the verbs that log lines use: `%v %s %d %q %t %f` with width, a leading zero
/// and precision.
pub(super) fn printf(format: &str, arguments: &[Value]) -> String {
    let mut out = String::new();
    let mut arguments = arguments.iter();
    let mut rest = format;
    while let Some((before, after)) = rest.split_once('%') {
        out.push_str(before);
        let end = after.find(|character: char| character.is_ascii_alphabetic() || character == '%');
        let Some(end) = end else {
            out.push_str("%!(NOVERB)");
            return out;
        };
        let (flags, verb) = (&after[..end], &after[end..=end]);
        rest = &after[end + 1..];
        if verb == "%" {
            out.push('%');
            continue;
        }
        match arguments.next() {
            Some(value) => out.push_str(&verb_text(flags, verb, value)),
            None => out.push_str(&format!("%!{verb}(MISSING)")),
        }
    }
    out.push_str(rest);
    out
}

/// The widest field; a format must not be able to request gigabytes.
const WIDEST: usize = 256;

fn verb_text(flags: &str, verb: &str, value: &Value) -> String {
    let (width, precision) = match flags.split_once('.') {
        Some((width, precision)) => (width, precision.parse::<usize>().ok()),
        None => (flags, None),
    };
    let precision = precision.map(|digits| digits.min(WIDEST));
    let text = match (verb, value) {
        ("q", value) => quote(&value.print()),
        ("f", Value::Float(float)) => format!("{float:.*}", precision.unwrap_or(6)),
        ("d", Value::Int(_)) | ("s" | "v" | "t", _) => match precision {
            Some(most) if verb == "s" => value.print().chars().take(most).collect(),
            _ => value.print(),
        },
        (verb, value) => format!("%!{verb}({})", value.print()),
    };
    let left = width.starts_with('-');
    let zero = width.starts_with('0');
    let width = width.trim_start_matches(['-', '+', ' ', '0']).parse::<usize>().unwrap_or(0);
    let missing = width.min(WIDEST).saturating_sub(text.chars().count());
    let fill = if zero && !left { "0" } else { " " }.repeat(missing);
    if left { text + &fill } else { fill + &text }
}
