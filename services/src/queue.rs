//! How a file says whose turn it is while several requests of a service wait.

use tidegate_admission::{QueueClass, QueueOrder};

/// Reads who leaves first.
pub(crate) fn order(text: &str) -> Option<QueueOrder> {
    match text {
        "arrival" => return Some(QueueOrder::Arrival),
        "deadline" => return Some(QueueOrder::Deadline),
        _ => {}
    }
    let by = text.strip_prefix("fair:")?;
    let is_known = match by.split_once(':') {
        Some(("header" | "cookie", name)) => is_token(name),
        Some(_) => false,
        None => matches!(by, "path" | "client-address"),
    };
    is_known.then(|| QueueOrder::FairBy(by.to_owned()))
}

/// Reads a class, `NAME=WEIGHT`.
pub(crate) fn class(text: &str) -> Option<QueueClass> {
    let (name, weight) = text.split_once('=')?;
    let is_byte = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
    let is_number = weight.starts_with(|first: char| first.is_ascii_digit() && first != '0');
    if name.is_empty() || !name.bytes().all(is_byte) || !is_number {
        return None;
    }
    Some(QueueClass { name: name.to_owned(), weight: weight.parse().ok()? })
}

/// Whether a header, or a cookie, may have this name.
pub(crate) fn is_token(name: &str) -> bool {
    let is_byte = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    !name.is_empty() && name.bytes().all(is_byte)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn orders_and_classes_are_read_or_refused() {
        assert_eq!(order("deadline"), Some(QueueOrder::Deadline));
        let by = |text: &str| Some(QueueOrder::FairBy(text.to_owned()));
        for text in ["header:x-user", "cookie:id", "path", "client-address"] {
            assert_eq!(order(&format!("fair:{text}")), by(text));
        }
        for bad in ["", "fair", "fair:", "fair:user", "fair:header:", "fair:header:a b", "Arrival"]
        {
            assert_eq!(order(bad), None, "{bad}");
        }
        assert_eq!(class("gold=10").map(|class| class.weight.get()), Some(10));
        for bad in ["", "gold", "=1", "gold=0", "gold=70000", "a b=1", "gold=-1", "gold=+1"] {
            assert_eq!(class(bad), None, "{bad}");
        }
    }
}
