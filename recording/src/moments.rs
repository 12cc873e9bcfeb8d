//! Where the time of a cold request went, as a line has it.

use serde::{Deserialize, Serialize};
use tidegate_timeline::Timeline;

/// A [`Timeline`] in a line: microseconds after the request arrived, of each moment that was seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Moments", into = "Moments")]
pub struct RecordedTimeline(pub Timeline);

/// A moment that comes before one that it follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("expected moments that follow each other, found one before the one that it follows")]
pub struct Backwards;

#[derive(Clone, Copy, Serialize, Deserialize)]
struct Moments {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    decided_us: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    actuated_us: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    started_us: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    listening_us: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    ready_us: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    forwarded_us: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    first_byte_us: Option<u64>,
}

impl From<RecordedTimeline> for Moments {
    fn from(RecordedTimeline(timeline): RecordedTimeline) -> Self {
        let [
            decided_us,
            actuated_us,
            started_us,
            listening_us,
            ready_us,
            forwarded_us,
            first_byte_us,
        ] = timeline.micros();
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

impl TryFrom<Moments> for RecordedTimeline {
    type Error = Backwards;

    fn try_from(at: Moments) -> Result<Self, Backwards> {
        let timeline = Timeline::from_micros([
            at.decided_us,
            at.actuated_us,
            at.started_us,
            at.listening_us,
            at.ready_us,
            at.forwarded_us,
            at.first_byte_us,
        ]);
        timeline.map(Self).ok_or(Backwards)
    }
}
