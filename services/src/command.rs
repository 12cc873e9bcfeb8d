//! Commands as people write them.

/// The words of a line that means the same with and without a shell; otherwise a shell with it.
pub(crate) fn of_line(line: &str) -> Vec<String> {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || " _-./:=@%+,{}".contains(c);
    // `NAME=value command` sets a variable.
    let sets = line.split(' ').next().is_some_and(|word| word.contains('='));
    let line = line.trim();
    if line.chars().all(is_plain) && !sets && !is_of_the_shell(line) && !has_braces(line) {
        return line.split(' ').filter(|word| !word.is_empty()).map(str::to_owned).collect();
    }
    vec!["sh".to_owned(), "-c".to_owned(), line.to_owned()]
}

/// Whether the first word is one that only a shell knows.
fn is_of_the_shell(line: &str) -> bool {
    let words = [
        "exec", "exit", "cd", "eval", "export", "set", "trap", "ulimit", "umask", "unset", "wait",
        "if", "for", "case", "while", "until", ".", ":",
    ];
    line.split(' ').next().is_some_and(|first| words.contains(&first))
}

/// Braces other than those of a port are expanded by some shells.
fn has_braces(line: &str) -> bool {
    line.replace("{PORT}", "").contains(['{', '}'])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shell_is_used_where_it_makes_a_difference() {
        assert_eq!(of_line("python3 -m http.server {PORT}").len(), 4);
        assert_eq!(
            of_line(" ./web  --listen=127.0.0.1:{PORT} "),
            ["./web", "--listen=127.0.0.1:{PORT}"]
        );
        for line in [
            "npm start && true",
            "A=1 web",
            "web $PORT",
            "web 'a b'",
            "exec web",
            "exit 3",
            "a{1,2}",
            "web | tee x",
        ] {
            assert_eq!(of_line(line), ["sh", "-c", line], "{line}");
        }
    }
}
