//! A revision as it is typed.

use std::str::FromStr;

use tidegate_activator::RevisionName;

/// `NAMESPACE/NAME`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Revision(pub(crate) RevisionName);

impl FromStr for Revision {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once('/') {
            Some((namespace, name)) if !namespace.is_empty() && !name.is_empty() => {
                Ok(Self(RevisionName { namespace: namespace.into(), name: name.into() }))
            }
            _ => Err("expected NAMESPACE/NAME".to_owned()),
        }
    }
}
