//! Strict readers of what a proxy writes: HTTP/1 messages and HTTP/2 frames. Whatever is not as
//! the standard has it is a panic; the last message may be cut short, as a client sees it that
//! leaves.

use std::collections::BTreeMap;

use tidegate_relay::host;

/// How many messages there were.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Count {
    /// Requests, or final answers.
    pub messages: usize,
    /// Whether the rest is no HTTP/1: a tunnel, or HTTP/2.
    pub switched: Switched,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Switched {
    #[default]
    No,
    Yes,
}

/// One head: its first line and its fields.
struct Head<'a> {
    line: &'a [u8],
    fields: Vec<(Vec<u8>, &'a [u8])>,
}

impl<'a> Head<'a> {
    /// Takes a head off the front; nothing when it is cut short.
    fn take(rest: &mut &'a [u8]) -> Option<Head<'a>> {
        let end = find(rest, b"\r\n\r\n")?;
        let (block, after) = rest.split_at(end + 4);
        *rest = after;
        let mut lines = split_lines(&block[..end + 2]);
        let line = lines.remove(0);
        Some(Head { line, fields: fields(&lines) })
    }

    fn all(&self, name: &[u8]) -> impl Iterator<Item = &'a [u8]> {
        self.fields.iter().filter(move |(known, _)| known == name).map(|(_, value)| *value)
    }

    /// How the body is framed. Two framings in one message are what request smuggling is made of.
    fn framing(&self) -> Framing {
        let lengths: Vec<&[u8]> = self.all(b"content-length").collect();
        let codings: Vec<&[u8]> = self.all(b"transfer-encoding").collect();
        match (&lengths[..], &codings[..]) {
            ([], []) => Framing::None,
            ([], [b"chunked"]) => Framing::Chunked,
            ([length], []) => Framing::Length(decimal(length)),
            other => panic!("{other:?} frame one message"),
        }
    }
}

enum Framing {
    None,
    Length(usize),
    Chunked,
}

/// Reads the requests that an app was sent on one connection.
pub fn requests(mut rest: &[u8]) -> Count {
    let mut count = Count::default();
    if rest.starts_with(b"PRI * HTTP/2.0") {
        return Count { switched: Switched::Yes, ..count };
    }
    while let Some(head) = Head::take(&mut rest) {
        count.messages += 1;
        let parts: Vec<&[u8]> = head.line.split(|byte| *byte == b' ').collect();
        let [method, target, b"HTTP/1.1"] = parts[..] else { panic!("{:?}", shown(head.line)) };
        assert!(!method.is_empty() && !target.is_empty(), "{:?}", shown(head.line));
        let hosts: Vec<&[u8]> = head.all(b"host").collect();
        let [only] = hosts[..] else { panic!("{} hosts", hosts.len()) };
        assert!(host::is_valid(only), "{:?}", shown(only));
        if method == b"CONNECT" || head.all(b"upgrade").next().is_some() {
            return Count { switched: Switched::Yes, ..count };
        }
        if !skip_body(&head.framing(), &mut rest) {
            return count;
        }
    }
    count
}

/// Reads the answers that a client was given, none of them to `HEAD`.
pub fn answers(mut rest: &[u8]) -> Count {
    let mut count = Count::default();
    while let Some(head) = Head::take(&mut rest) {
        let is_one = head.line.starts_with(b"HTTP/1.1 ") || head.line.starts_with(b"HTTP/1.0 ");
        assert!(is_one, "{:?}", shown(head.line));
        let status = head.line.get(9..12).map_or(0, decimal);
        assert!((100..=999).contains(&status), "{:?}", shown(head.line));
        match status {
            101 => return Count { messages: count.messages + 1, switched: Switched::Yes },
            100..200 => continue,
            204 | 304 => {
                count.messages += 1;
                continue;
            }
            _ => count.messages += 1,
        }
        match head.framing() {
            // It ends with the connection, or is the beginning of a tunnel.
            Framing::None => return Count { switched: Switched::Yes, ..count },
            framing if skip_body(&framing, &mut rest) => {}
            _ => return count,
        }
    }
    count
}

/// How many heads a server has sent on each stream, if it speaks HTTP/2 from the first byte.
pub fn heads_by_stream(mut rest: &[u8]) -> BTreeMap<u32, usize> {
    const HEADERS: u8 = 1;
    let mut heads = BTreeMap::new();
    while let Some((&[a, b, c, kind, _, s3, s2, s1, s0], payload)) = rest.split_first_chunk() {
        let length = u32::from_be_bytes([0, a, b, c]) as usize;
        let Some(after) = payload.get(length..) else { break };
        if kind == HEADERS {
            *heads.entry(u32::from_be_bytes([s3, s2, s1, s0])).or_default() += 1;
        }
        rest = after;
    }
    heads
}

/// Whether a server's first bytes are those of HTTP/2.
pub fn is_http2(bytes: &[u8]) -> bool {
    matches!(bytes, [0, 0, _, 4, 0, 0, 0, 0, 0, ..])
}

/// Takes a body off the front; false when it is cut short.
fn skip_body(framing: &Framing, rest: &mut &[u8]) -> bool {
    match framing {
        Framing::None => true,
        Framing::Length(length) => match rest.get(*length..) {
            Some(after) => {
                *rest = after;
                true
            }
            None => false,
        },
        Framing::Chunked => skip_chunks(rest).is_some(),
    }
}

fn skip_chunks(rest: &mut &[u8]) -> Option<()> {
    loop {
        let end = find(rest, b"\r\n")?;
        let digits = std::str::from_utf8(&rest[..end]).expect("digits");
        let size = usize::from_str_radix(digits, 16).expect("the size of a chunk");
        *rest = &rest[end + 2..];
        if size == 0 {
            let block = &rest[..section_end(rest)?];
            fields(&split_lines(&block[..block.len() - 2]));
            *rest = &rest[block.len()..];
            return Some(());
        }
        let after = rest.get(size..)?;
        let seen = after.len().min(2);
        assert_eq!(after[..seen], b"\r\n"[..seen], "the end of a chunk");
        *rest = after.get(2..)?;
    }
}

/// The offset behind the empty line that ends a section, which may be its first.
fn section_end(rest: &[u8]) -> Option<usize> {
    if rest.starts_with(b"\r\n") {
        return Some(2);
    }
    find(rest, b"\r\n\r\n").map(|end| end + 4)
}

fn split_lines(block: &[u8]) -> Vec<&[u8]> {
    let mut lines = Vec::new();
    let mut rest = block;
    while let Some(end) = find(rest, b"\r\n") {
        lines.push(&rest[..end]);
        rest = &rest[end + 2..];
    }
    lines
}

fn fields<'a>(lines: &[&'a [u8]]) -> Vec<(Vec<u8>, &'a [u8])> {
    let read = |line: &&'a [u8]| {
        let colon = find(line, b": ").unwrap_or_else(|| panic!("{:?}", shown(line)));
        let (name, value) = (&line[..colon], &line[colon + 2..]);
        let is_mark = |byte: &u8| b"!#$%&'*+-.^_`|~".contains(byte);
        let is_token = |byte: &u8| byte.is_ascii_alphanumeric() || is_mark(byte);
        assert!(!name.is_empty() && name.iter().all(is_token), "{:?}", shown(line));
        assert!(!value.iter().any(|byte| matches!(byte, b'\r' | b'\n' | 0)), "{:?}", shown(line));
        (name.to_ascii_lowercase(), value)
    };
    lines.iter().map(read).collect()
}

fn decimal(text: &[u8]) -> usize {
    let text = std::str::from_utf8(text).expect("digits");
    assert!(!text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()), "{text:?}");
    text.parse().unwrap_or(usize::MAX)
}

fn find(bytes: &[u8], mark: &[u8]) -> Option<usize> {
    bytes.windows(mark.len()).position(|part| part == mark)
}

fn shown(bytes: &[u8]) -> String {
    bytes.escape_ascii().to_string()
}
