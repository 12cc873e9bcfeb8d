//! What stands before a client's first byte when a load balancer passes its connection on: however
//! it arrives, it is the same header or none, no byte behind it is taken, and what a client is said
//! to be can be said again.

#![no_main]

use libfuzzer_sys::fuzz_target;
use tidegate_relay::proxy_protocol::{Origin, header, parse, receive};

fuzz_target!(|input: &[u8]| {
    let verdict = parse(input);
    for end in 0..input.len().min(512) {
        match parse(&input[..end]) {
            Ok(None) => {}
            earlier => assert_eq!(earlier, verdict, "more bytes change nothing"),
        }
    }
    let mut stream = input;
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    let received = runtime.block_on(receive(&mut stream));
    match verdict {
        Ok(Some((origin, length))) => {
            assert_eq!(received.expect("it is whole"), origin);
            assert_eq!(stream.len(), input.len() - length);
            if let Origin::Client { source, destination } = origin {
                let written = header(source, destination);
                assert_eq!(parse(&written), Ok(Some((origin, written.len()))));
            }
        }
        Ok(None) | Err(_) => assert!(received.is_err()),
    }
});
