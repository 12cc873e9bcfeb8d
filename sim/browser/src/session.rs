//! What a page holds of one trace, and its answers.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::json;

use tidegate_sim::engine::{self, RunError, RunOutput};
use tidegate_sim::sweep::{self, SweepPoint};
use tidegate_sim::{Recording, Scenario, SimSpan, Traffic};
use tidegate_sim_report::{Page, Prices, SweepPage, View, data, sweep_data};
use tidegate_sim_traffic::{Generated, TraceFile};
use tidegate_words::{parse_seconds, shell_word};

use crate::question::{Problem, Question, ReadingOptions};
use crate::replay::{Replay, Unhashed};

/// Largest trace that a page takes, packed or not: it is held in memory, of which a page has 4 GB.
pub const TRACE_BYTES_MAX: u64 = 1 << 30;

/// Points of the front kept; with two sliders of fifteen values there are fewer.
const POINTS_MAX: usize = 400;

/// Traffic that was read, and the points of the front so far.
pub struct Session {
    traffic: Replay,
    title: String,
    /// The arguments of `tidegate sim run` that choose the same traffic.
    arguments: String,
    seed: u64,
    /// When the simulation ends, for traffic that does not end by itself.
    until: Option<SimSpan>,
    origin_unix_s: Option<f64>,
    reading: String,
    warnings: Vec<String>,
    points: Points,
}

/// Points of one set of other settings.
#[derive(Default)]
struct Points {
    /// What all of them have in common.
    common: Option<Vec<(String, String)>>,
    found: BTreeMap<BTreeMap<String, String>, SweepPoint>,
}

impl Session {
    /// Reads the trace in `bytes`, which people know as `name`.
    ///
    /// # Errors
    ///
    /// What its reader says, with line and column where there is one.
    pub fn read(name: &str, bytes: Vec<u8>, options: &ReadingOptions) -> Result<Self, Problem> {
        fits(name, bytes.len() as u64)?;
        let trace = TraceFile::from_bytes(name, bytes, options.options()?);
        let trace = trace.map_err(|problem| Problem::Traffic(problem.to_string()))?;
        let reading = trace.reading();
        let (sentence, warnings) = (reading.sentence.clone(), reading.warnings.clone());
        let origin_unix_s = trace.origin_unix_s();
        let traffic = replay(Arc::new(trace))?;
        Ok(Session {
            traffic,
            title: name.to_owned(),
            arguments: format!("--trace {}{}", shell_word(name), options.arguments()),
            seed: options.seed,
            until: None,
            origin_unix_s,
            reading: sentence,
            warnings,
            points: Points::default(),
        })
    }

    /// Makes traffic up, as `--arrivals` and `--duration` would.
    ///
    /// # Errors
    ///
    /// When the specification or the duration cannot be used.
    pub fn make_up(specification: &str, duration: &str, seed: u64) -> Result<Self, Problem> {
        let seconds = parse_seconds(duration)
            .map_err(|problem| Problem::Traffic(format!("duration: {problem}")))?;
        let until = SimSpan::from_secs_f64(seconds);
        if until == SimSpan::ZERO {
            return Err(Problem::Traffic("duration: expected a time above zero".to_owned()));
        }
        if specification.contains("fitted:") {
            let why = "fitted: learns from a file, which a page cannot open; drop the file itself";
            return Err(Problem::Traffic(why.to_owned()));
        }
        let made = Generated::shared(specification, 0, until, seed);
        let traffic = replay(made.map_err(|problem| Problem::Traffic(problem.to_string()))?)?;
        Ok(Session {
            traffic,
            title: specification.to_owned(),
            arguments: format!("--arrivals {} --duration {duration}", shell_word(specification)),
            seed,
            until: Some(until),
            origin_unix_s: None,
            reading: String::new(),
            warnings: Vec::new(),
            points: Points::default(),
        })
    }

    /// What was read, as JSON: in words, and how much.
    pub fn about(&self) -> String {
        json!({
            "title": self.title,
            "reading": self.reading,
            "warnings": self.warnings,
            "requests": self.traffic.requests,
            "revisions": self.traffic.revisions,
            "skipped": self.traffic.skipped,
            "hasService": self.traffic.has_service,
        })
        .to_string()
    }

    /// Simulates `question`.
    ///
    /// # Errors
    ///
    /// When the settings cannot be used, or the traffic cannot be read again.
    pub fn run(&self, question: &Question) -> Result<RunOutput, Problem> {
        self.run_on(question, &self.traffic)
    }

    fn run_on(&self, question: &Question, traffic: &dyn Traffic) -> Result<RunOutput, Problem> {
        let whole = self.timed(question.whole(Recording::REPORT)?);
        let scenario = Scenario { prices: prices(question), ..whole };
        engine::run(&scenario, traffic, &mut ()).map_err(explain)
    }

    /// SHA-256 of the trace, or of what defines made up traffic.
    pub fn sha256(&self) -> String {
        self.traffic.sha256()
    }

    /// Simulates `question`, and answers with the data of a page and the command that makes the
    /// same figures.
    ///
    /// # Errors
    ///
    /// As [`Session::run`].
    pub fn simulate(&self, question: &Question) -> Result<String, Problem> {
        let run = self.run_on(question, &Unhashed(&self.traffic))?;
        let page = Page {
            title: self.title.clone(),
            command: self.command(question),
            prices: prices(question),
            origin_unix_s: self.origin_unix_s,
            cold_starts: Vec::new(),
            views: vec![View { name: String::new(), run: &run }],
        };
        // Both are JSON already, and are put together as text.
        let (drawn, command) = (data(&page), json!(page.command));
        Ok(format!("{{\"page\":{drawn},\"command\":{command}}}"))
    }

    /// Simulates `question` as a point of the front, unless it was before, and answers with all
    /// points so far of the same other settings.
    ///
    /// # Errors
    ///
    /// When the settings cannot be used, or the traffic cannot be read again.
    pub fn point(&mut self, question: &Question) -> Result<String, Problem> {
        let base = question.scenario(Recording::NOTHING)?;
        let base = self.timed(base);
        if self.points.common.as_ref() != Some(&question.set)
            || self.points.keys_differ(&question.turned)
            || self.points.found.len() >= POINTS_MAX
        {
            self.points = Points { common: Some(question.set.clone()), found: BTreeMap::new() };
        }
        if !self.points.found.contains_key(&question.turned) {
            let found = self.run_point(&base, &question.turned)?;
            self.points.found.insert(question.turned.clone(), found);
        }
        let mut points: Vec<SweepPoint> = self.points.found.values().cloned().collect();
        sweep::mark_front(&mut points.iter_mut().collect::<Vec<_>>());
        let now = points.iter().find(|point| point.settings == question.now);
        let now = now.map(|point| point.label.clone());
        let page = SweepPage {
            title: self.title.clone(),
            subtitle: String::new(),
            command: String::new(),
            points: &points,
            objectives: Vec::new(),
            best: None,
            now,
            runs: Vec::new(),
        };
        Ok(sweep_data(&page))
    }

    /// `scenario` with what the traffic brings.
    fn timed(&self, scenario: Scenario) -> Scenario {
        Scenario { seed: self.seed, duration: self.until, ..scenario }
    }

    fn run_point(
        &self,
        base: &Scenario,
        turned: &BTreeMap<String, String>,
    ) -> Result<SweepPoint, Problem> {
        sweep::point(base, &Unhashed(&self.traffic), turned).map_err(explain)
    }

    /// The command that makes the same figures.
    fn command(&self, question: &Question) -> String {
        let mut command = format!("tidegate sim run {}", self.arguments);
        let set = question.set.iter().map(|(name, value)| (name, value));
        for (name, value) in set.chain(&question.turned) {
            command.push_str(&format!(" --set {}", shell_word(&format!("{name}={value}"))));
        }
        if question.price != 0.0 {
            command.push_str(&format!(" --price instance-hour={}", question.price));
        }
        command.push_str(&format!(" --seed {}", self.seed));
        command
    }
}

impl Points {
    /// Whether the points so far were turned by other knobs.
    fn keys_differ(&self, turned: &BTreeMap<String, String>) -> bool {
        self.found.keys().next().is_some_and(|known| !known.keys().eq(turned.keys()))
    }
}

/// Whether a page holds a trace of `bytes`.
///
/// # Errors
///
/// When it does not.
pub fn fits(name: &str, bytes: u64) -> Result<(), Problem> {
    if bytes <= TRACE_BYTES_MAX {
        return Ok(());
    }
    let what = format!("{name} has {} MB", bytes >> 20);
    Err(Problem::TooLarge { what, most: format!("{} MB", TRACE_BYTES_MAX >> 20) })
}

/// The prices that a question gives.
fn prices(question: &Question) -> Prices {
    Prices { instance_hour: question.price, ..Prices::default() }
}

fn replay(traffic: Arc<dyn Traffic>) -> Result<Replay, Problem> {
    Replay::new(traffic).map_err(|problem| Problem::Traffic(problem.to_string()))
}

/// An engine's error in the words of a page: settings apply to all revisions alike.
fn explain(error: RunError) -> Problem {
    match error {
        RunError::Traffic(cause) => Problem::Traffic(cause.to_string()),
        RunError::Setting { problem, .. } => Problem::Settings(problem),
        other => Problem::Settings(other.to_string()),
    }
}
