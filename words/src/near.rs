//! The known name that was most likely meant.

use crate::excerpt::excerpt;

/// Longest name that is compared: a longer text is not a mistyped name, and the cost of a
/// comparison grows with the square.
const NAME_CHARS_MAX: usize = 80;

/// Shortest prefix that identifies a name.
const PREFIX_CHARS_MIN: usize = 3;

/// Shortest prefix that identifies a name in spite of one typing error.
const SLIP_CHARS_MIN: usize = 5;

/// The name of `known` that is nearest to `typed`, when it is near: at most one letter in three and
/// one more is changed, added, left out or swapped with its neighbour. Case does not count, nor
/// does the choice between `-` and `_`. A name that begins with what was typed is near as well. Of
/// names equally near the first wins.
///
/// `None` when nothing is near, or nothing was typed.
pub fn nearest<'a>(typed: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let typed = folded(typed)?;
    let tolerance = (1 + typed.len() / 3).min(typed.len() - 1);
    let mut best = None;
    let mut abbreviated = None;
    for name in known {
        let Some(letters) = folded(name) else { continue };
        let distance = distance(&typed, &letters);
        if distance <= tolerance && best.is_none_or(|(least, _)| distance < least) {
            best = Some((distance, name));
        }
        if abbreviated.is_none() && begins(&letters, &typed) {
            abbreviated = Some(name);
        }
    }
    match best {
        Some((0..=1, name)) => Some(name),
        // A whole prefix is more likely an abbreviation than a name with many errors.
        _ => abbreviated.or(best.map(|(_, name)| name)),
    }
}

/// The question `; did you mean NAME?` with the name of `known` that is nearest to `typed`, or
/// nothing; to be put behind a message.
pub fn did_you_mean<'a>(typed: &str, known: impl IntoIterator<Item = &'a str>) -> String {
    match nearest(typed, known) {
        Some(name) => format!("; did you mean `{name}`?"),
        None => String::new(),
    }
}

/// The one of `all` whose name was typed.
///
/// # Errors
///
/// When there is none: the names that are valid, and the one that was most likely meant.
pub fn choose<T: Copy>(
    typed: &str,
    all: &[T],
    name: impl Fn(T) -> &'static str,
) -> Result<T, String> {
    let found = all.iter().copied().find(|one| name(*one) == typed);
    found.ok_or_else(|| {
        let names = || all.iter().map(|one| name(*one));
        let near = did_you_mean(typed, names());
        format!("expected {}, found '{}'{near}", list(names()), excerpt(typed))
    })
}

/// Names as a sentence lists them: `a`, `a or b`, `a, b or c`; `none` when there are none.
pub fn list<'a>(names: impl IntoIterator<Item = &'a str>) -> String {
    let names: Vec<&str> = names.into_iter().collect();
    match names.as_slice() {
        [] => "none".to_owned(),
        [only] => (*only).to_owned(),
        [first @ .., last] => format!("{} or {last}", first.join(", ")),
    }
}

/// Whether a name begins with what was typed; in longer texts with one typing error.
fn begins(letters: &[char], typed: &[char]) -> bool {
    let slips = usize::from(typed.len() >= SLIP_CHARS_MIN);
    let Some(beginning) = letters.get(..typed.len()) else { return false };
    typed.len() >= PREFIX_CHARS_MIN && distance(typed, beginning) <= slips
}

/// The letters that are compared; `None` for a name that is empty or too long.
fn folded(name: &str) -> Option<Vec<char>> {
    let mut letters = Vec::new();
    for letter in name.chars() {
        if letters.len() == NAME_CHARS_MAX {
            return None;
        }
        letters.push(if letter == '_' { '-' } else { letter.to_ascii_lowercase() });
    }
    (!letters.is_empty()).then_some(letters)
}

/// How many letters to change, add, leave out or swap with their neighbour (optimal string
/// alignment).
fn distance(left: &[char], right: &[char]) -> usize {
    let mut before: Vec<usize> = vec![0; right.len() + 1];
    let mut above: Vec<usize> = (0..=right.len()).collect();
    let mut row = above.clone();
    for (i, a) in left.iter().enumerate() {
        row[0] = i + 1;
        for (j, b) in right.iter().enumerate() {
            let changed = above[j] + usize::from(a != b);
            row[j + 1] = changed.min(above[j + 1] + 1).min(row[j] + 1);
            let swapped = i > 0 && j > 0 && left[i - 1] == *b && *a == right[j - 1];
            if swapped {
                row[j + 1] = row[j + 1].min(before[j - 1] + 1);
            }
        }
        std::mem::swap(&mut before, &mut above);
        std::mem::swap(&mut above, &mut row);
    }
    above[right.len()]
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const KEYS: [&str; 6] =
        ["stable-window", "max-scale", "min-scale", "max-scale-up-rate", "target", "p99"];

    #[test]
    fn slips_are_mended() {
        for (typed, meant) in [
            ("stable-windw", "stable-window"),
            ("stabel-window", "stable-window"),
            ("StableWindow", "stable-window"),
            ("stable_window", "stable-window"),
            ("maxscale", "max-scale"),
            ("min_scale", "min-scale"),
            ("traget", "target"),
            ("stable", "stable-window"),
            ("stabel", "stable-window"),
            ("max-scale-up", "max-scale-up-rate"),
            ("p9", "p99"),
        ] {
            assert_eq!(nearest(typed, KEYS), Some(meant), "{typed}");
        }
    }

    #[test]
    fn unrelated_names_are_not_near() {
        for typed in ["", "x", "xy", "colour", "🦀", &"stable-window".repeat(50)] {
            assert_eq!(nearest(typed, KEYS), None, "{typed}");
        }
        assert_eq!(nearest("target", []), None);
    }

    #[test]
    fn messages_are_put_together() {
        assert_eq!(did_you_mean("traget", KEYS), "; did you mean `target`?");
        assert_eq!(did_you_mean("colour", KEYS), "");
        assert_eq!(list(["a", "b", "c"]), "a, b or c");
        assert_eq!(list(["a"]), "a");
        assert_eq!(list([]), "none");
        assert_eq!(choose("b", &["a", "b"], |name| name), Ok("b"));
        let refused = choose("newst", &["newest", "oldest"], |name| name);
        let expected = "expected newest or oldest, found 'newst'; did you mean `newest`?";
        assert_eq!(refused, Err(expected.to_owned()));
    }

    proptest! {
        #[test]
        fn a_distance_is_one(left in "[a-c]{0,6}", right in "[a-c]{0,6}") {
            let (left, right): (Vec<char>, Vec<char>) =
                (left.chars().collect(), right.chars().collect());
            let there = distance(&left, &right);
            prop_assert_eq!(there, distance(&right, &left));
            prop_assert_eq!(there == 0, left == right);
            prop_assert!(there <= left.len().max(right.len()));
            prop_assert!(there >= left.len().abs_diff(right.len()));
        }
    }
}
