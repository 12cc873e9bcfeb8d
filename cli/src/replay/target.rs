//! Where the requests of each revision go.

use std::collections::HashMap;

/// A target that was typed: a URL, and the revision whose requests go there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct To {
    /// `None` for all that no other target is for.
    pub(crate) revision: Option<String>,
    pub(crate) url: String,
}

impl To {
    /// `URL`, or `REVISION=URL`.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let scheme = text.find("://").ok_or_else(expected)?;
        let (revision, url) = match text[..scheme].rsplit_once('=') {
            Some((revision, _)) => (Some(revision.to_owned()), &text[revision.len() + 1..]),
            None => (None, text),
        };
        if revision.as_deref() == Some("") {
            return Err(expected());
        }
        tidegate_replay::Request::get(url).map_err(|wrong| wrong.to_string())?;
        Ok(Self { revision, url: url.to_owned() })
    }
}

fn expected() -> String {
    "expected a URL such as http://127.0.0.1:8080/, or REVISION=URL".to_owned()
}

/// Which target a revision's requests go to.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Table {
    named: HashMap<String, usize>,
    rest: Option<usize>,
}

/// The table of these targets.
pub(crate) fn table(to: &[To]) -> Result<Table, String> {
    let mut table = Table { named: HashMap::new(), rest: None };
    for (index, to) in to.iter().enumerate() {
        let again = match &to.revision {
            Some(revision) => table.named.insert(revision.clone(), index).is_some(),
            None => table.rest.replace(index).is_some(),
        };
        if again {
            let whose = match &to.revision {
                Some(revision) => format!("the requests of {revision}"),
                None => "what no other is for".to_owned(),
            };
            return Err(format!("expected one URL for {whose}, found a second: {}", to.url));
        }
    }
    Ok(table)
}

impl Table {
    /// The target of `revision`.
    pub(crate) fn of(&self, revision: &str) -> Option<usize> {
        self.named.get(revision).copied().or(self.rest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn revisions_are_told_from_urls() {
        let plain = To::parse("http://a:1/x?y=z").expect("a URL");
        assert_eq!((plain.revision, plain.url.as_str()), (None, "http://a:1/x?y=z"));
        let named = To::parse("default/web=https://a/").expect("a revision and a URL");
        assert_eq!(
            (named.revision.as_deref(), named.url.as_str()),
            (Some("default/web"), "https://a/")
        );
        for wrong in ["", "host:80", "=http://a/", "web=", "web=ftp://a/"] {
            assert!(To::parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn each_revision_goes_to_one_place() {
        let to = |text| To::parse(text).expect("a target");
        let table = table(&[to("http://rest/"), to("web=http://web/")]).expect("a table");
        assert_eq!((table.of("web"), table.of("other")), (Some(1), Some(0)));
        let only = super::table(&[to("web=http://web/")]).expect("a table");
        assert_eq!(only.of("other"), None);
        let twice = super::table(&[to("http://a/"), to("http://b/")]).unwrap_err();
        assert_eq!(twice, "expected one URL for what no other is for, found a second: http://b/");
    }
}
