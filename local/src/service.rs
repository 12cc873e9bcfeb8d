//! One service on this machine: a controller and a front door in this process, and an app with a
//! queue-proxy in a pair of processes for each instance.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

use tidegate_activator::throttler::Throttler;
use tidegate_activator::{
    Activator, ConfigError, Drained, HeaderValue, OutcomeCounter, Outcomes, RevisionName, Running,
};
use tidegate_admission::Abandoned;
use tidegate_controller::journal::DecisionRecord;
use tidegate_controller::process::process_tag::{self, Scope};
use tidegate_controller::process::{
    LogFolder, OutputLine, ProcessActuator, ProcessConfig, Reaper, RunId,
};
use tidegate_controller::status::RevisionStatus;
use tidegate_controller::task::Ended;
use tidegate_controller::{
    Access, Declaration, Handle, Notice, RevisionId, StopMode, UndeclaredRevisions,
};
use tidegate_trust::{Secret, SecretError};
use tokio::sync::{broadcast, mpsc, oneshot};

use crate::presence::{Announced, Presence};
use crate::roles::RoleProgram;

/// How long instances may take to go once the front door is closed, beyond their own deadlines.
const STOP_MARGIN: Duration = Duration::from_secs(5);

/// How long a request may take where nobody says so.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(60);

/// How often [`View::wait_until`] looks.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// How long a client whose app closed the connection waits to be told whether it died: the
/// controller knows within a few milliseconds.
const EXIT_NOTICE_WAIT: Duration = Duration::from_millis(100);

/// What to serve, and where.
#[derive(Debug)]
pub struct Config {
    /// How the app is scaled and started; [`Declaration::launch`] must be there.
    pub declaration: Declaration,
    /// Where clients come.
    pub listener: TcpListener,
    /// How long a request may wait for an instance, and for the begin of its answer.
    pub request_timeout: Duration,
    /// What becomes of a slot when its client leaves while the app works.
    pub abandoned: Abandoned,
    /// Where the lines go that the app writes.
    pub output: Option<mpsc::Sender<OutputLine>>,
    /// Where all of them are kept.
    pub logs: Option<LogFolder>,
    /// The program that stands beside each instance.
    pub roles: RoleProgram,
}

impl Config {
    /// On a free port of this machine, with a minute for each request; slots of clients that leave
    /// stay taken until the app is done, and nobody reads what it writes.
    ///
    /// # Errors
    /// When there is no free port.
    pub fn new(declaration: Declaration, roles: RoleProgram) -> io::Result<Self> {
        Ok(Self {
            declaration,
            listener: TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?,
            request_timeout: REQUEST_TIMEOUT,
            abandoned: Abandoned::hold(Some(REQUEST_TIMEOUT)),
            output: None,
            logs: None,
            roles,
        })
    }
}

/// Why a service cannot be started.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The declaration does not say how to start an instance.
    #[error("there is no command to run")]
    NoCommand,
    /// Something that the system gives was not to be had.
    #[error("{what}")]
    System {
        /// What, as a sentence.
        what: &'static str,
        /// Why.
        source: io::Error,
    },
    /// No secret could be made.
    #[error(transparent)]
    Secret(#[from] SecretError),
    /// The front door cannot be opened.
    #[error(transparent)]
    FrontDoor(#[from] ConfigError),
    /// The controller has ended already.
    #[error(transparent)]
    Ended(#[from] Ended),
}

fn system(what: &'static str) -> impl FnOnce(io::Error) -> StartError {
    move |source| StartError::System { what, source }
}

/// A service that runs. Dropping it without [`Service::finish`] leaves its processes to the
/// guard, which ends them when this process does.
pub struct Service {
    address: SocketAddr,
    controller: SocketAddr,
    view: View,
    /// Until it is closed.
    door: Option<Running>,
    run: RunId,
    guard: Reaper,
    stop_serving: oneshot::Sender<()>,
    /// Longest time that an instance may take to go.
    stop_deadline: Duration,
    notices: broadcast::Receiver<Notice>,
    /// Lets other commands of this user find us; or why they cannot.
    announced: Result<Announced, io::Error>,
}

/// A look at a service, which goes on while it drains.
#[derive(Clone)]
pub struct View {
    revision: RevisionId,
    handle: Handle,
    doors: Arc<Throttler>,
    outcomes: Arc<OutcomeCounter>,
}

/// How things stand.
#[derive(Debug, Clone, PartialEq)]
pub struct Status {
    /// What the controller knows; up to a second old.
    pub revision: RevisionStatus,
    /// What the front door knows, now.
    pub door: tidegate_activator::Status,
    /// What became of the requests so far.
    pub outcomes: Outcomes,
}

impl Service {
    /// Starts everything. Must be called within a multi-threaded runtime.
    ///
    /// # Errors
    /// When a listener or the guard cannot be had.
    pub async fn start(config: Config) -> Result<Self, StartError> {
        let Config { mut declaration, listener, request_timeout, .. } = config;
        let (abandoned, output, logs) = (config.abandoned, config.output, config.logs);
        let revision = declaration.id.clone();
        let launch = declaration.launch.as_mut().ok_or(StartError::NoCommand)?;
        let launch = Arc::make_mut(launch);
        // Known to the front door and the sidecars of this run only.
        let pairing = RunId::random();
        let variable = ("TIDEGATE_FRONT_DOOR".into(), pairing.to_string().into());
        launch.sidecar_environment.push(variable);
        let stop_deadline =
            launch.quiet_period + launch.grace_period + launch.stop_deadline + STOP_MARGIN;
        let reports = tokio::net::TcpListener::bind("127.0.0.1:0")
            .await
            .map_err(system("cannot listen on 127.0.0.1 for reports"))?;
        let controller = reports.local_addr().map_err(system("a listener has no address"))?;
        // Only what we start ourselves may take part; other users of this machine may not.
        let secret = Secret::random()?;
        let run = RunId::random();
        let commands =
            config.roles.commands().map_err(system("cannot find out which program this is"))?;
        let guard =
            Reaper::start(&commands.watchman, &run).map_err(system("cannot start the guard"))?;

        let (handle, owner) = tidegate_controller::controller(UndeclaredRevisions::Refuse);
        let notices = handle.watch_notices();
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

        let presence = Presence {
            pid: i32::try_from(std::process::id()).unwrap_or(0),
            revision: revision.to_string(),
            controller: controller.to_string(),
            secret: secret.reveal().to_owned(),
        };
        let announced = presence.announce();

        let mut door = door_config(&revision, controller, secret, request_timeout, &pairing)?;
        door.abandoned = abandoned;
        let door = Activator::with_listener(door, listener)?.spawn();
        handle.declare(declaration).await?;
        let address = door.address();
        let (doors, outcomes) = (Arc::clone(door.throttler()), Arc::clone(door.outcomes()));
        Ok(Self {
            address,
            controller,
            view: View { revision, handle, doors, outcomes },
            door: Some(door),
            run,
            guard,
            stop_serving,
            stop_deadline,
            notices,
            announced,
        })
    }

    /// Where clients come.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Where `tidegate explain` may ask.
    pub fn controller(&self) -> SocketAddr {
        self.controller
    }

    /// Why `tidegate explain` cannot find us by itself, if so.
    pub fn unannounced(&self) -> Option<&io::Error> {
        self.announced.as_ref().err()
    }

    /// How things stand now.
    ///
    /// # Errors
    /// When the controller has ended.
    pub async fn status(&self) -> Result<Status, Ended> {
        self.view.status().await
    }

    /// Waits until things stand as `is_so` wants them. Cancel safe.
    ///
    /// # Errors
    /// When the controller has ended.
    pub async fn wait_until(&self, is_so: impl Fn(&Status) -> bool) -> Result<Status, Ended> {
        self.view.wait_until(is_so).await
    }

    /// How things stand, to be asked while the service drains.
    pub fn view(&self) -> View {
        self.view.clone()
    }

    /// Decisions from now on.
    pub fn watch_decisions(&self) -> broadcast::Receiver<Arc<DecisionRecord>> {
        self.view.handle.watch_decisions()
    }

    /// What happens to instances, from now on.
    pub fn watch_notices(&self) -> broadcast::Receiver<Notice> {
        self.view.handle.watch_notices()
    }

    /// Accepts no more requests, answers those that are there (for at most `longest`), then lets
    /// every instance finish. Cancel safe: [`Self::kill`] may follow.
    ///
    /// # Errors
    /// When the controller has ended.
    pub async fn drain(&mut self, longest: Duration) -> Result<Drained, Ended> {
        let drained = match self.door.take() {
            Some(door) => {
                door.announce_shutdown();
                door.drain(longest).await
            }
            None => Drained::Whole,
        };
        self.view.handle.stop(StopMode::Drain).await?;
        self.until_stopped().await;
        Ok(drained)
    }

    /// There will be no instance: tells clients why, those that wait and those that still come for
    /// at most `longest`, and ends.
    ///
    /// # Errors
    /// When the controller has ended.
    pub async fn give_up(&mut self, why: String, longest: Duration) -> Result<(), Ended> {
        if let Some(door) = self.door.take() {
            door.give_up(why);
            door.drain(longest).await;
        }
        self.kill().await
    }

    /// Ends every instance at once, whatever it is doing.
    ///
    /// # Errors
    /// When the controller has ended.
    pub async fn kill(&mut self) -> Result<(), Ended> {
        self.door = None;
        self.view.handle.stop(StopMode::Kill).await?;
        self.until_stopped().await;
        Ok(())
    }

    async fn until_stopped(&mut self) {
        let all_stopped = async {
            loop {
                match self.notices.recv().await {
                    Ok(Notice::AllStopped) | Err(broadcast::error::RecvError::Closed) => return,
                    Ok(_) | Err(broadcast::error::RecvError::Lagged(_)) => {}
                }
            }
        };
        // Past its deadline an instance is swept away by `finish`.
        let _ = tokio::time::timeout(self.stop_deadline, all_stopped).await;
    }

    /// Makes sure that no process is left, and lets the guard go. Returns how many processes had
    /// to be swept away, which is 0 unless something went wrong.
    pub async fn finish(self) -> usize {
        drop(self.stop_serving);
        let run = self.run.clone();
        let sweeping = tokio::task::spawn_blocking(move || process_tag::sweep(Scope::Run(&run)));
        let swept = sweeping.await.unwrap_or(0);
        self.guard.dismiss().await;
        swept
    }
}

impl View {
    /// How things stand now.
    ///
    /// # Errors
    /// When the controller has ended.
    pub async fn status(&self) -> Result<Status, Ended> {
        let statuses = self.handle.statuses().await?;
        let revision = statuses.into_iter().find(|status| status.revision == self.revision);
        let name = revision_name(&self.revision);
        let door = self.doors.all().into_iter().find(|door| *door.revision() == name);
        Ok(Status {
            // It was declared before anybody could ask.
            revision: revision.ok_or(Ended)?,
            door: door.map(|door| door.status()).unwrap_or_default(),
            outcomes: self.outcomes.snapshot(),
        })
    }

    /// Waits until things stand as `is_so` wants them, looking every 20 ms. Cancel safe.
    ///
    /// # Errors
    /// When the controller has ended.
    pub async fn wait_until(&self, is_so: impl Fn(&Status) -> bool) -> Result<Status, Ended> {
        loop {
            let status = self.status().await?;
            if is_so(&status) {
                return Ok(status);
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }
}

fn door_config(
    revision: &RevisionId,
    controller: SocketAddr,
    secret: Secret,
    request_timeout: Duration,
    pairing: &RunId,
) -> Result<tidegate_activator::Config, StartError> {
    // The address is only used where there is no listener yet.
    let mut config = tidegate_activator::Config::new(SocketAddr::from(([127, 0, 0, 1], 0)));
    config.controller = Some(controller.to_string());
    config.credentials.secret = Some(secret);
    config.name = "front-door".to_owned();
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
