//! Where the controller's errors become gRPC: nowhere else.
//!
//! `docs/errors.md` has the table of codes.

use std::sync::Arc;

use tonic::{Code, Status};

use crate::caller::TokenRefused;
use crate::error::CallError;
use crate::event::StreamRefusal;
use crate::routes::OrderError;

impl CallError {
    /// The code that a client tells errors apart by. A reporter retries early by `Unavailable`,
    /// `Aborted` and `DeadlineExceeded`, and late by every other.
    pub(crate) fn code(&self) -> Code {
        match self {
            Self::Secret(_) | Self::Token(TokenRefused::Invalid(_)) => Code::Unauthenticated,
            Self::NoHello | Self::Late(_) => Code::DeadlineExceeded,
            Self::HelloExpected
            | Self::SecondHello
            | Self::Hello(_)
            | Self::Unreadable(_)
            | Self::UnknownOrder
            | Self::NoSites
            | Self::Order(OrderError::Shares(_))
            | Self::Name(_) => Code::InvalidArgument,
            Self::Order(OrderError::UnknownRoute { .. }) => Code::NotFound,
            Self::Order(_) | Self::Shard(_) => Code::FailedPrecondition,
            Self::Address(_) | Self::Caller(_) => Code::PermissionDenied,
            Self::LongHistory { .. } | Self::LongMessage { .. } | Self::TooManyWatchers { .. } => {
                Code::ResourceExhausted
            }
            Self::Refused(refusal) => match refusal {
                StreamRefusal::Undeclared(_)
                | StreamRefusal::NoInstance { .. }
                | StreamRefusal::Settings(_) => Code::FailedPrecondition,
                StreamRefusal::NameInUse(_) => Code::AlreadyExists,
                StreamRefusal::NotWhereItWasStarted { .. } => Code::PermissionDenied,
                StreamRefusal::Full { .. } => Code::ResourceExhausted,
                StreamRefusal::Replaced => Code::Aborted,
            },
            Self::UnknownRevision(_) => Code::NotFound,
            Self::Ended(_) | Self::Token(TokenRefused::Unavailable(_)) => Code::Unavailable,
        }
    }
}

impl From<CallError> for Status {
    fn from(error: CallError) -> Self {
        let mut status = Status::new(error.code(), error.to_string());
        status.set_source(Arc::new(error));
        status
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::error::Error as _;

    use super::*;
    use crate::access::SecretRefused;
    use crate::error::Ended;
    use crate::identity::{InstanceName, RevisionId};

    #[test]
    fn the_book_has_every_code() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/errors.md");
        let page = std::fs::read_to_string(path).expect("the page is there");
        let (_, table) = page.split_once("<!-- codes -->\n").expect("a table");
        let (table, _) = table.split_once("<!-- end of codes -->").expect("its end");
        let rows: BTreeSet<String> = table
            .lines()
            .skip(2)
            .filter_map(|row| Some(row.split('`').nth(1)?.replace('_', "").to_lowercase()))
            .collect();
        let codes = all().map(|error| format!("{:?}", error.code()).to_lowercase());
        assert_eq!(rows, BTreeSet::from(codes), "docs/errors.md and what is sent differ");
    }

    /// One for each code that there is.
    fn all() -> [CallError; 10] {
        let revision = || RevisionId::new("default", "web").expect("valid");
        let instance = InstanceName::new("web-1").expect("valid");
        let foreign = StreamRefusal::NotWhereItWasStarted {
            instance: instance.clone(),
            launched: "127.0.0.1:1".into(),
            claimed: "127.0.0.1:2".to_owned(),
        };
        [
            SecretRefused::None.into(),
            foreign.into(),
            CallError::HelloExpected,
            StreamRefusal::Undeclared(revision()).into(),
            StreamRefusal::NameInUse(instance).into(),
            CallError::TooManyWatchers { most: 1 },
            CallError::NoHello,
            StreamRefusal::Replaced.into(),
            CallError::UnknownRevision(revision()),
            Ended.into(),
        ]
    }

    #[test]
    fn a_status_says_and_keeps_why() {
        let status = Status::from(CallError::from(StreamRefusal::Replaced));
        assert_eq!(status.code(), Code::Aborted);
        assert_eq!(status.message(), StreamRefusal::Replaced.to_string());
        assert!(status.source().is_some_and(|source| source.is::<CallError>()));
    }
}
