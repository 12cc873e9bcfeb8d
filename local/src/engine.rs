//! What local mode consists of, whatever it serves: a controller and an activator in this process,
//! the reaper beside it, and the secrets that only they and the queue-proxies know.

use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

use tidegate_activator::throttler::Throttler;
use tidegate_activator::{
    Activator, Addresses, Carries, ConfigError, Drained, HeaderValue, OutcomeCounter, Running,
    ServerTimingHeader, TlsListen,
};
use tidegate_admission::Abandoned;
use tidegate_controller::process::process_tag::Scope;
use tidegate_controller::process::{
    LogFolder, OutputLine, ProcessActuator, ProcessConfig, Reaper, RunId, Spare, prepare_limits,
    sweep,
};
use tidegate_controller::{
    Access, Declaration, Ended, Event, Handle, Notice, RevisionId, StartPace, StopMode,
    UndeclaredRevisions,
};
use tidegate_relay::StreamLimits;
use tidegate_routes::Table;
use tidegate_trust::{Secret, SecretError};
use tokio::sync::{broadcast, mpsc, oneshot};
use tokio::time::{Instant, timeout, timeout_at};

use crate::keep::{Begun, Estate, Inheritance, Keeper, KeptService};
use crate::operate::{Roster, Socket};
use crate::pace::SlackWatch;
use crate::presence::{self, Announced, Presence};
use crate::recording::{Recorder, Recording};
use crate::roles::RoleProgram;
use crate::view::{View, revision_name};

/// A free port of loopback.
pub(crate) const ANY_PORT: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

/// Time that instances get to stop beyond their own deadlines, once the activator has closed.
const STOP_MARGIN: Duration = Duration::from_secs(5);

/// How long a response about a connection that the app closed is held back for the controller's
/// report of the app's death, so that it can name the cause. The report takes a few milliseconds.
const EXIT_NOTICE_WAIT: Duration = Duration::from_millis(100);

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

pub(crate) fn system(what: &'static str) -> impl FnOnce(io::Error) -> StartError {
    move |source| StartError::System { what, source }
}

/// Where queue-proxies report to.
type Reports = (tokio::net::TcpListener, SocketAddr);

/// What is taken over of a run before, and kept for the next one.
#[derive(Debug, Default)]
pub(crate) struct Prepared {
    estate: Option<Estate>,
    before: Option<(Inheritance, Reports)>,
    told: Vec<String>,
}

impl Prepared {
    /// Looks at what a run before has left, and ends what cannot be taken over. Must be called
    /// within a runtime.
    pub(crate) fn new(mut estate: Option<Estate>) -> Self {
        let mut told = Vec::new();
        let before = estate.as_mut().and_then(|estate| take_over(estate, &mut told));
        Self { estate, before, told }
    }

    /// How the services of the run before stood.
    pub(crate) fn services(&self) -> BTreeMap<String, KeptService> {
        self.before.as_ref().map(|(of, _)| of.services.clone()).unwrap_or_default()
    }
}

/// What is taken over of a run before, with the listener that its queue-proxies report to. What
/// cannot be taken over is ended.
fn take_over(estate: &mut Estate, told: &mut Vec<String>) -> Option<(Inheritance, Reports)> {
    let (inheritance, ended) = estate.settle();
    if ended > 0 {
        told.push(format!("processes of a run before that were ended: {ended}"));
    }
    let inheritance = inheritance?;
    match listen_for_reports(inheritance.controller) {
        Ok(reports) => Some((inheritance, reports)),
        Err(_) => {
            // Its queue-proxies know no other address.
            let ended = sweep(Scope::Run(&inheritance.run));
            let address = inheritance.controller;
            told.push(format!(
                "a run before cannot be taken over, as another program listens on {address}: \
                 processes of it that were ended: {ended}"
            ));
            None
        }
    }
}

/// Where the controller listens.
fn listen_for_reports(at: SocketAddr) -> Result<Reports, StartError> {
    let reports = tidegate_relay::listen(at)
        .and_then(tokio::net::TcpListener::from_std)
        .map_err(system("cannot listen on 127.0.0.1 for reports"))?;
    let address = reports.local_addr().map_err(system("a listener has no address"))?;
    Ok((reports, address))
}

/// What is served where, and by what.
pub(crate) struct EngineConfig {
    pub(crate) listener: TcpListener,
    pub(crate) carries: Carries,
    pub(crate) tls: Option<TlsListen>,
    /// Longest wait of a request for an instance.
    pub(crate) longest_wait: Duration,
    /// Longest time until the begin of a response.
    pub(crate) response_start: Option<Duration>,
    pub(crate) streams: StreamLimits,
    pub(crate) abandoned: Abandoned,
    pub(crate) output: Option<mpsc::Sender<OutputLine>>,
    pub(crate) logs: Option<LogFolder>,
    pub(crate) recording: Option<Recording>,
    pub(crate) server_timing: ServerTimingHeader,
    pub(crate) pace: StartPace,
    pub(crate) roles: RoleProgram,
    /// Revisions that requests wait for from the beginning.
    pub(crate) revisions: Vec<RevisionId>,
    /// The one for requests that no route is for.
    pub(crate) default_revision: Option<RevisionId>,
    pub(crate) routes: Option<Table>,
    /// What other commands find it by.
    pub(crate) called: String,
    /// Whether instances are to have limits.
    pub(crate) limits: LimitsWanted,
    /// What is taken over of a run before, and kept for the next one.
    pub(crate) prepared: Prepared,
}

/// Whether instances are to have limits, which has to be known before anything is started.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LimitsWanted {
    Yes,
    No,
}

/// The running parts. Dropped without [`Engine::finish`], it leaves its processes to the reaper,
/// which ends them when this process exits.
pub(crate) struct Engine {
    pub(crate) addresses: Addresses,
    pub(crate) controller: SocketAddr,
    pub(crate) handle: Handle,
    pub(crate) throttlers: Arc<Throttler>,
    pub(crate) outcomes: Arc<OutcomeCounter>,
    pub(crate) waiting_max: u32,
    /// The secret that the activator shares with the queue-proxies.
    pub(crate) pairing: RunId,
    /// Whether instances can have limits, where that was wanted; else why not.
    pub(crate) limits: Option<Result<(), String>>,
    /// `None` once it has been closed.
    pub(crate) activator: Option<Running>,
    /// What a person is to know of the run before.
    pub(crate) told: Vec<String>,
    keeper: Option<Keeper>,
    run: RunId,
    reaper: Reaper,
    spare: Spare,
    stop_serving: oneshot::Sender<()>,
    notices: broadcast::Receiver<Notice>,
    recorder: Option<Recorder>,
    /// Makes the service discoverable for this user's commands; or why it is not.
    pub(crate) announced: Result<Announced, io::Error>,
    pub(crate) roster: Roster,
    /// Where this user's commands ask and order; or why they cannot.
    pub(crate) socket: Result<Socket, io::Error>,
    _slack: SlackWatch,
}

/// What reporters show, the tag of all processes, and what the front door shows sidecars: those of
/// the run that is taken over, or new ones.
fn identity(of: Option<&Inheritance>) -> Result<(Secret, RunId, RunId), StartError> {
    Ok(match of {
        Some(of) => (of.secret.clone(), of.run.clone(), of.pairing.clone()),
        None => (Secret::random()?, RunId::random(), RunId::random()),
    })
}

/// Keeps what another run needs to take this one over, where that is wanted; or says why it cannot.
fn keep(
    estate: Option<Estate>,
    begun: &Begun<'_>,
    inheritance: Option<Inheritance>,
    told: &mut Vec<String>,
) -> Option<Keeper> {
    match estate.filter(Estate::outlives)?.keep(begun, inheritance) {
        Ok(keeper) => Some(keeper),
        Err(error) => {
            told.push(format!("no other run can take this one over: {error}"));
            None
        }
    }
}

impl Engine {
    /// Starts the controller, the activator and the reaper. Must be called within a multi-threaded
    /// runtime.
    ///
    /// # Errors
    ///
    /// When a listener cannot be bound or the reaper cannot be started.
    pub(crate) fn start(mut config: EngineConfig) -> Result<Self, StartError> {
        let Prepared { mut told, estate, before } = std::mem::take(&mut config.prepared);
        // Before the reaper: whatever is started later is where this process is now.
        let limits = (config.limits == LimitsWanted::Yes)
            .then(|| prepare_limits().map_err(|error| error.to_string()));
        let (inheritance, (reports, controller)) = match before {
            Some((inheritance, reports)) => (Some(inheritance), reports),
            None => (None, listen_for_reports(ANY_PORT)?),
        };
        // Loopback is open to every user of this machine: only peers with this secret may report.
        let (secret, run, pairing) = identity(inheritance.as_ref())?;
        let watched = estate.as_ref().and_then(Estate::folder);
        let commands = config
            .roles
            .commands(watched)
            .map_err(system("cannot find out which program this is"))?;
        // Before the first instance can start: whatever happens to this process, the reaper ends
        // what carries the run's tag.
        let reaper =
            Reaper::start(&commands.reaper, &run).map_err(system("cannot start the reaper"))?;

        let roster = Roster::new();
        let (handle, owner) = tidegate_controller::controller(UndeclaredRevisions::Refuse);
        let notices = handle.watch_notices();
        let recorder =
            config.recording.clone().map(|recording| Recorder::start(recording, &handle));
        let processes = ProcessConfig {
            sidecar: commands.queue_proxy,
            launcher: commands.launch,
            controller: controller.to_string(),
            secret: Some(secret.clone()),
            run: run.clone(),
            output: config.output.clone(),
            memory: roster.memory().clone(),
            logs: config.logs.clone(),
            keep: estate.as_ref().and_then(Estate::keep_folder),
        };
        let actuator = ProcessActuator::new(processes, handle.clone());
        let spare = actuator.spare();
        let slack = SlackWatch::start(handle.clone());
        tokio::spawn(owner.paced(config.pace).run(actuator));
        let stop_serving = serve(&handle, reports, secret.clone());
        roster.follow(&handle);
        let presence = Presence::ours(&config.called, controller, &secret);
        let (socket, announced) = announce(&roster, &presence);

        let secret_kept = secret.clone();
        let activator = activator_config(&config, controller, secret, &pairing)?;
        let waiting_max = activator.dispatch.max_waiting;
        let activator = Activator::with_listener(activator, config.listener)?.spawn();
        let front_door = activator.addresses().http;
        let begun =
            Begun { run: &run, pairing: &pairing, secret: &secret_kept, controller, front_door };
        let keeper = keep(estate, &begun, inheritance, &mut told);
        Ok(Self {
            told,
            keeper,
            addresses: activator.addresses().clone(),
            controller,
            handle,
            throttlers: Arc::clone(activator.throttler()),
            outcomes: Arc::clone(activator.outcomes()),
            waiting_max,
            pairing,
            limits,
            activator: Some(activator),
            run,
            reaper,
            spare,
            stop_serving,
            notices,
            recorder,
            announced,
            roster,
            socket,
            _slack: slack,
        })
    }

    /// Has the controller scale a revision, with the instances of a run before if there are some.
    ///
    /// # Errors
    ///
    /// When the controller has ended.
    pub(crate) async fn declare(&mut self, declaration: Declaration) -> Result<(), Ended> {
        let inherited = self.keeper.as_mut().map(|keeper| keeper.inherited(&declaration));
        let (instances, next_number) = inherited.unwrap_or_default();
        if instances.is_empty() && next_number <= 1 {
            return self.handle.declare(declaration).await;
        }
        for kept in &instances {
            self.told.push(format!("{} is taken over from a run before", kept.instance));
        }
        let declaration = Box::new(declaration);
        self.handle.happened(Event::Resume { declaration, instances, next_number }).await
    }

    /// Ends what of a run before was not taken over.
    pub(crate) fn end_rest(&mut self) {
        let ended = self.keeper.as_mut().map_or(0, Keeper::end_rest);
        if ended > 0 {
            self.told.push(format!("instances of a run before that were ended: {ended}"));
        }
    }

    /// Keeps how the services stand for a run that takes over.
    pub(crate) fn note(&mut self, services: BTreeMap<String, KeptService>) {
        let Some(keeper) = &mut self.keeper else { return };
        if let Err(error) = keeper.note(services) {
            self.told.push(format!("another run would take over what was before: {error}"));
        }
    }

    /// Takes over the socket, which otherwise closes with [`Engine::finish`].
    pub(crate) fn take_socket(&mut self) -> Option<Socket> {
        let taken = Err(io::Error::other("it was taken over"));
        std::mem::replace(&mut self.socket, taken).ok()
    }

    /// A handle for how a revision does.
    pub(crate) fn view(&self, revision: RevisionId) -> View {
        View {
            revision,
            handle: self.handle.clone(),
            throttlers: Arc::clone(&self.throttlers),
            outcomes: Arc::clone(&self.outcomes),
            waiting_max: self.waiting_max,
        }
    }

    /// Accepts no more requests, and waits for those in flight, but not beyond `by`. Cancel safe.
    pub(crate) async fn finish_requests(&mut self, by: Instant) -> Drained {
        match self.activator.take() {
            Some(activator) => {
                activator.announce_shutdown();
                activator.drain(by.saturating_duration_since(Instant::now())).await
            }
            None => Drained::Whole,
        }
    }

    /// Stops every instance. What an instance still works on after `by` is cut off; its app then
    /// has its own time to end, at most `longest`. Cancel safe.
    ///
    /// # Errors
    ///
    /// When the controller has ended.
    pub(crate) async fn stop_instances(
        &mut self,
        by: Instant,
        longest: Duration,
    ) -> Result<(), Ended> {
        self.handle.stop(StopMode::Drain).await?;
        if timeout_at(by, self.all_stopped()).await.is_err() {
            self.handle.stop(StopMode::Terminate).await?;
            self.until_stopped(longest).await;
        }
        Ok(())
    }

    /// Requests that wait, and those that still arrive within `longest`, are told `why` there will
    /// be no instance.
    pub(crate) async fn refuse(&mut self, why: String, longest: Duration) {
        if let Some(activator) = self.activator.take() {
            activator.give_up(why);
            activator.drain(longest).await;
        }
    }

    /// Kills every instance at once, with the requests that it serves.
    ///
    /// # Errors
    ///
    /// When the controller has ended.
    pub(crate) async fn kill(&mut self, longest: Duration) -> Result<(), Ended> {
        self.activator = None;
        self.handle.stop(StopMode::Kill).await?;
        self.until_stopped(longest).await;
        Ok(())
    }

    async fn until_stopped(&mut self, longest: Duration) {
        // An instance that misses its deadline is killed by `finish`.
        let _ = timeout(longest + STOP_MARGIN, self.all_stopped()).await;
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
    pub(crate) async fn finish(self) -> usize {
        drop(self.stop_serving);
        if let Ok(socket) = self.socket {
            socket.close().await;
        }
        if let Some(recorder) = self.recorder {
            recorder.finish().await;
        }
        self.spare.dismiss().await;
        let run = self.run.clone();
        let sweeping = tokio::task::spawn_blocking(move || sweep(Scope::Run(&run)));
        let swept = sweeping.await.unwrap_or(0);
        self.reaper.dismiss().await;
        if let Some(keeper) = self.keeper {
            keeper.close();
        }
        swept
    }
}

fn activator_config(
    config: &EngineConfig,
    controller: SocketAddr,
    secret: Secret,
    pairing: &RunId,
) -> Result<tidegate_activator::Config, StartError> {
    // The activator gets a listener, so this address stays unused.
    let mut activator = tidegate_activator::Config::new(ANY_PORT);
    activator.controller = Some(controller.to_string());
    activator.credentials.secret = Some(secret.into());
    activator.name = "activator".to_owned();
    activator.default_revision = config.default_revision.as_ref().map(revision_name);
    activator.revisions = config.revisions.iter().map(revision_name).collect();
    activator.dispatch.longest_wait = Some(config.longest_wait);
    activator.limits.response_start = config.response_start;
    activator.limits.stream = config.streams;
    let shared = HeaderValue::from_str(&pairing.to_string()).map_err(io::Error::other);
    activator.sidecar_secret = Some(shared.map_err(system("cannot name this run"))?);
    activator.exit_notice_wait = EXIT_NOTICE_WAIT;
    activator.abandoned = config.abandoned;
    activator.server_timing = config.server_timing;
    activator.tls = config.tls.clone();
    activator.carries = config.carries;
    activator.requests = config.recording.clone().map(|recording| Arc::new(recording) as _);
    activator.routes = config.routes.clone();
    Ok(activator)
}

/// Has the controller take reports until what is returned is dropped.
fn serve(handle: &Handle, reports: tokio::net::TcpListener, secret: Secret) -> oneshot::Sender<()> {
    let (stop, stopped) = oneshot::channel();
    let (access, stopped) = (Access::by_secret(secret), async { drop(stopped.await) });
    tokio::spawn(tidegate_controller::serve(handle.clone(), reports, access, stopped));
    stop
}

/// Lets this user's commands find what runs, and ask and order what is in the roster.
fn announce(roster: &Roster, presence: &Presence) -> (io::Result<Socket>, io::Result<Announced>) {
    // First the socket: the announcement says that it is there.
    let socket = presence::socket_path().and_then(|path| Socket::open(roster, &path));
    (socket, presence.announce())
}
