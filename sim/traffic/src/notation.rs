//! The notations in which servers declare their access logs: nginx's `log_format`, Apache's
//! `LogFormat`, Envoy's and API Gateway's, told apart by how they mark a variable.

/// A piece of a declared format.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Piece {
    /// Text that stands in each line as it is.
    Literal(String),
    /// The value of a variable.
    Variable(String),
}

/// Most pieces of a format: the longest in use, Istio's, has 45.
const PIECES_MAX: usize = 512;

/// Splits a declared format into its pieces.
///
/// # Errors
///
/// With what was expected, when it is in none of the notations.
pub(crate) fn parse(text: &str) -> Result<Vec<Piece>, String> {
    let text = unquoted(text.trim_matches(['\r', '\n']));
    let pieces = if is_nginx(&text) {
        nginx(&text)?
    } else if is_envoy(&text) {
        envoy(&text)?
    } else if text.contains('%') {
        apache(&text)?
    } else {
        return Err("expected a format with variables, such as nginx's $request_time, Apache's \
                    %D or Envoy's %DURATION%"
            .into());
    };
    let pieces = merged(pieces);
    if pieces.len() > PIECES_MAX {
        return Err(format!("expected at most {PIECES_MAX} pieces, found {}", pieces.len()));
    }
    for pair in pieces.windows(2) {
        if let [Piece::Variable(left), Piece::Variable(right)] = pair {
            return Err(format!(
                "expected some text between {left} and {right}: nothing tells where one ends"
            ));
        }
    }
    Ok(pieces)
}

/// A format as it stands in a configuration may have its quotes behind backslashes.
fn unquoted(text: &str) -> String {
    text.replace("\\\"", "\"").replace("\\t", "\t")
}

fn is_nginx(text: &str) -> bool {
    text.as_bytes().windows(2).any(|pair| {
        pair[0] == b'$' && (pair[1].is_ascii_alphabetic() || matches!(pair[1], b'_' | b'{'))
    })
}

/// Envoy's variables are words in capitals between two per-cent signs.
fn is_envoy(text: &str) -> bool {
    text.split('%').skip(1).step_by(2).any(|word| {
        let name = word.split(['(', ':']).next().unwrap_or("");
        name.len() > 2 && name.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'_')
    })
}

fn nginx(text: &str) -> Result<Vec<Piece>, String> {
    let mut pieces = Vec::new();
    let mut rest = text;
    while let Some(at) = rest.find('$') {
        pieces.push(Piece::Literal(rest[..at].to_owned()));
        rest = &rest[at + 1..];
        let name = if let Some(inner) = rest.strip_prefix('{') {
            let close = inner.find('}').ok_or("expected '}' behind '${'")?;
            rest = &inner[close + 1..];
            &inner[..close]
        } else {
            // API Gateway's variables are paths: `$context.identity.sourceIp`.
            let dotted = rest.starts_with("context.");
            let end = rest
                .find(|c: char| !(c.is_ascii_alphanumeric() || c == '_' || (dotted && c == '.')))
                .unwrap_or(rest.len());
            let name = rest[..end].trim_end_matches('.');
            rest = &rest[name.len()..];
            name
        };
        if name.is_empty() {
            return Err("expected the name of a variable behind '$'".into());
        }
        pieces.push(Piece::Variable(name.to_owned()));
    }
    pieces.push(Piece::Literal(rest.to_owned()));
    Ok(pieces)
}

fn envoy(text: &str) -> Result<Vec<Piece>, String> {
    let mut pieces = Vec::new();
    let mut rest = text;
    while let Some(at) = rest.find('%') {
        pieces.push(Piece::Literal(rest[..at].to_owned()));
        rest = &rest[at + 1..];
        // A header's name, a format of time, may have per-cent signs of its own in parentheses.
        let open = rest.find(['(', '%']).filter(|at| rest[*at..].starts_with('('));
        let from = open.and_then(|open| rest[open..].find(')').map(|at| open + at)).unwrap_or(0);
        let close = rest[from..].find('%').map(|at| from + at).ok_or("expected '%' behind '%'")?;
        let whole = &rest[..close];
        rest = &rest[close + 1..];
        let name = match whole.split_once('(') {
            Some(("START_TIME", _)) => "START_TIME",
            // A length behind the name cuts the text and does not change what it means.
            Some((_, argument)) => match argument.find(')') {
                Some(end) => &whole[..whole.len() - argument.len() + end + 1],
                None => whole,
            },
            None => whole.split(':').next().unwrap_or(whole),
        };
        pieces.push(Piece::Variable(name.to_owned()));
    }
    pieces.push(Piece::Literal(rest.to_owned()));
    Ok(pieces)
}

fn apache(text: &str) -> Result<Vec<Piece>, String> {
    let mut pieces = Vec::new();
    let mut rest = text;
    while let Some(at) = rest.find('%') {
        pieces.push(Piece::Literal(rest[..at].to_owned()));
        rest = &rest[at + 1..];
        if let Some(after) = rest.strip_prefix('%') {
            pieces.push(Piece::Literal("%".to_owned()));
            rest = after;
            continue;
        }
        // Conditions on the status, and which of several internal requests is meant.
        rest = rest.trim_start_matches(|c: char| c.is_ascii_digit() || "!,<>".contains(c));
        let mut argument = "";
        if let Some(inner) = rest.strip_prefix('{') {
            let close = inner.find('}').ok_or("expected '}' behind '%{'")?;
            argument = &inner[..close];
            rest = &inner[close + 1..];
        }
        rest = rest.trim_start_matches(['<', '>']);
        let two = rest.starts_with("^t") && rest.len() > 2;
        let letter = rest.get(..if two { 3 } else { 1 }).filter(|letter| !letter.is_empty());
        let letter = letter.ok_or("expected a letter behind '%'")?;
        rest = &rest[letter.len()..];
        directive(letter, argument, &mut pieces)?;
    }
    pieces.push(Piece::Literal(rest.to_owned()));
    Ok(pieces)
}

/// The pieces of one of Apache's directives.
fn directive(letter: &str, argument: &str, pieces: &mut Vec<Piece>) -> Result<(), String> {
    let name = match (letter, argument) {
        ("t", "") => {
            pieces.push(Piece::Literal("[".into()));
            pieces.push(Piece::Variable("%t".into()));
            pieces.push(Piece::Literal("]".into()));
            return Ok(());
        }
        ("t", format) => {
            let (end, format) = match format.strip_prefix("end:") {
                Some(format) => (".end", format),
                None => ("", format.strip_prefix("begin:").unwrap_or(format)),
            };
            match format {
                "sec" | "%s" => format!("%t{end}.sec"),
                "msec" => format!("%t{end}.msec"),
                "usec" => format!("%t{end}.usec"),
                "%d/%b/%Y:%H:%M:%S %z" | "%Y-%m-%dT%H:%M:%S%z" | "%Y-%m-%d %H:%M:%S %z"
                    if end.is_empty() =>
                {
                    "%t".to_owned()
                }
                _ => {
                    return Err(format!(
                        "expected a time as %t, %{{sec}}t, %{{msec}}t or %{{usec}}t, found \
                         %{{{argument}}}t"
                    ));
                }
            }
        }
        ("T", "us") => "%T.us".to_owned(),
        ("T", "ms") => "%T.ms".to_owned(),
        ("T", "" | "s") => "%T".to_owned(),
        (letter, "") => format!("%{letter}"),
        (letter, argument) => format!("%{{{argument}}}{letter}"),
    };
    pieces.push(Piece::Variable(name));
    Ok(())
}

/// Neighbouring literals as one, and none that are empty.
fn merged(pieces: Vec<Piece>) -> Vec<Piece> {
    let mut all: Vec<Piece> = Vec::with_capacity(pieces.len());
    for piece in pieces {
        match (all.last_mut(), piece) {
            (_, Piece::Literal(text)) if text.is_empty() => {}
            (Some(Piece::Literal(before)), Piece::Literal(text)) => before.push_str(&text),
            (_, piece) => all.push(piece),
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Names of the variables of `format`, in order.
    fn variables(format: &str) -> Vec<String> {
        let pieces = parse(format).unwrap_or_else(|error| panic!("{format}: {error}"));
        let name = |piece| match piece {
            Piece::Variable(name) => Some(name),
            Piece::Literal(_) => None,
        };
        pieces.into_iter().filter_map(name).collect()
    }

    #[test]
    fn each_notation_is_told_by_how_it_marks_a_variable() {
        assert_eq!(
            variables("$remote_addr [$time_local] ${request_time}s"),
            ["remote_addr", "time_local", "request_time"]
        );
        assert_eq!(
            variables("%h %l %t \\\"%r\\\" %>s %b %{ms}T %{Referer}i"),
            ["%h", "%l", "%t", "%r", "%s", "%b", "%T.ms", "%{Referer}i"]
        );
        assert_eq!(
            variables("[%START_TIME(%s.%3f)%] \"%REQ(:METHOD)%\" %DURATION% %REQ(X-A?:PATH):9%"),
            ["START_TIME", "REQ(:METHOD)", "DURATION", "REQ(X-A?:PATH)"]
        );
        assert_eq!(
            variables("$context.identity.sourceIp $context.requestTime."),
            ["context.identity.sourceIp", "context.requestTime"]
        );
    }

    #[test]
    fn what_cannot_be_told_is_refused() {
        for (format, expected) in [
            ("plain text", "expected a format with variables"),
            ("$request_time$status", "expected some text between request_time and status"),
            ("${request_time", "expected '}'"),
            ("%{%H:%M}t", "expected a time as %t"),
            ("%h %", "expected a letter"),
        ] {
            let message = parse(format).expect_err(format);
            assert!(message.contains(expected), "{format}: {message}");
        }
    }
}
