//! A recording: what came to a service, what it met there, and under which settings.
//!
//! A recording is lines of JSON. The first one is a [`Head`]: who recorded, when, and the settings
//! in force. A [`Request`] stands there for each request, written when it ended; an
//! [`InstanceEvent`] for each change of an instance; and an [`End`] when the recording was closed.
//! `docs/recording.md` describes every field.
//!
//! It must never: read a clock or a file; drop what it cannot understand in silence.
//!
//! * [`line`](mod@line): the lines, written and read; [`moments`]: where a cold request's time
//!   went.
//! * [`recorded`]: a whole recording, summed up.

pub mod line;
pub mod moments;
pub mod recorded;

pub use line::{
    CLIENT_CLOSED_REQUEST, Decision, End, Head, InstanceEvent, InstancePhase, Line, LineError,
    Place, Request, Scaling, VERSION,
};
pub use moments::RecordedTimeline;
pub use recorded::{ColdStart, InstanceCounts, Order, Recorded, Start};
