//! A scene as PNG, in light colours, twice as dense as its size so that it stays sharp.
//!
//! Letters come as pictures of a monospaced font from a crate, so no font of the system is needed
//! and the same scene gives the same bytes everywhere.

use std::error::Error;

use noto_sans_mono_bitmap::{FontWeight, RasterHeight, get_raster, get_raster_width};
use tiny_skia::{
    Color, FillRule, LineJoin, Paint, PathBuilder, Pixmap, PremultipliedColorU8, Rect,
    Stroke as SkiaStroke, StrokeDash, Transform,
};

use crate::scene::{Anchor, Dash, Ink, Scene, Shape, Stroke};

/// Pixels for each pixel of the scene.
const DENSITY: f32 = 2.0;

/// Largest picture, so that no size can exhaust memory.
const SIDE_MAX: f32 = 8_192.0;

/// Why no picture could be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PngError {
    /// The scene has no area, or too large a one.
    #[error("a picture must be between 1 and {SIDE_MAX} pixels wide and high")]
    Size,
    /// The encoder failed.
    #[error("cannot encode the picture: {0}")]
    Encode(#[source] Box<dyn Error + Send + Sync>),
}

/// `scene` as a PNG file.
///
/// # Errors
///
/// When its size is none or too large.
pub fn png(scene: &Scene) -> Result<Vec<u8>, PngError> {
    let side = |length: f32| {
        let pixels = length * DENSITY;
        if (1.0..=SIDE_MAX).contains(&pixels) { Ok(pixels as u32) } else { Err(PngError::Size) }
    };
    let mut pixmap = Pixmap::new(side(scene.width)?, side(scene.height)?).ok_or(PngError::Size)?;
    pixmap.fill(colour(Ink::Paper, 1.0));
    for shape in &scene.shapes {
        draw(&mut pixmap, shape);
    }
    pixmap.encode_png().map_err(|error| PngError::Encode(error.into()))
}

fn colour(ink: Ink, opacity: f32) -> Color {
    let [red, green, blue] = ink.light();
    let alpha = (opacity.clamp(0.0, 1.0) * 255.0 + 0.5) as u8;
    Color::from_rgba8(red, green, blue, alpha)
}

fn paint(ink: Ink, opacity: f32) -> Paint<'static> {
    let mut paint = Paint { anti_alias: true, ..Paint::default() };
    paint.set_color(colour(ink, opacity));
    paint
}

fn draw(pixmap: &mut Pixmap, shape: &Shape) {
    let scale = Transform::from_scale(DENSITY, DENSITY);
    match shape {
        Shape::Line { points, stroke } => line(pixmap, points, *stroke, scale),
        Shape::Area { points, ink, opacity } => {
            if let Some(path) = path(points, Closed::Yes) {
                let paint = paint(*ink, *opacity);
                pixmap.fill_path(&path, &paint, FillRule::Winding, scale, None);
            }
        }
        Shape::Rect { at: (x, y, width, height), ink, opacity } => {
            if let Some(rect) = Rect::from_xywh(*x, *y, *width, *height) {
                pixmap.fill_rect(rect, &paint(*ink, *opacity), scale, None);
            }
        }
        Shape::Disc { at: (x, y), radius, ink, opacity } => {
            if let Some(path) = PathBuilder::from_circle(*x, *y, *radius) {
                let paint = paint(*ink, *opacity);
                pixmap.fill_path(&path, &paint, FillRule::Winding, scale, None);
            }
        }
        Shape::Text { at, anchor, size, ink, text } => {
            letters(pixmap, *at, *anchor, *size, *ink, text);
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Closed {
    Yes,
    No,
}

fn path(points: &[(f32, f32)], closed: Closed) -> Option<tiny_skia::Path> {
    let mut builder = PathBuilder::new();
    let ((x, y), rest) = points.split_first()?;
    builder.move_to(*x, *y);
    for (x, y) in rest {
        builder.line_to(*x, *y);
    }
    if closed == Closed::Yes {
        builder.close();
    }
    builder.finish()
}

fn line(pixmap: &mut Pixmap, points: &[(f32, f32)], stroke: Stroke, scale: Transform) {
    let Some(path) = path(points, Closed::No) else { return };
    let dash = match stroke.dash {
        Dash::Solid => None,
        Dash::Dashed => StrokeDash::new(vec![6.0, 4.0], 0.0),
        Dash::Dotted => StrokeDash::new(vec![2.0, 3.0], 0.0),
    };
    let skia = SkiaStroke {
        width: stroke.width,
        line_join: LineJoin::Round,
        dash,
        ..SkiaStroke::default()
    };
    pixmap.stroke_path(&path, &paint(stroke.ink, 1.0), &skia, scale, None);
}

/// Draws `text` with its base line at `at`.
fn letters(pixmap: &mut Pixmap, at: (f32, f32), anchor: Anchor, size: f32, ink: Ink, text: &str) {
    let height = match size * DENSITY {
        pixels if pixels < 18.0 => RasterHeight::Size16,
        pixels if pixels < 23.0 => RasterHeight::Size20,
        pixels if pixels < 28.0 => RasterHeight::Size24,
        _ => RasterHeight::Size32,
    };
    let weight = if size >= 13.0 { FontWeight::Bold } else { FontWeight::Regular };
    let step = get_raster_width(weight, height);
    let whole = (step * text.chars().count()) as f32;
    let left = at.0 * DENSITY
        - match anchor {
            Anchor::Start => 0.0,
            Anchor::Middle => whole / 2.0,
            Anchor::End => whole,
        };
    // The base line lies about four fifths down the picture of a letter.
    let top = at.1 * DENSITY - height.val() as f32 * 0.8;
    for (index, character) in text.chars().enumerate() {
        let raster = get_raster(character, weight, height)
            .or_else(|| get_raster(spelled(character), weight, height));
        let Some(raster) = raster else { continue };
        let x = left as i64 + (index * step) as i64;
        for (row, pixels) in raster.rows().enumerate() {
            for (column, &cover) in pixels.iter().enumerate() {
                blend(pixmap, x + column as i64, top as i64 + row as i64, ink, cover);
            }
        }
    }
}

/// A letter that the font has, for one that it may not have.
fn spelled(character: char) -> char {
    match character {
        'µ' | 'μ' => 'u',
        '–' | '−' => '-',
        _ => '?',
    }
}

/// Lays `ink` over a pixel, as far as `cover` of 255 goes.
fn blend(pixmap: &mut Pixmap, x: i64, y: i64, ink: Ink, cover: u8) {
    let (width, height) = (i64::from(pixmap.width()), i64::from(pixmap.height()));
    if cover == 0 || !(0..width).contains(&x) || !(0..height).contains(&y) {
        return;
    }
    let Ok(index) = usize::try_from(y * width + x) else { return };
    let pixel = pixmap.pixels()[index];
    let mix = |under: u8, over: u8| {
        let (under, over, cover) = (u32::from(under), u32::from(over), u32::from(cover));
        ((under * (255 - cover) + over * cover + 127) / 255) as u8
    };
    let [red, green, blue] = ink.light();
    let mixed = PremultipliedColorU8::from_rgba(
        mix(pixel.red(), red),
        mix(pixel.green(), green),
        mix(pixel.blue(), blue),
        255,
    );
    if let Some(mixed) = mixed {
        pixmap.pixels_mut()[index] = mixed;
    }
}
