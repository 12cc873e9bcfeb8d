//! Who calls, where calls carry tokens that somebody else issues: which namespace a caller speaks
//! for.
//!
//! A shared secret says that its holder takes part, and no more. A token that the cluster issues to
//! one pod says which namespace that pod is in, and its reports count for workloads of that
//! namespace alone.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;

use crate::report::Hello;

/// For what a caller may speak.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Caller {
    /// Everything: it may report for every revision, be an activator, and ask.
    Trusted,
    /// The instances of one namespace: it may report for its revisions.
    Namespace(Arc<str>),
}

/// Why a token is not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TokenRefused {
    /// It is nobody's: its issuer does not know it, it has expired, or is for another audience.
    #[error("the token that was shown is not taken: {0}")]
    Invalid(String),
    /// Nobody can say at the moment; the caller should try again soon.
    #[error("whose token was shown cannot be found out at the moment: {0}")]
    Unavailable(String),
}

/// What [`Authenticate::authenticate`] returns.
pub type Authentication<'a> =
    Pin<Box<dyn Future<Output = Result<Caller, TokenRefused>> + Send + 'a>>;

/// Finds out whose a token is.
pub trait Authenticate: fmt::Debug + Send + Sync {
    /// Who shows this token. It must bound its time, and how many it looks at.
    fn authenticate<'a>(&'a self, token: &'a str) -> Authentication<'a>;
}

/// Why a caller may not do what it asks for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum BeyondCaller {
    /// It reports for another namespace.
    #[error("a token of the namespace {caller} cannot report for the namespace {asked}")]
    OtherNamespace {
        /// Whose token it is.
        caller: Arc<str>,
        /// For which it reports.
        asked: String,
    },
    /// It is no instance.
    #[error(
        "a token of the namespace {0} speaks for the pods of that namespace alone: activators and \
         questions need one of the controller's own namespace, or the secret"
    )]
    NotAnInstance(Arc<str>),
}

impl Caller {
    /// Whether it may begin a report stream like this.
    pub(crate) fn may_report(&self, hello: &Hello) -> Result<(), BeyondCaller> {
        match (self, hello) {
            (Self::Trusted, _) => Ok(()),
            (Self::Namespace(caller), Hello::QueueProxy { revision, .. }) => {
                match revision.namespace() == &**caller {
                    true => Ok(()),
                    false => Err(BeyondCaller::OtherNamespace {
                        caller: Arc::clone(caller),
                        asked: revision.namespace().to_owned(),
                    }),
                }
            }
            (Self::Namespace(caller), Hello::Activator { .. }) => {
                Err(BeyondCaller::NotAnInstance(Arc::clone(caller)))
            }
        }
    }

    /// Whether it may ask for decisions and reasons.
    pub(crate) fn may_ask(&self) -> Result<(), BeyondCaller> {
        match self {
            Self::Trusted => Ok(()),
            Self::Namespace(caller) => Err(BeyondCaller::NotAnInstance(Arc::clone(caller))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::{InstanceName, RevisionId};

    #[test]
    fn a_namespace_speaks_for_its_own_instances_alone() {
        let queue_proxy = |namespace| Hello::QueueProxy {
            revision: RevisionId::new(namespace, "web").expect("valid"),
            instance: InstanceName::new("web-1").expect("valid"),
            address: "10.0.0.1:8012".to_owned(),
            container_concurrency: 0,
            max_waiting: 0,
            counts_connections: false,
            start_unix_ms: 0,
            token: None,
        };
        let name = InstanceName::new("activator-1").expect("valid");
        let activator = Hello::Activator { name, max_waiting: 0, token: None };
        let shop = Caller::Namespace("shop".into());
        assert_eq!(shop.may_report(&queue_proxy("shop")), Ok(()));
        let error = shop.may_report(&queue_proxy("till")).expect_err("another namespace");
        assert!(error.to_string().contains("shop") && error.to_string().contains("till"));
        assert!(shop.may_report(&activator).is_err());
        assert!(shop.may_ask().is_err());
        for hello in [queue_proxy("shop"), queue_proxy("till"), activator] {
            assert_eq!(Caller::Trusted.may_report(&hello), Ok(()));
        }
        assert_eq!(Caller::Trusted.may_ask(), Ok(()));
    }
}
