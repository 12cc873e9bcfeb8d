//! Manifests of any kind: refused with a reason, or a text that is the same when it is injected
//! again, with every document that was there.

#![no_main]

use libfuzzer_sys::fuzz_target;
use tidegate_kubernetes_inject::review::review;
use tidegate_kubernetes_inject::{Failure, Options, inject};

fuzz_target!(|text: &str| {
    let mut options = Options::default();
    options.settings.set("image", "queue-proxy:1").expect("an image");
    let _ = review(text.as_bytes(), &options.settings);
    match inject(text, &options) {
        Ok(once) => {
            let twice = inject(&once.text, &options).expect("what was written can be read");
            assert_eq!(once.text, twice.text);
            if once.notes.iter().all(|note| !note.contains("injected")) {
                assert_eq!(once.text, text);
            }
        }
        Err(Failure::Refused(reasons)) => assert!(!reasons.is_empty()),
        Err(Failure::Malformed(problem)) => assert!(problem.line > 0 && problem.column > 0),
        Err(Failure::TooLarge) => {}
    }
});
