//! Sections: the lines in front of an empty one, which make up heads and trailers.
//!
//! What a line is and where a section ends is decided here and nowhere else. With two rules for it
//! one message could contain the next: the finder and the splitter below share one rule, and
//! the lines of a section always come from the block that the finder split off.
//!
//! The rule is Go's, and RFC 9112's for lenient readers (section 2.2): a line ends in a line feed,
//! and one carriage return in front of it belongs to the end. An empty line ends the section.

use memchr::memchr;

/// What follows a line's end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Next {
    /// An empty line of this many bytes: the section is over.
    Empty(usize),
    /// Another line.
    Line,
    /// More bytes are needed to decide.
    Unknown,
}

/// The one rule for where a section ends.
fn next(input: &[u8]) -> Next {
    match input {
        [b'\n', ..] => Next::Empty(1),
        [b'\r', b'\n', ..] => Next::Empty(2),
        [] | [b'\r'] => Next::Unknown,
        _ => Next::Line,
    }
}

/// Finds the end of a section at the front of an input that grows.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Scan {
    /// Input before this offset holds no end.
    scanned: usize,
}

impl Scan {
    /// The offset behind the empty line. Every byte is inspected once, however slowly they arrive:
    /// `input` must begin where it began the last time, and may only have grown since.
    pub(crate) fn end(&mut self, input: &[u8]) -> Option<usize> {
        if self.scanned == 0
            && let Next::Empty(length) = next(input)
        {
            return Some(length);
        }
        while let Some(offset) = memchr(b'\n', &input[self.scanned..]) {
            let newline = self.scanned + offset;
            match next(&input[newline + 1..]) {
                Next::Empty(length) => return Some(newline + 1 + length),
                Next::Unknown => {
                    self.scanned = newline;
                    return None;
                }
                Next::Line => self.scanned = newline + 1,
            }
        }
        self.scanned = self.scanned.max(input.len().saturating_sub(1));
        None
    }
}

/// The lines of a whole section, without their ends and without the empty one.
pub(crate) struct Lines<'a> {
    rest: &'a [u8],
}

/// The lines of `section`, which [`Scan::end`] has delimited.
pub(crate) fn lines(section: &[u8]) -> Lines<'_> {
    Lines { rest: section }
}

impl<'a> Iterator for Lines<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        if next(self.rest) != Next::Line {
            return None;
        }
        let newline = memchr(b'\n', self.rest)?;
        let line = &self.rest[..newline];
        self.rest = &self.rest[newline + 1..];
        Some(line.strip_suffix(b"\r").unwrap_or(line))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn end(input: &[u8]) -> Option<usize> {
        Scan::default().end(input)
    }

    #[test]
    fn a_section_ends_at_its_first_empty_line() {
        for (input, expected) in [
            (&b"A: b\r\n\r\nrest"[..], Some(8)),
            (b"A: b\n\nrest", Some(6)),
            (b"A: b\n\r\nrest", Some(7)),
            (b"A: b\r\n\nrest", Some(7)),
            (b"\r\nrest", Some(2)),
            (b"\nrest", Some(1)),
            (b"\r", None),
            (b"A: b\r\n", None),
            (b"A: b\r\n\r", None),
            (b"A: b\r\n\rC: d\n\n", Some(13)),
            (b"A: b\r\r\n\r\n", Some(9)),
            (b"", None),
        ] {
            assert_eq!(end(input), expected, "{}", input.escape_ascii());
        }
    }

    proptest! {
        /// The finder and the splitter agree on every input, wherever the network cut it.
        #[test]
        fn finder_and_splitter_agree(
            input in proptest::collection::vec(
                prop_oneof![Just(b'\r'), Just(b'\n'), Just(b':'), Just(b'a'), any::<u8>()],
                0..60,
            ),
            cuts in proptest::collection::vec(1usize..5, 0..60),
        ) {
            let whole = end(&input);
            let (mut scan, mut upto, mut pieces) = (Scan::default(), 0, None);
            for cut in cuts.into_iter().chain([usize::MAX]) {
                upto = input.len().min(cut.saturating_add(upto));
                pieces = scan.end(&input[..upto]);
                if pieces.is_some() {
                    break;
                }
            }
            prop_assert_eq!(whole, pieces);
            let Some(end) = whole else { return Ok(()) };
            let mut split = lines(&input[..end]);
            let taken: Vec<&[u8]> = split.by_ref().collect();
            prop_assert!(taken.iter().all(|line| !line.contains(&b'\n')));
            prop_assert_eq!(next(split.rest), Next::Empty(split.rest.len()));
        }
    }
}
