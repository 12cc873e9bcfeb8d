//! The commands of an instance's two processes.

use std::ffi::{OsStr, OsString};
use std::process::Stdio;

use tidegate_knative::environment;
use tidegate_trust::credentials;
use tidegate_trust::secret::SECRET_VARIABLE;
use tokio::process::Command;

use super::ActuatorState;
use super::parent_death;
use super::process_tag::{INSTANCE_VARIABLE, PARENT_VARIABLE, RUN_VARIABLE};
use crate::declaration::{Launch, Limits, Readiness};
use crate::identity::{InstanceName, RevisionId};

/// The launcher, and the process that what is launched ends with.
pub(super) fn launcher(shared: &ActuatorState) -> (&[OsString], Option<u32>) {
    (&shared.config.launcher, parent(shared))
}

/// The process that an instance ends with: this one, unless instances may outlive it.
fn parent(shared: &ActuatorState) -> Option<u32> {
    shared.config.keep.is_none().then(std::process::id)
}

/// The instance whose processes they are.
#[derive(Clone, Copy)]
pub(super) struct Whose<'a> {
    pub(super) shared: &'a ActuatorState,
    pub(super) revision: &'a RevisionId,
    pub(super) name: &'a InstanceName,
}

/// What all processes of an instance have in common.
pub(super) fn tag(mut command: Command, of: Whose<'_>) -> Command {
    command
        .env(RUN_VARIABLE, &of.shared.config.run)
        .env(INSTANCE_VARIABLE, of.name.as_str())
        .stderr(Stdio::piped())
        // Signals reach the children of an app, and the terminal's Ctrl-C reaches only the
        // controller.
        .process_group(0);
    command
}

/// The command of the app through the launcher, which ties itself to `parent`, if it is to end with
/// it, and then becomes the app.
pub(super) fn app_command(
    (launcher, parent): (&[OsString], Option<u32>),
    launch: &Launch,
    revision: &RevisionId,
    port: u16,
) -> Result<Command, String> {
    let port = port.to_string();
    if launch.command.is_empty() {
        return Err("there is no command to run".to_owned());
    }
    let app = launch.command.iter().map(|argument| with_port(argument, &port));
    let service = launch.service.as_deref().unwrap_or(revision.name());
    let parent = OsString::from(parent_death::tie(parent, launch.user.as_ref(), launch.limits));
    let needs_launcher = launch.user.is_some() || launch.limits != Limits::default();
    if needs_launcher && launcher.is_empty() {
        return Err("another user, and limits, need the program that starts apps".to_owned());
    }
    let by_way = launcher.iter().cloned().chain((!launcher.is_empty()).then_some(parent));
    let mut arguments = by_way.chain(app);
    let mut command = Command::new(arguments.next().unwrap_or_default());
    command
        .args(arguments)
        .stdin(Stdio::piped())
        .env("PORT", &port)
        // Knative's container contract.
        .env("K_REVISION", revision.name())
        .env("K_SERVICE", service)
        .env("K_CONFIGURATION", service)
        .envs(launch.environment.iter().map(|(name, value)| (name, with_port(value, &port))))
        .stdout(Stdio::piped());
    // Credentials for the controller are not the app's: neither the controller's own are passed on,
    // nor those of the launch.
    for variable in credentials::VARIABLES {
        command.env_remove(variable);
    }
    if let Some(directory) = &launch.directory {
        command.current_dir(directory);
    }
    Ok(command)
}

/// Replaces `{PORT}`. An argument that is no text cannot contain it.
pub(super) fn with_port(argument: &OsStr, port: &str) -> OsString {
    argument.to_str().map_or_else(|| argument.into(), |text| text.replace("{PORT}", port).into())
}

pub(super) fn sidecar_command(
    Whose { shared, revision, name }: Whose<'_>,
    launch: &Launch,
    [app_port, port]: [u16; 2],
) -> Result<Command, String> {
    let (program, arguments) =
        shared.config.sidecar.split_first().ok_or("there is no queue-proxy to run")?;
    let timeout = launch.request_timeout.map_or(0, |timeout| timeout.as_secs().max(1));
    let probe = match &launch.readiness {
        // The rest of these is proved beside it.
        Readiness::Tcp | Readiness::Exec(_) | Readiness::LogLine(_) => serde_json::json!({
            "tcpSocket": { "host": "127.0.0.1", "port": app_port }, "successThreshold": 1,
        }),
        Readiness::Grpc(service) => serde_json::json!({
            "grpc": { "port": app_port, "service": service }, "successThreshold": 1,
        }),
        Readiness::Http(path) => serde_json::json!({
            "httpGet": { "host": "127.0.0.1", "port": app_port, "path": path, "scheme": "HTTP" },
            "successThreshold": 1,
        }),
    };
    let mut command = Command::new(program);
    command
        .args(arguments)
        // The sidecar is configured here alone, not by variables that happen to be set.
        .env_clear()
        .env(PARENT_VARIABLE, parent_death::named(parent(shared)))
        .env(environment::CONTAINER_CONCURRENCY, launch.container_concurrency.to_string())
        .env(environment::QUEUE_SERVING_PORT, port.to_string())
        .env(environment::QUEUE_SERVING_TLS_PORT, "")
        .env(environment::USER_PORT, app_port.to_string())
        .env(environment::REVISION_TIMEOUT_SECONDS, timeout.to_string())
        .env(environment::SERVING_READINESS_PROBE, probe.to_string())
        .env(environment::SERVING_LOGGING_CONFIG, "")
        .env(environment::SERVING_LOGGING_LEVEL, "warn")
        .env(environment::SERVING_NAMESPACE, revision.namespace())
        .env(environment::SERVING_SERVICE, launch.service.as_deref().unwrap_or(revision.name()))
        .env(
            environment::SERVING_CONFIGURATION,
            launch.service.as_deref().unwrap_or(revision.name()),
        )
        .env(environment::SERVING_REVISION, revision.name())
        .env(environment::SERVING_POD, name.as_str())
        .env(environment::SERVING_POD_IP, "127.0.0.1")
        .env(environment::TIDEGATE_ADDRESS, format!("127.0.0.1:{port}"))
        .env(environment::TIDEGATE_LISTEN_HOST, "127.0.0.1")
        // Knative fixes these ports; many sidecars live on one machine.
        .env(environment::TIDEGATE_ADMIN_PORT, "off")
        .env(environment::TIDEGATE_STATS_PORT, "off")
        .env(environment::TIDEGATE_METRICS_PORT, "off")
        .env(environment::TIDEGATE_QUIET_PERIOD_MS, launch.quiet_period.as_millis().to_string())
        .env(environment::TIDEGATE_GRACE_PERIOD_MS, launch.grace_period.as_millis().to_string())
        .envs(launch.sidecar_environment.iter().map(|(name, value)| (name, value)))
        // Last, so that no other setting can change where it reports to and what it presents.
        .env(environment::TIDEGATE_CONTROLLER, &shared.config.controller)
        .envs(shared.config.secret.as_ref().map(|secret| (SECRET_VARIABLE, secret.reveal())))
        .stdin(Stdio::null())
        .stdout(Stdio::null());
    Ok(command)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_app_gets_no_credentials_of_the_controller() {
        let given =
            credentials::VARIABLES.map(|name| (name.into(), "of-somebody-0123456789".into()));
        let mut launch = Launch::new(vec!["app".into()]);
        launch.environment = given.into();
        launch.environment.push(("MINE".into(), "1".into()));
        let revision = RevisionId::new("local", "web").expect("valid");
        let command = app_command((&[], None), &launch, &revision, 1).expect("it can be run");
        let set = |name: &str| {
            let mut all = command.as_std().get_envs();
            all.find(|(key, _)| *key == name).map(|(_, value)| value.is_some())
        };
        assert_eq!(set("MINE"), Some(true));
        for name in credentials::VARIABLES {
            assert_eq!(set(name), Some(false), "{name} is neither passed on nor inherited");
        }
    }
}
