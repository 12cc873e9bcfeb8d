//! Kind `pipeline`: decisions from what each pod said when it was scraped.

use serde_json::{Value, json};
use tidegate_autoscaler::scrape::{Answer, Gathering, MeshMode, Method, Scraped, Scraper};
use tidegate_autoscaler::{
    Improvements, Observed, Origin, RevisionAutoscaler, RevisionSettings, Sample, Timestamp,
};

use crate::collector::{missing, sample};
use crate::json::{integer, list, metric, number, spec, text, truth};
use crate::scale::entry;

/// What happens when, in the order of time and, at one time, of this list.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Step {
    Frame(usize),
    Spec(usize),
    Metric(usize),
    Activator(usize),
    Begin,
    Scrape,
    Tick,
}

struct World<'a> {
    base: i64,
    input: &'a Value,
    frame: &'a Value,
    scraper: Scraper,
    autoscaler: RevisionAutoscaler,
    scrapes: Vec<Value>,
    ticks: Vec<Value>,
    informs: Vec<i64>,
}

pub(crate) fn replay(base: i64, input: &Value) -> Value {
    let settings = RevisionSettings {
        spec: spec(&input["spec"]),
        metric: metric(&input["metric"]),
        improvements: Improvements::none(),
    };
    let start = integer(input, "scaler_start_ms");
    let mut world = World {
        base,
        input,
        frame: &Value::Null,
        scraper: Scraper::new(mesh_mode(input)),
        autoscaler: RevisionAutoscaler::new(settings, Timestamp::from_millis(base + start), 0)
            .unwrap(),
        scrapes: Vec::new(),
        ticks: Vec::new(),
        informs: Vec::new(),
    };
    let initial = world.status();
    for (t_ms, step) in schedule(input) {
        world.step(t_ms, step);
    }
    json!({
        "initial": initial,
        "scrapes": world.scrapes,
        "ticks": world.ticks,
        "informs": world.informs,
        "final": world.status(),
    })
}

fn schedule(input: &Value) -> Vec<(i64, Step)> {
    let mut steps = Vec::new();
    let mut add = |field: &str, step: fn(usize) -> Step| {
        for (index, event) in list(input, field).iter().enumerate() {
            steps.push((integer(event, "t_ms"), step(index)));
        }
    };
    add("frames", Step::Frame);
    add("spec_updates", Step::Spec);
    add("metric_updates", Step::Metric);
    add("activator", Step::Activator);
    let end = integer(input, "duration_ms");
    steps.push((integer(input, "scaler_start_ms"), Step::Begin));
    let mut every = |start: &str, period: i64, step: Step| {
        let mut at = integer(input, start) + period;
        while at <= end {
            steps.push((at, step));
            at += period;
        }
    };
    every("collector_start_ms", 1000, Step::Scrape);
    every("scaler_start_ms", 2000, Step::Tick);
    steps.sort();
    steps
}

fn mesh_mode(input: &Value) -> MeshMode {
    match text(input, "mesh_mode") {
        "enabled" => MeshMode::Enabled,
        "disabled" => MeshMode::Disabled,
        _ if truth(input, "passthrough_lb") => MeshMode::PassthroughLoadBalancer,
        _ => MeshMode::Auto,
    }
}

impl World<'_> {
    fn status(&self) -> Value {
        let status = self.autoscaler.status();
        json!({
            "status_desired": status.desired,
            "status_ebc": status.excess_burst_capacity,
        })
    }

    fn step(&mut self, t_ms: i64, step: Step) {
        let now = Timestamp::from_millis(self.base + t_ms);
        match step {
            Step::Frame(index) => self.frame = &list(self.input, "frames")[index],
            Step::Spec(index) => {
                let update = &list(self.input, "spec_updates")[index];
                self.autoscaler.set_spec(spec(&update["spec"]));
            }
            Step::Metric(index) => {
                let update = &list(self.input, "metric_updates")[index];
                self.autoscaler.set_metric(now, metric(&update["metric"])).unwrap();
                self.scraper = Scraper::new(mesh_mode(self.input));
            }
            Step::Activator(index) => {
                let report = &list(self.input, "activator")[index];
                let (c, r) = (number(report, "c"), number(report, "r"));
                let sample = Sample::new(c, 0.0, r, 0.0).unwrap();
                self.autoscaler.record(now.whole_second(), Origin::Activator, &sample);
                if self.autoscaler.should_wake(c) {
                    self.tick(t_ms, now);
                }
            }
            Step::Begin => {
                let ready = self.ready_pods(now).len() as u32;
                self.autoscaler.start_deciding(now, ready);
            }
            Step::Scrape => self.scrape(t_ms, now),
            Step::Tick => self.tick(t_ms, now),
        }
    }

    fn tick(&mut self, t_ms: i64, now: Timestamp) {
        let ready = self.ready_pods(now).len() as u32;
        let before = self.autoscaler.status();
        let averages = self.autoscaler.averages(now);
        let decision = self.autoscaler.tick(now, Some(Observed::ready(ready)), &[]);
        let pods = json!({"ready": ready});
        let mut tick = entry(self.base, self.input, t_ms, &pods, &self.autoscaler, &decision);
        let known = averages.unwrap_or_default();
        tick["stable"] = json!(known.stable);
        tick["panic"] = json!(known.panic);
        tick["metric_error"] = json!(averages.err().map_or("", missing));
        self.ticks.push(tick);
        let after = self.autoscaler.status();
        if before.is_news(&after) {
            self.informs.push(t_ms);
        }
    }

    /// The ready pods, those a stable window old first.
    fn ready_pods(&self, now: Timestamp) -> Vec<&Value> {
        let window_ms = self.autoscaler.settings().metric.stable_window_ms as i64;
        let t_ms = now.as_millis() - self.base;
        let (mut old, mut young) = (Vec::new(), Vec::new());
        for pod in list(self.frame, "pods") {
            let phase = pod["phase"].as_str().unwrap_or("running");
            if phase != "running" || truth(pod, "not_ready") || truth(pod, "terminating") {
                continue;
            }
            let aged = t_ms - integer(pod, "start_ms") >= window_ms;
            for _ in 0..integer(pod, "count") {
                if aged { old.push(pod) } else { young.push(pod) }
            }
        }
        old.extend(young);
        old
    }

    fn scrape(&mut self, t_ms: i64, now: Timestamp) {
        let population = self.ready_pods(now).len() as u32;
        let mut gathering = self.scraper.begin(population);
        self.ask(&mut gathering, now);
        let mut scraped = self.scraper.finish(&gathering);
        if scraped == Scraped::TryService {
            let mut gathering = self.scraper.begin_service(population);
            self.ask(&mut gathering, now);
            scraped = self.scraper.finish(&gathering);
        }
        let mut entry = json!({"t_ms": t_ms, "stat": null, "error": ""});
        match scraped {
            Scraped::Sample(sample) => {
                self.autoscaler.record(now, Origin::Instances, &sample);
                entry["stat"] = json!({
                    "c": sample.concurrency(),
                    "pc": sample.proxied_concurrency(),
                    "r": sample.request_rate(),
                    "pr": sample.proxied_request_rate(),
                });
            }
            Scraped::Nobody | Scraped::TryService => {}
            Scraped::Failed(error) => entry["error"] = json!(error.to_string()),
        }
        self.scrapes.push(entry);
    }

    fn ask(&self, gathering: &mut Gathering, now: Timestamp) {
        let pods = self.ready_pods(now);
        for (index, pod) in pods.iter().enumerate() {
            if !gathering.wants_more() {
                return;
            }
            if gathering.method() == Method::Service {
                gathering.take(Answer::Sample(sample(&pod["stat"])));
                continue;
            }
            let call = match self.frame["calls"].as_array() {
                Some(calls) => calls.get(index),
                None => Some(*pod),
            };
            gathering.take(match call.map_or("other", |call| text(call, "fail")) {
                "" => Answer::Sample(sample(&call.unwrap()["stat"])),
                "mesh" => Answer::MeshRefusal,
                _ => Answer::Failure,
            });
        }
    }
}
