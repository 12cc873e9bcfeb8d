//! The lines of a recording.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::moments::RecordedTimeline;

/// The version that is written, and the only one that is read.
pub const VERSION: u32 = 2;

/// Nginx's status for a client that has gone: it is recorded, and never sent.
pub const CLIENT_CLOSED_REQUEST: u16 = 499;

/// How a line of a request begins as it is written here: most lines do.
const REQUEST_PREFIX: &[u8] = b"{\"kind\":\"request\",";

/// One line.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Line<'a> {
    /// The first one.
    Head(Head),
    /// A request that has ended.
    #[serde(borrow)]
    Request(Request<'a>),
    /// A change of an instance.
    #[serde(borrow)]
    Instance(InstanceEvent<'a>),
    /// Another number of instances is wanted.
    #[serde(borrow)]
    Decision(Decision<'a>),
    /// The last one.
    End(End),
}

/// Where requests were recorded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Place {
    /// At the activator, where clients connect: every request of the service, from its arrival on.
    FrontDoor,
    /// At a sidecar: the requests that reached one instance, from there on.
    Sidecar,
}

/// Who recorded, since when, and what was in force.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Head {
    /// [`VERSION`].
    #[serde(rename = "tidegate_recording")]
    pub version: u32,
    /// Where requests were recorded.
    pub recorded_at: Place,
    /// When the recording began, in microseconds since 1970. The simulator's time zero.
    pub began_unix_us: u64,
    /// The revision, `namespace/name`.
    pub revision: String,
    /// Requests that one instance takes at a time; 0 is unlimited.
    pub concurrency: u32,
    /// Whether the limit was found out from latency; `concurrency` is 0 then.
    #[serde(default)]
    pub adaptive: bool,
    /// How the number of instances was decided; a sidecar does not know.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scaling: Option<Scaling>,
}

/// How the number of instances was decided.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Scaling {
    /// The policy, as `sim run --policy` takes it.
    pub policy: String,
    /// Keys of `config-autoscaler` and annotations that were set, and those whose default is not
    /// Knative's.
    pub settings: BTreeMap<String, String>,
    /// Instances that were started at once.
    pub initial: u32,
    /// Local mode: how long the last instance stays after the last request.
    pub idle_ms: u64,
    /// Time between two decisions, in milliseconds.
    pub tick_ms: u64,
    /// Longest time of a request, its wait included.
    pub timeout_ms: u64,
    /// How long an instance that must go may finish its requests.
    pub drain_ms: u64,
    /// Requests that may wait at the front door.
    pub waiting_max: u32,
    /// Local mode: how many instances start at a time, where they take turns.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub starts_at_once: Option<u32>,
    /// How long an instance that is not ready keeps its turn, where they take turns.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start_turn_ms: Option<u64>,
}

/// One request.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Request<'a> {
    /// When its head was complete, in microseconds since 1970.
    pub arrived_unix_us: u64,
    /// How long it waited from then on before it was sent on; all its time if it never was.
    pub wait_us: u64,
    /// How long it was worked on from then on; `None` when it got no response from the app.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service_us: Option<u64>,
    /// The status that its client got; [`CLIENT_CLOSED_REQUEST`] when that had left.
    pub status: u16,
    /// Bytes of its body.
    pub request_bytes: u64,
    /// Bytes of the response's body.
    pub response_bytes: u64,
    /// Whether no instance was ready when it arrived; a sidecar does not know.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cold: Option<bool>,
    /// Where the time went until its response began, if it was cold and got one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeline: Option<RecordedTimeline>,
    /// Its revision, `namespace/name`.
    #[serde(borrow)]
    pub revision: Cow<'a, str>,
    /// The instance that it was sent to last, if it was sent to any.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub instance: Option<Cow<'a, str>>,
}

/// An instance changes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct InstanceEvent<'a> {
    /// When, in microseconds since 1970.
    pub at_unix_us: u64,
    /// What it is from now on.
    pub phase: InstancePhase,
    /// Its revision, `namespace/name`.
    #[serde(borrow)]
    pub revision: Cow<'a, str>,
    /// Its name.
    #[serde(borrow)]
    pub instance: Cow<'a, str>,
}

/// What an instance is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum InstancePhase {
    /// It was started and is not ready.
    Starting,
    /// It takes requests.
    Ready,
    /// It takes no more requests and finishes those it has.
    Draining,
    /// It has ended, by order or by itself.
    Gone,
}

/// Another number of instances is wanted.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Decision<'a> {
    /// When it was decided, in microseconds since 1970.
    pub at_unix_us: u64,
    /// How many, within all bounds.
    pub wanted: u32,
    /// The revision, `namespace/name`.
    #[serde(borrow)]
    pub revision: Cow<'a, str>,
}

/// The recording was closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct End {
    /// When, in microseconds since 1970.
    pub at_unix_us: u64,
    /// Lines that could not be written.
    pub lost: u64,
}

/// Why a line is none of a recording.
#[derive(Debug, thiserror::Error)]
pub enum LineError {
    /// It is no JSON, or not with these fields.
    #[error("{problem}")]
    Malformed {
        /// The byte, counted from 1; 0 for the whole line.
        column: usize,
        /// What was expected, and what was found.
        problem: String,
    },
    /// Another version of the format.
    #[error(
        "is a recording of version {0}, and version {VERSION} is read here; simulate it with the \
         release that recorded it, or record anew"
    )]
    Version(u32),
}

impl Line<'_> {
    /// The line as it stands in the file, with its newline.
    pub fn write(&self) -> Vec<u8> {
        // These types have no map with keys other than text and no fallible serializer.
        let mut line = serde_json::to_vec(self).unwrap_or_default();
        line.push(b'\n');
        line
    }
}

impl<'a> Line<'a> {
    /// Reads one line, with or without its newline.
    ///
    /// # Errors
    ///
    /// When it is no line of a recording of this version.
    pub fn read(line: &'a [u8]) -> Result<Self, LineError> {
        let malformed = |error: serde_json::Error| LineError::Malformed {
            column: error.column(),
            problem: error.to_string(),
        };
        // Without the tag a line need not be looked at twice.
        if line.starts_with(REQUEST_PREFIX) {
            return serde_json::from_slice(line).map(Line::Request).map_err(malformed);
        }
        if let Some(version) = version(line).filter(|version| *version != VERSION) {
            return Err(LineError::Version(version));
        }
        serde_json::from_slice(line).map_err(malformed)
    }
}

/// The version that a head states, whatever else stands in it; `None` for any other line.
fn version(line: &[u8]) -> Option<u32> {
    #[derive(Deserialize)]
    struct Stated {
        tidegate_recording: u32,
    }
    serde_json::from_slice::<Stated>(line).ok().map(|stated| stated.tidegate_recording)
}

/// Whether `line` is the head of a recording of any version.
pub fn is_head(line: &[u8]) -> bool {
    version(line).is_some()
}
