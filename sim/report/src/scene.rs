//! A drawing before it is SVG or PNG: shapes in pixels, inks by meaning.

/// A colour by what it stands for. One hue is one thing across all charts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Ink {
    /// Behind everything.
    Paper,
    /// Words and numbers.
    Text,
    /// Words of less weight.
    Muted,
    /// Grid lines.
    Grid,
    /// Context without a meaning of its own.
    Grey,
    /// Demand.
    Sky,
    /// Ready instances; the first of two runs.
    Blue,
    /// Starting instances; the second of two runs.
    Orange,
    /// The median.
    Green,
    /// Panic, the tail, loss.
    Vermilion,
    /// What is wanted.
    Purple,
    /// Cold starts and warnings, where it lies on something darker.
    Yellow,
}

/// Where a text lies relative to its point.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Anchor {
    /// Begins there.
    Start,
    /// Is centred there.
    Middle,
    /// Ends there.
    End,
}

/// How a line is drawn.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Stroke {
    /// Its colour.
    pub ink: Ink,
    /// Its width in pixels.
    pub width: f32,
    /// Its dashes.
    pub dash: Dash,
}

/// The dashes of a line, so that colour is never its only mark.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dash {
    /// None.
    Solid,
    /// Long ones.
    Dashed,
    /// Dots.
    Dotted,
}

/// One thing on the paper.
#[derive(Debug, Clone, PartialEq)]
pub enum Shape {
    /// A line through points.
    Line {
        /// The points.
        points: Vec<(f32, f32)>,
        /// How it is drawn.
        stroke: Stroke,
    },
    /// The area between points, closed.
    Area {
        /// The outline.
        points: Vec<(f32, f32)>,
        /// Its colour.
        ink: Ink,
        /// From 0, nothing, to 1.
        opacity: f32,
    },
    /// A rectangle.
    Rect {
        /// Left, top, width, height.
        at: (f32, f32, f32, f32),
        /// Its colour.
        ink: Ink,
        /// From 0, nothing, to 1.
        opacity: f32,
    },
    /// A disc.
    Disc {
        /// Its middle.
        at: (f32, f32),
        /// Its radius.
        radius: f32,
        /// Its colour.
        ink: Ink,
        /// From 0, nothing, to 1.
        opacity: f32,
    },
    /// Words.
    Text {
        /// Where, on the base line.
        at: (f32, f32),
        /// Relative to that point.
        anchor: Anchor,
        /// Height of the letters in pixels.
        size: f32,
        /// Their colour.
        ink: Ink,
        /// The words, as they are; writers escape them.
        text: String,
    },
}

/// A drawing.
#[derive(Debug, Clone, PartialEq)]
pub struct Scene {
    /// Width in pixels.
    pub width: f32,
    /// Height in pixels.
    pub height: f32,
    /// What it shows, for people who cannot see it.
    pub title: String,
    /// What can be read from it, likewise.
    pub description: String,
    /// Shapes, later ones above earlier ones.
    pub shapes: Vec<Shape>,
}

impl Stroke {
    /// A solid line.
    pub const fn solid(ink: Ink, width: f32) -> Self {
        Stroke { ink, width, dash: Dash::Solid }
    }

    /// The same line with dashes.
    pub const fn dashed(self, dash: Dash) -> Self {
        Stroke { dash, ..self }
    }
}

impl Ink {
    /// Every ink.
    pub const ALL: [Ink; 12] = [
        Ink::Paper,
        Ink::Text,
        Ink::Muted,
        Ink::Grid,
        Ink::Grey,
        Ink::Sky,
        Ink::Blue,
        Ink::Orange,
        Ink::Green,
        Ink::Vermilion,
        Ink::Purple,
        Ink::Yellow,
    ];

    /// Its name in style sheets.
    pub const fn name(self) -> &'static str {
        match self {
            Ink::Paper => "paper",
            Ink::Text => "text",
            Ink::Muted => "muted",
            Ink::Grid => "grid",
            Ink::Grey => "grey",
            Ink::Sky => "sky",
            Ink::Blue => "blue",
            Ink::Orange => "orange",
            Ink::Green => "green",
            Ink::Vermilion => "vermilion",
            Ink::Purple => "purple",
            Ink::Yellow => "yellow",
        }
    }

    /// Red, green and blue on white paper. Hues are those of Okabe and Ito, told apart with every
    /// common kind of colour blindness.
    pub const fn light(self) -> [u8; 3] {
        match self {
            Ink::Paper => [255, 255, 255],
            Ink::Text => [27, 31, 36],
            Ink::Muted => [89, 96, 105],
            Ink::Grid => [225, 228, 232],
            Ink::Grey => [149, 157, 165],
            Ink::Sky => [86, 180, 233],
            Ink::Blue => [0, 114, 178],
            Ink::Orange => [230, 159, 0],
            Ink::Green => [0, 158, 115],
            Ink::Vermilion => [213, 94, 0],
            Ink::Purple => [204, 121, 167],
            Ink::Yellow => [240, 228, 66],
        }
    }

    /// The same on dark paper; the dark blue is raised until it can be read there.
    pub const fn dark(self) -> [u8; 3] {
        match self {
            Ink::Paper => [18, 21, 26],
            Ink::Text => [230, 233, 237],
            Ink::Muted => [154, 163, 173],
            Ink::Grid => [44, 50, 58],
            Ink::Grey => [110, 118, 129],
            Ink::Blue => [61, 153, 217],
            other => other.light(),
        }
    }
}
