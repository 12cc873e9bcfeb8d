//! How to ask the simulator about what was recorded: a command to be pasted into a shell.

use std::path::Path;

use tidegate_words::time::compact;

use super::{Args, Concurrency};

/// The command that replays `path` with what this run began with.
pub(super) fn command(path: &Path, args: &Args) -> String {
    let idle = args.idle.unwrap_or(args.window / 2);
    let mut words: Vec<String> = ["tidegate", "sim", "run", "--trace"].map(str::to_owned).into();
    words.push(path.display().to_string());
    words.extend(["--policy", "tidegate", "--initial"].map(str::to_owned));
    words.extend([args.initial.to_string(), "--local".to_owned(), compact(idle)]);
    let mut set = |key: &str, value: &str| {
        words.extend(["--set".to_owned(), format!("{key}={value}")]);
    };
    set("stable-window", &compact(args.window));
    set("min-scale", &args.min.to_string());
    set("max-scale", &args.max.to_string());
    for (key, value) in &args.settings {
        set(key, value);
    }
    if let Some(Concurrency::Fixed(limit)) = args.concurrency {
        words.extend(["--concurrency".to_owned(), limit.to_string()]);
    }
    let quoted: Vec<String> = words.iter().map(|word| quoted(word)).collect();
    format!("replay with: {}", quoted.join(" "))
}

/// A word as a shell reads it back: as it is, or in single quotes.
fn quoted(word: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_./=:,%+@".contains(&byte);
    if !word.is_empty() && word.bytes().all(plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shell_reads_back_what_was_meant() {
        assert_eq!(quoted("a/b-c_1.csv"), "a/b-c_1.csv");
        assert_eq!(quoted("my trace.csv"), "'my trace.csv'");
        assert_eq!(quoted("it's"), r"'it'\''s'");
        assert_eq!(quoted("$(x)"), "'$(x)'");
        assert_eq!(quoted(""), "''");
    }
}
