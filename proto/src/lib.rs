//! Wire contracts: Tidegate's gRPC services and Knative's protobuf messages.
//!
//! This crate is generated from the committed `.proto` files, and holds nothing else but names and
//! numbers that both ends share, and the order of a timeline's moments. It must never hold policy,
//! open a connection or validate a number: a receiver converts a message at once into a domain type
//! that cannot hold an invalid value.
//!
//! Modules in reading order: [`stats::v1`] are the reports of load to a controller, [`scale::v1`]
//! are queries for its decisions and their reasons, [`credits::v1`] are the places that an instance
//! grants to front doors, [`routes::v1`] is where routes lead and orders for their rollouts,
//! [`operate::v1`] is what a person sees and orders of services on one machine, [`knative`] is what
//! Knative's autoscaler scrapes from a queue-proxy and what its activators push, [`keda`] is what
//! KEDA asks a scaler, [`otlp::v1`] is what a process pushes to an OpenTelemetry collector,
//! [`prometheus::v1`] what it writes to a Prometheus.
//!
//! The code under `src/generated` is generated from `proto/` and committed, so that a build needs
//! no protobuf compiler. `tests/codegen.rs` regenerates it and compares; to accept a change of the
//! `.proto` files run `TIDEGATE_CODEGEN=write cargo test -p tidegate-proto --test codegen`.
//!
//! `codec` is how messages of all these services are read and written.
//!
//! Features: `client` and `server` switch the two halves of the gRPC stubs; messages are always
//! there.

#[cfg(any(feature = "client", feature = "server"))]
pub mod codec;

use std::time::Duration;

/// The version of the report protocol that this crate describes, sent in every `Hello`.
pub const PROTOCOL_VERSION: u32 = 1;

/// How often both ends of a report stream send an HTTP/2 ping. A peer that acknowledges none for
/// [`PING_TIMEOUT`] is disconnected, even if its TCP connection is alive.
pub const PING_INTERVAL: Duration = Duration::from_secs(10);

/// How long a ping may stay unacknowledged.
pub const PING_TIMEOUT: Duration = Duration::from_secs(5);

/// The media type of a queue-proxy's response to a scrape of its statistics.
pub const STAT_CONTENT_TYPE: &str = "application/protobuf";

/// The path, on the port of a queue-proxy's statistics, at which its load is streamed: what is
/// there now, every second and as soon as a queue forms or has doubled.
pub const LOAD_PATH: &str = "/load";

/// The media type of that stream: messages `tidegate.stats.v1.Stat`, each behind its length, of
/// which `in_flight`, `waiting` and `limit` are set.
pub const LOAD_CONTENT_TYPE: &str = "application/vnd.tidegate.load";

/// The longest message of that stream that is read. It has three numbers.
pub const LOAD_MESSAGE_BYTES_MAX: usize = 256;

/// The request header in which an activator proves to its sidecars that it is theirs, with the
/// secret that both were started with. They then leave the client's address to it, and mark the
/// errors that they create themselves with [`FAILURE_HEADER`].
pub const FRONT_DOOR_HEADER: &str = "tidegate-front-door";

/// The response header in which a sidecar names the cause of an error that it created itself, by
/// the labels of `docs/errors.md`. It is another header than the one for clients, which an app may
/// forward from a service that it called: the activator's retries must not depend on that.
pub const FAILURE_HEADER: &str = "tidegate-failure";

/// The request header with which an activator spends a credit: the name of the stream that the
/// credit came by, a hyphen, and its number.
pub const CREDIT_HEADER: &str = "tidegate-credit";

/// The version of the credit protocol, in the first message of a stream.
pub const CREDITS_VERSION: u32 = 1;

/// The most bytes of one message about credits, in either direction: all the credits that an
/// instance may grant, each with its number of uses.
pub const CREDITS_MESSAGE_BYTES_MAX: usize = 256 * 1024;

/// What the prober's header asks for in a request that opens a stream of credits. A sidecar without
/// that service takes the request for a probe of something else and refuses it; no app ever sees
/// it.
pub const CREDITS_PROBE: &str = "credits";

/// The path of a request that opens a stream of credits.
pub const CREDITS_PATH: &str = "/tidegate.credits.v1.CreditService/Hold";

/// What one part of a streamed list of revisions comes to, in bytes, unless one revision alone
/// comes to more. Many short parts cost little, and a reader who bounds a part bounds what it holds
/// of a peer that it does not trust.
pub const LIST_PART_BYTES: usize = 32 * 1024;

/// The longest part of such a list that is read: the reason of one decision on top.
pub const LIST_PART_BYTES_MAX: usize = 64 * 1024;

/// Cold starts that one report of an activator tells of; a controller reads no more of one.
pub const COLD_STARTS_PER_REPORT_MAX: usize = 8;

/// Bounds of the histogram in `Stat.latency_digest`. One of other bounds is not read: whoever
/// writes them decides how much memory the reader takes.
pub mod latency_digest {
    /// The shortest service time that is told apart, in microseconds.
    pub const LOWEST_US: u64 = 1;
    /// The longest, in microseconds: an hour.
    pub const HIGHEST_US: u64 = 3_600_000_000;
    /// Significant decimal digits. Two of them in 32 bits take 12 KiB, and are precise
    /// enough for every percentile.
    pub const SIGNIFICANT_DIGITS: u8 = 2;
}

/// Reports from queue-proxies and activators to the controller, and its responses.
pub mod stats {
    /// Version 1 of `tidegate.stats`.
    #[allow(
        missing_docs,
        unused_qualifications,
        unreachable_pub,
        clippy::all,
        clippy::too_many_lines
    )]
    pub mod v1 {
        include!("generated/tidegate.stats.v1.rs");
    }
}

/// Its moments, from the first to the last.
impl From<[Option<u64>; 7]> for stats::v1::Timeline {
    fn from(after_us: [Option<u64>; 7]) -> Self {
        let [
            decided_us,
            actuated_us,
            started_us,
            listening_us,
            ready_us,
            forwarded_us,
            first_byte_us,
        ] = after_us;
        Self {
            decided_us,
            actuated_us,
            started_us,
            listening_us,
            ready_us,
            forwarded_us,
            first_byte_us,
        }
    }
}

impl From<stats::v1::Timeline> for [Option<u64>; 7] {
    fn from(timeline: stats::v1::Timeline) -> Self {
        [
            timeline.decided_us,
            timeline.actuated_us,
            timeline.started_us,
            timeline.listening_us,
            timeline.ready_us,
            timeline.forwarded_us,
            timeline.first_byte_us,
        ]
    }
}

/// Places at an instance, granted to front doors.
pub mod credits {
    /// Version 1 of `tidegate.credits`.
    #[allow(
        missing_docs,
        unused_qualifications,
        unreachable_pub,
        clippy::all,
        clippy::too_many_lines
    )]
    pub mod v1 {
        include!("generated/tidegate.credits.v1.rs");
    }
}

/// Decisions: what the controller wants, and why.
pub mod scale {
    /// Version 1 of `tidegate.scale`.
    #[allow(
        missing_docs,
        unused_qualifications,
        unreachable_pub,
        clippy::all,
        clippy::too_many_lines
    )]
    pub mod v1 {
        include!("generated/tidegate.scale.v1.rs");
    }
}

/// Routes: where their requests go, and what a person wants of their rollouts.
pub mod routes {
    /// Version 1 of `tidegate.routes`.
    #[allow(
        missing_docs,
        unused_qualifications,
        unreachable_pub,
        clippy::all,
        clippy::too_many_lines
    )]
    pub mod v1 {
        include!("generated/tidegate.routes.v1.rs");
    }
}

/// Services on one machine: what a person sees of them, and orders.
pub mod operate {
    /// Version 1 of `tidegate.operate`.
    #[allow(
        missing_docs,
        unused_qualifications,
        unreachable_pub,
        clippy::all,
        clippy::too_many_lines
    )]
    pub mod v1 {
        include!("generated/tidegate.operate.v1.rs");
    }
}

/// Knative's messages, byte for byte as its autoscaler reads them.
#[allow(missing_docs, unused_qualifications, unreachable_pub, clippy::all, clippy::too_many_lines)]
pub mod knative {
    include!("generated/knative.rs");
}

/// KEDA's calls to a scaler that is not part of it.
#[allow(missing_docs, unused_qualifications, unreachable_pub, clippy::all, clippy::too_many_lines)]
pub mod keda {
    include!("generated/externalscaler.rs");
}

/// The part of Prometheus' remote write that is sent.
pub mod prometheus {
    /// Version 1 of remote write.
    #[allow(
        missing_docs,
        unused_qualifications,
        unreachable_pub,
        clippy::all,
        clippy::too_many_lines
    )]
    pub mod v1 {
        include!("generated/prometheus.v1.rs");
    }
}

/// The part of OTLP that is sent, and the answer to it.
pub mod otlp {
    /// Version 1 of OTLP.
    #[allow(
        missing_docs,
        unused_qualifications,
        unreachable_pub,
        clippy::all,
        clippy::too_many_lines
    )]
    pub mod v1 {
        include!("generated/otlp.v1.rs");
    }
}

/// Encoding and decoding of every message in this crate.
pub use prost::{DecodeError, Message};
