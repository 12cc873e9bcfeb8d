//! Files of services, and the files of others that a first one is made of: they are refused in
//! words with a place, or read; and what is made of them reads back.

#![no_main]

use std::collections::BTreeMap;

use libfuzzer_sys::fuzz_target;
use tidegate_routes::{FileError, Table};
use tidegate_services::init::{Found, draft};
use tidegate_services::{Difference, Services, env_file, routes};

/// Longest complaint, in characters: what a file says is quoted shortened.
const COMPLAINT_MAX: usize = 2_000;

fn refused(text: &str, errors: &[FileError]) {
    assert!(!errors.is_empty(), "refused without a reason");
    // YAML knows more ends of a line than TOML does.
    let lines = text.split(['\n', '\r', '\u{85}', '\u{2028}', '\u{2029}']).count();
    for error in errors {
        assert!((1..=lines).contains(&error.line), "{error:?} of {lines} lines");
        assert!(error.column >= 1, "{error:?}");
        assert!(!error.what.is_empty() && error.what.chars().count() <= COMPLAINT_MAX, "{error:?}");
        assert!(!error.what.contains(|c: char| c.is_control() && c != '\n'), "{error:?}");
    }
}

fn read(services: &Services) {
    assert!(Difference::between(services, services).is_nothing());
    // Routes of several services are a file of routes like any other.
    let file = routes(services, &BTreeMap::new());
    if !file.is_empty() {
        let table = Table::parse(&file);
        assert!(table.is_ok(), "{table:?} of\n{file}");
    }
}

fuzz_target!(|text: &str| {
    match Services::parse(text) {
        Ok(services) => read(&services),
        Err(errors) => refused(text, &errors),
    }
    match Services::parse_knative(text) {
        Ok((services, ignored)) => {
            assert!(ignored.iter().all(|ignored| !ignored.what.is_empty()));
            read(&services);
        }
        Err(errors) => refused(text, &errors),
    }
    if let Err(error) = env_file::parse(text) {
        refused(text, &[error]);
    }
    let some = Some(text);
    let (file, names) =
        draft(Found { procfile: some, compose: some, knative: some, package: some });
    if !names.is_empty() {
        let read = Services::parse(&file);
        assert!(read.is_ok(), "{read:?} of\n{file}");
    }
});
