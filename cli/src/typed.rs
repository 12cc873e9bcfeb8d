//! Values of arguments that this program alone has, beside those of
//! [`values`](tidegate_flags::values); [`as_typed`] reports mistakes in settings as a whole.

mod moment;
mod settings;

use tidegate_sim::SimSpan;
use tidegate_words::parse_seconds;

pub(crate) use self::moment::{Moment, moment};
pub(crate) use self::settings::as_typed;

pub(crate) use tidegate_flags::values::{
    above_zero, authorities, setting, share, time_within, wait, whole,
};
pub(crate) use tidegate_words::time::WAIT_MAX;

/// A length of simulated time.
pub(crate) fn span(text: &str) -> Result<SimSpan, String> {
    let seconds = parse_seconds(text).map_err(|problem| problem.to_string())?;
    Ok(SimSpan::from_secs_f64(seconds))
}

/// A length of simulated time that is not zero.
pub(crate) fn span_above_zero(text: &str) -> Result<SimSpan, String> {
    match span(text)? {
        SimSpan::ZERO => Err("expected a time above zero, such as 5s".to_owned()),
        some => Ok(some),
    }
}
