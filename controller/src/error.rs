//! Why a call is refused, or a report stream ended.

use tonic::Status;

use crate::access::{ForeignAddress, SecretRefused};
use crate::caller::{BeyondCaller, TokenRefused};
use crate::event::StreamRefusal;
use crate::identity::{NameError, RevisionId};
use crate::report::ReportError;
use crate::routes::OrderError;
use crate::sharding::WrongShard;

/// The controller has ended and receives no messages any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the controller has ended")]
pub struct Ended;

/// Why a call is refused or a stream ended.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CallError {
    /// It does not carry the secret.
    #[error(transparent)]
    Secret(#[from] SecretRefused),
    /// It carries a token that is not taken.
    #[error(transparent)]
    Token(#[from] TokenRefused),
    /// It asks for more than its caller may.
    #[error(transparent)]
    Caller(#[from] BeyondCaller),
    /// No hello came in time.
    #[error("no hello was sent")]
    NoHello,
    /// The stream begins with another message, or with none.
    #[error("the first message must be a hello")]
    HelloExpected,
    /// The stream has a hello after its first message.
    #[error("a second hello in one stream")]
    SecondHello,
    /// The hello cannot be used.
    #[error(transparent)]
    Hello(#[from] ReportError),
    /// The hello claims an address that is not its sender's.
    #[error(transparent)]
    Address(#[from] ForeignAddress),
    /// The reporter is another shard's.
    #[error(transparent)]
    Shard(#[from] WrongShard),
    /// A message holds more of the past than is read.
    #[error("a history of {stats} stats in one message: expected at most {most}")]
    LongHistory {
        /// How many it holds.
        stats: usize,
        /// How many are read.
        most: usize,
    },
    /// A message is longer than is read.
    #[error("a message is longer than the {most_bytes} bytes that are read")]
    LongMessage {
        /// How many are read.
        most_bytes: usize,
        /// What the library said.
        source: Status,
    },
    /// The bytes are no message.
    #[error("a message could not be read: {}", .0.message())]
    Unreadable(#[source] Status),
    /// A message was not whole in time.
    #[error("{}", .0.message())]
    Late(#[source] Status),
    /// The state does not accept the stream.
    #[error(transparent)]
    Refused(#[from] StreamRefusal),
    /// A name in the request cannot be used.
    #[error(transparent)]
    Name(#[from] NameError),
    /// Nobody declared the revision.
    #[error("revision {0} is not known here")]
    UnknownRevision(RevisionId),
    /// The question names a site.
    #[error("this is one controller and no view of several sites: ask without a site")]
    NoSites,
    /// As many as may watch decisions do.
    #[error("{most} watch decisions already")]
    TooManyWatchers {
        /// How many may.
        most: usize,
    },
    /// An order for a route is not followed.
    #[error(transparent)]
    Order(#[from] OrderError),
    /// A rollout is given an order that this version does not know.
    #[error("the order is not known: expected pause, resume, promote, abort or restart")]
    UnknownOrder,
    /// The controller has ended.
    #[error(transparent)]
    Ended(#[from] Ended),
}
