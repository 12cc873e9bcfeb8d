use super::*;
use crate::h1::encoder;
use proptest::prelude::*;

type Decoded = (Vec<u8>, Vec<u8>, Option<HeaderMap>);

/// Decodes `wire`, given piece by piece. Gives the body, the bytes behind it, and the trailers; or
/// the error.
fn decode(wire: &[u8], cuts: &[usize]) -> Result<Option<Decoded>, BadFraming> {
    let mut decoder = Decoder::chunked(Writer::Client);
    let (mut input, mut body, mut trailers) = (BytesMut::new(), Vec::new(), None);
    let mut from = 0;
    let mut cuts = cuts.iter().copied();
    loop {
        match decoder.step(&mut input, &mut trailers)? {
            Step::Data(count) => {
                body.extend_from_slice(&input[..count]);
                decoder.consumed(count);
                input.advance(count);
            }
            Step::End => {
                input.extend_from_slice(&wire[from..]);
                return Ok(Some((body, input.to_vec(), trailers)));
            }
            Step::NeedInput if from == wire.len() => return Ok(None),
            Step::NeedInput => {
                let count = cuts.next().unwrap_or(usize::MAX).clamp(1, wire.len() - from);
                input.extend_from_slice(&wire[from..from + count]);
                from += count;
            }
        }
    }
}

#[test]
fn what_follows_the_body_is_left_alone() {
    let wire = b"3\r\nabc\r\n2;x=y\r\nde\r\n0\r\nA: 1\r\n\r\nGET / HTTP/1.1\r\n";
    let (body, rest, trailers) = decode(wire, &[]).expect("valid").expect("whole");
    assert_eq!(body, b"abcde");
    assert_eq!(rest, b"GET / HTTP/1.1\r\n");
    assert_eq!(trailers.expect("trailers")["a"], "1");
}

#[test]
fn framing_fields_are_no_trailers() {
    let wire = b"0\r\nContent-Length: 5\r\nHost: x\r\nTransfer-Encoding: chunked\r\nA: 1\r\n\r\n";
    let (_, _, trailers) = decode(wire, &[]).expect("valid").expect("whole");
    let trailers = trailers.expect("trailers");
    assert_eq!(trailers.len(), 1);
    assert_eq!(trailers["a"], "1");
}

#[test]
fn sizes_are_digits_and_nothing_else() {
    for line in ["", "-1", "+1", "0x1", "1 1", "g", "_1", "1\u{b}", "ffffffffffffffff0"] {
        let wire = format!("{line}\r\nabc");
        assert!(decode(wire.as_bytes(), &[]).is_err(), "{line:?}");
    }
    for line in ["1", "01", "000000000000001", "1 ", "1\t", "1;a", "1 ;a=\"b\""] {
        let wire = format!("{line}\r\na\r\n0\r\n\r\n");
        assert!(matches!(decode(wire.as_bytes(), &[]), Ok(Some(_))), "{line:?}");
    }
    // As many as there are numbers for, without overflow.
    assert!(matches!(decode(b"ffffffffffffffff\r\nabc", &[]), Ok(None)));
}

#[test]
fn declared_lengths_are_exact() {
    let mut decoder = Decoder::Length(3);
    let mut input = BytesMut::from(&b"abcdef"[..]);
    assert_eq!(decoder.step(&mut input, &mut None), Ok(Step::Data(3)));
    decoder.consumed(2);
    input.advance(2);
    assert_eq!(decoder.step(&mut input, &mut None), Ok(Step::Data(1)));
    decoder.consumed(1);
    input.advance(1);
    assert_eq!(decoder.step(&mut input, &mut None), Ok(Step::End));
    assert!(!Decoder::Length(1).end_of_input());
    assert!(Decoder::UntilClose.end_of_input());
    assert!(!Decoder::chunked(Writer::Client).end_of_input());
}

proptest! {
    /// However a body is cut into chunks by its sender and into reads by the network, the same
    /// bytes come out, and nothing behind them is touched.
    #[test]
    fn cuts_do_not_matter(
        pieces in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 1..50), 0..8),
        cuts in proptest::collection::vec(1usize..20, 0..200),
        behind in proptest::collection::vec(any::<u8>(), 0..20),
    ) {
        let mut wire = Vec::new();
        for piece in &pieces {
            encoder::chunk_size(&mut wire, piece.len());
            wire.extend_from_slice(piece);
            wire.extend_from_slice(b"\r\n");
        }
        wire.extend_from_slice(b"0\r\n\r\n");
        wire.extend_from_slice(&behind);
        let (body, rest, _) = decode(&wire, &cuts).expect("valid").expect("whole");
        prop_assert_eq!(body, pieces.concat());
        prop_assert_eq!(rest, behind);
    }

    /// Arbitrary bytes are decoded, refused or incomplete, and never cause a panic; where the
    /// network splits them changes nothing about the result.
    #[test]
    fn garbage_has_one_meaning(
        wire in proptest::collection::vec(
            prop_oneof![Just(b'\r'), Just(b'\n'), Just(b'0'), Just(b'1'), Just(b';'), any::<u8>()],
            0..60,
        ),
        cuts in proptest::collection::vec(1usize..5, 0..60),
    ) {
        let whole = decode(&wire, &[]);
        let cut = decode(&wire, &cuts);
        match (whole, cut) {
            (Ok(Some(whole)), Ok(Some(cut))) => {
                prop_assert_eq!(whole.0, cut.0);
                prop_assert_eq!(whole.1, cut.1);
            }
            (whole, cut) => prop_assert_eq!(whole.is_err(), cut.is_err()),
        }
    }
}

/// Found by fuzzing: after malformed trailers the decoder was asked once more, by who discards what
/// is left of a request. It went on behind the trailers, beyond the end of what was left.
#[test]
fn a_broken_body_stays_broken() {
    let mut decoder = Decoder::chunked(Writer::Client);
    let mut trailers = None;
    let mut input = BytesMut::from(&b"0\r\nno colon in this trailer\r\n\r\nGET "[..]);
    let fault = decoder.step(&mut input, &mut trailers).unwrap_err();
    assert_eq!(decoder.step(&mut input, &mut trailers), Err(fault));
    input.extend_from_slice(b"/ HTTP/1.1\r\n\r\n");
    assert_eq!(decoder.step(&mut input, &mut trailers), Err(fault));
    assert!(!decoder.is_done() && trailers.is_none());
}
