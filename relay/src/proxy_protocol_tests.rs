//! Headers of the PROXY protocol: what is written reads back, and nothing else does by chance.

use proptest::prelude::*;

use super::*;

fn address() -> impl Strategy<Value = SocketAddr> {
    (any::<IpAddr>(), any::<u16>()).prop_map(SocketAddr::from)
}

/// A header with this command, family and rest.
fn raw(command: u8, family: u8, rest: &[u8]) -> Vec<u8> {
    let length = u16::try_from(rest.len()).expect("it is short");
    [&SIGNATURE[..], &[command, family], &length.to_be_bytes(), rest].concat()
}

/// The example of the protocol's text, byte by byte.
#[test]
fn a_header_of_each_family_is_read() {
    let rest = [192, 168, 0, 1, 10, 0, 0, 9, 0xdc, 0x04, 0x01, 0xbb];
    let source = "192.168.0.1:56324".parse().expect("an address");
    let destination = "10.0.0.9:443".parse().expect("an address");
    let client = Origin::Client { source, destination };
    assert_eq!(parse(&raw(0x21, 0x11, &rest)), Ok(Some((client, 28))));
    // With fields behind the addresses: one of four bytes, and an empty one.
    let fields = [&rest[..], &[0x03, 0, 4, 1, 2, 3, 4], &[0x04, 0, 0]].concat();
    assert_eq!(parse(&raw(0x21, 0x11, &fields)), Ok(Some((client, 38))));
    let rest = [[0xfe; 16].as_slice(), &[0xfd; 16], &[0, 1, 0, 2]].concat();
    let Ok(Some((Origin::Client { source, destination }, 52))) = parse(&raw(0x21, 0x21, &rest))
    else {
        panic!("a client");
    };
    assert_eq!((source.port(), destination.port()), (1, 2));
    assert!(source.to_string().starts_with("[fefe:fefe:"));
    assert_eq!(parse(&raw(0x21, 0x31, &[b'/'; 216])), Ok(Some((Origin::Unknown, 232))));
    assert_eq!(parse(&raw(0x21, 0x00, b"anything")), Ok(Some((Origin::Unknown, 24))));
    assert_eq!(parse(&raw(0x20, 0xff, b"anything")), Ok(Some((Origin::Local, 24))));
}

#[test]
fn what_cannot_be_one_is_refused_as_soon_as_that_is_known() {
    let rest = [0; 36];
    for bad in [
        &b"PROXY TCP4 192.168.0.1 192.168.0.11 56324 443\r\n"[..],
        b"GET / HTTP/1.1\r\n",
        b"\x16\x03\x01",
        b"\r\n\r\nX",
        &raw(0x11, 0x11, &rest[..12]),
        &raw(0x22, 0x11, &rest[..12]),
        &raw(0x21, 0x12, &rest[..12]),
        &raw(0x21, 0x11, &rest[..11]),
        &raw(0x21, 0x21, &rest[..35]),
        &raw(0x21, 0x31, &rest[..30]),
        &raw(0x21, 0x11, &rest[..14]),
        &raw(0x21, 0x11, &[&rest[..12], &[1, 0, 5, 0]].concat()),
        &raw(0x21, 0x11, &[0; REST_BYTES_MAX + 1]),
        &raw(0x21, 0x11, &[0; REST_BYTES_MAX + 1])[..HEAD_BYTES],
    ] {
        assert!(parse(bad).is_err(), "{bad:?}");
    }
}

proptest! {
    #[test]
    fn what_is_written_reads_back(source in address(), destination in address(), behind: Vec<u8>) {
        let header = header(source, destination);
        let parsed = parse(&[&header[..], &behind].concat());
        let Ok(Some((Origin::Client { source: read, destination: to }, length))) = parsed else {
            panic!("{parsed:?}");
        };
        prop_assert_eq!(length, header.len());
        // An address of the other family is written as of this one.
        prop_assert_eq!(read.ip().to_canonical(), source.ip().to_canonical());
        prop_assert_eq!(to.ip().to_canonical(), destination.ip().to_canonical());
        prop_assert_eq!((read.port(), to.port()), (source.port(), destination.port()));
        for end in 0..header.len() {
            prop_assert_eq!(parse(&header[..end]), Ok(None), "{}", end);
        }
    }

    /// However the bytes arrive, they are the same header or the same mistake.
    #[test]
    fn more_bytes_change_no_verdict(
        command in 0x1fu8..0x23, family: u8, rest in prop::collection::vec(any::<u8>(), 0..300),
    ) {
        let whole = raw(command, family, &rest);
        let verdict = parse(&whole);
        for end in 0..whole.len() {
            match parse(&whole[..end]) {
                Ok(None) => {}
                Ok(Some(_)) => panic!("it is not whole"),
                Err(error) => prop_assert_eq!(Err(error), verdict),
            }
        }
    }

    #[test]
    fn receiving_takes_the_header_and_no_byte_more(
        bytes in prop::collection::vec(any::<u8>(), 0..64), source in address(), good: bool,
    ) {
        let header = header(source, source);
        let sent = if good { [&header[..], &bytes].concat() } else { bytes.clone() };
        let mut stream = &sent[..];
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        let received = runtime.block_on(receive(&mut stream));
        match good {
            true => {
                prop_assert!(received.is_ok());
                prop_assert_eq!(stream, &bytes[..]);
            }
            false => prop_assert!(received.is_err() || parse(&sent).is_ok()),
        }
    }
}
