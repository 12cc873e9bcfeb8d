//! What a line is wrapped in on its way from a process to a file: the prefix of a container's
//! runtime, an object of a log driver, the prefix of compose or of syslog.

use std::borrow::Cow;

use serde_json::Value;

use crate::field;

/// Most wrappers around one line: a runtime's around a log driver's around syslog's.
pub(crate) const WRAPPERS_MAX: usize = 3;

/// Bytes at which Docker's driver cuts a line.
const DOCKER_PIECE_BYTES: usize = 16 << 10;

/// One kind of wrapping.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wrapper {
    /// `2026-11-25T10:00:00.123456789Z stdout F line`, as container runtimes write.
    Cri,
    /// `{"log":"line\n","stream":"stdout","time":"…"}`, as Docker's json-file driver writes.
    DockerJson,
    /// `{"MESSAGE":"line","__REALTIME_TIMESTAMP":"…"}`, as `journalctl -o json` prints.
    Journal,
    /// `{"line":"…","timestamp":"…","labels":{…}}`, as `logcli -o jsonl` prints.
    LokiLine,
    /// `{"message":"line","@timestamp":"…"}`, as collectors ship lines that they do not parse.
    Message,
    /// `web-1  | line`, as compose prints.
    Compose,
    /// `[pod/web-7d9f/app] line`, as `kubectl logs --prefix` prints.
    Pod,
    /// `Nov 25 10:00:00 host program[12]: line`, with or without a priority in front.
    Syslog,
    /// `<134>1 2026-11-25T10:00:00Z host program 12 - - line`.
    SyslogProtocol,
    /// `2026-11-25T10:00:00.123456789Z line`, as `kubectl logs --timestamps` prints.
    Stamped,
}

/// All of them, the most telling first.
const ALL: [(Wrapper, &str); 10] = [
    (Wrapper::Cri, "a container runtime's prefix (CRI)"),
    (Wrapper::DockerJson, "Docker's json-file"),
    (Wrapper::Journal, "journald's JSON"),
    (Wrapper::LokiLine, "Loki's lines"),
    (Wrapper::Message, "a collector's messages"),
    (Wrapper::Compose, "compose's prefix"),
    (Wrapper::Pod, "kubectl's prefix"),
    (Wrapper::SyslogProtocol, "syslog's header"),
    (Wrapper::Syslog, "syslog's header"),
    (Wrapper::Stamped, "a stamp before each line"),
];

/// What is inside a wrapped line.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Inner<'a> {
    pub(crate) text: Cow<'a, [u8]>,
    /// Whether the line goes on in the next one of the file.
    pub(crate) continued: bool,
}

/// Every wrapper that `line` may have, outermost only, the most telling first.
pub(crate) fn of(line: &[u8]) -> impl Iterator<Item = Wrapper> + '_ {
    ALL.iter().map(|(wrapper, _)| *wrapper).filter(|wrapper| wrapper.open(line).is_some())
}

impl Wrapper {
    /// What people call it.
    pub(crate) fn name(self) -> &'static str {
        ALL.iter().find(|(wrapper, _)| *wrapper == self).map_or("", |(_, name)| name)
    }

    /// What is inside `line`; `None` when this wrapper is not around it.
    pub(crate) fn open(self, line: &[u8]) -> Option<Inner<'_>> {
        let whole = |text| Some(Inner { text: Cow::Borrowed(text), continued: false });
        match self {
            Wrapper::Cri => cri(line),
            Wrapper::DockerJson => docker(line),
            Wrapper::Journal => journal(line),
            Wrapper::LokiLine => loki_line(line),
            Wrapper::Message => message(line),
            Wrapper::Compose => whole(compose(line)?),
            Wrapper::Pod => whole(pod(line)?),
            Wrapper::Syslog => whole(syslog(line)?),
            Wrapper::SyslogProtocol => whole(syslog_protocol(line)?),
            Wrapper::Stamped => whole(stamped(line)?),
        }
    }
}

/// `line` cut at its first blank.
fn word(line: &[u8]) -> Option<(&[u8], &[u8])> {
    let at = memchr::memchr(b' ', line)?;
    Some((&line[..at], &line[at + 1..]))
}

/// A word that is a whole date and time, not a bare number.
fn is_stamp(word: &[u8]) -> bool {
    word.len() >= 19 && word[0].is_ascii_digit() && field::iso(word).is_some()
}

fn cri(line: &[u8]) -> Option<Inner<'_>> {
    let (stamp, rest) = word(line)?;
    let (stream, rest) = word(rest)?;
    if !matches!(stream, b"stdout" | b"stderr") || !is_stamp(stamp) {
        return None;
    }
    let (tag, text) = word(rest).unwrap_or((rest, b""));
    // Tags may be several, with colons between them; the first says whether the line is whole.
    let continued = match tag.split(|byte| *byte == b':').next()? {
        b"F" => false,
        b"P" => true,
        _ => return None,
    };
    Some(Inner { text: Cow::Borrowed(text), continued })
}

/// The object in `line`, when it has `key` somewhere: parsing is for lines that may be wrapped.
fn object(line: &[u8], key: &[u8]) -> Option<serde_json::Map<String, Value>> {
    let line = line.strip_prefix(b"\x1e").unwrap_or(line);
    if line.first() != Some(&b'{') || memchr::memmem::find(line, key).is_none() {
        return None;
    }
    match serde_json::from_slice(line) {
        Ok(Value::Object(object)) => Some(object),
        _ => None,
    }
}

fn docker(line: &[u8]) -> Option<Inner<'static>> {
    let mut object = object(line, b"\"log\"")?;
    if !object.contains_key("stream") && !object.contains_key("time") {
        return None;
    }
    let Some(Value::String(text)) = object.remove("log") else { return None };
    // The driver cuts long lines; only the last piece ends the line. Collectors that pass such
    // objects on drop the end of each line, so a short piece is a whole one.
    let continued = !text.ends_with('\n') && text.len() >= DOCKER_PIECE_BYTES;
    let text = text.trim_end_matches(['\r', '\n']).as_bytes().to_vec();
    Some(Inner { text: Cow::Owned(text), continued })
}

fn journal(line: &[u8]) -> Option<Inner<'static>> {
    let mut object = object(line, b"\"MESSAGE\"")?;
    if !object.contains_key("__REALTIME_TIMESTAMP") && !object.contains_key("_HOSTNAME") {
        return None;
    }
    let text = match object.remove("MESSAGE")? {
        Value::String(text) => text.into_bytes(),
        // What is no UTF-8 comes as a list of bytes.
        Value::Array(bytes) => bytes
            .iter()
            .map(|byte| byte.as_u64().and_then(|byte| u8::try_from(byte).ok()))
            .collect::<Option<Vec<u8>>>()?,
        _ => return None,
    };
    Some(Inner { text: Cow::Owned(text), continued: false })
}

fn loki_line(line: &[u8]) -> Option<Inner<'static>> {
    let mut object = object(line, b"\"line\"")?;
    if !object.contains_key("timestamp") || !object.contains_key("labels") {
        return None;
    }
    let Some(Value::String(text)) = object.remove("line") else { return None };
    Some(Inner { text: Cow::Owned(text.into_bytes()), continued: false })
}

fn message(line: &[u8]) -> Option<Inner<'static>> {
    let mut object = object(line, b"\"message\"")?;
    if !object.contains_key("@timestamp") && !object.contains_key("timestamp") {
        return None;
    }
    let Some(Value::String(text)) = object.remove("message") else { return None };
    let text = text.trim_end_matches(['\r', '\n']).as_bytes().to_vec();
    Some(Inner { text: Cow::Owned(text), continued: false })
}

/// `line` behind the codes that colour a prefix, if it has any.
fn uncoloured(mut line: &[u8]) -> &[u8] {
    while let Some(rest) = line.strip_prefix(b"\x1b[") {
        let Some(end) = memchr::memchr(b'm', rest) else { break };
        line = &rest[end + 1..];
    }
    line
}

fn compose(line: &[u8]) -> Option<&[u8]> {
    let line = uncoloured(line);
    let bar = memchr::memchr(b'|', line)?;
    let name = line[..bar].trim_ascii_end();
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.');
    if name.is_empty() || bar == name.len() || !name.iter().all(plain) {
        return None;
    }
    let rest = uncoloured(&line[bar + 1..]);
    Some(uncoloured(rest.strip_prefix(b" ").unwrap_or(rest)))
}

fn pod(line: &[u8]) -> Option<&[u8]> {
    let rest = uncoloured(line).strip_prefix(b"[pod/")?;
    let close = memchr::memmem::find(rest, b"] ")?;
    rest[..close].contains(&b'/').then_some(&rest[close + 2..])
}

/// The text behind a priority such as `<134>`, or all of it.
fn behind_priority(line: &[u8]) -> Option<&[u8]> {
    let Some(rest) = line.strip_prefix(b"<") else { return Some(line) };
    let close = memchr::memchr(b'>', rest)?;
    rest[..close].iter().all(u8::is_ascii_digit).then_some(&rest[close + 1..])
}

fn syslog(line: &[u8]) -> Option<&[u8]> {
    let line = behind_priority(line)?;
    let months =
        ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let month = line.get(..3)?;
    let rest = if months.iter().any(|name| name.as_bytes() == month) {
        let stamp = line.get(..15)?;
        // journald may write microseconds behind the seconds.
        let (_, rest) = word(&line[15..])?;
        (stamp[9] == b':' && stamp[12] == b':').then_some(rest)?
    } else {
        let (stamp, rest) = word(line)?;
        is_stamp(stamp).then_some(rest)?
    };
    // A host, unless the socket is local, and the program with a colon behind it.
    let (first, behind) = word(rest)?;
    if program(first) {
        return Some(behind);
    }
    let (second, behind) = word(behind)?;
    program(second).then_some(behind)
}

/// Whether `word` is a program's name with a colon behind it: `haproxy[12]:`.
fn program(word: &[u8]) -> bool {
    let Some(name) = word.strip_suffix(b":") else { return false };
    let name = match memchr::memchr(b'[', name) {
        Some(open) if name.ends_with(b"]") => &name[..open],
        _ => name,
    };
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"_-./@()".contains(byte);
    !name.is_empty() && name.iter().all(plain)
}

fn syslog_protocol(line: &[u8]) -> Option<&[u8]> {
    let rest = behind_priority(line).filter(|rest| rest.len() < line.len())?;
    let rest = rest.strip_prefix(b"1 ")?;
    let (stamp, mut rest) = word(rest)?;
    if stamp != b"-" && !is_stamp(stamp) {
        return None;
    }
    // Host, program, process and kind of message.
    for _ in 0..4 {
        rest = word(rest)?.1;
    }
    // Data is a dash, or elements in brackets.
    let text = match rest.strip_prefix(b"-") {
        Some(text) => text,
        None => &rest[memchr::memmem::find(rest, b"] ")? + 1..],
    };
    let text = text.strip_prefix(b" ").unwrap_or(text);
    Some(text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text))
}

fn stamped(line: &[u8]) -> Option<&[u8]> {
    let (stamp, rest) = word(line)?;
    (is_stamp(stamp) && !rest.is_empty()).then_some(rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Opens a line whose wrapper and content are given. Gives whether it is continued.
    fn opens(wrapper: Wrapper, line: &str, inner: &str) -> bool {
        let found = of(line.as_bytes()).next();
        assert_eq!(found, Some(wrapper), "{line}");
        let opened = wrapper.open(line.as_bytes()).expect("it opens");
        assert_eq!(String::from_utf8_lossy(&opened.text), inner);
        opened.continued
    }

    #[test]
    fn each_wrapper_is_told_by_its_shape() {
        assert!(!opens(Wrapper::Cri, "2026-11-25T10:00:00.123456789Z stdout F a b", "a b"));
        assert!(opens(Wrapper::Cri, "2026-11-25T10:00:00.123456789+01:00 stderr P a", "a"));
        assert!(!opens(
            Wrapper::DockerJson,
            r#"{"log":"a \"b\"\n","stream":"stdout","time":"2026-11-25T10:00:00Z"}"#,
            "a \"b\""
        ));
        assert!(!opens(Wrapper::DockerJson, r#"{"log":"a","stream":"stdout","time":"x"}"#, "a"));
        let piece = "a".repeat(DOCKER_PIECE_BYTES);
        let line = format!(r#"{{"log":"{piece}","stream":"stdout","time":"x"}}"#);
        assert!(opens(Wrapper::DockerJson, &line, &piece));
        assert!(!opens(
            Wrapper::Journal,
            r#"{"__REALTIME_TIMESTAMP":"1795600800000000","MESSAGE":[97,98]}"#,
            "ab"
        ));
        assert!(!opens(Wrapper::Compose, "web-1  | a | b", "a | b"));
        assert!(!opens(Wrapper::Compose, "\u{1b}[36mweb-1  |\u{1b}[0m a", "a"));
        assert!(!opens(Wrapper::Pod, "[pod/web-7d9f/app] a", "a"));
        assert!(!opens(Wrapper::Syslog, "Nov 25 10:00:00 host haproxy[12]: a b", "a b"));
        assert!(!opens(Wrapper::Syslog, "<134>Feb  6 12:14:14 haproxy[14389]: a", "a"));
        assert!(!opens(
            Wrapper::SyslogProtocol,
            "<134>1 2026-11-25T10:00:00Z host nginx 12 - - a b",
            "a b"
        ));
        assert!(!opens(Wrapper::Stamped, "2026-11-25T10:00:00.1Z a", "a"));
    }
}
