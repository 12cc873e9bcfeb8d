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

/// The revision that was asked for, as `NAME` or `NAMESPACE/NAME`, with `SITE:` before it where
/// there are several sites; a name alone is enough where it is the only one. The name of a service,
/// whose revisions are numbered as `NAME-00001`, is its newest one.
///
/// # Errors
/// [`FindError`], which names those that there are.
pub fn find<'a>(known: &'a [RevisionStatus], asked: &str) -> Result<&'a RevisionStatus, FindError> {
    // No name has a colon.
    let (site, of_site) = match asked.split_once(':') {
        Some((site, of_site)) => (Some(site), of_site),
        None => (None, asked),
    };
    let is_there = |status: &&RevisionStatus| site.is_none_or(|site| status.site == site);
    let matches = |status: &&RevisionStatus| {
        is_there(status)
            && match of_site.split_once('/') {
                Some((namespace, name)) => status.namespace == namespace && status.name == name,
                None => status.name == of_site,
            }
    };
    let found: Vec<&RevisionStatus> = known.iter().filter(matches).collect();
    let asked = asked.to_owned();
    match found.as_slice() {
        [only] => Ok(only),
        [] => {
            if let Some(newest) = newest_of(known.iter().filter(is_there), of_site) {
                return Ok(newest);
            }
            let (all, bare): (Vec<String>, Vec<&str>) =
                known.iter().map(|status| (full_name(status), &*status.name)).unzip();
            let hint = match asked.contains(['/', ':']) {
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

/// A revision's name with what it needs to be told from all others: its namespace, and its site
/// where there are several.
#[must_use]
pub fn full_name(status: &RevisionStatus) -> String {
    let RevisionStatus { site, namespace, name, .. } = status;
    match site.as_str() {
        "" => format!("{namespace}/{name}"),
        site => format!("{site}:{namespace}/{name}"),
    }
}

/// The newest revision of a service; none where several sites have it.
fn newest_of<'a>(
    known: impl Iterator<Item = &'a RevisionStatus>,
    service: &str,
) -> Option<&'a RevisionStatus> {
    let number = |status: &RevisionStatus| {
        let number = status.name.strip_prefix(service)?.strip_prefix('-')?;
        number.bytes().all(|byte| byte.is_ascii_digit()).then(|| number.parse::<u32>().ok())?
    };
    let numbered: Vec<_> = known.filter_map(|status| Some((number(status)?, status))).collect();
    let newest = numbered.iter().max_by_key(|(number, _)| *number).map(|(_, status)| *status)?;
    numbered.iter().all(|(_, status)| status.site == newest.site).then_some(newest)
}

fn names(statuses: &[RevisionStatus]) -> String {
    if statuses.is_empty() {
        return "none".to_owned();
    }
    statuses.iter().map(full_name).collect::<Vec<_>>().join(", ")
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

    #[test]
    fn a_site_tells_revisions_of_one_name_apart() {
        let revision = |site: &str, name: &str| RevisionStatus {
            site: site.into(),
            namespace: "prod".into(),
            name: name.into(),
            ..RevisionStatus::default()
        };
        let known = [
            revision("oslo", "web"),
            revision("paris", "web"),
            revision("paris", "api-00001"),
            revision("paris", "api-00002"),
            revision("oslo", "db-00001"),
            revision("paris", "db-00001"),
        ];
        let found = |asked: &str| find(&known, asked).map(full_name);
        let paris = Ok("paris:prod/web".to_owned());
        assert_eq!((found("paris:web"), found("paris:prod/web")), (paris.clone(), paris));
        assert_eq!(found("api"), Ok("paris:prod/api-00002".to_owned()));
        assert_eq!(found("oslo:db"), Ok("oslo:prod/db-00001".to_owned()));
        assert!(matches!(found("web"), Err(FindError::Several { known, .. })
            if known == "oslo:prod/web, paris:prod/web"));
        assert!(found("db").is_err(), "which site's is a guess");
        assert!(found("rome:web").is_err());
    }
}
