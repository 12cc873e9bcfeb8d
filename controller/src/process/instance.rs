//! The life of one instance: two processes that begin and end together.

use std::convert::Infallible;
use std::ffi::{OsStr, OsString};
use std::pin::pin;
use std::process::{ExitStatus, Stdio};
use std::sync::Arc;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use tidegate_knative::environment;
use tidegate_trust::credentials;
use tidegate_trust::secret::SECRET_VARIABLE;
use tokio::process::{Child, ChildStdin, Command};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep_until, timeout};

use super::listening::{left_running, why_not_ready};
use super::output::{Output, Whose};
use super::output_stream::OutputStream;
use super::process_tag::{self, INSTANCE_VARIABLE, PARENT_VARIABLE, RUN_VARIABLE, Scope};
use super::sweep::sweep;
use super::{ActuatorState, Order};
use crate::declaration::{Launch, Readiness};
use crate::event::{Event, Termination};
use crate::identity::{InstanceName, RevisionId};

/// What a draining queue-proxy may take beyond its own periods before it is taken for stuck.
const DRAIN_MARGIN: Duration = Duration::from_secs(2);

/// An app that has not ended this long after SIGTERM is reported: most take a fraction of this.
const LINGERS_AFTER: Duration = Duration::from_secs(2);

/// The factor between two diagnoses of an app that is not ready: the first is after its start
/// timeout, each further one after this many times as long.
const DIAGNOSIS_BACKOFF_FACTOR: u32 = 5;

/// How long the last lines of a process that has ended may take to be read.
const OUTPUT_TIMEOUT: Duration = Duration::from_millis(200);

/// Runs one instance from start to end, and returns how it ended.
pub(super) async fn live(
    shared: Arc<ActuatorState>,
    revision: RevisionId,
    name: InstanceName,
    launch: Arc<Launch>,
    orders: watch::Receiver<Order>,
) {
    // Without its file an instance serves all the same.
    let log = shared.config.logs.as_ref().and_then(|logs| logs.begin(&name).ok());
    let output = Output::new(name.clone(), shared.config.output.clone(), log);
    let (what, whose) = match start(&shared, &revision, &name, &launch, &output).await {
        Ok(pair) => pair.live(&shared, &name, &launch, orders).await,
        Err(what) => (what, Whose::App),
    };
    let ending = Termination { what, output: output.tail(whose) };
    // When the controller has ended there is no task left to receive it.
    let _ = shared.handle.happened(Event::InstanceEnded { instance: name, ending }).await;
}

/// The two processes.
struct Pair {
    app: Child,
    sidecar: Child,
    collectors: Vec<JoinHandle<()>>,
    app_port: u16,
    /// The app's input stays open for as long as it is wanted, and ends with the controller:
    /// servers that are made for a terminal exit at the end of their input.
    _input: Option<ChildStdin>,
    /// Held until both processes have ended.
    _ports: [super::ports::Lease; 2],
}

/// Starts both processes.
async fn start(
    shared: &ActuatorState,
    revision: &RevisionId,
    name: &InstanceName,
    launch: &Launch,
    output: &Output,
) -> Result<Pair, String> {
    let lease = || shared.ports.lease().map_err(|error| error.to_string());
    let (app_port, sidecar_port) = (lease()?, lease()?);
    // Sent before a sidecar could claim it: no other address is accepted for this instance.
    let address = format!("127.0.0.1:{}", sidecar_port.port()).into();
    let launched = Event::InstanceLaunched { instance: name.clone(), address };
    shared.handle.happened(launched).await.map_err(|error| error.to_string())?;
    let command = app_command(&shared.config.launcher, launch, revision, app_port.port())?;
    let mut app = shared
        .starter
        .start(tag(command, shared, name))
        .await
        .map_err(|error| format!("{} cannot be started: {error}", launch.program()))?;
    let ports = [app_port.port(), sidecar_port.port()];
    let command = sidecar_command(shared, revision, name, launch, ports)?;
    let mut sidecar = shared
        .starter
        .start(tag(command, shared, name))
        .await
        .map_err(|error| format!("the queue-proxy cannot be started: {error}"))?;
    let collectors = [
        app.stdout
            .take()
            .map(|out| tokio::spawn(output.clone().collect(OutputStream::Stdout, out))),
        app.stderr
            .take()
            .map(|out| tokio::spawn(output.clone().collect(OutputStream::Stderr, out))),
        sidecar
            .stderr
            .take()
            .map(|out| tokio::spawn(output.clone().collect(OutputStream::Sidecar, out))),
    ];
    let collectors = collectors.into_iter().flatten().collect();
    let (input, app_port_number) = (app.stdin.take(), app_port.port());
    let ports = [app_port, sidecar_port];
    Ok(Pair { app, sidecar, collectors, app_port: app_port_number, _input: input, _ports: ports })
}

/// What both processes have in common.
fn tag(mut command: Command, shared: &ActuatorState, name: &InstanceName) -> Command {
    command
        .env(RUN_VARIABLE, &shared.config.run)
        .env(INSTANCE_VARIABLE, name.as_str())
        .stderr(Stdio::piped())
        // Signals reach the children of an app, and the terminal's Ctrl-C reaches only the
        // controller.
        .process_group(0);
    command
}

/// The command of the app through the launcher, which ties itself to the controller and then
/// becomes the app.
fn app_command(
    launcher: &[OsString],
    launch: &Launch,
    revision: &RevisionId,
    port: u16,
) -> Result<Command, String> {
    let port = port.to_string();
    if launch.command.is_empty() {
        return Err("there is no command to run".to_owned());
    }
    let app = launch.command.iter().map(|argument| with_port(argument, &port));
    let parent = OsString::from(std::process::id().to_string());
    let by_way = launcher.iter().cloned().chain((!launcher.is_empty()).then_some(parent));
    let mut arguments = by_way.chain(app);
    let mut command = Command::new(arguments.next().unwrap_or_default());
    command
        .args(arguments)
        .stdin(Stdio::piped())
        .env("PORT", &port)
        // Knative's container contract.
        .env("K_REVISION", revision.name())
        .env("K_SERVICE", revision.name())
        .env("K_CONFIGURATION", revision.name())
        .envs(launch.environment.iter().map(|(name, value)| (name, value)))
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
fn with_port(argument: &OsStr, port: &str) -> OsString {
    argument.to_str().map_or_else(|| argument.into(), |text| text.replace("{PORT}", port).into())
}

fn sidecar_command(
    shared: &ActuatorState,
    revision: &RevisionId,
    name: &InstanceName,
    launch: &Launch,
    [app_port, port]: [u16; 2],
) -> Result<Command, String> {
    let (program, arguments) =
        shared.config.sidecar.split_first().ok_or("there is no queue-proxy to run")?;
    let timeout = launch.request_timeout.map_or(0, |timeout| timeout.as_secs().max(1));
    let probe = match &launch.readiness {
        Readiness::Tcp => serde_json::json!({
            "tcpSocket": { "host": "127.0.0.1", "port": app_port }, "successThreshold": 1,
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
        .env(PARENT_VARIABLE, std::process::id().to_string())
        .env(environment::CONTAINER_CONCURRENCY, launch.container_concurrency.to_string())
        .env(environment::QUEUE_SERVING_PORT, port.to_string())
        .env(environment::QUEUE_SERVING_TLS_PORT, "")
        .env(environment::USER_PORT, app_port.to_string())
        .env(environment::REVISION_TIMEOUT_SECONDS, timeout.to_string())
        .env(environment::SERVING_READINESS_PROBE, probe.to_string())
        .env(environment::SERVING_LOGGING_CONFIG, "")
        .env(environment::SERVING_LOGGING_LEVEL, "warn")
        .env(environment::SERVING_NAMESPACE, revision.namespace())
        .env(environment::SERVING_SERVICE, revision.name())
        .env(environment::SERVING_CONFIGURATION, revision.name())
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

impl Pair {
    /// Watches both processes until both have ended; gives the cause.
    async fn live(
        mut self,
        shared: &ActuatorState,
        name: &InstanceName,
        launch: &Launch,
        mut orders: watch::Receiver<Order>,
    ) -> (String, Whose) {
        // A process is not reaped before it is awaited, so these ids stay valid for signals.
        let (app_pid, sidecar_pid) = (pid(&self.app), pid(&self.sidecar));
        let mut diagnosis =
            pin!(diagnose_repeatedly(shared, name, launch, self.app_port, sidecar_pid));
        let mut give_up_at = None;
        let mut whose = Whose::App;
        let what = loop {
            tokio::select! {
                status = self.app.wait() => break ended(shared, name, sidecar_pid, status).await,
                status = self.sidecar.wait() => match give_up_at {
                    // It has drained after its order, so the app has no requests left.
                    Some(_) => break "it was stopped".to_owned(),
                    None => {
                        whose = Whose::Sidecar;
                        break format!("its queue-proxy ended ({})", exit_text(status));
                    }
                },
                changed = orders.changed() => {
                    let order = *orders.borrow_and_update();
                    match order {
                        // The actuator was dropped, so no order follows: end too.
                        _ if changed.is_err() => break "the controller ended".to_owned(),
                        Order::Kill => break "it was killed".to_owned(),
                        Order::Drain => {
                            signal(sidecar_pid, Signal::TERM);
                            let periods = launch.quiet_period + launch.grace_period;
                            give_up_at = Some(Instant::now() + periods + DRAIN_MARGIN);
                        }
                        Order::Terminate => {
                            // A queue-proxy ends at once on its second signal. Two of one kind
                            // could become one.
                            signal(sidecar_pid, Signal::TERM);
                            signal(sidecar_pid, Signal::INT);
                            give_up_at = Some(Instant::now() + DRAIN_MARGIN);
                        }
                        Order::Run => {}
                    }
                }
                never = &mut diagnosis => match never {},
                () = until(give_up_at) => break "it did not drain in time".to_owned(),
            }
        };
        let in_order = give_up_at.is_some() && what == "it was stopped";
        if !in_order {
            // Requests sent to it from now on would be lost.
            let instance = name.clone();
            signal_group(sidecar_pid, &mut self.sidecar, Signal::KILL);
            let _ = shared.handle.happened(Event::InstanceFailed { instance }).await;
        }
        self.end(shared, name, launch, &mut orders, [app_pid, sidecar_pid]).await;
        (what, whose)
    }

    /// Ends whatever still runs: the app may finish unless it was to be killed.
    async fn end(
        &mut self,
        shared: &ActuatorState,
        name: &InstanceName,
        launch: &Launch,
        orders: &mut watch::Receiver<Order>,
        [app_pid, sidecar_pid]: [Option<Pid>; 2],
    ) {
        if *orders.borrow() != Order::Kill {
            signal_group(app_pid, &mut self.app, Signal::TERM);
            tokio::select! {
                _ = self.app.wait() => {}
                () = deadline(shared, name, launch.stop_deadline) => {}
                _ = orders.wait_for(|order| *order == Order::Kill) => {}
            }
        }
        signal_group(app_pid, &mut self.app, Signal::KILL);
        signal_group(sidecar_pid, &mut self.sidecar, Signal::KILL);
        let _ = self.app.wait().await;
        let _ = self.sidecar.wait().await;
        // What left its process group, or outlived its leader, still carries the tag.
        let (run, instance) = (shared.config.run.clone(), name.clone());
        let sweeping = tokio::task::spawn_blocking(move || sweep(Scope::Instance(&run, &instance)));
        let _ = sweeping.await;
        for collector in &mut self.collectors {
            let _ = timeout(OUTPUT_TIMEOUT, collector).await;
        }
    }
}

/// Diagnoses an instance that is not ready in time, and reports the cause, until it is ready or is
/// being stopped.
async fn diagnose_repeatedly(
    shared: &ActuatorState,
    name: &InstanceName,
    launch: &Launch,
    port: u16,
    sidecar: Option<Pid>,
) -> Infallible {
    let mut wait = launch.patience;
    loop {
        tokio::time::sleep(wait).await;
        let app = processes(shared, name, sidecar);
        let Some(why) = why_not_ready(port, &launch.readiness, app).await else { break };
        let event = Event::InstanceNotReady { instance: name.clone(), why };
        if shared.handle.happened(event).await.is_err() {
            break;
        }
        wait = wait.saturating_mul(DIAGNOSIS_BACKOFF_FACTOR);
    }
    std::future::pending().await
}

/// Finds the processes of the app, wherever they went.
fn processes(
    shared: &ActuatorState,
    name: &InstanceName,
    sidecar: Option<Pid>,
) -> impl Fn() -> Vec<Pid> + Send + 'static {
    let (run, instance) = (shared.config.run.clone(), name.clone());
    move || {
        let found = process_tag::find(Scope::Instance(&run, &instance));
        found.into_iter().filter(|pid| Some(*pid) != sidecar).collect()
    }
}

/// How an app ended by itself. One that ends well and leaves others behind has become a daemon.
async fn ended(
    shared: &ActuatorState,
    name: &InstanceName,
    sidecar: Option<Pid>,
    status: std::io::Result<ExitStatus>,
) -> String {
    let left = match &status {
        Ok(status) if status.success() => left_running(processes(shared, name, sidecar)).await,
        Ok(_) | Err(_) => None,
    };
    let what = format!("the app ended ({})", exit_text(status));
    match left {
        Some(left) => format!("{what} {left}"),
        None => what,
    }
}

/// Waits for the deadline of an app after its SIGTERM, and reports one that ignores it.
async fn deadline(shared: &ActuatorState, name: &InstanceName, deadline: Duration) {
    if let Some(left) = deadline.checked_sub(LINGERS_AFTER).filter(|left| !left.is_zero()) {
        tokio::time::sleep(LINGERS_AFTER).await;
        let left_ms = u64::try_from(left.as_millis()).unwrap_or(u64::MAX);
        let lingers = Event::InstanceLingers { instance: name.clone(), left_ms };
        let _ = shared.handle.happened(lingers).await;
        tokio::time::sleep(left).await;
    } else {
        tokio::time::sleep(deadline).await;
    }
}

async fn until(at: Option<Instant>) {
    match at {
        Some(at) => sleep_until(at).await,
        None => std::future::pending().await,
    }
}

fn pid(child: &Child) -> Option<Pid> {
    child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw)
}

fn signal(pid: Option<Pid>, signal: Signal) {
    if let Some(pid) = pid {
        // It may have ended by itself.
        let _ = kill_process(pid, signal);
    }
}

/// Signals a process and what it started. A leader that was waited for may have given its number
/// to another process, so it is not signalled any more; the tag finds what it left behind.
fn signal_group(pid: Option<Pid>, leader: &mut Child, signal: Signal) {
    if leader.id().is_some()
        && let Some(pid) = pid
    {
        let _ = kill_process_group(pid, signal);
    }
}

fn exit_text(status: std::io::Result<ExitStatus>) -> String {
    status.map_or_else(|error| error.to_string(), |status| status.to_string())
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
        let command = app_command(&[], &launch, &revision, 1).expect("it can be run");
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
