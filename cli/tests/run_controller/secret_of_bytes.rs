//! A `TIDEGATE_SECRET` that is not UTF-8 counted as absent, so that a controller whose operator had
//! set a secret let everybody in. Now it is an error at the start, as any other bad secret.

use crate::process::{outcome, tidegate};

#[test]
fn a_secret_that_is_no_text_is_an_error_and_not_absent() {
    use std::os::unix::ffi::OsStrExt;
    let secret = std::ffi::OsStr::from_bytes(b"0123456789abcdef\xff");
    for verb in [&["controller", "--listen", "127.0.0.1:0"][..], &["explain"]] {
        let (code, text) = outcome(tidegate(verb).env("TIDEGATE_SECRET", secret));
        assert!(matches!(code, Some(1 | 2)) && text.contains("printable ASCII"), "{code:?} {text}");
    }
}
