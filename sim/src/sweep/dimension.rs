//! What a sweep varies, as people write it.

/// One setting and the values it takes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dimension {
    /// The setting's name: of the autoscaler, or of the model (`policy`, `concurrency`, ...).
    pub setting: String,
    /// Its values.
    pub values: Vec<String>,
}

/// Why a text is not a dimension.
#[derive(Debug, thiserror::Error)]
#[error(
    "`{text}`: {problem}; write NAME=VALUE,VALUE,... or NAME=FROM..TO/STEP, such as \
         min-scale=0,1,2 or stable-window=30s..120s/30s"
)]
pub struct DimensionError {
    text: String,
    problem: &'static str,
}

/// Most values of one range.
const MAX_VALUES: usize = 10_000;

impl Dimension {
    /// Reads `NAME=VALUE,VALUE,...` or `NAME=FROM..TO/STEP`; a range has the unit of its end.
    ///
    /// # Errors
    ///
    /// When the text is neither, or a range is empty or endless.
    pub fn parse(text: &str) -> Result<Self, DimensionError> {
        let error = |problem| DimensionError { text: tidegate_words::excerpt(text), problem };
        let (setting, values) = text.split_once('=').ok_or_else(|| error("it has no `=`"))?;
        let (setting, values) = (setting.trim(), values.trim());
        if setting.is_empty() || values.is_empty() {
            return Err(error("the name or the values are missing"));
        }
        let values = match values.split_once("..") {
            Some((from, rest)) => range(from, rest).map_err(error)?,
            None => values.split(',').map(|value| value.trim().to_owned()).collect(),
        };
        if values.iter().any(String::is_empty) {
            return Err(error("a value is empty"));
        }
        Ok(Dimension { setting: setting.to_owned(), values })
    }
}

fn range(from: &str, rest: &str) -> Result<Vec<String>, &'static str> {
    let (to, step) = rest.split_once('/').ok_or("a range needs a step")?;
    let ((from, _), (to, unit), (step, _)) = (number(from)?, number(to)?, number(step)?);
    if step <= 0.0 || to < from {
        return Err("a range must rise, by a step above zero");
    }
    let steps = libm::floor((to - from) / step + 1e-9);
    if steps >= MAX_VALUES as f64 {
        return Err("a range has too many values");
    }
    // Multiplied rather than added up, so that no rounding accumulates.
    let value = |index: usize| {
        let value = from + step * index as f64;
        format!("{}{unit}", libm::round(value * 1e9) / 1e9)
    };
    Ok((0..=steps as usize).map(value).collect())
}

/// A number and the unit behind it.
fn number(text: &str) -> Result<(f64, &str), &'static str> {
    let text = text.trim();
    let end = text.find(|c: char| c.is_ascii_alphabetic() || c == '%').unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    let number: f64 = number.parse().map_err(|_| "a bound or step is not a number")?;
    if number.is_finite() { Ok((number, unit)) } else { Err("a bound or step is not a number") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values(text: &str) -> Vec<String> {
        Dimension::parse(text).expect(text).values
    }

    #[test]
    fn lists_and_ranges_are_read() {
        assert_eq!(values("min-scale=0,1, 5"), ["0", "1", "5"]);
        assert_eq!(values("stable-window=30s..120s/30s"), ["30s", "60s", "90s", "120s"]);
        assert_eq!(values("target=0.1..0.3/0.1"), ["0.1", "0.2", "0.3"]);
    }

    #[test]
    fn mistakes_say_how_to_write_it() {
        for text in
            ["target", "=1", "target=", "target=1..2", "target=5..1/1", "target=1..2/0", "x=a..b/c"]
        {
            let error = Dimension::parse(text).expect_err(text).to_string();
            assert!(error.contains("NAME=FROM..TO/STEP"), "{error}");
        }
    }
}
