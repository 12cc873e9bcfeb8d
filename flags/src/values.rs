//! Parsers of arguments: one for each kind of value, and one text for each mistake. clap puts the
//! flag's name before it.

use std::fmt::Display;
use std::ops::RangeInclusive;
use std::str::FromStr;
use std::time::Duration;

use tidegate_words::parse_duration;
use tidegate_words::time::{WAIT_MAX, compact};

/// A length of time, at most [`WAIT_MAX`].
///
/// # Errors
///
/// What was expected; the same holds for all of this module.
pub fn wait(text: &str) -> Result<Duration, String> {
    time_within(Duration::ZERO, WAIT_MAX)(text)
}

/// A length of time within bounds, both included.
pub fn time_within(
    least: Duration,
    most: Duration,
) -> impl Fn(&str) -> Result<Duration, String> + Clone {
    move |text| {
        let time = parse_duration(text).map_err(|problem| problem.to_string())?;
        match (least..=most).contains(&time) {
            true => Ok(time),
            false => Err(format!("expected {} to {}", compact(least), compact(most))),
        }
    }
}

/// A whole number within bounds.
pub fn whole<T>(range: RangeInclusive<T>) -> impl Fn(&str) -> Result<T, String> + Clone
where
    T: FromStr + PartialOrd + Display + Clone,
{
    move |text| match text.trim().parse() {
        Ok(number) if range.contains(&number) => Ok(number),
        _ => Err(format!("expected a whole number from {} to {}", range.start(), range.end())),
    }
}

/// Largest number without a unit, such as a factor; more is a typing error.
const NUMBER_MAX: f64 = 1e9;

/// A number above zero, at most a thousand million.
pub fn above_zero(text: &str) -> Result<f64, String> {
    match text.trim().parse::<f64>() {
        Ok(number) if number > 0.0 && number <= NUMBER_MAX => Ok(number),
        _ => Err(format!("expected a number above 0, at most {NUMBER_MAX}")),
    }
}

/// A share of a whole: `0.01` or `1%`.
pub fn share(text: &str) -> Result<f64, String> {
    let text = text.trim();
    let share = match text.strip_suffix('%') {
        Some(percent) => percent.trim_end().parse::<f64>().map(|percent| percent / 100.0),
        None => text.parse(),
    };
    let share = share.ok().filter(|share| (0.0..=1.0).contains(share));
    share.ok_or_else(|| "expected a share from 0 to 1, such as 0.01 or 1%".to_owned())
}

/// The controller's addresses with commas between, usually one; those of several shards with
/// semicolons between.
pub fn authorities(text: &str) -> Result<String, String> {
    let of_shard = |text: &str| -> Result<String, String> {
        let all: Vec<String> = text.split(',').map(authority).collect::<Result<_, _>>()?;
        Ok(all.join(","))
    };
    let shards = tidegate_shards::addresses(text).map_err(|error| error.to_string())?;
    let all: Vec<String> = shards.into_iter().map(of_shard).collect::<Result<_, _>>()?;
    Ok(all.join(";"))
}

/// One address: `HOST:PORT`, where the host may be a name, perhaps behind `https://`.
fn authority(text: &str) -> Result<String, String> {
    let text = text.trim();
    let text = text.strip_prefix("http://").unwrap_or(text).trim_end_matches('/');
    let bare = text.strip_prefix("https://").unwrap_or(text);
    let is_host = |host: &str| {
        let inner = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
        match inner {
            Some(address) => address.parse::<std::net::Ipv6Addr>().is_ok(),
            None => {
                let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
                !host.is_empty() && host.bytes().all(plain)
            }
        }
    };
    match bare.rsplit_once(':') {
        Some((host, port)) if is_host(host) && port.parse::<u16>().is_ok_and(|port| port > 0) => {
            Ok(text.to_owned())
        }
        _ => Err("expected HOST:PORT, such as 127.0.0.1:9400".to_owned()),
    }
}

/// `KEY=VALUE`.
pub fn setting(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.trim().is_empty() => {
            Ok((key.trim().to_owned(), value.trim().to_owned()))
        }
        _ => Err("expected KEY=VALUE, such as target=10".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_keep_their_bounds() {
        let window = time_within(Duration::from_secs(6), Duration::from_secs(3_600));
        assert_eq!(window("1m30s"), Ok(Duration::from_secs(90)));
        assert_eq!(window("90"), Ok(Duration::from_secs(90)));
        assert_eq!(window("1s"), Err("expected 6s to 1h".to_owned()));
        assert!(window("soon").is_err_and(|text| text.contains("a time such as 5s")));
        assert!(wait("366d").is_err_and(|text| text.ends_with("to 365d")));
    }

    #[test]
    fn numbers_are_refused_in_words() {
        for text in ["", "-1", "0", "11", "1.5", "x", "NaN", "99999999999999999999"] {
            let refused = whole(1..=10u32)(text);
            assert_eq!(refused, Err("expected a whole number from 1 to 10".to_owned()), "{text}");
        }
        for text in ["", "-0.1", "NaN", "inf", "1e999", "x"] {
            assert!(above_zero(text).is_err(), "{text}");
            assert!(share(text).is_err(), "{text}");
        }
        assert_eq!(share("1 %"), Ok(0.01));
        assert!(share("2").is_err());
    }

    #[test]
    fn shards_have_semicolons_between_and_alternatives_commas() {
        let read = authorities("http://a:1/, b:1; c:1;https://d:1");
        assert_eq!(read, Ok("a:1,b:1;c:1;https://d:1".to_owned()));
        for bad in ["a:1;", ";a:1", "a:1;;b:1", "a:1;b", "a:1,;b:1"] {
            assert!(authorities(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn addresses_are_read_or_refused() {
        for good in ["127.0.0.1:9400", "http://a.b:1/", "localhost:80", "[::1]:80", "https://a:1"] {
            assert!(authority(good).is_ok(), "{good}");
        }
        for bad in ["", ":80", "host", "host:", "host:0", "host:65536", "a b:1", "::1:80", "a/b:1"]
        {
            assert!(authority(bad).is_err(), "{bad}");
        }
    }
}
