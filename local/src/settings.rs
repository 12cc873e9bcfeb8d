//! A service's settings and the declaration they make: Knative's settings with local defaults.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tidegate_admission::DispatcherSettings;
use tidegate_autoscaler::revision::TICK_INTERVAL_MS;
use tidegate_autoscaler::settings::{
    ANNOTATION_PREFIX, Config, Strictness, Violations, sort_settings as sort_by_owner,
    unknown_setting,
};
use tidegate_autoscaler::{Improvements, StartPace};
use tidegate_controller::identity::NameError;
use tidegate_controller::{
    Declaration, IdleMode, Launch, PolicyChoice, Readiness, RevisionId, Template,
};

use tidegate_knative::environment::TIDEGATE_CONCURRENCY;
use tidegate_recording::{Head, Place, Scaling, VERSION};

use crate::environment::{self, Colours};
use crate::recording::{Recording, RecordingError};

pub use tidegate_services::INSTANCES_MAX;

/// Why settings cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    /// A name that is neither a key of `config-autoscaler` nor an annotation.
    #[error("{}", unknown_setting(key))]
    Unknown {
        /// The name.
        key: String,
        /// Its value.
        value: String,
    },
    /// Values that are out of range, all of them.
    #[error(transparent)]
    Values(#[from] Violations),
    /// The name of the service.
    #[error(transparent)]
    Name(#[from] NameError),
}

/// Why a command cannot be run.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CommandError {
    /// It is empty.
    #[error("there is no command to run")]
    Empty,
    /// No such file.
    #[error("there is no program {0:?}")]
    Missing(String),
    /// No such program in `PATH`.
    #[error("there is no program {0:?} in PATH")]
    NotInPath(String),
    /// A file that is no program.
    #[error("{0:?} cannot be run: it is no executable file (try `chmod +x`)")]
    NotExecutable(String),
}

/// Settings of a service on this machine. Everything else has Knative's default.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Name of the revision.
    pub name: String,
    /// Program and arguments.
    pub command: Vec<OsString>,
    /// Requests that an instance takes at a time; 0 is unlimited.
    pub concurrency: u32,
    /// Fewest instances.
    pub min: u32,
    /// Most instances; 0 is unlimited.
    pub max: u32,
    /// Instances to start with.
    pub initial: u32,
    /// The stable window.
    pub window: Duration,
    /// How long the last instance stays after the last request; half a window when `None`.
    pub idle: Option<Duration>,
    /// What becomes of instances that are not wanted any more.
    pub idle_mode: IdleMode,
    /// When an instance counts as ready.
    pub readiness: Readiness,
    /// How long an instance may take to become ready.
    pub start_timeout: Duration,
    /// Longest time of a request.
    pub request_timeout: Duration,
    /// How long an instance may take to end after SIGTERM.
    pub stop_timeout: Duration,
    /// Added to the environment of the app.
    pub environment: Vec<(OsString, OsString)>,
    /// Further settings: keys of `config-autoscaler` and annotations, by their names.
    pub settings: Vec<(String, String)>,
    /// Further settings of the queue-proxies, by the names of their variables.
    pub sidecar_environment: Vec<(OsString, OsString)>,
    /// File that [`Settings::recording`] writes to.
    pub record: Option<PathBuf>,
}

impl Settings {
    /// The defaults of local mode: one instance at once, up to ten, a stable window of a minute,
    /// no limit of concurrency. `{PORT}` in the command becomes the port to listen on, as does the
    /// variable `PORT`.
    pub fn new(name: &str, command: impl IntoIterator<Item = impl Into<OsString>>) -> Self {
        Self {
            name: name.to_owned(),
            command: command.into_iter().map(Into::into).collect(),
            concurrency: 0,
            min: 0,
            max: 10,
            initial: 1,
            window: Duration::from_secs(60),
            idle: None,
            idle_mode: IdleMode::Stop,
            readiness: Readiness::Tcp,
            start_timeout: Duration::from_secs(60),
            request_timeout: Duration::from_secs(300),
            stop_timeout: Duration::from_secs(10),
            environment: environment::for_app(Colours::Unwanted, |name| std::env::var_os(name)),
            settings: Vec::new(),
            sidecar_environment: Vec::new(),
            record: None,
        }
    }

    /// The declaration that these settings make.
    ///
    /// # Errors
    ///
    /// Everything that is wrong with them, at once.
    pub fn declare(&self) -> Result<Declaration, SettingsError> {
        let (config, annotations) = self.split()?;
        let id = RevisionId::new("local", &self.name)?;
        let template = Template { config, annotations, improvements: Improvements::all() };
        let mut declaration = template.declare(id, self.concurrency)?;
        self.apply_idle(&mut declaration);
        declaration.start_deadline_ms =
            u64::try_from(self.start_timeout.as_millis()).unwrap_or(u64::MAX);
        let mut launch = Launch::new(self.command.clone());
        launch.readiness = self.readiness.clone();
        launch.idle_mode = self.idle_mode;
        launch.container_concurrency = self.concurrency;
        launch.request_timeout = Some(self.request_timeout);
        // An instance that is scaled down finishes its requests, however long that may take.
        launch.grace_period = launch.grace_period.max(self.request_timeout);
        launch.stop_deadline = self.stop_timeout;
        // Warned before the deadline, however short it is.
        launch.patience = launch.patience.min(self.start_timeout / 2);
        launch.environment.clone_from(&self.environment);
        launch.sidecar_environment.clone_from(&self.sidecar_environment);
        declaration.launch = Some(launch.into());
        Ok(declaration)
    }

    /// Begins the recording, if one is wanted: its head has everything that a simulation of
    /// `declaration`, which these settings made and whose starts have this pace, has to know.
    ///
    /// # Errors
    ///
    /// When its file cannot be created, or is no empty one.
    pub fn recording(
        &self,
        declaration: &Declaration,
        pace: StartPace,
    ) -> Result<Option<Recording>, RecordingError> {
        let Some(path) = &self.record else { return Ok(None) };
        let adaptive = self.is_adaptive();
        let scaling = self.scaling(declaration, pace);
        let head = |began_unix_us| Head {
            version: VERSION,
            recorded_at: Place::FrontDoor,
            began_unix_us,
            revision: declaration.id.to_string(),
            concurrency: self.concurrency,
            adaptive,
            scaling: Some(scaling),
        };
        Recording::create(path, head).map(Some)
    }

    fn is_adaptive(&self) -> bool {
        self.sidecar_environment.iter().any(|(name, _)| name == TIDEGATE_CONCURRENCY)
    }

    fn scaling(&self, declaration: &Declaration, pace: StartPace) -> Scaling {
        let (policy, tick_ms) = match &declaration.policy {
            PolicyChoice::Hpa(settings) => ("hpa", settings.sync_period_ms),
            _ => ("tidegate", TICK_INTERVAL_MS),
        };
        let mut settings = self.config();
        for (name, value) in &self.settings {
            let bare = name.strip_prefix(ANNOTATION_PREFIX).unwrap_or(name);
            settings.insert(bare.to_owned(), value.clone());
        }
        let millis = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        let drain =
            declaration.launch.as_ref().map_or(Duration::ZERO, |launch| launch.grace_period);
        let takes_turns = pace != StartPace::UNPACED;
        let at_once = u32::try_from(pace.at_once).unwrap_or(u32::MAX);
        Scaling {
            policy: policy.to_owned(),
            settings,
            initial: self.initial,
            idle_ms: millis(self.idle.unwrap_or(self.window / 2)),
            tick_ms,
            timeout_ms: millis(self.request_timeout),
            drain_ms: millis(drain),
            waiting_max: DispatcherSettings::default().max_waiting,
            starts_at_once: takes_turns.then_some(at_once),
            start_turn_ms: takes_turns.then_some(pace.turn_ms),
        }
    }

    /// Keys of the cluster that differ from Knative's defaults.
    fn config(&self) -> BTreeMap<String, String> {
        let window = go_duration(self.window);
        [
            // The activator is always in the path: clients have no other address.
            ("target-burst-capacity", "-1".to_owned()),
            ("allow-zero-initial-scale", "true".to_owned()),
            ("initial-scale", self.initial.to_string()),
            ("min-scale", self.min.to_string()),
            ("max-scale", self.max.to_string()),
            ("stable-window", window),
        ]
        .map(|(key, value)| (key.to_owned(), value))
        .into()
    }

    /// Sorts settings into those of the cluster and those of the revision.
    fn split(&self) -> Result<(Config, BTreeMap<String, String>), SettingsError> {
        let mut config = self.config();
        let annotations = sort_settings(&mut config, &self.settings)?;
        Ok((Config::from_map(&config, Strictness::Strict)?, annotations))
    }

    /// Scaling to zero takes less than a whole window, and a longer idle time keeps the last
    /// instance.
    fn apply_idle(&self, declaration: &mut Declaration) {
        let PolicyChoice::Knative(settings) = &mut declaration.policy else { return };
        let window_ms = settings.metric.stable_window_ms;
        let idle_ms = self
            .idle
            .map_or(window_ms / 2, |idle| u64::try_from(idle.as_millis()).unwrap_or(u64::MAX));
        let lifecycle = &mut declaration.lifecycle;
        lifecycle.scale_to_zero_after(idle_ms, window_ms, &mut settings.spec);
    }
}

/// Separates settings: keys of `config-autoscaler` go into `config`, annotations are returned.
///
/// # Errors
///
/// When a name is neither.
pub fn sort_settings(
    config: &mut BTreeMap<String, String>,
    settings: &[(String, String)],
) -> Result<BTreeMap<String, String>, SettingsError> {
    let by_name = settings.iter().map(|(key, value)| (key.as_str(), value.as_str()));
    let unknown = |(key, value): (&str, &str)| SettingsError::Unknown {
        key: key.to_owned(),
        value: value.to_owned(),
    };
    let (given, annotations) = sort_by_owner(by_name).map_err(unknown)?;
    config.extend(given);
    Ok(annotations)
}

fn go_duration(duration: Duration) -> String {
    format!("{}ms", duration.as_millis())
}

/// Checks that a command can be started, so that a typing error is found before a request waits
/// for it.
///
/// # Errors
///
/// When there is no such program, or it may not be run.
pub fn check_command(command: &[OsString]) -> Result<(), CommandError> {
    use std::os::unix::fs::PermissionsExt;
    let program = command.first().ok_or(CommandError::Empty)?;
    let is_program = |path: &Path| {
        path.metadata().is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
    };
    let shown = program.to_string_lossy().into_owned();
    let path = Path::new(program);
    if path.components().count() > 1 {
        if !path.exists() {
            return Err(CommandError::Missing(shown));
        }
        if !is_program(path) {
            return Err(CommandError::NotExecutable(shown));
        }
        return Ok(());
    }
    let search = std::env::var_os("PATH").unwrap_or_default();
    if std::env::split_paths(&search).any(|folder| is_program(&folder.join(path))) {
        return Ok(());
    }
    Err(CommandError::NotInPath(shown))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings() -> Settings {
        Settings { max: 5, concurrency: 10, ..Settings::new("app", ["sh"]) }
    }

    fn refused(settings: &Settings) -> SettingsError {
        settings.declare().expect_err("it is refused")
    }

    #[test]
    fn settings_go_where_they_belong() {
        let mut local = settings();
        local.settings = vec![
            ("max-scale-down-rate".into(), "3".into()),
            ("target".into(), "4".into()),
            ("autoscaling.knative.dev/panic-threshold-percentage".into(), "300".into()),
        ];
        let declaration = local.declare().expect("valid");
        let PolicyChoice::Knative(settings) = declaration.policy else { panic!("Knative's") };
        assert_eq!(settings.spec.max_scale_down_rate, 3.0);
        assert_eq!(settings.spec.total_value, 4.0);
        assert_eq!(settings.spec.panic_threshold, 3.0);
        assert_eq!(declaration.lifecycle.bounds.max, 5);
    }

    #[test]
    fn idle_time_may_be_shorter_or_longer_than_the_window() {
        let idle = |seconds| {
            let mut local = settings();
            local.idle = Some(Duration::from_secs(seconds));
            let lifecycle = local.declare().expect("valid").lifecycle;
            (lifecycle.stable_window.seconds(), lifecycle.retention.seconds())
        };
        assert_eq!(idle(5), (5, 0));
        assert_eq!(idle(90), (60, 30));
        let default = settings().declare().expect("valid").lifecycle;
        assert_eq!(default.stable_window.seconds(), 30);
    }

    #[test]
    fn what_cannot_be_is_refused_with_its_name() {
        let mut unknown = settings();
        unknown.settings = vec![("stabel-window".into(), "60s".into())];
        assert!(refused(&unknown).to_string().contains("did you mean `stable-window`?"));
        let mut wrong = settings();
        wrong.window = Duration::from_secs(1);
        wrong.settings = vec![("target".into(), "-3".into())];
        let SettingsError::Values(wrong) = refused(&wrong) else { panic!("values") };
        assert!(wrong.as_slice().iter().any(|violation| violation.key == "stable-window"));
    }

    #[test]
    fn commands_are_looked_for_before_they_are_needed() {
        assert!(check_command(&["sh".into()]).is_ok());
        assert!(check_command(&["/bin/sh".into()]).is_ok());
        for missing in ["no-such-program-here", "/no/such/program", "/etc/passwd", "/"] {
            let error = check_command(&[missing.into()]).expect_err(missing).to_string();
            assert!(error.contains(missing), "{error}");
        }
        assert!(check_command(&[]).is_err());
    }
}
