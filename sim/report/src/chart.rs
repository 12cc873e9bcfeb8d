//! The charts of a run, one after another on the same time axis.

use tidegate_sim::engine::RunOutput;
use tidegate_sim::series::{SeriesPoint, TimeSeries};

use crate::plot::{Key, Measure, Plot, Scale};
use crate::scene::{Dash, Ink, Scene, Stroke};

/// One chart of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Chart {
    /// Requests per second.
    Demand,
    /// Requests in the system, and over the two windows.
    Concurrency,
    /// Instances by state, with what was wanted.
    Instances,
    /// Requests waiting.
    Waiting,
    /// Percentiles of latency, logarithmic.
    Latency,
    /// Share of ready instances that served nothing.
    Idle,
}

/// Size of a chart that is written to a file, pixels.
pub const CHART_SIZE: (f32, f32) = (960.0, 240.0);

impl Chart {
    /// All, in the order of the page.
    pub const ALL: [Chart; 6] = [
        Chart::Demand,
        Chart::Concurrency,
        Chart::Instances,
        Chart::Waiting,
        Chart::Latency,
        Chart::Idle,
    ];

    /// Its name in file names.
    pub const fn name(self) -> &'static str {
        match self {
            Chart::Demand => "demand",
            Chart::Concurrency => "concurrency",
            Chart::Instances => "instances",
            Chart::Waiting => "waiting",
            Chart::Latency => "latency",
            Chart::Idle => "idle",
        }
    }

    /// Draws it for the sum over all revisions of `run`; an empty frame when no series was kept.
    pub fn draw(self, run: &RunOutput) -> Scene {
        self.draw_series(run.series.first().unwrap_or(&TimeSeries::default()))
    }

    /// Draws it for one series.
    pub fn draw_series(self, series: &TimeSeries) -> Scene {
        let mut plot = match self {
            Chart::Demand => demand(series),
            Chart::Concurrency => concurrency(series),
            Chart::Instances => instances(series),
            Chart::Waiting => waiting(series),
            Chart::Latency => latency(series),
            Chart::Idle => idle(series),
        };
        // Cold starts lie under the axis; how many there were in a step is how strong its mark is.
        let most = most(series, |point| point.cold_starts as f64);
        for point in series.points.iter().filter(|point| point.cold_starts > 0) {
            let opacity = 0.2 + 0.8 * (point.cold_starts as f64 / most) as f32;
            plot.mark(point.at_s, point.at_s + point.length_s, Ink::Orange, opacity);
        }
        plot.scene
    }
}

/// Values of each step, in its middle.
fn values(series: &TimeSeries, value: impl Fn(&SeriesPoint) -> f64) -> Vec<(f64, f64)> {
    series.points.iter().map(|point| (point.at_s + point.length_s / 2.0, value(point))).collect()
}

fn end(series: &TimeSeries) -> f64 {
    series.points.last().map_or(0.0, |point| point.at_s + point.length_s)
}

fn most(series: &TimeSeries, value: impl Fn(&SeriesPoint) -> f64) -> f64 {
    series.points.iter().map(value).fold(0.0, f64::max)
}

/// A frame with panic shaded and axes drawn.
fn framed(title: &str, series: &TimeSeries, scale: Scale, measure: Measure) -> Plot {
    let mut plot = Plot::new(title, CHART_SIZE, end(series), scale);
    for point in series.points.iter().filter(|point| point.panic_share > 0.0) {
        let opacity = 0.12 * point.panic_share as f32;
        plot.shade(point.at_s, point.at_s + point.length_s, Ink::Vermilion, opacity);
    }
    plot.axes(measure);
    plot
}

fn key(name: &str, ink: Ink, dash: Dash) -> Key {
    Key { name: name.to_owned(), ink, dash }
}

fn rate(point: &SeriesPoint) -> f64 {
    if point.length_s > 0.0 { point.arrivals as f64 / point.length_s } else { 0.0 }
}

fn demand(series: &TimeSeries) -> Plot {
    let scale = Scale::linear(most(series, rate));
    let mut plot = framed("Demand, requests/s", series, scale, Measure::Plain);
    let rates = values(series, rate);
    let area: Vec<_> = rates.iter().map(|(at, rate)| (*at, 0.0, *rate)).collect();
    plot.band(&area, Ink::Sky, 0.35);
    plot.curve(&rates, Stroke::solid(Ink::Sky, 1.5));
    plot.legend(&[key("requests/s", Ink::Sky, Dash::Solid)]);
    plot
}

fn concurrency(series: &TimeSeries) -> Plot {
    let peak = most(series, |point| point.concurrency_mean.max(point.panic).max(point.stable));
    let title = "Concurrency, requests in the system";
    let mut plot = framed(title, series, Scale::linear(peak), Measure::Plain);
    let mean = values(series, |point| point.concurrency_mean);
    let area: Vec<_> = mean.iter().map(|(at, value)| (*at, 0.0, *value)).collect();
    plot.band(&area, Ink::Grey, 0.25);
    let panic = Stroke::solid(Ink::Vermilion, 1.3).dashed(Dash::Dotted);
    plot.curve(&values(series, |point| point.panic), panic);
    plot.curve(&values(series, |point| point.stable), Stroke::solid(Ink::Purple, 1.8));
    plot.legend(&[
        key("in the system", Ink::Grey, Dash::Solid),
        key("stable window", Ink::Purple, Dash::Solid),
        key("panic window", Ink::Vermilion, Dash::Dotted),
    ]);
    plot
}

fn instances(series: &TimeSeries) -> Plot {
    let all = |point: &SeriesPoint| point.ready_mean + point.starting_mean + point.draining_mean;
    let peak = most(series, |point| all(point).max(point.wanted_max as f64));
    let mut plot = framed("Instances", series, Scale::linear(peak), Measure::Plain);
    let middle = |point: &SeriesPoint| point.at_s + point.length_s / 2.0;
    let layer = |low: &dyn Fn(&SeriesPoint) -> f64, high: &dyn Fn(&SeriesPoint) -> f64| {
        let points = series.points.iter();
        points.map(|point| (middle(point), low(point), high(point))).collect::<Vec<_>>()
    };
    let ready = |point: &SeriesPoint| point.ready_mean;
    let started = |point: &SeriesPoint| point.ready_mean + point.starting_mean;
    plot.band(&layer(&|_| 0.0, &ready), Ink::Blue, 0.55);
    plot.band(&layer(&ready, &started), Ink::Orange, 0.65);
    plot.band(&layer(&started, &all), Ink::Grey, 0.5);
    let wanted: Vec<(f64, f64)> =
        series.points.iter().map(|point| (point.at_s, point.wanted_mean)).collect();
    plot.steps(&wanted, Stroke::solid(Ink::Text, 1.2));
    plot.legend(&[
        key("ready", Ink::Blue, Dash::Solid),
        key("starting", Ink::Orange, Dash::Solid),
        key("draining", Ink::Grey, Dash::Solid),
        key("wanted", Ink::Text, Dash::Solid),
    ]);
    plot
}

fn waiting(series: &TimeSeries) -> Plot {
    let scale = Scale::linear(most(series, |point| point.waiting_max as f64));
    let mut plot = framed("Waiting requests", series, scale, Measure::Plain);
    let peak: Vec<_> = values(series, |point| point.waiting_max as f64)
        .into_iter()
        .map(|(t, v)| (t, 0.0, v))
        .collect();
    plot.band(&peak, Ink::Vermilion, 0.25);
    plot.curve(&values(series, |point| point.waiting_mean), Stroke::solid(Ink::Vermilion, 1.6));
    plot.legend(&[
        key("mean", Ink::Vermilion, Dash::Solid),
        key("most at once (area)", Ink::Vermilion, Dash::Solid),
    ]);
    plot
}

fn latency(series: &TimeSeries) -> Plot {
    let positive = |value: f64| if value > 0.0 { value } else { f64::NAN };
    let least =
        series.points.iter().map(|point| positive(point.p50_ms)).fold(f64::INFINITY, f64::min);
    let scale = Scale::log(least, most(series, |point| point.p99_ms));
    let mut plot = framed("Latency", series, scale, Measure::Millis);
    let p99 = Stroke::solid(Ink::Vermilion, 1.4);
    plot.curve(&values(series, |point| positive(point.p99_ms)), p99);
    let p95 = Stroke::solid(Ink::Orange, 1.4).dashed(Dash::Dashed);
    plot.curve(&values(series, |point| positive(point.p95_ms)), p95);
    plot.curve(&values(series, |point| positive(point.p50_ms)), Stroke::solid(Ink::Green, 1.8));
    plot.legend(&[
        key("p50", Ink::Green, Dash::Solid),
        key("p95", Ink::Orange, Dash::Dashed),
        key("p99", Ink::Vermilion, Dash::Solid),
    ]);
    plot
}

fn idle(series: &TimeSeries) -> Plot {
    let mut plot = framed(
        "Idle share of ready instances",
        series,
        Scale::Linear { top: 1.0 },
        Measure::Percent,
    );
    let shares = values(series, idle_share);
    let area: Vec<_> = shares.iter().map(|(at, share)| (*at, 0.0, *share)).collect();
    plot.band(&area, Ink::Grey, 0.35);
    plot.curve(&shares, Stroke::solid(Ink::Grey, 1.4));
    plot.legend(&[key("idle", Ink::Grey, Dash::Solid)]);
    plot
}

/// Share of ready instances that served nothing in a step; zero when there were none.
pub(crate) fn idle_share(point: &SeriesPoint) -> f64 {
    if point.ready_mean > 0.0 {
        (1.0 - point.busy_mean / point.ready_mean).clamp(0.0, 1.0)
    } else {
        0.0
    }
}
