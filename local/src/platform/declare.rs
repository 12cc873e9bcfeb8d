//! What a service of a file is to the controller.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tidegate_activator::Carries;
use tidegate_controller::process::RunId;
use tidegate_controller::{Declaration, HoldBounds, IdleMode, QueueRules, Readiness};
use tidegate_knative::environment::{TIDEGATE_ABANDONED, TIDEGATE_CONCURRENCY};
use tidegate_services::{
    self as services, Abandoned, Concurrency, Limits, Protocol, Ready, Scale, Template,
};

use super::users::Account;
use crate::environment::{self, Colours};
use crate::revisions;
use crate::settings::{Settings, SettingsError};

/// What all services of a file have in common.
#[derive(Debug, Clone)]
pub struct Surroundings {
    /// The folder of the file, which the folders in it are relative to.
    pub folder: PathBuf,
    /// Whether colours are shown where the apps' output goes.
    pub colours: Colours,
}

impl Surroundings {
    /// The folder in which a service runs.
    pub(crate) fn directory(&self, template: &Template) -> PathBuf {
        match &template.directory {
            Some(directory) => self.folder.join(directory),
            None => self.folder.clone(),
        }
    }

    /// What is added to the environment of an app, and of its build.
    pub(crate) fn variables(
        &self,
        template: &Template,
        account: Option<&Account>,
    ) -> Vec<(OsString, OsString)> {
        let mut all = environment::for_app(self.colours, |name| std::env::var_os(name));
        if let Some(Account { name, home, .. }) = account {
            let known = [("USER", name), ("LOGNAME", name), ("HOME", home)];
            all.extend(known.map(|(variable, value)| (variable.into(), value.into())));
        }
        let said = template.variables.iter().map(|(name, value)| (name.into(), value.into()));
        all.extend(said);
        all
    }
}

/// The settings of a revision, by the keys of local mode.
pub(crate) fn settings(
    revision: &str,
    template: &Template,
    scale: &Scale,
    initial: u32,
) -> Settings {
    let mut sidecar = vec![(TIDEGATE_ABANDONED, abandoned(template.abandoned))];
    if template.concurrency == Concurrency::Auto {
        sidecar.push((TIDEGATE_CONCURRENCY, "auto"));
    }
    Settings {
        concurrency: match template.concurrency {
            Concurrency::Limit(limit) => limit,
            Concurrency::Auto | Concurrency::Unlimited => 0,
        },
        min: scale.min,
        max: scale.max,
        initial,
        window: scale.window,
        idle: scale.idle,
        readiness: match &template.ready {
            Ready::Tcp => Readiness::Tcp,
            Ready::Http(path) => Readiness::Http(path.clone()),
            Ready::Grpc(service) => Readiness::Grpc(service.clone()),
            Ready::Exec(command) => Readiness::Exec(command.iter().map(Into::into).collect()),
            Ready::Log(line) => Readiness::LogLine(line.clone()),
        },
        idle_mode: match template.idle_mode {
            services::IdleMode::Stop => IdleMode::Stop,
            services::IdleMode::Freeze => IdleMode::Freeze,
        },
        start_timeout: template.start_timeout,
        request_timeout: template.timeout,
        stop_timeout: template.stop_timeout,
        settings: scale.set.clone(),
        sidecar_environment: sidecar
            .into_iter()
            .map(|(name, value)| (name.into(), value.into()))
            .collect(),
        ..Settings::new(revision, &template.command)
    }
}

fn abandoned(rule: Abandoned) -> &'static str {
    match rule {
        Abandoned::Hold => "hold",
        Abandoned::Release => "release",
    }
}

/// What is declared: a service's template with the scale that it has now.
pub(crate) struct Wanted<'a> {
    pub(crate) service: &'a str,
    pub(crate) revision: &'a str,
    pub(crate) template: &'a Template,
    pub(crate) scale: &'a Scale,
    pub(crate) queue: &'a QueueRules,
    pub(crate) initial: u32,
    pub(crate) account: Option<Account>,
    /// As far as they can be had.
    pub(crate) limits: Limits,
}

/// The declaration of a revision.
///
/// # Errors
///
/// Everything that is wrong with its settings.
pub(crate) fn declaration(
    wanted: Wanted<'_>,
    surroundings: &Surroundings,
    pairing: &RunId,
) -> Result<Declaration, SettingsError> {
    let Wanted { service, revision, template, scale, queue, initial, account, limits } = wanted;
    let mut settings = settings(revision, template, scale, initial);
    settings.environment = surroundings.variables(template, account.as_ref());
    let mut declaration = settings.declare()?;
    declaration.hold =
        HoldBounds { longest_wait_ms: whole_ms(template.timeout), ..HoldBounds::default() };
    declaration.queue = queue.clone();
    if let Some(launch) = &mut declaration.launch {
        let launch = Arc::make_mut(launch);
        launch.service = Some(service.to_owned());
        launch.directory = Some(surroundings.directory(template));
        launch.port = template.port;
        launch.user = account.map(|account| account.ids);
        let Limits { memory_bytes, cpu_millis, processes } = limits;
        launch.limits = tidegate_controller::Limits { memory_bytes, cpu_millis, processes };
    }
    let carries = match template.protocol {
        Protocol::Http => Carries::Http,
        Protocol::Tcp => Carries::Tcp,
    };
    revisions::pair(std::slice::from_mut(&mut declaration), pairing, carries);
    Ok(declaration)
}

fn whole_ms(time: Duration) -> u32 {
    u32::try_from(time.as_millis()).unwrap_or(u32::MAX).max(1)
}

/// A program as it is looked for: a path is relative to the folder in which it is run.
pub(crate) fn program_in(directory: &Path, command: &[String]) -> Vec<OsString> {
    let Some(program) = command.first() else { return Vec::new() };
    match Path::new(program).components().count() {
        0 | 1 => vec![program.into()],
        _ => vec![directory.join(program).into_os_string()],
    }
}

#[cfg(test)]
mod tests {
    use tidegate_activator::request_keys::KeySource;
    use tidegate_controller::QueueOrder;
    use tidegate_services::Services;

    use super::*;

    /// A file is checked without an activator: what it takes an activator has to understand.
    #[test]
    fn what_a_file_says_of_a_queue_an_activator_can_follow() {
        let token = "header:X-!#$%&*+.^_`|~9";
        for by in [token, "header:x-user", "cookie:Session_id", "path", "client-address"] {
            let text = format!("[service.web]\ncommand = 'a'\norder = 'fair:{by}'\n");
            let services = Services::parse(&text).expect(by);
            let rules = &services.services["web"].queue;
            assert_eq!(rules.order, Some(QueueOrder::FairBy(by.to_owned())));
            assert!(by.parse::<KeySource>().is_ok(), "{by}");
        }
        let text = "[service.web]\ncommand = 'a'\nclasses = ['gold=10', 'rest=1']\n";
        let services = Services::parse(text).expect("valid");
        let QueueRules { order, classes, .. } = &services.services["web"].queue;
        assert_eq!((order, classes.len(), classes[0].weight.get()), (&None, 2, 10));
    }
}
