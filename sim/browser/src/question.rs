//! What a page asks, as JSON: how a trace is to be read, and which settings to simulate.

use std::collections::BTreeMap;
use std::str::FromStr;

use serde::Deserialize;

use tidegate_sim::{Recording, RevisionModel, Scenario};
use tidegate_sim_traffic::{BadRows, Declared, Grouping, TraceOptions};
use tidegate_words::shell_word;

/// Most settings of one question; there are fewer than a hundred in all.
const SETTINGS_MAX: usize = 200;

/// The seed of `tidegate sim run`, when none is given.
const DEFAULT_SEED: u64 = 1;

/// Why a page gets no answer: a sentence for people.
#[derive(Debug, thiserror::Error)]
pub enum Problem {
    /// The page asked in a way that is not understood.
    #[error("what the page asked is not understood: {0}")]
    Asked(#[from] serde_json::Error),
    /// A setting cannot be used.
    #[error("{name}={value}: {problem}")]
    Setting {
        /// Its name.
        name: String,
        /// The value that was given.
        value: String,
        /// Why not.
        problem: String,
    },
    /// Settings cannot be used together.
    #[error("{0}")]
    Settings(String),
    /// The traffic cannot be read or made up.
    #[error("{0}")]
    Traffic(String),
    /// More than a page holds.
    #[error("{what}, which is more than a page holds ({most}); `tidegate sim run` takes all of it")]
    TooLarge {
        /// What there is.
        what: String,
        /// What a page holds.
        most: String,
    },
}

/// How a trace is to be read, where it does not say it. Names are those of `tidegate sim run`'s
/// options; what is empty is left to the trace.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct ReadingOptions {
    /// Seed of all chance: of reading, where requests of one stamp are spread, and of the runs.
    pub seed: u64,
    /// The format of each line of an access log.
    pub log_format: String,
    /// The field with the time of a request.
    pub time: String,
    /// The field with the service time.
    pub service: String,
    /// The field with the revision.
    pub revision: String,
    /// Unit of the time of a request.
    pub time_unit: String,
    /// Unit of the service time.
    pub service_unit: String,
    /// Which moment a stamp names.
    pub stamps: String,
    /// What is a revision: `function`, `app` or `all`.
    pub group: String,
    /// Whether rows that are not understood are left out.
    pub skip_bad: bool,
}

/// The settings to simulate.
#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Question {
    /// Price of an instance-hour; 0 shows no cost.
    pub price: f64,
    /// Settings by the names of `--set`, applied in this order.
    pub set: Vec<(String, String)>,
    /// Settings that are turned: of a point of the front, what sets it apart.
    pub turned: BTreeMap<String, String>,
    /// The point that is in force now: what is turned, as it is there.
    pub now: BTreeMap<String, String>,
}

impl Default for ReadingOptions {
    fn default() -> Self {
        ReadingOptions {
            seed: DEFAULT_SEED,
            log_format: String::new(),
            time: String::new(),
            service: String::new(),
            revision: String::new(),
            time_unit: String::new(),
            service_unit: String::new(),
            stamps: String::new(),
            group: String::new(),
            skip_bad: false,
        }
    }
}

impl ReadingOptions {
    /// Reads options from JSON.
    ///
    /// # Errors
    ///
    /// When it is none, or has a name that is not known.
    pub fn parse(text: &str) -> Result<Self, Problem> {
        Ok(serde_json::from_str(text)?)
    }

    /// The same for the reader of traces.
    ///
    /// # Errors
    ///
    /// When a value is not one of those that there are, with those.
    pub fn options(&self) -> Result<TraceOptions, Problem> {
        let text = |value: &str| Some(value.trim().to_owned()).filter(|value| !value.is_empty());
        let declared = Declared {
            log_format: text(&self.log_format),
            time: text(&self.time),
            service: text(&self.service),
            revision: text(&self.revision),
            time_unit: chosen("time unit", &self.time_unit)?,
            service_unit: chosen("service unit", &self.service_unit)?,
            stamps: chosen("stamps", &self.stamps)?,
        };
        let grouping = chosen::<Grouping>("revisions", &self.group)?.unwrap_or_default();
        let bad_rows = if self.skip_bad { BadRows::Skip } else { BadRows::Refuse };
        Ok(TraceOptions {
            declared,
            grouping,
            bad_rows,
            seed: self.seed,
            ..TraceOptions::default()
        })
    }

    /// The same as options of `tidegate sim run`, each with a space before it.
    pub fn arguments(&self) -> String {
        let roles =
            [("time", &self.time), ("service", &self.service), ("revision", &self.revision)];
        let named = roles.iter().filter(|(_, field)| !field.trim().is_empty());
        let fields: Vec<String> =
            named.map(|(role, field)| format!("{role}={}", field.trim())).collect();
        let fields = fields.join(",");
        let options = [
            ("log-format", &self.log_format),
            ("fields", &fields),
            ("time-unit", &self.time_unit),
            ("service-unit", &self.service_unit),
            ("stamps", &self.stamps),
            ("group", &self.group),
        ];
        let given = options.iter().filter(|(_, value)| !value.trim().is_empty());
        let mut text: String =
            given.map(|(name, value)| format!(" --{name} {}", shell_word(value.trim()))).collect();
        if self.skip_bad {
            text.push_str(" --skip-bad");
        }
        text
    }
}

fn chosen<T: FromStr<Err = String>>(name: &str, value: &str) -> Result<Option<T>, Problem> {
    if value.trim().is_empty() {
        return Ok(None);
    }
    let found = value.trim().parse();
    found.map(Some).map_err(|problem| setting(name, value, problem))
}

fn setting(name: &str, value: &str, problem: String) -> Problem {
    Problem::Setting { name: name.to_owned(), value: value.to_owned(), problem }
}

impl Question {
    /// Reads a question from JSON.
    ///
    /// # Errors
    ///
    /// When it is none, or has a name that is not known.
    pub fn parse(text: &str) -> Result<Self, Problem> {
        Ok(serde_json::from_str(text)?)
    }

    /// Everything that is set and not turned.
    ///
    /// # Errors
    ///
    /// When a setting does not exist or a value cannot be used.
    pub fn scenario(&self, recording: Recording) -> Result<Scenario, Problem> {
        if self.set.len() > SETTINGS_MAX {
            let what = format!("{} settings", self.set.len());
            return Err(Problem::TooLarge { what, most: SETTINGS_MAX.to_string() });
        }
        let mut revision = RevisionModel::default();
        apply(&mut revision, self.set.iter().map(|(name, value)| (name, value)))?;
        Ok(Scenario { revision, recording, ..Scenario::default() })
    }

    /// Everything that is set, and what is turned as it is there.
    ///
    /// # Errors
    ///
    /// As [`Question::scenario`], and when the settings cannot be used together.
    pub fn whole(&self, recording: Recording) -> Result<Scenario, Problem> {
        let mut scenario = self.scenario(recording)?;
        apply(&mut scenario.revision, self.turned.iter())?;
        scenario.revision.check().map_err(Problem::Settings)?;
        Ok(scenario)
    }
}

fn apply<'a>(
    model: &mut RevisionModel,
    settings: impl Iterator<Item = (&'a String, &'a String)>,
) -> Result<(), Problem> {
    for (name, value) in settings {
        model.set(name, value).map_err(|problem| setting(name, value, problem))?;
    }
    Ok(())
}
