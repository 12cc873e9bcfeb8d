//! What other settings would have done with the last hour of a revision: a page asks, and the
//! simulator answers, by the same code that decides in production.

use std::collections::BTreeMap;
use std::time::Duration;

use tidegate_autoscaler::Improvements;
use tidegate_autoscaler::ScalingMetric;
use tidegate_autoscaler::lifecycle::{LifecycleSpec, ZeroScale};
use tidegate_controller::{ColdStart, Declaration, PolicyChoice as Decides};
use tidegate_page::what_if::{Moment, Outcome, Past, Replay, STEPS_MAX, Step, WhatIf};
use tidegate_sim::scenario::{Keep, Path, Platform, PolicyChoice, StartUp};
use tidegate_sim::{
    Arrival, ArrivalSource, Distribution, Recording, RevisionIndex, RevisionModel, RevisionNames,
    RunOutput, Scenario, SimSpan, SimTime, SourceError, Stream, Streams, Traffic,
};
use tidegate_timeline::Moment as ColdMoment;
use tidegate_words::parse_duration;

/// Requests that are simulated at most, twice: a second or two of one processor.
const REQUESTS_MAX: f64 = 1_000_000.0;

/// The start-up where no cold start has been seen.
const START_UP: Duration = Duration::from_secs(1);

/// Seed of the arrivals: those of both simulations are the same.
const ARRIVALS_SEED: u64 = 1;

/// Simulates what a controller has seen.
#[derive(Debug, Clone, Copy)]
pub(super) struct Simulator;

impl WhatIf for Simulator {
    fn replay(&self, past: &Past, settings: &[(String, String)]) -> Result<Replay, String> {
        let demand = Demand::of(past)?;
        let mut model = model(&past.declaration)?;
        model.service = Distribution::Exponential { mean_s: demand.service_s };
        let start_up = start_up(&past.cold_starts);
        model.start_up = StartUp::total(constant(start_up.unwrap_or(START_UP)));
        model.initial = Some(demand.ready);
        let present = run(&demand, model.clone())?;
        for (key, value) in settings {
            change(&mut model, key, value)?;
        }
        let other = run(&demand, model)?;
        Ok(Replay { present, other, assumed: assumed(&demand, start_up) })
    }
}

fn constant(time: Duration) -> Distribution {
    Distribution::Constant(SimSpan::from_secs_f64(time.as_secs_f64()))
}

/// What is not known and had to be taken for something.
fn assumed(demand: &Demand, start_up: Option<Duration>) -> String {
    let ms = |seconds: f64| (seconds * 1e3).round();
    let minutes = (demand.length_s() / 60.0).ceil();
    let service = ms(demand.service_s);
    let start = match start_up {
        Some(time) => format!(
            "instances start in {} ms, the median of the last cold starts",
            ms(time.as_secs_f64())
        ),
        None => format!(
            "instances start in {} ms, because no cold start was seen",
            ms(START_UP.as_secs_f64())
        ),
    };
    format!(
        "The last {minutes} min, with arrivals drawn at the rates at which requests ended; each \
         takes {service} ms in the mean, as those in flight and those that ended say, \
         exponentially distributed; {start}."
    )
}

/// What was seen, as traffic.
#[derive(Debug, Clone)]
struct Demand {
    /// The revision's name.
    revision: String,
    /// From when, in seconds since the first, and how many requests a second.
    steps: Vec<(f64, f64)>,
    end_s: f64,
    from_ms: i64,
    /// What a request takes in the mean.
    service_s: f64,
    /// Instances that were ready at first.
    ready: u32,
}

impl Demand {
    fn of(past: &Past) -> Result<Self, String> {
        let moments = newest(past);
        let (Some(first), true) = (moments.first(), moments.len() > 1) else {
            return Err("too little has been seen: ask again in a minute".to_owned());
        };
        let (mut served, mut ended) = (0.0, 0.0);
        for (moment, length_s) in lengths(moments, past.until_ms) {
            served += (moment.in_flight - moment.waiting).max(0.0) * length_s;
            ended += moment.rate * length_s;
        }
        if ended < 1.0 || served <= 0.0 {
            return Err("no request was seen to end, so that nothing says how long they take: \
                        that takes queue-proxies"
                .to_owned());
        }
        let seconds = |at_ms: i64| (at_ms - first.at_ms) as f64 / 1e3;
        Ok(Self {
            revision: past.declaration.id.to_string(),
            steps: moments.iter().map(|moment| (seconds(moment.at_ms), moment.rate)).collect(),
            end_s: seconds(past.until_ms),
            from_ms: first.at_ms,
            service_s: served / ended,
            ready: first.ready,
        })
    }

    fn length_s(&self) -> f64 {
        self.end_s
    }
}

/// Each moment with how long it held, in seconds.
fn lengths(moments: &[Moment], until_ms: i64) -> impl Iterator<Item = (&Moment, f64)> {
    let ends = moments.iter().skip(1).map(|next| next.at_ms).chain([until_ms]);
    moments.iter().zip(ends).map(|(moment, end_ms)| {
        let length_ms = (end_ms - moment.at_ms).max(0);
        (moment, length_ms as f64 / 1e3)
    })
}

/// The newest moments: as many as have no more requests than are simulated.
fn newest(past: &Past) -> &[Moment] {
    let requests: Vec<f64> = lengths(&past.moments, past.until_ms)
        .map(|(moment, length_s)| moment.rate * length_s)
        .collect();
    let mut sum = 0.0;
    let fits = |requests: &&f64| {
        sum += **requests;
        sum <= REQUESTS_MAX
    };
    let count = requests.iter().rev().take_while(fits).count();
    &past.moments[past.moments.len() - count..]
}

/// The median time from the decision for an instance to its readiness.
fn start_up(starts: &[ColdStart]) -> Option<Duration> {
    let time = |start: &ColdStart| {
        let ready = start.timeline.after(ColdMoment::Ready)?;
        Some(ready.saturating_sub(start.timeline.after(ColdMoment::Decided)?))
    };
    let mut times: Vec<Duration> = starts.iter().filter_map(time).collect();
    times.sort_unstable();
    times.get(times.len() / 2).copied()
}

/// The revision as it is scaled now.
fn model(declaration: &Declaration) -> Result<RevisionModel, String> {
    let Decides::Knative(settings) = &declaration.policy else {
        return Err("only what Knative's algorithm decides for can be replayed".to_owned());
    };
    let policy = match settings.improvements == Improvements::none() {
        true => PolicyChoice::Knative,
        false => PolicyChoice::Tidegate,
    };
    let lifecycle = &declaration.lifecycle;
    let is_local = declaration.launch.is_some();
    let mut pairs = decided_by(settings, lifecycle);
    let mut model = RevisionModel {
        policy,
        concurrency: declaration.container_concurrency,
        ..RevisionModel::default()
    };
    if is_local {
        // How long the last instance stays is the platform's there.
        pairs.retain(|key, _| key != "scale-to-zero-pod-retention-period");
        let idle = lifecycle.stable_window.to_std() + lifecycle.retention.to_std();
        model.path = Path::Central;
        model.platform = Platform::Cluster.local(SimSpan::from_secs_f64(idle.as_secs_f64()));
    }
    model.settings = pairs;
    Ok(model)
}

/// What decides, under the names that people give it.
fn decided_by(
    settings: &tidegate_autoscaler::RevisionSettings,
    lifecycle: &LifecycleSpec,
) -> BTreeMap<String, String> {
    let (spec, windows) = (&settings.spec, &settings.metric);
    let metric = match spec.scaling_metric {
        ScalingMetric::Concurrency => "concurrency",
        ScalingMetric::RequestRate => "rps",
    };
    let panic_share = windows.panic_window_ms as f64 / windows.stable_window_ms as f64;
    let zero = lifecycle.zero_scale == ZeroScale::Allowed;
    let mut pairs: BTreeMap<String, String> = [
        ("allow-zero-initial-scale", "true".to_owned()),
        ("initial-scale", lifecycle.initial_scale.to_string()),
        ("enable-scale-to-zero", zero.to_string()),
        ("scale-to-zero-grace-period", lifecycle.grace_period.to_string()),
        ("scale-to-zero-pod-retention-period", lifecycle.retention.to_string()),
        ("stable-window", format!("{}ms", spec.stable_window_ms)),
        ("panic-window-percentage", (panic_share * 100.0).to_string()),
        ("panic-threshold-percentage", (spec.panic_threshold * 100.0).to_string()),
        ("max-scale-up-rate", spec.max_scale_up_rate.to_string()),
        ("max-scale-down-rate", spec.max_scale_down_rate.to_string()),
        ("scale-down-delay", format!("{}ms", spec.scale_down_delay_ms)),
        ("target-burst-capacity", spec.target_burst_capacity.to_string()),
        ("min-scale", lifecycle.bounds.min.to_string()),
        ("max-scale", lifecycle.bounds.max.to_string()),
        ("metric", metric.to_owned()),
        ("target", spec.total_value.to_string()),
        (
            "target-utilization-percentage",
            (spec.target_value / spec.total_value * 100.0).to_string(),
        ),
    ]
    .map(|(key, value)| (key.to_owned(), value))
    .into();
    // Below 2 there is none, and it cannot be said.
    if spec.activation_scale > 1 {
        pairs.insert("activation-scale".to_owned(), spec.activation_scale.to_string());
    }
    pairs
}

/// One setting otherwise: those of the autoscaler, and two of the app.
fn change(model: &mut RevisionModel, key: &str, value: &str) -> Result<(), String> {
    match key {
        "concurrency" => {
            let expected = || "concurrency: expected a whole number, or 0 for no limit".to_owned();
            model.concurrency = value.parse().map_err(|_| expected())?;
            // What one instance can carry is its limit again, as where it is declared.
            model.settings.remove("target");
        }
        "start-up" => {
            let time = parse_duration(value).map_err(|error| format!("start-up: {error}"))?;
            model.start_up = StartUp::total(constant(time));
        }
        _ => drop(model.settings.insert(key.to_owned(), value.to_owned())),
    }
    Ok(())
}

fn run(demand: &Demand, revision: RevisionModel) -> Result<Outcome, String> {
    let scenario = Scenario {
        seed: ARRIVALS_SEED,
        duration: Some(SimSpan::from_secs_f64(demand.length_s())),
        revision,
        recording: Recording { series: Keep::Yes, ..Recording::NOTHING },
        ..Scenario::default()
    };
    let output = tidegate_sim::run(&scenario, demand, &mut ()).map_err(|error| {
        let told = anyhow::Error::new(error);
        format!("{told:#}")
    })?;
    Ok(outcome(demand, &output))
}

fn outcome(demand: &Demand, output: &RunOutput) -> Outcome {
    let result = &output.result;
    let points = output.series.iter().find(|series| series.revision.is_none());
    let points = points.map(|series| series.points.as_slice()).unwrap_or_default();
    let step = |point: &tidegate_sim::SeriesPoint| Step {
        at: demand.from_ms + (point.at_s * 1e3) as i64,
        ready: rounded(point.ready_mean),
        waiting: rounded(point.waiting_mean),
    };
    Outcome {
        requests: result.requests,
        cold_starts: result.cold_starts,
        lost: result.lost(),
        p50_ms: rounded(result.latency_ms.p50),
        p99_ms: rounded(result.latency_ms.p99),
        ready_mean: rounded(result.instances.mean),
        ready_max: result.instances.max,
        instance_hours: result.instance_seconds / 3_600.0,
        steps: points.iter().take(STEPS_MAX).map(step).collect(),
    }
}

fn rounded(value: f64) -> f64 {
    (value * 100.0).round() / 100.0
}

impl Traffic for Demand {
    fn open(&self) -> Result<Box<dyn ArrivalSource + Send>, SourceError> {
        let mut names = RevisionNames::new();
        let revision = names.intern(&self.revision);
        let (stream, demand) = (Streams::new(ARRIVALS_SEED).stream("arrivals", 0), self.clone());
        Ok(Box::new(Arrivals { demand, stream, step: 0, at_s: 0.0, names, revision }))
    }

    fn sha256(&self) -> String {
        // Nobody replays it anywhere else.
        String::new()
    }

    fn describe(&self) -> String {
        "what a controller has seen".to_owned()
    }
}

/// A Poisson process whose rate is that of each step.
struct Arrivals {
    demand: Demand,
    stream: Stream,
    step: usize,
    at_s: f64,
    names: RevisionNames,
    revision: RevisionIndex,
}

impl ArrivalSource for Arrivals {
    fn next(&mut self) -> Option<Result<Arrival, SourceError>> {
        let mut need = self.stream.exponential();
        loop {
            let (_, rate) = *self.demand.steps.get(self.step)?;
            let next = self.demand.steps.get(self.step + 1);
            let end_s = next.map_or(self.demand.end_s, |(from_s, _)| *from_s);
            let room = rate * (end_s - self.at_s).max(0.0);
            if need <= room && rate > 0.0 {
                self.at_s += need / rate;
                let at = SimTime::from_secs_f64(self.at_s);
                return Some(Ok(Arrival { at, service: None, revision: self.revision }));
            }
            need -= room;
            self.at_s = end_s;
            self.step += 1;
        }
    }

    fn names(&self) -> &RevisionNames {
        &self.names
    }
}

#[cfg(test)]
mod tests;
