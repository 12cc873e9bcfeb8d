//! Points in time as people type them: how long ago, or which.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tidegate_words::parse_duration;

/// A day, for times that name none.
const DAY: Duration = Duration::from_secs(86_400);

/// A point in time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Moment {
    /// So long before now.
    Ago(Duration),
    /// This one.
    At(SystemTime),
    /// The last time that the clock, UTC, said so: since midnight.
    Clock(Duration),
}

impl Moment {
    /// In Unix milliseconds.
    pub(crate) fn unix_ms(self, now: SystemTime) -> i64 {
        let since_epoch = |time: SystemTime| time.duration_since(UNIX_EPOCH).unwrap_or_default();
        let at = match self {
            Self::Ago(length) => since_epoch(now).saturating_sub(length),
            Self::At(time) => since_epoch(time),
            Self::Clock(since_midnight) => {
                let now = since_epoch(now);
                let today = Duration::from_secs(now.as_secs() / DAY.as_secs() * DAY.as_secs());
                match today + since_midnight {
                    at if at <= now => at,
                    at => at.saturating_sub(DAY),
                }
            }
        };
        i64::try_from(at.as_millis()).unwrap_or(i64::MAX)
    }
}

/// Reads `5m` (ago), `2026-11-27T10:15:00Z`, or `10:15:00` (UTC, the last one that was).
pub(crate) fn moment(text: &str) -> Result<Moment, String> {
    let text = text.trim();
    let expected = "expected how long ago, such as 5m, or a time in UTC such as 10:15:00 or \
                    2026-11-27T10:15:00Z";
    if let Ok(length) = parse_duration(text) {
        return Ok(Moment::Ago(length));
    }
    if let Ok(time) = humantime::parse_rfc3339_weak(text) {
        return Ok(Moment::At(time));
    }
    let clock =
        format!("1970-01-01T{text}{}", if text.matches(':').count() == 1 { ":00" } else { "" });
    match humantime::parse_rfc3339_weak(&clock) {
        Ok(time) => Ok(Moment::Clock(time.duration_since(UNIX_EPOCH).unwrap_or_default())),
        Err(_) => Err(expected.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_ago_or_named() {
        let noon = UNIX_EPOCH + DAY * 20_000 + DAY / 2;
        let noon_ms = (20_000 * 86_400 + 43_200) * 1_000;
        let read = |text: &str| moment(text).map(|moment| moment.unix_ms(noon));
        assert_eq!(read("5m"), Ok(noon_ms - 300_000));
        assert_eq!(read("11:59:30"), Ok(noon_ms - 30_000));
        assert_eq!(read("11:59"), Ok(noon_ms - 60_000));
        assert_eq!(read("12:30"), Ok(noon_ms - 84_600_000), "that was yesterday");
        assert_eq!(read("1970-01-01T00:00:01.5Z"), Ok(1_500));
        for bad in ["", "soon", "25:00", "-5m", "2026-13-01T00:00:00Z"] {
            assert!(moment(bad).is_err_and(|text| text.contains("10:15:00")), "{bad}");
        }
    }
}
