//! Who calls, and for what a caller may speak.
//!
//! A shared secret says that its holder takes part, and no more. A token of that secret says for
//! what it was issued: one revision, one namespace, an activator, or questions. A token that a
//! cluster issues to one pod says which namespace that pod is in, and its reports count for
//! workloads of that namespace alone.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;

use tidegate_trust::Scope;

use crate::identity::{NameError, RevisionId, check_namespace};
use crate::report::Hello;

/// For what a caller may speak.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Caller {
    /// Everything: it may report for every revision, be an activator, ask, and order.
    Trusted,
    /// The instances of one namespace: it may report for its revisions.
    Namespace(Arc<str>),
    /// The instances of one revision.
    Revision(RevisionId),
    /// An activator, and nothing else.
    Activator,
    /// Questions: it may ask, and change nothing.
    Observer,
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
    /// It reports for another revision.
    #[error("a token of the revision {caller} cannot report for the revision {asked}")]
    OtherRevision {
        /// Whose token it is.
        caller: RevisionId,
        /// For which it reports.
        asked: RevisionId,
    },
    /// It is no instance.
    #[error(
        "a token of the namespace {0} speaks for the pods of that namespace alone: activators and \
         questions need one of the controller's own namespace, or the secret"
    )]
    NotAnInstance(Arc<str>),
    /// Its token is for something else.
    #[error("a token for {is_for} was shown, where one for {needed} is asked for")]
    OtherPurpose {
        /// What the token is for.
        is_for: &'static str,
        /// What the call needs.
        needed: &'static str,
    },
}

/// Who shows a token that was issued for `scope`.
impl TryFrom<Scope> for Caller {
    type Error = NameError;

    fn try_from(scope: Scope) -> Result<Self, NameError> {
        Ok(match scope {
            Scope::Revision { namespace, name } => {
                Self::Revision(RevisionId::new(&namespace, &name)?)
            }
            Scope::Namespace(name) => {
                check_namespace(&name)?;
                Self::Namespace(name.into())
            }
            Scope::Activator => Self::Activator,
            Scope::Questions => Self::Observer,
        })
    }
}

impl Caller {
    /// What its token is for, in a few words.
    fn is_for(&self) -> &'static str {
        match self {
            Self::Trusted => "everything",
            Self::Namespace(_) => "the instances of a namespace",
            Self::Revision(_) => "the instances of a revision",
            Self::Activator => "an activator",
            Self::Observer => "questions",
        }
    }

    fn needs(&self, needed: &'static str) -> BeyondCaller {
        BeyondCaller::OtherPurpose { is_for: self.is_for(), needed }
    }

    /// Whether it may begin a report stream like this.
    pub(crate) fn may_report(&self, hello: &Hello) -> Result<(), BeyondCaller> {
        match (self, hello) {
            (Self::Trusted, _) | (Self::Activator, Hello::Activator { .. }) => Ok(()),
            (Self::Revision(caller), Hello::QueueProxy { revision, .. }) => {
                match revision == caller {
                    true => Ok(()),
                    false => Err(BeyondCaller::OtherRevision {
                        caller: caller.clone(),
                        asked: revision.clone(),
                    }),
                }
            }
            (Self::Revision(_) | Self::Observer, Hello::Activator { .. }) => {
                Err(self.needs("an activator"))
            }
            (Self::Activator | Self::Observer, Hello::QueueProxy { .. }) => {
                Err(self.needs("the instances of a revision"))
            }
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
            Self::Trusted | Self::Observer => Ok(()),
            Self::Namespace(caller) => Err(BeyondCaller::NotAnInstance(Arc::clone(caller))),
            Self::Revision(_) | Self::Activator => Err(self.needs("questions")),
        }
    }

    /// Whether it may change something beyond its own reports, such as how far a rollout goes.
    pub(crate) fn may_order(&self) -> Result<(), BeyondCaller> {
        match self {
            Self::Trusted => Ok(()),
            other => Err(other.needs("everything")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::{InstanceName, RevisionId};

    fn instance(namespace: &str, name: &str) -> Hello {
        Hello::QueueProxy {
            revision: RevisionId::new(namespace, name).expect("valid"),
            instance: InstanceName::new("web-1").expect("valid"),
            address: "10.0.0.1:8012".to_owned(),
            container_concurrency: 0,
            max_waiting: 0,
            counts_connections: false,
            start_unix_ms: 0,
            token: None,
        }
    }

    fn activator() -> Hello {
        let name = InstanceName::new("activator-1").expect("valid");
        Hello::Activator { name, max_waiting: 0, token: None }
    }

    #[test]
    fn a_namespace_speaks_for_its_own_instances_alone() {
        let queue_proxy = |namespace| instance(namespace, "web");
        let shop = Caller::Namespace("shop".into());
        assert_eq!(shop.may_report(&queue_proxy("shop")), Ok(()));
        let error = shop.may_report(&queue_proxy("till")).expect_err("another namespace");
        assert!(error.to_string().contains("shop") && error.to_string().contains("till"));
        assert!(shop.may_report(&activator()).is_err());
        assert!(shop.may_ask().is_err());
        for hello in [queue_proxy("shop"), queue_proxy("till"), activator()] {
            assert_eq!(Caller::Trusted.may_report(&hello), Ok(()));
        }
        assert_eq!(Caller::Trusted.may_ask(), Ok(()));
        assert_eq!(Caller::Trusted.may_order(), Ok(()));
    }

    /// What each may do, of: an instance of its revision, one of another, an activator, a question,
    /// an order.
    #[test]
    fn a_token_is_for_one_thing() {
        for (scope, may) in [
            ("revision:shop/web", [true, false, false, false, false]),
            ("namespace:shop", [true, true, false, false, false]),
            ("activator", [false, false, true, false, false]),
            ("questions", [false, false, false, true, false]),
        ] {
            let caller = Caller::try_from(scope.parse::<Scope>().expect("a scope"));
            let caller = caller.expect("names that were read are names");
            let does = [
                caller.may_report(&instance("shop", "web")).is_ok(),
                caller.may_report(&instance("shop", "till")).is_ok(),
                caller.may_report(&activator()).is_ok(),
                caller.may_ask().is_ok(),
                caller.may_order().is_ok(),
            ];
            assert_eq!(does, may, "{scope}");
        }
    }
}
