//! How large the fields of an encoded block may become, judged without decoding them.
//!
//! The HTTP/2 library leaves out, without a word, the fields of trailers that exceed its limit. It
//! reads the same bytes as this module, so what this module finds small is whole. A reference costs
//! here as much as the longest entry that the compression table can hold, so no table is needed.

/// The most bytes that a compression table holds (the default of SETTINGS_HEADER_TABLE_SIZE, which
/// no side of ours changes), and so the most that one reference stands for.
const TABLE_BYTES: usize = 4096;
/// What a field counts beside its name and value (RFC 9113, section 6.5.2).
const FIELD_BYTES: usize = 32;
/// The most fields that a header map takes whatever their names are: it may refuse more when it has
/// 32,768 buckets, a fifth of them is in use, and names collide.
const FIELDS_MAX: usize = 32_768 / 5;
/// An integer has no more bytes than this, or the library ends the connection.
const INTEGER_BYTES_MAX: u32 = 5;
/// A field that makes any HTTP/2 message malformed (RFC 9113, section 8.2.2), as a literal:
/// `connection`, without a value. The library decodes the whole block and then resets the stream.
pub(super) const MALFORMED_FIELD: &[u8] = b"\x00\x0aconnection\x00";

/// Whether some block of `length` bytes may exceed `list_max`, as SETTINGS_MAX_HEADER_LIST_SIZE
/// counts it, or be too many fields.
pub(super) fn is_long(length: usize, list_max: usize) -> bool {
    length * TABLE_BYTES >= list_max || length > FIELDS_MAX
}

/// Whether this block may exceed `list_max` or be too many fields. False for a block that is not
/// well-formed: the library ends the connection.
pub(super) fn may_exceed(block: &[u8], list_max: usize) -> bool {
    // Judged at its end only: what is appended to a block that ends within a field is part of it.
    let bound = size_max(block);
    bound.is_some_and(|(size, fields)| size >= list_max || fields > FIELDS_MAX)
}

/// The most that a block's fields may come to, and their number.
fn size_max(mut rest: &[u8]) -> Option<(usize, usize)> {
    let (mut size, mut fields) = (0, 0);
    while let Some(&first) = rest.first() {
        // RFC 7541, section 6.
        let name_bits = match first {
            0x80.. => {
                integer(&mut rest, 7)?;
                size += TABLE_BYTES;
                fields += 1;
                continue;
            }
            0x40.. => 6,
            0x20.. => {
                integer(&mut rest, 5)?;
                continue;
            }
            _ => 4,
        };
        size += match integer(&mut rest, name_bits)? {
            0 => FIELD_BYTES + string_max(&mut rest)?,
            _ => TABLE_BYTES,
        };
        size += string_max(&mut rest)?;
        fields += 1;
    }
    Some((size, fields))
}

/// The most bytes that the string at the front becomes. The shortest Huffman code has five bits.
fn string_max(rest: &mut &[u8]) -> Option<usize> {
    let is_huffman = *rest.first()? & 0x80 != 0;
    let length = integer(rest, 7)?;
    *rest = rest.get(length..)?;
    Some(if is_huffman { length * 8 / 5 } else { length })
}

/// The integer at the front, whose first byte has `bits` bits of it (RFC 7541, section 5.1).
fn integer(rest: &mut &[u8], bits: u32) -> Option<usize> {
    let (&first, mut tail) = rest.split_first()?;
    let mask = (1 << bits) - 1;
    let mut value = usize::from(first & mask);
    if value == usize::from(mask) {
        for place in 0.. {
            let (&byte, others) = tail.split_first().filter(|_| place + 1 < INTEGER_BYTES_MAX)?;
            value += usize::from(byte & 0x7f) << (7 * place);
            tail = others;
            if byte & 0x80 == 0 {
                break;
            }
        }
    }
    *rest = tail;
    Some(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_representation_counts_for_the_most_it_may_become() {
        for (block, expected) in [
            (&b""[..], (0, 0)),
            (b"\x82", (4096, 1)),
            (b"\xff\x80\x01", (4096, 1)),
            (b"\x3f\xe1\x1f\xbe\xbe", (8192, 2)),
            (b"\x00\x01a\x02bc", (35, 1)),
            (b"\x10\x01a\x02bc", (35, 1)),
            (b"\x40\x01a\x02bc\xbe", (35 + 4096, 2)),
            (b"\x7e\x02bc", (4098, 1)),
            (b"\x0f\x2f\x02bc", (4098, 1)),
            (b"\x00\x01a\x85\x18\xc6\x31\x8c\x63", (32 + 1 + 8, 1)),
            (MALFORMED_FIELD, (42, 1)),
        ] {
            assert_eq!(size_max(block), Some(expected), "{}", block.escape_ascii());
        }
    }

    #[test]
    fn a_block_that_ends_within_a_field_has_no_size() {
        for block in [
            &b"\xff"[..],
            b"\xff\x80",
            b"\xff\x80\x80\x80\x80\x01",
            b"\x00",
            b"\x00\x01",
            b"\x00\x01a",
            b"\x00\x01a\x0dbc",
            b"\x00\x01a\x7f",
            b"\x3f",
        ] {
            assert_eq!(size_max(block), None, "{}", block.escape_ascii());
            let long = [&b"\xbe".repeat(500)[..], block].concat();
            assert!(!may_exceed(&long, 1 << 20), "{}", block.escape_ascii());
        }
    }

    #[test]
    fn no_block_exceeds_a_limit_without_being_long() {
        let references = |count| b"\xbe".repeat(count);
        assert!(!may_exceed(&references(255), 1 << 20) && !is_long(255, 1 << 20));
        assert!(may_exceed(&references(256), 1 << 20) && is_long(256, 1 << 20));
        let fields = |count| b"\x00\x01a\x00".repeat(count);
        assert!(!may_exceed(&fields(6_553), 10 << 20));
        assert!(may_exceed(&fields(6_554), 10 << 20) && is_long(6_554, usize::MAX));
    }
}
