//! A service as it was when its requests were recorded, to be simulated with nothing else said.

use tidegate_recording::{Place, Recorded, Scaling};
use tidegate_sim::scenario::{Path, Platform, StartUp};
use tidegate_sim::{Distribution, PolicyChoice, RevisionModel, SimSpan};
use tidegate_sim_report::figures;

use crate::terminal::counted;

/// Service time of requests that bring none.
pub(crate) const DEFAULT_SERVICE: &str = "const:100ms";

/// The model and the length of a recording.
#[derive(Debug, Clone)]
pub(crate) struct AsRecorded {
    pub(crate) model: RevisionModel,
    /// How long it lasted, from where it is played; `None` when it was cut off.
    pub(crate) duration: Option<SimSpan>,
    place: Place,
    revision: String,
    /// What cannot be simulated as it was.
    notes: Vec<String>,
}

/// Which part of a recording is played.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Part {
    pub(crate) from: SimSpan,
    pub(crate) to: SimSpan,
    /// So many times as fast.
    pub(crate) warp: f64,
}

impl Part {
    /// How long it is of something that is `whole` long.
    fn of(self, whole: SimSpan) -> SimSpan {
        let played = whole.min(self.to).as_nanos().saturating_sub(self.from.as_nanos());
        SimSpan::from_secs_f64(SimSpan::from_nanos(played).as_secs_f64() / self.warp)
    }
}

impl AsRecorded {
    /// The service of `recorded`, of which `part` is played.
    ///
    /// # Errors
    ///
    /// When its policy is none that is known here.
    pub(crate) fn of(recorded: &Recorded, part: Part) -> Result<Self, String> {
        let head = &recorded.head;
        let mut model = RevisionModel { concurrency: head.concurrency, ..unrecorded() };
        let mut notes = Vec::new();
        if head.adaptive {
            notes.push("its limit followed the latency, and is unlimited here".to_owned());
        }
        let services = recorded.services_us.iter().map(|us| span_of(*us)).collect();
        if let Some(law) = Distribution::empirical("as recorded", services) {
            model.service = law;
        }
        if let Some(scaling) = &head.scaling {
            apply(&mut model, scaling, &mut notes)?;
            let start_ups = recorded.start_ups();
            let times = start_ups.iter().map(|one| span_of(one.until_us - one.from_us)).collect();
            match Distribution::empirical("as recorded", times) {
                Some(law) => model.start_up = StartUp::total(law),
                None => notes.push("no start-up was seen; one takes a second here".to_owned()),
            }
            if part.from > SimSpan::ZERO {
                let there = recorded.instances_at(part.from.as_nanos() / 1_000);
                model.initial = Some(there.ready + there.starting);
                model.initial_starting = there.starting;
            }
        }
        let duration = recorded.length_us().map(|length_us| part.of(span_of(length_us)));
        let (place, revision) = (head.recorded_at, head.revision.clone());
        Ok(Self { model, duration, place, revision, notes })
    }

    /// Says on standard error that the recorded settings hold, and which `model` they became.
    pub(crate) fn tell(&self, model: &RevisionModel) {
        let clean = |text: &str| text.replace(char::is_control, "?");
        let mut facts = Vec::new();
        if self.place == Place::FrontDoor {
            facts.push(format!("policy {}", model.policy));
        }
        facts.push(match model.concurrency {
            0 => "concurrency unlimited".to_owned(),
            limit => format!("concurrency {limit}"),
        });
        facts.extend(model.settings.iter().map(|(key, value)| format!("{key}={value}")));
        let mut line = format!("{} as recorded: {}", self.revision, facts.join(", "));
        if let Some(initial) = model.initial {
            let starting = model.initial_starting;
            line.push_str(&format!("; begins with {}", counted(initial.into(), "instance")));
            if starting > 0 {
                line.push_str(&format!(", {starting} of them starting"));
            }
        }
        if let Some(duration) = self.duration {
            line.push_str(&format!("; {} long", figures::seconds(duration.as_secs_f64())));
        }
        eprintln!("tidegate sim: {}; options override", clean(&line));
        if self.place == Place::Sidecar {
            eprintln!(
                "tidegate sim: note: it was recorded at a sidecar, which knows neither policy nor \
                 settings, nor what waited for an instance: options say them, and arrivals are \
                 those at the instance"
            );
        }
        for note in &self.notes {
            eprintln!("tidegate sim: note: {note}");
        }
    }
}

fn apply(
    model: &mut RevisionModel,
    scaling: &Scaling,
    notes: &mut Vec<String>,
) -> Result<(), String> {
    model.policy = PolicyChoice::parse(&scaling.policy)?;
    model.settings.clone_from(&scaling.settings);
    model.path = Path::Central;
    model.platform = Platform::Local { idle: SimSpan::from_millis(scaling.idle_ms) };
    model.initial = Some(scaling.initial);
    // A service begins with instances that it starts.
    model.initial_starting = scaling.initial;
    model.timeout = (scaling.timeout_ms > 0).then(|| SimSpan::from_millis(scaling.timeout_ms));
    model.drain = SimSpan::from_millis(scaling.drain_ms);
    model.front_door_capacity = scaling.waiting_max;
    let tick_ms = model.tick_ms()?;
    if scaling.tick_ms != tick_ms {
        notes.push(format!(
            "it decided every {} ms, and this release decides every {tick_ms} ms",
            scaling.tick_ms
        ));
    }
    Ok(())
}

fn span_of(micros: u64) -> SimSpan {
    SimSpan::from_nanos(micros.saturating_mul(1_000))
}

/// What is simulated where nothing is said and nothing was recorded.
pub(super) fn unrecorded() -> RevisionModel {
    RevisionModel {
        service: default_service(),
        start_up: StartUp::total(default_cold_start()),
        ..RevisionModel::default()
    }
}

/// [`DEFAULT_SERVICE`] as a law.
fn default_service() -> Distribution {
    Distribution::constant(SimSpan::from_millis(100))
}

/// A typical start-up on a small cluster with images at hand.
fn default_cold_start() -> Distribution {
    Distribution::constant(SimSpan::from_secs(1))
}
