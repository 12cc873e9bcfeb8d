//! When a client needs its response: what a request says of that.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tidegate_relay::RequestHead;
use tidegate_relay::http::header::HeaderName;

use crate::respond::Protocol;

/// The header that says when the response is due: a time in RFC 3339, or seconds since 1970.
pub const DEADLINE_HEADER: HeaderName = HeaderName::from_static("x-request-deadline");

const GRPC_TIMEOUT: HeaderName = HeaderName::from_static("grpc-timeout");

/// How long there is until the response is due; zero if that has passed. `None` if the request does
/// not say, or says it in a way that cannot be read: it then has what every request has.
pub(crate) fn time_left(head: &RequestHead, now: impl FnOnce() -> SystemTime) -> Option<Duration> {
    let text = |name: HeaderName| head.headers.get(name)?.to_str().ok();
    let deadline = || {
        let due = moment(text(DEADLINE_HEADER)?.trim())?;
        Some(due.duration_since(now()).unwrap_or(Duration::ZERO))
    };
    let timeout = || match Protocol::of(head) {
        Protocol::Grpc => grpc_timeout(text(GRPC_TIMEOUT)?),
        Protocol::Http => None,
    };
    [deadline(), timeout()].into_iter().flatten().min()
}

fn moment(text: &str) -> Option<SystemTime> {
    if let Ok(moment) = humantime::parse_rfc3339(text) {
        return Some(moment);
    }
    let is_number = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    let seconds = is_number(text).then(|| text.parse::<f64>().ok()).flatten()?;
    UNIX_EPOCH.checked_add(Duration::try_from_secs_f64(seconds).ok()?)
}

/// At most eight digits and a unit, as gRPC's protocol has it.
fn grpc_timeout(text: &str) -> Option<Duration> {
    const DIGITS_MAX: usize = 8;
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    let is_number = (1..=DIGITS_MAX).contains(&digits.len())
        && digits.bytes().all(|byte| byte.is_ascii_digit());
    let number: u64 = is_number.then(|| digits.parse().ok()).flatten()?;
    Some(match unit {
        "H" => Duration::from_secs(number * 3_600),
        "M" => Duration::from_secs(number * 60),
        "S" => Duration::from_secs(number),
        "m" => Duration::from_millis(number),
        "u" => Duration::from_micros(number),
        "n" => Duration::from_nanos(number),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn deadlines_are_read_as_times_and_as_seconds() {
        let at = |millis| Some(UNIX_EPOCH + Duration::from_millis(millis));
        assert_eq!(moment("1970-01-01T00:00:02Z"), at(2_000));
        assert_eq!(moment("1970-01-01T00:00:02.250Z"), at(2_250));
        assert_eq!(moment("2"), at(2_000));
        assert_eq!(moment("2.5"), at(2_500));
        for bad in ["", ".", "-1", "inf", "NaN", "1e9", "soon", "1.2.3", "9".repeat(40).as_str()] {
            assert_eq!(moment(bad), None, "{bad}");
        }
    }

    #[test]
    fn timeouts_of_grpc_are_read_in_every_unit() {
        let nanos = |text| grpc_timeout(text).map(|time| time.as_nanos());
        let units = ["1H", "1M", "1S", "1m", "1u", "1n"].map(nanos);
        let expected = [3_600_000_000_000, 60_000_000_000, 1_000_000_000, 1_000_000, 1_000, 1];
        assert_eq!(units, expected.map(Some));
        assert!(grpc_timeout("99999999H").is_some());
        for bad in ["", "S", "1", "1s", "-1S", "123456789S", "1 S", "1é"] {
            assert_eq!(grpc_timeout(bad), None, "{bad}");
        }
    }
}
