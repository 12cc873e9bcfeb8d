//! One service on this machine: a controller and an activator in this process, and a pair of
//! processes, app and queue-proxy, for each instance.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

use tidegate_activator::{Carries, Drained, ServerTimingHeader, TlsListen};
use tidegate_admission::Abandoned;
use tidegate_controller::Ended;
use tidegate_controller::journal::DecisionRecord;
use tidegate_controller::process::{LogFolder, OutputLine};
use tidegate_controller::{Declaration, Notice, StartPace};
use tidegate_relay::StreamLimits;
use tidegate_routes::Table;
use tokio::sync::{broadcast, mpsc};
use tokio::time::Instant;

use crate::engine::{ANY_PORT, Engine, EngineConfig, LimitsWanted, Prepared, StartError};
use crate::keep::Estate;
use crate::operate::{Roster, Socket};
use crate::pace;
use crate::recording::Recording;
use crate::revisions;
use crate::roles::RoleProgram;
use crate::view::{Status, View};

/// Longest time of a request where the configuration sets none.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(60);

/// What to serve, and where.
#[derive(Debug)]
pub struct Config {
    /// How the app is scaled and started; [`Declaration::launch`] must be set.
    pub declaration: Declaration,
    /// Further revisions, which routes lead to; each scales by itself.
    pub others: Vec<Declaration>,
    /// Which revision requests go to, and the text that says it; what no route is for goes to that
    /// of `declaration`.
    pub routes: Option<(Arc<str>, Table)>,
    /// Where clients connect.
    pub listener: TcpListener,
    /// What the connections of clients carry.
    pub carries: Carries,
    /// Where clients connect over TLS, and what they are shown there.
    pub tls: Option<TlsListen>,
    /// Longest wait of a request for an instance, and again for the begin of its response.
    pub request_timeout: Duration,
    /// How long a response or a tunnel may last once it has begun.
    pub streams: StreamLimits,
    /// What happens to a slot when the client disconnects while the app works.
    pub abandoned: Abandoned,
    /// Receives the lines that the app writes; `None` discards them.
    pub output: Option<mpsc::Sender<OutputLine>>,
    /// Keeps all of these lines in files.
    pub logs: Option<LogFolder>,
    /// Records requests and instances; see [`Settings::record`](crate::Settings::record).
    pub recording: Option<Recording>,
    /// How many instances start at a time.
    pub pace: StartPace,
    /// Whether clients are told in `Server-Timing` where the time of a cold start went.
    pub server_timing: ServerTimingHeader,
    /// The program that plays the roles beside each instance.
    pub roles: RoleProgram,
    /// What a run before has left of it, and whether instances outlive this one.
    pub estate: Option<Estate>,
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
            others: Vec::new(),
            routes: None,
            listener: tidegate_relay::listen(ANY_PORT)?,
            carries: Carries::Http,
            tls: None,
            streams: StreamLimits::default(),
            request_timeout: REQUEST_TIMEOUT,
            abandoned: Abandoned::hold(Some(REQUEST_TIMEOUT)),
            output: None,
            logs: None,
            recording: None,
            pace: pace::of_machine(),
            server_timing: ServerTimingHeader::Hidden,
            roles,
            estate: None,
        })
    }

    /// The same with further revisions, and a file of routes that divides requests among all.
    ///
    /// # Errors
    ///
    /// What of the text cannot be followed, and where it stands.
    pub fn with_routes(
        mut self,
        text: &str,
        others: Vec<Declaration>,
    ) -> Result<Self, tidegate_routes::FileError> {
        self.routes = Some((text.into(), Table::parse(text)?));
        self.others = others;
        Ok(self)
    }
}

/// A running service. Dropping it without [`Service::finish`] leaves its processes to the reaper,
/// which ends them when this process exits.
pub struct Service {
    engine: Engine,
    view: View,
    /// Longest time that an app may take to end.
    stop_deadline: Duration,
}

impl Service {
    /// Starts the controller, the activator and the reaper. Must be called within a multi-threaded
    /// runtime.
    ///
    /// # Errors
    ///
    /// When a listener cannot be bound or the reaper cannot be started.
    pub async fn start(config: Config) -> Result<Self, StartError> {
        let Config { declaration, others, routes, request_timeout, carries, .. } = config;
        let revision = declaration.id.clone();
        let mut declarations = others;
        declarations.insert(0, declaration);
        if declarations.iter().any(|declaration| declaration.launch.is_none()) {
            return Err(StartError::NoCommand);
        }
        let mut engine = Engine::start(EngineConfig {
            listener: config.listener,
            carries,
            tls: config.tls,
            longest_wait: request_timeout,
            response_start: Some(request_timeout),
            streams: config.streams,
            abandoned: config.abandoned,
            output: config.output,
            logs: config.logs,
            recording: config.recording,
            server_timing: config.server_timing,
            pace: config.pace,
            roles: config.roles,
            revisions: declarations.iter().map(|of| of.id.clone()).collect(),
            default_revision: Some(revision.clone()),
            routes: routes.as_ref().map(|(_, table)| table.clone()),
            called: revision.to_string(),
            limits: LimitsWanted::No,
            prepared: Prepared::new(config.estate),
        })?;
        let stop_deadline = revisions::pair(&mut declarations, &engine.pairing, carries);
        let view = engine.view(revision);
        for declared in &declarations {
            let (name, view) = (declared.id.name().to_owned(), view.of(declared.id.clone()));
            engine.roster.enter(name, view, engine.addresses.http);
        }
        revisions::declare(&mut engine, declarations, routes).await?;
        engine.end_rest();
        Ok(Self { engine, view, stop_deadline })
    }

    /// What became of a run before, for people.
    pub fn told(&self) -> &[String] {
        &self.engine.told
    }

    /// Where clients connect.
    pub fn address(&self) -> SocketAddr {
        self.engine.addresses.http
    }

    /// Where clients connect over TLS, if they can.
    pub fn tls_address(&self) -> Option<SocketAddr> {
        self.engine.addresses.tls
    }

    /// Where the controller serves `tidegate explain`.
    pub fn controller(&self) -> SocketAddr {
        self.engine.controller
    }

    /// Why `tidegate explain` cannot discover this service, if so.
    pub fn unannounced(&self) -> Option<&io::Error> {
        self.engine.announced.as_ref().err()
    }

    /// Why `tidegate ps` and the like cannot ask this service, if so.
    pub fn unreachable(&self) -> Option<&io::Error> {
        self.engine.socket.as_ref().err()
    }

    /// The services that this user's commands can ask and order: those of this one, and what else
    /// is entered.
    pub fn roster(&self) -> &Roster {
        &self.engine.roster
    }

    /// Takes over the socket, which otherwise closes with [`Self::finish`]: an order to stop is
    /// answered after that.
    pub fn take_socket(&mut self) -> Option<Socket> {
        self.engine.take_socket()
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
        self.engine.finish_requests(by).await
    }

    /// The second half of [`Self::drain`]: stops every instance. What an instance still works on
    /// after `by`, with a client or without, is cut off; its app then has its own time to end.
    /// Cancel safe.
    ///
    /// # Errors
    ///
    /// When the controller has ended.
    pub async fn stop_instances(&mut self, by: Instant) -> Result<(), Ended> {
        self.engine.stop_instances(by, self.stop_deadline).await
    }

    /// Ends a service whose app cannot start: waiting requests, and those that still arrive within
    /// `longest`, get a response with the reason `why`.
    ///
    /// # Errors
    ///
    /// When the controller has ended.
    pub async fn give_up(&mut self, why: String, longest: Duration) -> Result<(), Ended> {
        self.engine.refuse(why, longest).await;
        self.kill().await
    }

    /// Kills every instance at once, with the requests that it serves.
    ///
    /// # Errors
    ///
    /// When the controller has ended.
    pub async fn kill(&mut self) -> Result<(), Ended> {
        self.engine.kill(self.stop_deadline).await
    }

    /// Ends the recording, kills processes of the run that are left, then dismisses the reaper.
    /// Returns how many had to be killed: 0 unless something went wrong.
    pub async fn finish(self) -> usize {
        self.engine.finish().await
    }
}
