//! A revision by what a person wrote.

use tidegate_proto::scale::v1::RevisionStatus;
use tidegate_words::{did_you_mean, excerpt};

/// Why no revision is meant.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FindError {
    /// There is none of that name.
    #[error("no revision \"{}\" here; known are: {known}{hint}", excerpt(.asked))]
    Unknown {
        /// What was written.
        asked: String,
        /// Those that there are.
        known: String,
        /// What was most likely meant.
        hint: String,
    },
    /// Several namespaces have one of that name.
    #[error("{asked:?} is the name of several revisions, say which: {known}")]
    Several {
        /// What was written.
        asked: String,
        /// Those that could be meant.
        known: String,
    },
}

/// The revision that was asked for, as `NAME` or `NAMESPACE/NAME`; a name alone is enough where it
/// is the only one. The name of a service, whose revisions are numbered as `NAME-00001`, is its
/// newest one.
///
/// # Errors
/// [`FindError`], which names those that there are.
pub fn find<'a>(known: &'a [RevisionStatus], asked: &str) -> Result<&'a RevisionStatus, FindError> {
    let matches = |status: &&RevisionStatus| match asked.split_once('/') {
        Some((namespace, name)) => status.namespace == namespace && status.name == name,
        None => status.name == asked,
    };
    let found: Vec<&RevisionStatus> = known.iter().filter(matches).collect();
    let asked = asked.to_owned();
    match found.as_slice() {
        [only] => Ok(only),
        [] => {
            if let Some(newest) = newest_of(known, &asked) {
                return Ok(newest);
            }
            let (all, bare): (Vec<String>, Vec<&str>) = known
                .iter()
                .map(|status| (format!("{}/{}", status.namespace, status.name), &*status.name))
                .unzip();
            let hint = match asked.contains('/') {
                true => did_you_mean(&asked, all.iter().map(String::as_str)),
                false => did_you_mean(&asked, bare),
            };
            Err(FindError::Unknown { asked, known: names(known), hint })
        }
        several => {
            let several: Vec<RevisionStatus> = several.iter().copied().cloned().collect();
            Err(FindError::Several { asked, known: names(&several) })
        }
    }
}

/// The newest revision of a service.
fn newest_of<'a>(known: &'a [RevisionStatus], service: &str) -> Option<&'a RevisionStatus> {
    let number = |status: &RevisionStatus| {
        let number = status.name.strip_prefix(service)?.strip_prefix('-')?;
        number.bytes().all(|byte| byte.is_ascii_digit()).then(|| number.parse::<u32>().ok())?
    };
    let numbered = known.iter().filter_map(|status| Some((number(status)?, status)));
    numbered.max_by_key(|(number, _)| *number).map(|(_, status)| status)
}

fn names(statuses: &[RevisionStatus]) -> String {
    if statuses.is_empty() {
        return "none".to_owned();
    }
    let names = statuses.iter().map(|status| format!("{}/{}", status.namespace, status.name));
    names.collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_service_is_its_newest_revision() {
        let revision = |name: &str| RevisionStatus {
            namespace: "local".into(),
            name: name.into(),
            ..RevisionStatus::default()
        };
        let known = ["web-00002", "web-00010", "web-next-00001", "api"].map(revision);
        let found = |asked: &str| find(&known, asked).map(|status| status.name.as_str());
        assert_eq!(found("web"), Ok("web-00010"));
        assert_eq!(found("web-next"), Ok("web-next-00001"));
        assert_eq!(found("web-00002"), Ok("web-00002"));
        assert_eq!(found("api"), Ok("api"));
        assert!(found("we").is_err());
    }
}
