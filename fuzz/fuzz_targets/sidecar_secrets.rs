//! Any URL and any further names: a secret behind a name that says so is never written down,
//! however the name is spelt and whatever stands around it.

#![no_main]

use std::fmt::Write as _;

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use tidegate_logging::secrets::{Query, QueryRule};

/// What must not be seen; nothing else contains it.
const SECRET: &str = "S3CR3T";
const NAMES: [&str; 6] = ["token", "API_Key", "client-secret", "X-Amz-Signature", "sig", "code"];

#[derive(Debug, Arbitrary)]
struct Url<'a> {
    place: &'a str,
    before: &'a str,
    after: &'a str,
    name: u8,
    /// Which letters of the name are percent encoded.
    encoded: u32,
    separator: u8,
    none: bool,
    names: &'a str,
}

fuzz_target!(|url: Url| {
    let Url { place, before, after, .. } = url;
    if [place, before, after].iter().any(|text| text.contains(SECRET)) {
        return;
    }
    let mut name = String::new();
    for (index, byte) in NAMES[usize::from(url.name) % NAMES.len()].bytes().enumerate() {
        if url.encoded >> (index % 32) & 1 == 1 {
            write!(name, "%{byte:02x}").expect("memory");
        } else {
            name.push(char::from(byte));
        }
    }
    let separator = ['?', '&', ';', '#'][usize::from(url.separator % 4)];
    let spelt = format!("{place}?{before}{separator}{name}={SECRET}{separator}{after}");
    let query = if url.none { Query::None } else { Query::Masked };
    let rule = QueryRule::new(query, url.names);
    for shown in [rule.url(&spelt), rule.text(&spelt), QueryRule::default().url(&spelt)] {
        assert!(!shown.contains(SECRET), "{spelt:?} shows {shown:?}");
    }
    // What is written down already may pass through again.
    let once = rule.url(&spelt).into_owned();
    assert!(!rule.text(&once).contains(SECRET));
    assert_eq!(QueryRule::new(Query::Full, url.names).url(&spelt), spelt);
    // Any text at all.
    let _ = (rule.url(before), rule.text(after));
});
