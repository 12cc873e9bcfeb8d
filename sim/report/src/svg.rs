//! A scene as SVG that stands alone: its own colours for light and dark, a title and a description.

use std::fmt::Write as _;

use crate::escape::escape;
use crate::scene::{Anchor, Dash, Ink, Scene, Shape, Stroke};

/// `scene` as an SVG document.
pub fn svg(scene: &Scene) -> String {
    svg_body(scene) + "\n"
}

/// The same for the inside of a page.
pub(crate) fn svg_body(scene: &Scene) -> String {
    let mut text = String::with_capacity(16 << 10);
    // Writing to a String cannot fail, so results of `write!` are let go throughout.
    let Scene { width, height, .. } = *scene;
    let _ = write!(
        text,
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" \
         width=\"{width}\" height=\"{height}\" role=\"img\">\
         <title>{}</title><desc>{}</desc><style>{}</style>",
        escape(&scene.title),
        escape(&scene.description),
        style()
    );
    for shape in &scene.shapes {
        write_shape(&mut text, shape);
    }
    text.push_str("</svg>");
    text
}

/// Colours as classes: `f-` fills, `s-` strokes.
fn style() -> String {
    let mut text = String::from(
        "svg{font-family:system-ui,-apple-system,'Segoe UI',Roboto,sans-serif;\
         font-variant-numeric:tabular-nums}.l{fill:none;stroke-linejoin:round}",
    );
    for ink in Ink::ALL {
        let [red, green, blue] = ink.light();
        let name = ink.name();
        let _ = write!(
            text,
            ".f-{name}{{fill:#{red:02x}{green:02x}{blue:02x}}}\
             .s-{name}{{stroke:#{red:02x}{green:02x}{blue:02x}}}"
        );
    }
    text.push_str("@media(prefers-color-scheme:dark){");
    for ink in Ink::ALL.into_iter().filter(|ink| ink.dark() != ink.light()) {
        let [red, green, blue] = ink.dark();
        let name = ink.name();
        let _ = write!(
            text,
            ".f-{name}{{fill:#{red:02x}{green:02x}{blue:02x}}}\
             .s-{name}{{stroke:#{red:02x}{green:02x}{blue:02x}}}"
        );
    }
    text.push('}');
    text
}

fn write_shape(text: &mut String, shape: &Shape) {
    let _ = match shape {
        Shape::Line { points, stroke } => {
            let Stroke { ink, width, dash } = stroke;
            let dash = match dash {
                Dash::Solid => "",
                Dash::Dashed => " stroke-dasharray=\"6 4\"",
                Dash::Dotted => " stroke-dasharray=\"2 3\"",
            };
            let name = ink.name();
            let path = path(points);
            write!(text, "<path class=\"l s-{name}\" stroke-width=\"{width}\"{dash} d=\"{path}\"/>")
        }
        Shape::Area { points, ink, opacity } => {
            let (name, path) = (ink.name(), path(points));
            write!(text, "<path class=\"f-{name}\" fill-opacity=\"{opacity}\" d=\"{path}Z\"/>")
        }
        Shape::Rect { at: (x, y, width, height), ink, opacity } => write!(
            text,
            "<rect class=\"f-{}\" fill-opacity=\"{opacity}\" x=\"{}\" y=\"{}\" width=\"{}\" \
             height=\"{}\"/>",
            ink.name(),
            tenths(*x),
            tenths(*y),
            tenths(*width),
            tenths(*height)
        ),
        Shape::Disc { at: (x, y), radius, ink, opacity } => write!(
            text,
            "<circle class=\"f-{}\" fill-opacity=\"{opacity}\" cx=\"{}\" cy=\"{}\" \
             r=\"{radius}\"/>",
            ink.name(),
            tenths(*x),
            tenths(*y)
        ),
        Shape::Text { at: (x, y), anchor, size, ink, text: words } => write!(
            text,
            "<text class=\"f-{}\" x=\"{}\" y=\"{}\" font-size=\"{size}\" \
             text-anchor=\"{}\">{}</text>",
            ink.name(),
            tenths(*x),
            tenths(*y),
            match anchor {
                Anchor::Start => "start",
                Anchor::Middle => "middle",
                Anchor::End => "end",
            },
            escape(words)
        ),
    };
}

/// A path through `points`, to a tenth of a pixel.
fn path(points: &[(f32, f32)]) -> String {
    let mut text = String::with_capacity(points.len() * 10);
    for (at, (x, y)) in points.iter().enumerate() {
        let command = if at == 0 { 'M' } else { 'L' };
        let _ = write!(text, "{command}{} {}", tenths(*x), tenths(*y));
    }
    text
}

/// A coordinate rounded to a tenth; whole numbers without a fraction.
fn tenths(value: f32) -> f32 {
    let rounded = (value * 10.0).round() / 10.0;
    // Minus zero would be written with its sign.
    if rounded == 0.0 { 0.0 } else { rounded }
}
