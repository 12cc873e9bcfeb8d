//! Axes, ticks and frames: what every chart over time shares.

use crate::figures;
use crate::scene::{Anchor, Dash, Ink, Scene, Shape, Stroke};

/// Space left of the plot for the numbers of its axis.
const LEFT: f32 = 64.0;
const RIGHT: f32 = 16.0;
/// Space above for the title and the legend.
const TOP: f32 = 44.0;
const BOTTOM: f32 = 30.0;

/// Grid lines aimed at; more are noise, fewer leave the eye alone.
const TICKS_Y: f64 = 4.0;

/// How an axis maps values to pixels.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Scale {
    /// From zero to this.
    Linear { top: f64 },
    /// From the first to the second, both powers of ten.
    Log { bottom: f64, top: f64 },
}

/// What the numbers of an axis are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Measure {
    Plain,
    Millis,
    Percent,
}

/// An entry of a legend.
pub(crate) struct Key {
    pub(crate) name: String,
    pub(crate) ink: Ink,
    pub(crate) dash: Dash,
}

/// A chart being drawn.
pub(crate) struct Plot {
    pub(crate) scene: Scene,
    end_s: f64,
    scale: Scale,
}

impl Scale {
    /// A linear scale that holds `most` with a round number on top.
    pub(crate) fn linear(most: f64) -> Self {
        if most <= 0.0 || !most.is_finite() {
            return Scale::Linear { top: 1.0 };
        }
        let step = round_step(most / TICKS_Y);
        Scale::Linear { top: libm::ceil(most / step * (1.0 - 1e-9)) * step }
    }

    /// A logarithmic scale from a power of ten below `least` to one above `most`.
    pub(crate) fn log(least: f64, most: f64) -> Self {
        let least = if least > 0.0 && least.is_finite() { least } else { 1.0 };
        let most = if most > least && most.is_finite() { most } else { least * 10.0 };
        let bottom = libm::pow(10.0, libm::floor(libm::log10(least)));
        let top = libm::pow(10.0, libm::ceil(libm::log10(most)));
        Scale::Log { bottom, top: if top > bottom { top } else { bottom * 10.0 } }
    }

    /// Where `value` lies, from 0 at the bottom to 1 at the top.
    pub(crate) fn share(self, value: f64) -> f64 {
        let share = match self {
            Scale::Linear { top } => value / top,
            Scale::Log { bottom, top } => {
                libm::log10(value.max(bottom) / bottom) / libm::log10(top / bottom)
            }
        };
        if share.is_nan() { 0.0 } else { share.clamp(0.0, 1.0) }
    }

    pub(crate) fn ticks(self) -> Vec<f64> {
        match self {
            Scale::Linear { top } => {
                let step = round_step(top / TICKS_Y);
                let count = (top / step + 0.5) as u32;
                (0..=count).map(|tick| f64::from(tick) * step).collect()
            }
            Scale::Log { bottom, top } => {
                let decades = (libm::log10(top / bottom) + 0.5) as i32;
                let stride = (decades / 5 + 1) as usize;
                let power = |decade: i32| bottom * libm::pow(10.0, f64::from(decade));
                (0..=decades).step_by(stride).map(power).collect()
            }
        }
    }
}

/// The round number (1, 2 or 5 times a power of ten) next above `rough`.
pub(crate) fn round_step(rough: f64) -> f64 {
    let power = libm::pow(10.0, libm::floor(libm::log10(rough)));
    let digit = rough / power;
    let round = if digit <= 1.0 + 1e-9 {
        1.0
    } else if digit <= 2.0 + 1e-9 {
        2.0
    } else if digit <= 5.0 + 1e-9 {
        5.0
    } else {
        10.0
    };
    round * power
}

/// A length of time that a clock shows as a round one, next above `rough` seconds.
fn round_time(rough: f64) -> f64 {
    const ROUND: [f64; 17] = [
        0.1, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1_800.0, 3_600.0, 7_200.0,
        14_400.0, 43_200.0, 86_400.0,
    ];
    let found = ROUND.into_iter().find(|round| *round >= rough);
    found.unwrap_or_else(|| round_step(rough / 86_400.0) * 86_400.0)
}

/// A moment of the simulation: `m:ss` below an hour, `h:mm:ss` above, tenths on a short axis.
fn clock(at_s: f64, step_s: f64) -> String {
    if step_s < 1.0 {
        return format!("{at_s:.1} s");
    }
    let whole = (at_s + 1e-9) as u64;
    let (hours, minutes, seconds) = (whole / 3_600 % 24, whole / 60 % 60, whole % 60);
    match (whole / 86_400, hours) {
        (0, 0) => format!("{minutes}:{seconds:02}"),
        (0, _) => format!("{hours}:{minutes:02}:{seconds:02}"),
        (days, _) => format!("{days}d {hours}:{minutes:02}"),
    }
}

impl Plot {
    /// An empty frame `size` for times up to `end_s`.
    pub(crate) fn new(title: &str, size: (f32, f32), end_s: f64, scale: Scale) -> Self {
        let scene = Scene {
            width: size.0,
            height: size.1,
            title: title.to_owned(),
            description: String::new(),
            shapes: Vec::new(),
        };
        let end_s = if end_s > 0.0 { end_s } else { 1.0 };
        let mut plot = Plot { scene, end_s, scale };
        plot.rect((0.0, 0.0, size.0, size.1), Ink::Paper, 1.0);
        plot.text((LEFT, 18.0), Anchor::Start, 14.0, Ink::Text, title);
        plot
    }

    pub(crate) fn x(&self, at_s: f64) -> f32 {
        let width = self.scene.width - LEFT - RIGHT;
        LEFT + width * (at_s / self.end_s).clamp(0.0, 1.0) as f32
    }

    pub(crate) fn y(&self, value: f64) -> f32 {
        let height = self.scene.height - TOP - BOTTOM;
        TOP + height * (1.0 - self.scale.share(value) as f32)
    }

    fn bottom(&self) -> f32 {
        self.scene.height - BOTTOM
    }

    /// Grid lines with their numbers, and the time axis.
    pub(crate) fn axes(&mut self, measure: Measure) {
        let (left, right) = (LEFT, self.scene.width - RIGHT);
        for tick in self.scale.ticks() {
            let y = self.y(tick);
            self.line(vec![(left, y), (right, y)], Stroke::solid(Ink::Grid, 1.0));
            let words = match measure {
                Measure::Plain => figures::number(tick),
                Measure::Millis => figures::millis(tick),
                Measure::Percent => figures::percent(tick),
            };
            self.text((left - 8.0, y + 4.0), Anchor::End, 11.0, Ink::Muted, &words);
        }
        let step = round_time(self.end_s * 90.0 / f64::from(right - left));
        let mut tick = 0.0;
        while tick <= self.end_s * (1.0 + 1e-9) {
            let x = self.x(tick);
            let bottom = self.bottom();
            self.line(vec![(x, bottom), (x, bottom + 4.0)], Stroke::solid(Ink::Grey, 1.0));
            let words = clock(tick, step);
            self.text((x, bottom + 18.0), Anchor::Middle, 11.0, Ink::Muted, &words);
            tick += step;
        }
    }

    /// Names with their colours, below the title; also what a screen reader says.
    pub(crate) fn legend(&mut self, keys: &[Key]) {
        let mut x = LEFT;
        for key in keys {
            let stroke = Stroke::solid(key.ink, 3.0).dashed(key.dash);
            self.line(vec![(x, 32.0), (x + 18.0, 32.0)], stroke);
            self.text((x + 23.0, 36.0), Anchor::Start, 11.0, Ink::Muted, &key.name);
            // Letters of a proportional font at this size are about six pixels wide.
            x += 23.0 + 6.4 * key.name.chars().count() as f32 + 16.0;
        }
        let names: Vec<&str> = keys.iter().map(|key| key.name.as_str()).collect();
        self.scene.description = format!("{} over time", names.join(", "));
    }

    /// A shaded stretch of time through the whole height.
    pub(crate) fn shade(&mut self, from_s: f64, to_s: f64, ink: Ink, opacity: f32) {
        let (from, to) = (self.x(from_s), self.x(to_s));
        // Narrower than half a pixel would not be seen.
        let width = (to - from).max(0.5);
        let height = self.bottom() - TOP;
        self.rect((from, TOP, width, height), ink, opacity);
    }

    /// A mark under the time axis, from one time to another, as strong as `opacity`.
    pub(crate) fn mark(&mut self, from_s: f64, to_s: f64, ink: Ink, opacity: f32) {
        let (from, to) = (self.x(from_s), self.x(to_s));
        let bottom = self.bottom();
        self.rect((from, bottom, (to - from).max(1.0), 5.0), ink, opacity);
    }

    /// A line through values over time; values that are not finite break it.
    pub(crate) fn curve(&mut self, values: &[(f64, f64)], stroke: Stroke) {
        for part in values.split(|point| !point.1.is_finite()) {
            if part.is_empty() {
                continue;
            }
            let points = part.iter().map(|(at, value)| (self.x(*at), self.y(*value))).collect();
            self.line(points, stroke);
        }
    }

    /// The same as steps: each value holds until the next time.
    pub(crate) fn steps(&mut self, values: &[(f64, f64)], stroke: Stroke) {
        let mut points: Vec<(f32, f32)> = Vec::with_capacity(values.len() * 2 + 1);
        for (at, value) in values {
            let (x, y) = (self.x(*at), self.y(*value));
            if let Some(&(_, before)) = points.last() {
                points.push((x, before));
            }
            points.push((x, y));
        }
        if let Some(&(_, y)) = points.last() {
            points.push((self.x(self.end_s), y));
        }
        self.line(points, stroke);
    }

    /// The area between two values over time.
    pub(crate) fn band(&mut self, values: &[(f64, f64, f64)], ink: Ink, opacity: f32) {
        let upper = values.iter().map(|(at, _, high)| (self.x(*at), self.y(*high)));
        let lower = values.iter().rev().map(|(at, low, _)| (self.x(*at), self.y(*low)));
        let points: Vec<(f32, f32)> = upper.chain(lower).collect();
        if points.len() > 2 {
            self.scene.shapes.push(Shape::Area { points, ink, opacity });
        }
    }

    pub(crate) fn line(&mut self, points: Vec<(f32, f32)>, stroke: Stroke) {
        if points.len() > 1 {
            self.scene.shapes.push(Shape::Line { points, stroke });
        }
    }

    pub(crate) fn rect(&mut self, at: (f32, f32, f32, f32), ink: Ink, opacity: f32) {
        self.scene.shapes.push(Shape::Rect { at, ink, opacity });
    }

    pub(crate) fn text(&mut self, at: (f32, f32), anchor: Anchor, size: f32, ink: Ink, text: &str) {
        let text = text.to_owned();
        self.scene.shapes.push(Shape::Text { at, anchor, size, ink, text });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scales_end_on_round_numbers() {
        assert_eq!(Scale::linear(73.0), Scale::Linear { top: 80.0 });
        assert_eq!(Scale::linear(0.0), Scale::Linear { top: 1.0 });
        assert_eq!(Scale::linear(3.0).ticks(), [0.0, 1.0, 2.0, 3.0]);
        let log = Scale::log(3.0, 450.0);
        assert_eq!(log, Scale::Log { bottom: 1.0, top: 1_000.0 });
        assert_eq!(log.ticks().len(), 4);
        assert!((log.share(10.0) - 1.0 / 3.0).abs() < 1e-12);
        assert_eq!(log.share(0.0), 0.0);
        assert_eq!(log.share(f64::NAN), 0.0);
    }

    #[test]
    fn clocks_suit_their_step() {
        assert_eq!(clock(3_725.0, 60.0), "1:02:05");
        assert_eq!(clock(90_000.0, 3_600.0), "1d 1:00");
        assert_eq!(clock(65.0, 5.0), "1:05");
        assert_eq!(clock(0.5, 0.1), "0.5 s");
        assert_eq!(round_time(70.0), 120.0);
    }
}
