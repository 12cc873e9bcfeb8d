//! One service on this machine: a controller and an activator in this process, and a pair of
//! processes, app and queue-proxy, for each instance.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

use tidegate_activator::throttler::Throttler;
use tidegate_activator::{
    Activator, ConfigError, Drained, HeaderValue, OutcomeCounter, Outcomes, RevisionName, Running,
};
use tidegate_admission::Abandoned;
use tidegate_controller::Ended;
use tidegate_controller::journal::DecisionRecord;
use tidegate_controller::process::process_tag::Scope;
use tidegate_controller::process::{
    LogFolder, OutputLine, ProcessActuator, ProcessConfig, Reaper, RunId, sweep,
};
use tidegate_controller::status::RevisionStatus;
use tidegate_controller::{
    Access, Declaration, Handle, Notice, RevisionId, StopMode, UndeclaredRevisions,
};
use tidegate_knative::environment::TIDEGATE_FRONT_DOOR;
use tidegate_trust::{Secret, SecretError};
use tokio::sync::{broadcast, mpsc, oneshot};
use tokio::time::{Instant, timeout, timeout_at};

use crate::presence::{Announced, Presence};
use crate::recording::{Recorder, Recording};
use crate::roles::RoleProgram;

/// A free port of loopback.
const ANY_PORT: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

/// Time that instances get to stop beyond their own deadlines, once the activator has closed.
const STOP_MARGIN: Duration = Duration::from_secs(5);

/// Longest time of a request where the configuration sets none.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(60);

/// Time between two polls of [`View::wait_until`].
const POLL_INTERVAL: Duration = Duration::from_millis(20);

/// How long a response about a connection that the app closed is held back for the controller's
/// report of the app's death, so that it can name the cause. The report takes a few milliseconds.
const EXIT_NOTICE_WAIT: Duration = Duration::from_millis(100);

/// What to serve, and where.
#[derive(Debug)]
pub struct Config {
    /// How the app is scaled and started; [`Declaration::launch`] must be set.
    pub declaration: Declaration,
    /// Where clients connect.
    pub listener: TcpListener,
    /// Longest wait of a request for an instance, and again for the begin of its response.
    pub request_timeout: Duration,
    /// What happens to a slot when the client disconnects while the app works.
    pub abandoned: Abandoned,
    /// Receives the lines that the app writes; `None` discards them.
    pub output: Option<mpsc::Sender<OutputLine>>,
    /// Keeps all of these lines in files.
    pub logs: Option<LogFolder>,
    /// Records requests and instances; see [`Settings::record`](crate::Settings::record).
    pub recording: Option<Recording>,
    /// The program that plays the roles beside each instance.
    pub roles: RoleProgram,
}

impl Config {
    /// On a free loopback port, with a minute for each request. Slots of clients that disconnect
    /// stay taken until the app is done, and the app's output is discarded.
    ///
    /// # Errors
    ///
    /// When there is no free port.
    pub fn new(declaration: Declaration, roles: RoleProgram) -> io::Result<Self> {
        Ok(Self {
            declaration,
            listener: tidegate_relay::listen(ANY_PORT)?,
            request_timeout: REQUEST_TIMEOUT,
            abandoned: Abandoned::hold(Some(REQUEST_TIMEOUT)),
            output: None,
            logs: None,
            recording: None,
            roles,
        })
    }
}

/// Why a service cannot be started.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The declaration has no command that starts an instance.
    #[error("there is no command to run")]
    NoCommand,
    /// The system refused something.
    #[error("{what}")]
    System {
        /// What was refused, as a sentence.
        what: &'static str,
        /// The system's error.
        source: io::Error,
    },
    /// No random secret could be generated.
    #[error(transparent)]
    Secret(#[from] SecretError),
    /// The activator cannot be configured.
    #[error(transparent)]
    Activator(#[from] ConfigError),
    /// The controller has ended already.
    #[error(transparent)]
    Ended(#[from] Ended),
}

fn system(what: &'static str) -> impl FnOnce(io::Error) -> StartError {
    move |source| StartError::System { what, source }
}

/// A running service. Dropping it without [`Service::finish`] leaves its processes to the reaper,
/// which ends them when this process exits.
pub struct Service {
    address: SocketAddr,
    controller: SocketAddr,
    view: View,
    /// `None` once it has been closed.
    activator: Option<Running>,
    run: RunId,
    reaper: Reaper,
    stop_serving: oneshot::Sender<()>,
    /// Longest time that an instance may take to stop once its requests are done or cut off.
    stop_deadline: Duration,
    notices: broadcast::Receiver<Notice>,
    recorder: Option<Recorder>,
    /// Makes the service discoverable for this user's commands; or why it is not.
    announced: Result<Announced, io::Error>,
}

/// A handle for reading a service's status, also while the service drains.
#[derive(Clone)]
pub struct View {
    revision: RevisionId,
    handle: Handle,
    throttlers: Arc<Throttler>,
    outcomes: Arc<OutcomeCounter>,
    waiting_max: u32,
}

/// The state of a service.
#[derive(Debug, Clone, PartialEq)]
pub struct Status {
    /// As the controller has it; up to a second old.
    pub revision: RevisionStatus,
    /// As the activator has it, now.
    pub activator: tidegate_activator::Status,
    /// Requests so far, by outcome.
    pub outcomes: Outcomes,
    /// Requests that may wait for an instance at a time; more are refused.
    pub waiting_max: u32,
}

impl Service {
    /// Starts the controller, the activator and the reaper. Must be called within a multi-threaded
    /// runtime.
    ///
    /// # Errors
    ///
    /// When a listener cannot be bound or the reaper cannot be started.
    pub async fn start(config: Config) -> Result<Self, StartError> {
        let Config { mut declaration, listener, request_timeout, recording, .. } = config;
        let (abandoned, output, logs) = (config.abandoned, config.output, config.logs);
        let revision = declaration.id.clone();
        let launch = declaration.launch.as_mut().ok_or(StartError::NoCommand)?;
        let launch = Arc::make_mut(launch);
        // Shared by the activator and the sidecars of this run only: it lets a sidecar believe the
        // forwarding headers of its activator, and of no other client.
        let pairing = RunId::random();
        let variable = (TIDEGATE_FRONT_DOOR.into(), pairing.to_string().into());
        launch.sidecar_environment.push(variable);
        let stop_deadline = launch.stop_deadline + STOP_MARGIN;
        let reports = tidegate_relay::listen(ANY_PORT)
            .and_then(tokio::net::TcpListener::from_std)
            .map_err(system("cannot listen on 127.0.0.1 for reports"))?;
        let controller = reports.local_addr().map_err(system("a listener has no address"))?;
        // Loopback is open to every user of this machine: only peers with this secret may report.
        let secret = Secret::random()?;
        let run = RunId::random();
        let commands =
            config.roles.commands().map_err(system("cannot find out which program this is"))?;
        // Before the first instance can start: whatever happens to this process, the reaper ends
        // what carries the run's tag.
        let reaper =
            Reaper::start(&commands.reaper, &run).map_err(system("cannot start the reaper"))?;

        let (handle, owner) = tidegate_controller::controller(UndeclaredRevisions::Refuse);
        let notices = handle.watch_notices();
        let recorder = recording.clone().map(|recording| Recorder::start(recording, &handle));
        let processes = ProcessConfig {
            sidecar: commands.queue_proxy,
            launcher: commands.launch,
            controller: controller.to_string(),
            secret: Some(secret.clone()),
            run: run.clone(),
            output,
            logs,
        };
        tokio::spawn(owner.run(ProcessActuator::new(processes, handle.clone())));
        let (stop_serving, stopped) = oneshot::channel::<()>();
        let stopped = async { drop(stopped.await) };
        let access = Access::by_secret(secret.clone());
        tokio::spawn(tidegate_controller::serve(handle.clone(), reports, access, stopped));

        let announced = presence(&revision, controller, &secret).announce();

        let mut activator =
            activator_config(&revision, controller, secret, request_timeout, &pairing)?;
        activator.abandoned = abandoned;
        activator.requests = recording.map(|recording| Arc::new(recording) as _);
        let waiting_max = activator.dispatch.max_waiting;
        let activator = Activator::with_listener(activator, listener)?.spawn();
        handle.declare(declaration).await?;
        let address = activator.address();
        let (throttlers, outcomes) =
            (Arc::clone(activator.throttler()), Arc::clone(activator.outcomes()));
        Ok(Self {
            address,
            controller,
            view: View { revision, handle, throttlers, outcomes, waiting_max },
            activator: Some(activator),
            run,
            reaper,
            stop_serving,
            stop_deadline,
            notices,
            recorder,
            announced,
        })
    }

    /// Where clients connect.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Where the controller serves `tidegate explain`.
    pub fn controller(&self) -> SocketAddr {
        self.controller
    }

    /// Why `tidegate explain` cannot discover this service, if so.
    pub fn unannounced(&self) -> Option<&io::Error> {
        self.announced.as_ref().err()
    }

    /// The present state.
    ///
    /// # Errors
    ///
    /// When the controller has ended.
    pub async fn status(&self) -> Result<Status, Ended> {
        self.view.status().await
    }

    /// Waits until `is_so` holds of the state. Cancel safe.
    ///
    /// # Errors
    ///
    /// When the controller has ended.
    pub async fn wait_until(&self, is_so: impl Fn(&Status) -> bool) -> Result<Status, Ended> {
        self.view.wait_until(is_so).await
    }

    /// A handle for the state, usable while the service drains.
    pub fn view(&self) -> View {
        self.view.clone()
    }

    /// Decisions from now on.
    pub fn watch_decisions(&self) -> broadcast::Receiver<Arc<DecisionRecord>> {
        self.view.handle.watch_decisions()
    }

    /// Notices about instances, from now on.
    pub fn watch_notices(&self) -> broadcast::Receiver<Notice> {
        self.view.handle.watch_notices()
    }

    /// Accepts no more requests, finishes those in flight (for at most `longest`), then stops
    /// every instance. Cancel safe: [`Self::kill`] may follow.
    ///
    /// # Errors
    ///
    /// When the controller has ended.
    pub async fn drain(&mut self, longest: Duration) -> Result<Drained, Ended> {
        let by = Instant::now() + longest;
        let drained = self.finish_requests(by).await;
        self.stop_instances(by).await?;
        Ok(drained)
    }

    /// The first half of [`Self::drain`]: accepts no more requests, and waits for those in flight,
    /// but not beyond `by`. Cancel safe.
    pub async fn finish_requests(&mut self, by: Instant) -> Drained {
        match self.activator.take() {
            Some(activator) => {
                activator.announce_shutdown();
                activator.drain(by.saturating_duration_since(Instant::now())).await
            }
            None => Drained::Whole,
        }
    }

    /// The second half of [`Self::drain`]: stops every instance. What an instance still works on
    /// after `by`, with a client or without, is cut off; its app then has its own time to end.
    /// Cancel safe.
    ///
    /// # Errors
    ///
    /// When the controller has ended.
    pub async fn stop_instances(&mut self, by: Instant) -> Result<(), Ended> {
        self.view.handle.stop(StopMode::Drain).await?;
        if timeout_at(by, self.all_stopped()).await.is_err() {
            self.view.handle.stop(StopMode::Terminate).await?;
            self.until_stopped().await;
        }
        Ok(())
    }

    /// Ends a service whose app cannot start: waiting requests, and those that still arrive within
    /// `longest`, get a response with the reason `why`.
    ///
    /// # Errors
    ///
    /// When the controller has ended.
    pub async fn give_up(&mut self, why: String, longest: Duration) -> Result<(), Ended> {
        if let Some(activator) = self.activator.take() {
            activator.give_up(why);
            activator.drain(longest).await;
        }
        self.kill().await
    }

    /// Kills every instance at once, with the requests that it serves.
    ///
    /// # Errors
    ///
    /// When the controller has ended.
    pub async fn kill(&mut self) -> Result<(), Ended> {
        self.activator = None;
        self.view.handle.stop(StopMode::Kill).await?;
        self.until_stopped().await;
        Ok(())
    }

    async fn until_stopped(&mut self) {
        // An instance that misses its deadline is killed by `finish`.
        let _ = timeout(self.stop_deadline, self.all_stopped()).await;
    }

    async fn all_stopped(&mut self) {
        loop {
            match self.notices.recv().await {
                Ok(Notice::AllStopped) | Err(broadcast::error::RecvError::Closed) => return,
                Ok(_) | Err(broadcast::error::RecvError::Lagged(_)) => {}
            }
        }
    }

    /// Ends the recording, kills processes of the run that are left, then dismisses the reaper.
    /// Returns how many had to be killed: 0 unless something went wrong.
    pub async fn finish(self) -> usize {
        drop(self.stop_serving);
        if let Some(recorder) = self.recorder {
            recorder.finish().await;
        }
        let run = self.run.clone();
        let sweeping = tokio::task::spawn_blocking(move || sweep(Scope::Run(&run)));
        let swept = sweeping.await.unwrap_or(0);
        self.reaper.dismiss().await;
        swept
    }
}

impl View {
    /// The present state.
    ///
    /// # Errors
    ///
    /// When the controller has ended.
    pub async fn status(&self) -> Result<Status, Ended> {
        let statuses = self.handle.statuses().await?;
        let revision = statuses.into_iter().find(|status| status.revision == self.revision);
        let name = revision_name(&self.revision);
        let throttler =
            self.throttlers.all().into_iter().find(|throttler| *throttler.revision() == name);
        Ok(Status {
            // Declared before `start` returned: it is missing only once the controller has ended.
            revision: revision.ok_or(Ended)?,
            activator: throttler.map(|throttler| throttler.status()).unwrap_or_default(),
            outcomes: self.outcomes.snapshot(),
            waiting_max: self.waiting_max,
        })
    }

    /// Waits until `is_so` holds of the state, polled every 20 ms. Cancel safe.
    ///
    /// # Errors
    ///
    /// When the controller has ended.
    pub async fn wait_until(&self, is_so: impl Fn(&Status) -> bool) -> Result<Status, Ended> {
        loop {
            let status = self.status().await?;
            if is_so(&status) {
                return Ok(status);
            }
            tokio::time::sleep(POLL_INTERVAL).await;
        }
    }
}

/// What `explain` finds this run by.
fn presence(revision: &RevisionId, controller: SocketAddr, secret: &Secret) -> Presence {
    Presence {
        pid: i32::try_from(std::process::id()).unwrap_or(0),
        revision: revision.to_string(),
        controller: controller.to_string(),
        secret: secret.reveal().to_owned(),
    }
}

fn activator_config(
    revision: &RevisionId,
    controller: SocketAddr,
    secret: Secret,
    request_timeout: Duration,
    pairing: &RunId,
) -> Result<tidegate_activator::Config, StartError> {
    // The activator gets a listener, so this address stays unused.
    let mut config = tidegate_activator::Config::new(SocketAddr::from(([127, 0, 0, 1], 0)));
    config.controller = Some(controller.to_string());
    config.credentials.secret = Some(secret.into());
    config.name = "activator".to_owned();
    config.default_revision = Some(revision_name(revision));
    config.dispatch.longest_wait = Some(request_timeout);
    config.limits.response_start = Some(request_timeout);
    let pairing = HeaderValue::from_str(&pairing.to_string()).map_err(io::Error::other);
    config.sidecar_secret = Some(pairing.map_err(system("cannot name this run"))?);
    config.exit_notice_wait = EXIT_NOTICE_WAIT;
    Ok(config)
}

fn revision_name(revision: &RevisionId) -> RevisionName {
    RevisionName { namespace: revision.namespace().to_owned(), name: revision.name().to_owned() }
}
