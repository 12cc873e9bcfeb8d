//! Many settings at once: cost against tail latency as a picture, with the front drawn, and the
//! front as text.

use std::fmt::Write as _;

use tidegate_sim::recommend::{Figure, Objective};
use tidegate_sim::sweep::SweepPoint;

use crate::figures;
use crate::plot::{Scale, round_step};
use crate::scene::{Anchor, Dash, Ink, Scene, Shape, Stroke};

/// Points of a page at most; the front is always kept. A page of so many is half a megabyte.
const POINTS_MAX: usize = 2_500;
/// Size of the picture.
const SIZE: (f32, f32) = (960.0, 540.0);
const MARGIN: (f32, f32, f32, f32) = (70.0, 78.0, 24.0, 52.0);
/// Size of labels, and how wide a letter of them is.
const LABEL: (f32, f32) = (11.0, 6.7);
/// Latencies closer together than this are told apart better on a linear axis.
const LOG_RATIO_MIN: f64 = 8.0;

/// Points worth drawing: the front, and evenly chosen others.
pub(crate) fn chosen(points: &[SweepPoint]) -> Vec<&SweepPoint> {
    let stride = points.len().div_ceil(POINTS_MAX).max(1);
    let keep = |(index, point): &(usize, &SweepPoint)| point.on_front || index % stride == 0;
    points.iter().enumerate().filter(keep).map(|(_, point)| point).collect()
}

pub(crate) fn hours(point: &SweepPoint) -> f64 {
    point.instance_seconds / 3_600.0
}

/// What points are ranked by.
pub(crate) fn price(points: &[SweepPoint]) -> Figure {
    match points.iter().all(|point| point.cost.is_some()) {
        true => Figure::Cost,
        false => Figure::InstanceHours,
    }
}

/// An objective as people read it: `p99 ≤ 1.5 s`.
pub(crate) fn named(objective: &Objective) -> String {
    let bound = figures::figure(objective.figure, objective.at_most);
    format!("{} ≤ {bound}", objective.figure.name())
}

/// Where the points lie on the paper.
struct Frame {
    x: Scale,
    y: Scale,
}

impl Frame {
    fn new(points: &[SweepPoint], bound_ms: Option<f64>) -> Self {
        let most = points.iter().map(SweepPoint::price).fold(0.0, f64::max);
        let latencies = points.iter().map(|point| point.p99_ms).chain(bound_ms);
        let positive = latencies.filter(|value| *value > 0.0);
        let (least, slowest) = positive.fold((f64::INFINITY, 0.0_f64), |(least, most), value| {
            (least.min(value), most.max(value))
        });
        let is_wide = slowest / least > LOG_RATIO_MIN;
        let y = if is_wide { Scale::log(least, slowest) } else { Scale::linear(slowest) };
        Frame { x: Scale::linear(most), y }
    }

    fn left() -> f32 {
        MARGIN.0
    }

    fn right() -> f32 {
        SIZE.0 - MARGIN.2
    }

    fn x(&self, value: f64) -> f32 {
        Self::left() + (Self::right() - Self::left()) * self.x.share(value) as f32
    }

    fn y(&self, value: f64) -> f32 {
        let (_, top, _, bottom) = MARGIN;
        top + (SIZE.1 - top - bottom) * (1.0 - self.y.share(value) as f32)
    }

    fn place(&self, point: &SweepPoint) -> (f32, f32) {
        (self.x(point.price()), self.y(point.p99_ms))
    }
}

/// The scatter as a picture: cost, or instance-hours without prices, against p99, the front joined
/// and labelled, and a line at what p99 had to keep.
pub fn scatter(title: &str, points: &[SweepPoint], objectives: &[Objective]) -> Scene {
    let bound = objectives.iter().find(|objective| objective.figure == Figure::P99);
    let frame = Frame::new(points, bound.map(|bound| bound.at_most));
    let mut shapes =
        vec![Shape::Rect { at: (0.0, 0.0, SIZE.0, SIZE.1), ink: Ink::Paper, opacity: 1.0 }];
    axes(&mut shapes, title, &frame, price(points));
    let mut taken = Vec::new();
    if let Some(bound) = bound {
        let level = frame.y(bound.at_most);
        let points = vec![(Frame::left(), level), (Frame::right(), level)];
        shapes.push(Shape::Line { points, stroke: Stroke::solid(Ink::Vermilion, 1.5) });
        let (at, text) =
            ((Frame::right() - 4.0, level - 6.0), named(bound).replace('≤', "at most"));
        let width = text.chars().count() as f32 * LABEL.1;
        taken.push(Area { left: at.0 - width, top: at.1 - 11.0, right: at.0, bottom: at.1 + 3.0 });
        let (anchor, size, ink) = (Anchor::End, LABEL.0, Ink::Vermilion);
        shapes.push(Shape::Text { at, anchor, size, ink, text });
    }
    for point in chosen(points).into_iter().filter(|point| !point.on_front) {
        let at = frame.place(point);
        shapes.push(Shape::Disc { at, radius: 3.0, ink: Ink::Grey, opacity: 0.7 });
    }
    front(&mut shapes, points, &frame);
    labels(&mut shapes, points, &frame, taken);
    let description = format!(
        "{} combinations of settings, {} of them on the front",
        points.len(),
        points.iter().filter(|point| point.on_front).count()
    );
    Scene { width: SIZE.0, height: SIZE.1, title: title.to_owned(), description, shapes }
}

fn axes(shapes: &mut Vec<Shape>, title: &str, frame: &Frame, price: Figure) {
    let (left, top, _, bottom) = MARGIN;
    let mut text = |at, anchor, size, ink, words: &str| {
        shapes.push(Shape::Text { at, anchor, size, ink, text: words.to_owned() });
    };
    text((left, 22.0), Anchor::Start, 14.0, Ink::Text, title);
    let words = "Lower left is better. The front is joined: no other settings are better in all of \
                 cost, p99, cold starts and losses.";
    text((left, 42.0), Anchor::Start, 11.0, Ink::Muted, words);
    text((8.0, top - 14.0), Anchor::Start, 11.0, Ink::Text, "p99 latency");
    let corner = (Frame::right(), SIZE.1 - 10.0);
    text(corner, Anchor::End, 11.0, Ink::Text, price.name());
    for tick in frame.y.ticks() {
        let at = (left - 8.0, frame.y(tick) + 4.0);
        text(at, Anchor::End, 11.0, Ink::Muted, &figures::millis(tick));
    }
    for tick in frame.x.ticks() {
        let at = (frame.x(tick), SIZE.1 - bottom + 20.0);
        text(at, Anchor::Middle, 11.0, Ink::Muted, &figures::number(tick));
    }
    for tick in frame.y.ticks() {
        let points = vec![(left, frame.y(tick)), (Frame::right(), frame.y(tick))];
        shapes.push(Shape::Line { points, stroke: Stroke::solid(Ink::Grid, 1.0) });
    }
}

/// Points of the front that no other dominates in cost and tail latency alone, cheapest first.
fn staircase(points: &[SweepPoint]) -> Vec<&SweepPoint> {
    let mut front: Vec<&SweepPoint> = points.iter().filter(|point| point.on_front).collect();
    front.sort_by(|left, right| {
        let by_cost = left.price().total_cmp(&right.price());
        by_cost.then(left.p99_ms.total_cmp(&right.p99_ms))
    });
    let mut best = f64::INFINITY;
    front.retain(|point| {
        let better = point.p99_ms < best;
        best = best.min(point.p99_ms);
        better
    });
    front
}

fn front(shapes: &mut Vec<Shape>, points: &[SweepPoint], frame: &Frame) {
    let mut line: Vec<(f32, f32)> = Vec::new();
    for point in staircase(points) {
        let at = frame.place(point);
        if let Some(&(_, before)) = line.last() {
            line.push((at.0, before));
        }
        line.push(at);
    }
    if line.len() > 1 {
        let stroke = Stroke::solid(Ink::Blue, 1.5).dashed(Dash::Dashed);
        shapes.push(Shape::Line { points: line, stroke });
    }
    for point in points.iter().filter(|point| point.on_front) {
        let at = frame.place(point);
        shapes.push(Shape::Disc { at, radius: 4.5, ink: Ink::Blue, opacity: 1.0 });
    }
}

/// A part of the paper that something takes.
#[derive(Debug, Clone, Copy)]
struct Area {
    left: f32,
    top: f32,
    right: f32,
    bottom: f32,
}

impl Area {
    fn overlaps(&self, other: &Area) -> bool {
        self.left < other.right
            && self.right > other.left
            && self.top < other.bottom
            && self.bottom > other.top
    }
}

/// What sets the points of the front apart, written beside them where there is room.
fn labels(shapes: &mut Vec<Shape>, points: &[SweepPoint], frame: &Frame, mut taken: Vec<Area>) {
    for point in points.iter().filter(|point| point.on_front) {
        let (x, y) = frame.place(point);
        taken.push(Area { left: x - 5.0, top: y - 5.0, right: x + 5.0, bottom: y + 5.0 });
    }
    let stairs = staircase(points);
    let differs = |key: &&String| {
        let first = stairs.first().and_then(|point| point.settings.get(*key));
        stairs.iter().any(|point| point.settings.get(*key) != first)
    };
    for point in &stairs {
        let telling = point.settings.iter().filter(|(key, _)| differs(key));
        let words: Vec<String> = telling.map(|(key, value)| format!("{key}={value}")).collect();
        let text = if words.is_empty() { point.label.clone() } else { words.join(" ") };
        let width = text.chars().count() as f32 * LABEL.1;
        let (x, y) = frame.place(point);
        let (right, left) = (x + 9.0, x - 9.0 - width);
        let places = [(right, y - 7.0), (left, y - 7.0), (right, y + 15.0), (left, y + 15.0)];
        let area =
            |(x, y): (f32, f32)| Area { left: x, top: y - 11.0, right: x + width, bottom: y + 3.0 };
        let free = places.into_iter().find(|place| {
            let area = area(*place);
            let inside = area.left >= Frame::left()
                && area.right <= Frame::right()
                && area.top >= MARGIN.1 - 10.0
                && area.bottom <= SIZE.1 - MARGIN.3;
            inside && !taken.iter().any(|other| other.overlaps(&area))
        });
        let Some(at) = free else { continue };
        taken.push(area(at));
        let (anchor, size, ink) = (Anchor::Start, LABEL.0, Ink::Text);
        shapes.push(Shape::Text { at, anchor, size, ink, text });
    }
}

/// The front of a sweep as text, cheapest first, at most `most` rows.
pub fn front_text(points: &[SweepPoint], most: usize) -> String {
    let mut front: Vec<&SweepPoint> = points.iter().filter(|point| point.on_front).collect();
    front.sort_by(|left, right| left.price().total_cmp(&right.price()));
    let columns = [(price(points), 14), (Figure::P99, 10), (Figure::Cold, 10), (Figure::Lost, 10)];
    // An interval needs room.
    let several = points.iter().any(|point| point.result.over_seeds.is_some());
    let room = |width: usize| if several { width + 8 } else { width };
    let mut text = String::new();
    for (figure, width) in columns {
        let _ = write!(text, "{:>width$}", figure.name(), width = room(width));
    }
    text.push_str("  settings\n");
    let stride = round_step((front.len() as f64 / most.max(1) as f64).max(1.0)) as usize;
    for point in front.iter().step_by(stride.max(1)) {
        for (figure, width) in columns {
            let value = figures::figure_of(figure, &point.result);
            let _ = write!(text, "{value:>width$}", width = room(width));
        }
        let label: String =
            point.label.chars().map(|c| if c.is_control() { '?' } else { c }).collect();
        let _ = writeln!(text, "  {label}");
    }
    text
}
