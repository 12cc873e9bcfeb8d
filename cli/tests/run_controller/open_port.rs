//! The controller listened on every interface and asked for no secret: every machine that reached
//! the port could read addresses, divert requests and scale revisions. Now it listens on loopback
//! by default, and refuses other addresses without a secret or client certificates.

use std::io::Write;

use crate::process::Process;
use crate::{explain, refused};

#[test]
fn no_peer_is_admitted_by_default() {
    for open in ["0.0.0.0:0", "[::]:0"] {
        let (code, text) = refused(&["--listen", open]);
        assert!(matches!(code, Some(1 | 2)), "{text}");
        assert!(text.contains("--secret-file") && text.contains("--allow-anonymous"), "{text}");
    }
    let mut file = tempfile::NamedTempFile::new().expect("a file");
    write!(file, "short").expect("writable");
    let path = file.path().to_str().expect("text").to_owned();
    let (code, text) = refused(&["--secret-file", &path]);
    assert!(matches!(code, Some(1 | 2)) && text.contains("5 characters"), "{text}");
    write!(file, "-no-more-0123456789").expect("writable");
    let (_controller, address) = Process::controller(&["--secret-file", &path]);
    let (code, text) = explain(&["--controller", &address]);
    assert_eq!(code, Some(1), "{text}");
    assert!(text.contains("TIDEGATE_SECRET_FILE") && !text.contains("no-more"), "{text}");
    let (code, text) = explain(&["--controller", &address, "--secret-file", &path]);
    assert_eq!(code, Some(0), "{text}");
}
