//! Several services on this machine: one controller and one activator for all of them, a pair of
//! processes for each instance, and a file that says what there is to be, which may change.
//!
//! Modules in reading order: `config` is what it is started with, `step` is what is seen and what
//! is to be done, `standing` and `fleet` decide what becomes of each service, `declare` is what a
//! service is to the controller, `build` runs builds, `users` finds users, [`check`](mod@check) is
//! what can be known to go wrong, `owner` is what its owner asks of it, `view` what others see.

mod build;
pub mod check;
mod config;
mod declare;
mod fleet;
mod owner;
mod standing;
mod step;
mod users;
mod view;

use std::collections::{BTreeMap, VecDeque};
use std::net::{SocketAddr, TcpListener};
use std::time::Duration;

use tidegate_activator::{Carries, Door};
use tidegate_admission::Abandoned;
use tidegate_controller::process::OutputLine;
use tidegate_controller::{Ended, Notice, RevisionId};
use tidegate_routes::Table;
use tidegate_services::{Difference, Limits, NAMESPACE, Protocol, Services, Template, routes};
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::{broadcast, mpsc};
use tokio::task::JoinSet;
use tokio::time::Instant;

pub use self::check::check;
pub use self::config::{FollowError, PlatformConfig, PlatformEvent};
use self::config::{bind, wants_limits};
pub use self::declare::Surroundings;
use self::declare::{Wanted, declaration};
pub use self::fleet::Again;
use self::fleet::Fleet;
pub use self::standing::Stage;
use self::step::{Facts, Seen, Step, rollout_end};
use self::view::id;
pub use self::view::{PlatformView, ServiceStatus};
use crate::engine::{Engine, EngineConfig, LimitsWanted, Prepared};
use crate::pace;
use crate::settings::SettingsError;
use crate::view::revision_name;

/// Time between two looks at services while something changes.
const LOOK_PERIOD: Duration = Duration::from_millis(50);

/// Longest time of any request at the front door; each service has its own, which is shorter.
const LONGEST_WAIT: Duration = Duration::from_secs(30 * 86_400);

/// How long the room of a request whose client has gone is held at the front door; queue-proxies
/// hold it by the time of their own service.
const ABANDONED_MAX: Duration = Duration::from_secs(300);

/// An address of a service's own.
struct OpenDoor {
    door: Door,
    protocol: Protocol,
}

/// The services while they run.
pub struct Platform {
    engine: Engine,
    fleet: Fleet,
    services: Services,
    surroundings: Surroundings,
    output: Option<mpsc::Sender<OutputLine>>,
    doors: BTreeMap<String, OpenDoor>,
    /// What is to be done, in this order; what is done is removed after it.
    steps: VecDeque<Step>,
    builds: JoinSet<(u64, Result<(), String>)>,
    notices: broadcast::Receiver<Notice>,
    /// What is to be told.
    told: VecDeque<PlatformEvent>,
    began: Instant,
    /// When it is looked at services that change.
    next_look: Instant,
    are_limits_told: bool,
    /// Longest time that an app of these may take to end.
    stop_deadline: Duration,
    shared: view::Shared,
}

impl Platform {
    /// Starts the services of a file. Must be called within a multi-threaded runtime.
    ///
    /// # Errors
    ///
    /// When an address cannot be had, or something of the machinery cannot be started. What is
    /// wrong with a service alone is told later.
    pub async fn start(config: PlatformConfig) -> Result<Self, FollowError> {
        let PlatformConfig { services, surroundings, output, .. } = config;
        let wrong = check(&services, &surroundings);
        if !wrong.is_empty() {
            return Err(FollowError::File(wrong));
        }
        let bound = bind(&services, &BTreeMap::new(), config.listeners)?;
        let prepared = Prepared::new(config.estate);
        let mut fleet = Fleet::default();
        let mut steps = fleet.resume(prepared.services(), &services);
        steps.extend(fleet.follow(&services, Again::Changed));
        let expected = steps.iter().filter_map(|step| match step {
            Step::Expect(revision) => RevisionId::new(NAMESPACE, revision).ok(),
            _ => None,
        });
        let names: Vec<&str> = services.services.keys().map(String::as_str).collect();
        let engine = Engine::start(EngineConfig {
            listener: config.listener,
            carries: Carries::Http,
            tls: config.tls,
            longest_wait: LONGEST_WAIT,
            response_start: None,
            streams: config.streams,
            abandoned: Abandoned::hold(Some(ABANDONED_MAX)),
            output: output.clone(),
            logs: config.logs,
            recording: None,
            server_timing: config.server_timing,
            pace: pace::of_machine(),
            roles: config.roles,
            revisions: expected.collect(),
            default_revision: None,
            routes: Table::parse(&routes(&services, &fleet.leads())).ok(),
            called: names.join(","),
            limits: wants_limits(&services),
            prepared,
        })?;
        let notices = engine.handle.watch_notices();
        let shared = view::Shared::new(&engine);
        let mut platform = Self {
            engine,
            fleet,
            services,
            surroundings,
            output,
            doors: BTreeMap::new(),
            steps: steps.into(),
            builds: JoinSet::new(),
            notices,
            told: VecDeque::new(),
            began: Instant::now(),
            next_look: Instant::now(),
            are_limits_told: false,
            stop_deadline: Duration::ZERO,
            shared,
        };
        platform.tell_of_limits();
        platform.open(bound)?;
        platform.carry_out().await?;
        platform.engine.end_rest();
        platform.look().await?;
        Ok(platform)
    }

    /// Follows another file. What is wrong with it changes nothing.
    ///
    /// # Errors
    ///
    /// What of it cannot be followed, or an address that it wants.
    pub async fn follow(
        &mut self,
        services: Services,
        again: Again,
    ) -> Result<Difference, FollowError> {
        let wrong = check(&services, &self.surroundings);
        if !wrong.is_empty() {
            return Err(FollowError::File(wrong));
        }
        let difference = Difference::between(&self.services, &services);
        if difference.is_nothing() && again == Again::Changed {
            return Ok(difference);
        }
        // Whoever speaks another protocol now has to let go of its address first.
        let is_other = |name: &String, open: &OpenDoor| {
            let service = services.services.get(name);
            service.is_some_and(|service| service.template.protocol != open.protocol)
        };
        for (_, open) in self.doors.extract_if(.., |name, open| is_other(name, open)) {
            open.door.close().await;
        }
        let bound = bind(&services, &self.addresses(), BTreeMap::new())?;
        self.services = services;
        self.tell_of_limits();
        let steps = self.fleet.follow(&self.services, again);
        self.steps.extend(steps);
        self.carry_out().await?;
        let closed: Vec<String> =
            self.doors.keys().filter(|name| !self.wants_door(name)).cloned().collect();
        for name in closed {
            if let Some(open) = self.doors.remove(&name) {
                open.door.close().await;
            }
        }
        self.open(bound)?;
        self.look().await?;
        Ok(difference)
    }

    /// Says once that limits are not set, where they are wanted and cannot be.
    fn tell_of_limits(&mut self) {
        let why = match &self.engine.limits {
            _ if self.are_limits_told || wants_limits(&self.services) == LimitsWanted::No => return,
            Some(Ok(())) => return,
            Some(Err(why)) => format!("`limits` are not set here: {why}"),
            None => "`limits` are set from the next start on".to_owned(),
        };
        self.are_limits_told = true;
        self.told.push_back(PlatformEvent::Told(why));
    }

    /// Whether a door that is open is to stay so.
    fn wants_door(&self, name: &str) -> bool {
        let service = self.services.services.get(name);
        let wanted = service.and_then(|service| service.entrance.listen);
        wanted.is_some() && wanted == self.doors.get(name).map(|open| open.door.address())
    }

    /// Where services listen that have an address of their own.
    fn addresses(&self) -> BTreeMap<String, SocketAddr> {
        let each = self.doors.iter();
        each.map(|(name, open)| (name.clone(), open.door.address())).collect()
    }

    fn open(&mut self, bound: Vec<(String, TcpListener)>) -> Result<(), FollowError> {
        for (name, listener) in bound {
            let (Some(activator), Some(service)) =
                (&self.engine.activator, self.services.services.get(&name))
            else {
                continue;
            };
            let protocol = service.template.protocol;
            let carries = match protocol {
                Protocol::Http => Carries::Http,
                Protocol::Tcp => Carries::Tcp,
            };
            let address = service.entrance.listen.unwrap_or(self.engine.addresses.http);
            let door = activator.open_door(listener, &name, carries);
            let wrong = |source| FollowError::Listen { service: name.clone(), address, source };
            let door = door.map_err(wrong)?;
            self.doors.insert(name, OpenDoor { door, protocol });
        }
        self.shared.set_doors(self.addresses());
        Ok(())
    }

    /// Ends one service, until another file is followed. `false` when there is none of this name.
    ///
    /// # Errors
    ///
    /// As for [`Platform::follow`].
    pub async fn stop_service(&mut self, name: &str) -> Result<bool, FollowError> {
        let mut services = self.services.clone();
        let is_there = services.services.remove(name).is_some();
        if is_there {
            self.follow(services, Again::Changed).await?;
        }
        Ok(is_there)
    }

    /// Waits until there is something to tell, and does meanwhile what is due. Cancel safe.
    ///
    /// # Errors
    ///
    /// When the controller has ended.
    pub async fn next(&mut self) -> Result<PlatformEvent, Ended> {
        loop {
            self.carry_out().await?;
            if let Some(event) = self.told.pop_front() {
                return Ok(event);
            }
            let look_at = self.fleet.is_busy().then_some(self.next_look);
            let looking = async {
                match look_at {
                    Some(at) => tokio::time::sleep_until(at).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                notice = self.notices.recv() => match notice {
                    Ok(notice) => {
                        self.hear(&notice);
                        self.told.push_back(PlatformEvent::Notice(notice));
                    }
                    Err(RecvError::Lagged(_)) => {}
                    Err(RecvError::Closed) => return Err(Ended),
                },
                Some(built) = self.builds.join_next() => if let Ok((number, result)) = built {
                    let steps = self.fleet.built(number, result);
                    self.steps.extend(steps);
                },
                () = looking => {}
            }
            self.look().await?;
        }
    }

    fn hear(&mut self, notice: &Notice) {
        if let Notice::GaveUp { revision, ending, .. } = notice {
            let steps = self.fleet.gave_up(revision.name(), &ending.what);
            self.steps.extend(steps);
        }
    }

    /// Looks at what there is, and does what is due by it.
    async fn look(&mut self) -> Result<(), Ended> {
        self.next_look = Instant::now() + LOOK_PERIOD;
        let statuses = self.engine.handle.statuses().await?;
        let live = self.engine.activator.as_ref().and_then(|running| running.routes().table());
        let mut revisions: BTreeMap<String, Seen> = BTreeMap::new();
        for status in &statuses {
            let seen = revisions.entry(status.revision.name().to_owned()).or_default();
            seen.ready = status.ready;
            seen.instances = status.ready + status.starting + status.draining + status.frozen;
        }
        for throttler in self.engine.throttlers.all() {
            let seen = revisions.entry(throttler.revision().name.clone()).or_default();
            seen.waiting = throttler.status().waiting;
        }
        for revision in live.iter().flat_map(Table::revisions) {
            revisions.entry(revision.name.clone()).or_default().is_routed = true;
        }
        let routes = self.engine.handle.routes().await?;
        let rollouts = routes.iter().filter_map(rollout_end).collect();
        let now_ms = u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX);
        let facts = Facts { now_ms, revisions: &revisions, rollouts: &rollouts };
        let steps = self.fleet.look(&facts);
        self.steps.extend(steps);
        self.enter();
        self.carry_out().await
    }

    /// Says how the services stand, and enters them for this user's commands.
    fn enter(&mut self) {
        let (places, engine) = (self.fleet.places(), &self.engine);
        let address = |name: &str| {
            let own = self.doors.get(name).map(|open| open.door.address());
            own.unwrap_or(engine.addresses.http)
        };
        view::enter(&engine.roster, &places, |revision| engine.view(revision), address);
        self.shared.set_places(places);
        let kept = self.fleet.to_keep();
        self.engine.note(kept);
        self.told.extend(self.engine.told.drain(..).map(PlatformEvent::Told));
    }

    /// Does what is to be done. Cancel safe: what was not done is done at the next call, and each
    /// step may be done twice.
    async fn carry_out(&mut self) -> Result<(), Ended> {
        while let Some(step) = self.steps.front().cloned() {
            self.do_step(step).await?;
            self.steps.pop_front();
        }
        Ok(())
    }

    async fn do_step(&mut self, step: Step) -> Result<(), Ended> {
        let handle = &self.engine.handle;
        match step {
            Step::Expect(revision) => {
                if let Some(id) = id(&revision) {
                    // Beyond the most that an activator knows requests are told so.
                    let _ = self.engine.throttlers.register(&revision_name(&id));
                }
            }
            Step::Unexpect(revision) => {
                if let Some(id) = id(&revision) {
                    self.engine.throttlers.forget(&revision_name(&id));
                }
            }
            Step::Build { service, number, template } => {
                let (surroundings, output) = (self.surroundings.clone(), self.output.clone());
                self.told.push_back(PlatformEvent::Told(format!("{service} is built")));
                self.builds.spawn(async move {
                    (number, build::run(service, template, surroundings, output).await)
                });
            }
            Step::Declare { service, revision, template, initial } => {
                return self.declare((&service, &revision), &template, initial).await;
            }
            Step::Route => {
                let text = routes(&self.services, &self.fleet.leads());
                match Table::parse(&text) {
                    Ok(table) => handle.follow_routes(text.into(), table, Vec::new()).await?,
                    Err(error) => {
                        let told = format!("the routes stay as they were: {error}");
                        self.told.push_back(PlatformEvent::Told(told));
                    }
                }
            }
            Step::Retire(revision) => {
                if let Some(id) = id(&revision) {
                    handle.retire(id).await?;
                }
            }
            Step::Forget(revision) => {
                if let Some(id) = id(&revision) {
                    handle.undeclare(id).await?;
                }
            }
            Step::Tell(what) => self.told.push_back(PlatformEvent::Told(what)),
        }
        Ok(())
    }

    async fn declare(
        &mut self,
        (service, revision): (&str, &str),
        template: &Template,
        initial: u32,
    ) -> Result<(), Ended> {
        let Some(wanted) = self.services.services.get(service) else { return Ok(()) };
        let account = template.user.as_deref().map(users::account).transpose();
        let declared = account.map_err(|error| error.to_string()).and_then(|account| {
            let (scale, queue) = (&wanted.scale, &wanted.queue);
            let account = account.flatten();
            let limits = match self.engine.limits {
                Some(Ok(())) => template.limits,
                _ => Limits::default(),
            };
            let wanted =
                Wanted { service, revision, template, scale, queue, initial, account, limits };
            declaration(wanted, &self.surroundings, &self.engine.pairing)
                .map_err(|error: SettingsError| error.to_string())
        });
        match declared {
            Ok(declaration) => {
                self.stop_deadline = self.stop_deadline.max(template.stop_timeout);
                self.engine.declare(declaration).await
            }
            // It was checked: the machine has changed since.
            Err(why) => {
                let steps = self.fleet.gave_up(revision, &why);
                self.steps.extend(steps);
                Ok(())
            }
        }
    }
}
