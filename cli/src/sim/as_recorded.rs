//! A service as it was when its requests were recorded, to be simulated with nothing else said.

use tidegate_autoscaler::StartPace;
use tidegate_recording::{Order, Place, Recorded, Scaling, Start};
use tidegate_sim::fit::starts::{ControlPlaneFit, SeenOrder, SeenStart, StartEnd};
use tidegate_sim::scenario::{Contention, Path, Platform, StartModel, StartUp, StartsInTurns};
use tidegate_sim::{Distribution, PolicyChoice, RevisionModel, SimSpan, SimTime, fit};
use tidegate_sim_report::figures;

use crate::terminal::counted;

/// Service time of requests that bring none.
pub(crate) const DEFAULT_SERVICE: &str = "const:100ms";

const MICROS_PER_SECOND: u64 = 1_000_000;

/// The model and the length of a recording.
#[derive(Debug, Clone)]
pub(crate) struct AsRecorded {
    pub(crate) model: RevisionModel,
    pub(crate) starts: StartModel,
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
        let mut starts = StartModel::default();
        if head.adaptive {
            notes.push("its limit followed the latency, and is unlimited here".to_owned());
        }
        let services = recorded.services_us.iter().map(|us| span_of(*us)).collect();
        if let Some(law) = Distribution::empirical("as recorded", services) {
            model.service = law;
        }
        if let Some(scaling) = &head.scaling {
            apply(&mut model, scaling, &mut notes)?;
            let began_us = recorded.began_unix_us + part.from.as_nanos() / 1_000;
            model.platform = Platform::Local {
                idle: SimSpan::from_millis(scaling.idle_ms),
                into_second: SimSpan::from_nanos(began_us % MICROS_PER_SECOND * 1_000),
            };
            starts = start_ups(&mut model, recorded, &mut notes);
            if part.from > SimSpan::ZERO {
                let there = recorded.instances_at(part.from.as_nanos() / 1_000);
                model.initial = Some(there.ready + there.starting);
                model.initial_starting = there.starting;
                // They are those from the beginning.
                model.start_up.in_order = None;
            }
        }
        let duration = recorded.length_us().map(|length_us| part.of(span_of(length_us)));
        let (place, revision) = (head.recorded_at, head.revision.clone());
        Ok(Self { model, starts, duration, place, revision, notes })
    }

    /// Says on standard error that the recorded settings hold, and which `model` they became.
    pub(crate) fn tell(&self, model: &RevisionModel, starts: &StartModel) {
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
        if starts.contention != Contention::None {
            line.push_str(&format!("; start-ups slow each other by {}", starts.contention));
        }
        if let Some(rate) = starts.per_second {
            line.push_str(&format!("; {} starts a second", figures::number(rate)));
        }
        if let Some(turns) = &starts.in_turns {
            line.push_str(&format!("; starts take turns ({turns})"));
        }
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

/// Start-ups as they would have been alone, in their order, with what disturbed them.
fn start_ups(
    model: &mut RevisionModel,
    recorded: &Recorded,
    notes: &mut Vec<String>,
) -> StartModel {
    let mut starts = StartModel { in_turns: in_turns(recorded), ..StartModel::default() };
    if let Some(fitted) = control_plane(recorded) {
        model.start_up.schedule = Distribution::Constant(fitted.latency);
        starts.per_second = fitted.per_second;
    }
    let fitted = fit::starts::start_ups(&seen_starts(recorded));
    let alone = fitted.as_ref().map_or(&[][..], |fitted| &fitted.alone);
    match (
        fitted.as_ref(),
        Distribution::empirical("as recorded", alone.iter().flatten().copied().collect()),
    ) {
        (Some(fitted), Some(law)) => {
            model.start_up.start = law;
            model.start_up.in_order = Some(alone.into());
            starts.contention = fitted.contention.clone();
        }
        _ => notes.push("no start-up was seen; one takes a second here".to_owned()),
    }
    starts
}

/// Every start of a recording.
pub(super) fn seen_starts(recorded: &Recorded) -> Vec<SeenStart> {
    let seen = |start: &Start| SeenStart {
        from: SimTime::ZERO + span_of(start.from_us),
        until: SimTime::ZERO + span_of(start.until_us),
        end: if start.became_ready { StartEnd::Ready } else { StartEnd::GivenUp },
    };
    recorded.starts().iter().map(seen).collect()
}

/// How soon, and how fast, instances of a recording were started once they were wanted.
pub(super) fn control_plane(recorded: &Recorded) -> Option<ControlPlaneFit> {
    let fitted = fit::starts::control_plane(&seen_orders(recorded))?;
    // Where starts take turns, that is what they wait for.
    let per_second = fitted.per_second.filter(|_| pace(recorded).is_none());
    Some(ControlPlaneFit { per_second, ..fitted })
}

/// How starts took turns while it was recorded, if they did.
pub(super) fn in_turns(recorded: &Recorded) -> Option<StartsInTurns> {
    let pace = pace(recorded)?;
    let (orders, seen) = (seen_orders(recorded), seen_starts(recorded));
    let slack = fit::starts::slack_per_second(pace, &orders, &seen);
    // With as many digits as can be told apart, so that it reads back as it was printed.
    Some(StartsInTurns { pace, slack_per_second: (slack * 1e2).round() / 1e2 })
}

/// Every decision of a recording for more instances.
fn seen_orders(recorded: &Recorded) -> Vec<SeenOrder> {
    let time = |us: &u64| SimTime::ZERO + span_of(*us);
    let seen = |order: &Order| SeenOrder {
        at: time(&order.at_us),
        starts: order.starts_us.iter().map(time).collect(),
    };
    recorded.orders().iter().map(seen).collect()
}

/// How many started at a time while it was recorded, if they took turns.
fn pace(recorded: &Recorded) -> Option<StartPace> {
    let scaling = recorded.head.scaling.as_ref()?;
    let at_once = usize::try_from(scaling.starts_at_once?).ok()?;
    Some(StartPace { at_once, turn_ms: scaling.start_turn_ms? })
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
