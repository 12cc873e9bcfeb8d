//! Kind `pipeline`: from what each pod reports when it is scraped to decisions.

mod frame;

use serde::{Deserialize, Serialize};
use tidegate_autoscaler::revision::TICK_INTERVAL_MS;
use tidegate_autoscaler::scrape::{MeshMode, Scraped, Scraper};
use tidegate_autoscaler::settings::ScaleBounds;
use tidegate_autoscaler::{
    Observed, Origin, RevisionAutoscaler, RevisionSettings, Sample, Timestamp,
};

use self::frame::Frame;
use crate::collector::{MeasuredTick, Metric};
use crate::context::{Context, TimeMs};
use crate::error::{At, ScenarioError};
use crate::number::Number;
use crate::scale::{Spec, TickOutput};

const SCRAPE_INTERVAL_MS: i64 = 1000;

/// The longest replay: a week of scrapes, so that a wrong number is an error and not gigabytes.
const MAX_DURATION_MS: i64 = 7 * 24 * 3_600_000;

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct PipelineInput {
    metric: Metric,
    mesh_mode: Mesh,
    passthrough_lb: bool,
    spec: Spec,
    min_scale: i32,
    max_scale: i32,
    collector_start_ms: TimeMs,
    scaler_start_ms: TimeMs,
    duration_ms: TimeMs,
    frames: Vec<Frame>,
    activator: Vec<ActivatorReport>,
    spec_updates: Vec<SpecUpdate>,
    metric_updates: Vec<MetricUpdate>,
}

#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Mesh {
    #[default]
    #[serde(alias = "")]
    Auto,
    Enabled,
    Disabled,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct ActivatorReport {
    t_ms: TimeMs,
    c: f64,
    r: f64,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct SpecUpdate {
    t_ms: TimeMs,
    spec: Spec,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct MetricUpdate {
    t_ms: TimeMs,
    metric: Metric,
}

#[derive(Debug, Serialize)]
pub(super) struct PipelineOutput {
    initial: StatusOutput,
    scrapes: Vec<ScrapeOutput>,
    ticks: Vec<MeasuredTick>,
    informs: Vec<i64>,
    r#final: StatusOutput,
}

#[derive(Debug, Clone, Copy, Serialize)]
struct StatusOutput {
    status_desired: i32,
    status_ebc: i32,
}

#[derive(Debug, Serialize)]
struct ScrapeOutput {
    t_ms: i64,
    stat: Option<StatOutput>,
    error: String,
}

#[derive(Debug, Serialize)]
struct StatOutput {
    c: Number,
    pc: Number,
    r: Number,
    pr: Number,
}

/// What happens when, in the order of time and, at one time, of this list.
///
/// The pods and settings of a time hold from that time on, so they come first. A report is heard
/// by the decider that began at the same time, and before its beginning there is none to take it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Step {
    Frame(usize),
    Spec(usize),
    Metric(usize),
    Begin,
    Activator(usize),
    Scrape,
    Tick,
}

pub(super) fn pipeline(
    input: PipelineInput,
    context: &mut Context,
) -> Result<PipelineOutput, ScenarioError> {
    let settings = RevisionSettings {
        spec: input.spec.to_decision_spec(),
        metric: input.metric.to_metric_spec(),
        improvements: context.rules.improvements(),
    };
    let start = input.scaler_start_ms.after(context.base_unix_ms);
    let autoscaler = RevisionAutoscaler::new(settings, start, 0).at("input.metric")?;
    let no_pods = Frame::default();
    let mut world = World {
        scraper: Scraper::new(input.mesh_mode()),
        initial: status(&autoscaler),
        autoscaler,
        frame: &no_pods,
        scrapes: Vec::new(),
        ticks: Vec::new(),
        informs: Vec::new(),
        input: &input,
        context,
    };
    for (t_ms, step) in schedule(&input)? {
        world.step(t_ms, step)?;
    }
    Ok(PipelineOutput {
        initial: world.initial,
        r#final: status(&world.autoscaler),
        scrapes: world.scrapes,
        ticks: world.ticks,
        informs: world.informs,
    })
}

impl PipelineInput {
    fn mesh_mode(&self) -> MeshMode {
        match self.mesh_mode {
            Mesh::Enabled => MeshMode::Enabled,
            Mesh::Disabled => MeshMode::Disabled,
            Mesh::Auto if self.passthrough_lb => MeshMode::PassthroughLoadBalancer,
            Mesh::Auto => MeshMode::Auto,
        }
    }
}

fn schedule(input: &PipelineInput) -> Result<Vec<(i64, Step)>, ScenarioError> {
    let end = input.duration_ms.get();
    let (collector_start, start) = (input.collector_start_ms.get(), input.scaler_start_ms.get());
    if end.saturating_sub(collector_start.min(start)) > MAX_DURATION_MS {
        let message = format!("{end} ms, expected at most {MAX_DURATION_MS} (a week)");
        return Err(ScenarioError::new("input.duration_ms", message));
    }
    let mut steps = vec![(start, Step::Begin)];
    let frames = input.frames.iter().enumerate();
    steps.extend(frames.map(|(index, frame)| (frame.t_ms.get(), Step::Frame(index))));
    let specs = input.spec_updates.iter().enumerate();
    steps.extend(specs.map(|(index, update)| (update.t_ms.get(), Step::Spec(index))));
    let metrics = input.metric_updates.iter().enumerate();
    steps.extend(metrics.map(|(index, update)| (update.t_ms.get(), Step::Metric(index))));
    let reports = input.activator.iter().enumerate();
    steps.extend(reports.map(|(index, report)| (report.t_ms.get(), Step::Activator(index))));
    let every = |start: i64, interval: i64, step: Step| {
        let count = (end - start).div_euclid(interval);
        (1..=count).map(move |k| (start + interval * k, step))
    };
    steps.extend(every(collector_start, SCRAPE_INTERVAL_MS, Step::Scrape));
    steps.extend(every(start, TICK_INTERVAL_MS as i64, Step::Tick));
    steps.sort_unstable();
    Ok(steps)
}

fn status(autoscaler: &RevisionAutoscaler) -> StatusOutput {
    let status = autoscaler.status();
    StatusOutput { status_desired: status.desired, status_ebc: status.excess_burst_capacity }
}

struct World<'a> {
    input: &'a PipelineInput,
    frame: &'a Frame,
    scraper: Scraper,
    autoscaler: RevisionAutoscaler,
    initial: StatusOutput,
    scrapes: Vec<ScrapeOutput>,
    ticks: Vec<MeasuredTick>,
    informs: Vec<i64>,
    context: &'a mut Context,
}

impl World<'_> {
    fn step(&mut self, t_ms: i64, step: Step) -> Result<(), ScenarioError> {
        let now = Timestamp::from_millis(self.context.base_unix_ms + t_ms);
        match step {
            Step::Frame(index) => self.frame = &self.input.frames[index],
            Step::Spec(index) => {
                self.autoscaler.set_spec(self.input.spec_updates[index].spec.to_decision_spec());
            }
            Step::Metric(index) => {
                let metric = self.input.metric_updates[index].metric.to_metric_spec();
                let path = format!("input.metric_updates[{index}].metric");
                self.autoscaler.set_metric(now, metric).at(path)?;
                self.scraper = Scraper::new(self.input.mesh_mode());
            }
            Step::Begin => {
                self.autoscaler.start_deciding(now, self.frame.ready());
                self.initial = status(&self.autoscaler);
            }
            Step::Activator(index) => self.report(index, now)?,
            Step::Scrape => self.scrape(t_ms, now),
            Step::Tick => self.tick(t_ms, now),
        }
        Ok(())
    }

    fn report(&mut self, index: usize, now: Timestamp) -> Result<(), ScenarioError> {
        let report = &self.input.activator[index];
        let sample =
            Sample::new(report.c, 0.0, report.r, 0.0).at(format!("input.activator[{index}]"))?;
        let t_ms = report.t_ms.get();
        if t_ms >= self.input.collector_start_ms.get() {
            self.autoscaler.record(now.whole_second(), Origin::Activator, &sample);
        }
        let deciding = self.input.scaler_start_ms <= report.t_ms;
        if deciding && self.autoscaler.should_wake(report.c) {
            self.tick(t_ms, now);
        }
        Ok(())
    }

    fn tick(&mut self, t_ms: i64, now: Timestamp) {
        let ready = self.frame.ready();
        let before = self.autoscaler.status();
        let averages = self.autoscaler.averages(now);
        let decision = self.autoscaler.tick(now, Some(Observed::ready(ready)), &[]);
        let bounds = ScaleBounds { min: self.input.min_scale, max: self.input.max_scale };
        let context = &mut *self.context;
        let tick = TickOutput::of(t_ms, &decision, &self.autoscaler, bounds, ready, context);
        self.ticks.push(MeasuredTick::of(averages, tick));
        if before.is_news(&self.autoscaler.status()) {
            self.informs.push(t_ms);
        }
    }

    fn scrape(&mut self, t_ms: i64, now: Timestamp) {
        let population = self.frame.ready();
        let window_ms = self.autoscaler.settings().metric.stable_window_ms;
        let mut gathering = self.scraper.begin(population);
        self.frame.ask(&mut gathering, t_ms, window_ms);
        let mut scraped = self.scraper.finish(&gathering);
        if scraped == Scraped::TryService {
            let mut gathering = self.scraper.begin_service(population);
            self.frame.ask(&mut gathering, t_ms, window_ms);
            scraped = self.scraper.finish(&gathering);
        }
        let mut output = ScrapeOutput { t_ms, stat: None, error: String::new() };
        match scraped {
            Scraped::Sample(sample) => {
                self.autoscaler.record(now, Origin::Instances, &sample);
                output.stat = Some(StatOutput {
                    c: Number(sample.concurrency()),
                    pc: Number(sample.proxied_concurrency()),
                    r: Number(sample.request_rate()),
                    pr: Number(sample.proxied_request_rate()),
                });
            }
            Scraped::Nobody | Scraped::TryService => {}
            Scraped::Failed(error) => output.error = error.to_string(),
        }
        self.scrapes.push(output);
    }
}
