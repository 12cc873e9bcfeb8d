//! How instances came up, as the controller tells activators.

use std::collections::BTreeMap;
use std::time::Duration;

use tidegate_proto::stats::v1 as wire;
use tidegate_timeline::Start;
use tokio::time::Instant;

/// How an instance came up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InstanceStart {
    /// When the controller's message was received.
    told: Instant,
    /// How long before it was sent each moment was. What the message was on its way is added to
    /// each: the clocks of both need not agree.
    ages: Start<Duration>,
}

/// The starts of instances by their names.
pub type Starts = BTreeMap<String, InstanceStart>;

impl InstanceStart {
    /// When each moment was after `seen`, in microseconds; negative if it was before.
    #[must_use]
    pub fn after(&self, seen: Instant) -> Start<i128> {
        let told = match self.told.checked_duration_since(seen) {
            Some(after) => micros(after),
            None => -micros(seen.saturating_duration_since(self.told)),
        };
        self.ages.map(|age| told - micros(age))
    }
}

fn micros(length: Duration) -> i128 {
    i128::try_from(length.as_micros()).unwrap_or(i128::MAX)
}

/// Reads those of a list that was received at `told`.
pub(crate) fn read(starts: impl IntoIterator<Item = wire::InstanceStart>, told: Instant) -> Starts {
    let read = |start: wire::InstanceStart| {
        let ages = Start {
            decided: start.decided_age_ms,
            actuated: start.actuated_age_ms,
            started: start.started_age_ms,
            listening: start.listening_age_ms,
            ready: start.ready_age_ms,
        };
        let ages = ages.map(|ms| Duration::from_millis(ms.into()));
        (start.instance, InstanceStart { told, ages })
    };
    starts.into_iter().map(read).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_become_times_after_the_request_was_seen() {
        let seen = Instant::now();
        let told = seen + Duration::from_millis(60);
        let start = wire::InstanceStart {
            instance: "web-1".into(),
            decided_age_ms: Some(59),
            started_age_ms: Some(1_000),
            ready_age_ms: Some(0),
            ..wire::InstanceStart::default()
        };
        let starts = read(vec![start], told);
        let after = starts["web-1"].after(seen);
        assert_eq!(after.decided, Some(1_000));
        assert_eq!((after.actuated, after.listening), (None, None));
        assert_eq!(after.started, Some(-940_000), "it started for another request");
        assert_eq!(after.ready, Some(60_000));
        assert_eq!(starts["web-1"].after(told + told.duration_since(seen)).ready, Some(-60_000));
    }
}
