//! Numbers in sentences.

/// A number with its noun: `1 request`, `2 requests`.
pub fn counted(count: u64, noun: &str) -> String {
    match count {
        1 => format!("1 {noun}"),
        _ => format!("{count} {noun}s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_is_singular() {
        let said = [0, 1, 2].map(|count| counted(count, "line"));
        assert_eq!(said, ["0 lines", "1 line", "2 lines"]);
    }
}
