//! The commands of an instance's two processes.

use std::ffi::{OsStr, OsString};
use std::process::Stdio;

use tidegate_knative::environment;
use tidegate_trust::credentials;
use tidegate_trust::secret::SECRET_VARIABLE;
use tokio::process::Command;

use super::ActuatorState;
use super::launch_order::LaunchOrder;
use super::parent_death;
use super::process_tag::{INSTANCE_VARIABLE, PARENT_VARIABLE, RUN_VARIABLE};
use crate::declaration::{Launch, Limits, Readiness};
use crate::identity::{InstanceName, RevisionId};

/// The process that an instance ends with: this one, unless instances may outlive it.
pub(super) fn parent(shared: &ActuatorState) -> Option<u32> {
    shared.config.keep.is_none().then(std::process::id)
}

/// The instance whose processes they are.
#[derive(Clone, Copy)]
pub(super) struct Whose<'a> {
    pub(super) shared: &'a ActuatorState,
    pub(super) revision: &'a RevisionId,
    pub(super) name: &'a InstanceName,
}

/// What all processes of an instance have in their environment.
fn tags(of: Whose<'_>) -> [(&'static str, OsString); 2] {
    let (run, name) = (of.shared.config.run.as_ref(), of.name.as_str());
    [(RUN_VARIABLE, run.to_owned()), (INSTANCE_VARIABLE, name.into())]
}

/// Which app a process is to become that ends with `parent`, if it is to end with one.
pub(super) fn app_order(
    of: Whose<'_>,
    parent: Option<u32>,
    launch: &Launch,
    port: u16,
) -> Result<LaunchOrder, String> {
    if launch.command.is_empty() {
        return Err("there is no command to run".to_owned());
    }
    let needs_launcher = launch.user.is_some() || launch.limits != Limits::default();
    if needs_launcher && of.shared.config.launcher.is_empty() {
        return Err("another user, and limits, need the program that starts apps".to_owned());
    }
    let port = port.to_string();
    let tags = tags(of).map(|(name, value)| (name.into(), Some(value)));
    Ok(LaunchOrder {
        tie: parent_death::tie(parent, launch.user.as_ref(), launch.limits),
        command: launch.command.iter().map(|argument| with_port(argument, &port)).collect(),
        environment: app_environment(launch, of.revision, &port).chain(tags).collect(),
        directory: launch.directory.as_ref().map(Into::into),
        pipes: None,
    })
}

/// What an app has in its environment besides what is in ours, or has not.
fn app_environment(
    launch: &Launch,
    revision: &RevisionId,
    port: &str,
) -> impl Iterator<Item = (OsString, Option<OsString>)> {
    let service = launch.service.as_deref().unwrap_or(revision.name());
    let given = [
        ("PORT", port),
        // Knative's container contract.
        ("K_REVISION", revision.name()),
        ("K_SERVICE", service),
        ("K_CONFIGURATION", service),
    ];
    let given = given.map(|(name, value)| (name.into(), Some(value.into())));
    let own = launch.environment.iter();
    let own = own.map(move |(name, value)| (name.clone(), Some(with_port(value, port))));
    // Credentials for the controller are not the app's: neither the controller's own are passed on,
    // nor those of the launch.
    let withheld = credentials::VARIABLES.map(|name| (name.into(), None));
    given.into_iter().chain(own).chain(withheld)
}

/// The command of a process that is to become this app.
pub(super) fn app_command(of: Whose<'_>, order: &LaunchOrder) -> Command {
    let mut command = Command::from(order.new_process(&of.shared.config.launcher));
    command.stdin(Stdio::piped()).stdout(Stdio::piped());
    apart(command)
}

/// What the commands of all processes of an instance have in common.
fn apart(mut command: Command) -> Command {
    command
        .stderr(Stdio::piped())
        // Signals reach the children of an app, and the terminal's Ctrl-C reaches only the
        // controller.
        .process_group(0);
    command
}

/// Replaces `{PORT}`. An argument that is no text cannot contain it.
pub(super) fn with_port(argument: &OsStr, port: &str) -> OsString {
    argument.to_str().map_or_else(|| argument.into(), |text| text.replace("{PORT}", port).into())
}

pub(super) fn sidecar_command(
    of: Whose<'_>,
    launch: &Launch,
    [app_port, port]: [u16; 2],
) -> Result<Command, String> {
    let Whose { shared, revision, name } = of;
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
        .envs(tags(of))
        .stdin(Stdio::null())
        .stdout(Stdio::null());
    Ok(apart(command))
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    #[test]
    fn an_app_gets_no_credentials_of_the_controller() {
        let given =
            credentials::VARIABLES.map(|name| (name.into(), "of-somebody-0123456789".into()));
        let mut launch = Launch::new(vec!["app".into()]);
        launch.environment = given.into();
        launch.environment.push(("MINE".into(), "1".into()));
        let revision = RevisionId::new("local", "web").expect("valid");
        let environment: HashMap<_, _> = app_environment(&launch, &revision, "1").collect();
        let set = |name: &str| environment.get(OsStr::new(name)).map(Option::is_some);
        assert_eq!(set("MINE"), Some(true));
        for name in credentials::VARIABLES {
            assert_eq!(set(name), Some(false), "{name} is neither passed on nor inherited");
        }
    }
}
