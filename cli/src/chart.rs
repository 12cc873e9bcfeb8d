//! Sparklines and column charts made of characters.

/// What a picture may be drawn with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ink {
    /// Eighths of a block: ▁▂▃▄▅▆▇█.
    Blocks,
    /// Characters that every terminal and log has.
    Ascii,
}

const EIGHTHS: [char; 9] = [' ', '▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
const SHADES: [char; 9] = [' ', '.', '.', ':', ':', '+', '+', '#', '#'];

impl Ink {
    fn level(self, eighths: usize) -> char {
        match self {
            Self::Blocks => EIGHTHS[eighths.min(8)],
            Self::Ascii => SHADES[eighths.min(8)],
        }
    }
}

/// One line: each value as the height of one character, the highest as a full one.
pub(crate) fn sparkline(values: &[f64], width: usize, ink: Ink) -> String {
    let columns = squeeze(values, width);
    let top = columns.iter().copied().fold(0.0, f64::max);
    columns.iter().map(|value| ink.level(eighths(*value, top, 1))).collect()
}

/// Several lines of equal height, the top one first, each with the figure that it stands for at its
/// left. Heights are rounded to eighths of a line.
pub(crate) fn columns(values: &[f64], width: usize, height: usize, ink: Ink) -> Vec<String> {
    let columns = squeeze(values, width);
    let top = columns.iter().copied().fold(0.0, f64::max).max(1.0);
    (0..height)
        .map(|row| {
            let below = (height - 1 - row) * 8;
            let label = top * (height - row) as f64 / height as f64;
            let line: String = columns
                .iter()
                .map(|value| ink.level(eighths(*value, top, height).saturating_sub(below)))
                .collect();
            format!("{:>6} |{}", figure(label), line.trim_end())
        })
        .collect()
}

/// A figure with a decimal only where it needs one.
fn figure(value: f64) -> String {
    if value.fract().abs() < 0.05 { format!("{value:.0}") } else { format!("{value:.1}") }
}

/// The height of a value in eighths of a line; what is not zero is at least one eighth.
fn eighths(value: f64, top: f64, lines: usize) -> usize {
    if value <= 0.0 || top <= 0.0 {
        return 0;
    }
    ((value / top * (lines * 8) as f64).round() as usize).max(1)
}

/// At most `width` columns, each the greatest of the values that fall into it, so that no peak is
/// lost.
fn squeeze(values: &[f64], width: usize) -> Vec<f64> {
    if values.len() <= width || width == 0 {
        return values.to_vec();
    }
    (0..width)
        .map(|column| {
            let from = column * values.len() / width;
            let to = ((column + 1) * values.len() / width).max(from + 1);
            values[from..to].iter().copied().fold(0.0, f64::max)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sparkline_shows_every_peak() {
        assert_eq!(sparkline(&[0.0, 1.0, 4.0, 8.0], 10, Ink::Blocks), " ▁▄█");
        assert_eq!(sparkline(&[0.0, 0.0, 0.0, 8.0, 0.0, 0.0], 3, Ink::Blocks), " █ ");
        assert_eq!(sparkline(&[], 3, Ink::Ascii), "");
        assert_eq!(sparkline(&[0.0; 3], 3, Ink::Ascii), "   ");
        assert_eq!(sparkline(&[0.001, 8.0], 3, Ink::Blocks), "▁█");
    }

    #[test]
    fn columns_stand_on_the_last_line() {
        let lines = columns(&[0.0, 1.0, 2.0, 4.0], 10, 2, Ink::Blocks);
        assert_eq!(lines, ["     4 |   █", "     2 | ▄██"]);
    }
}
