//! Instances of a revision: an app and a sidecar each, as many as the controller wants.
//!
//! This is the platform's part, which a controller that runs apart leaves to others: what a
//! ReplicaSet and a kubelet do on a cluster.

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::Context;
use parking_lot::Mutex;
use tidegate_knative::environment as keys;
use tidegate_reserved_port::Reserved;
use tokio::process::{Child, Command};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinSet;

use super::Run;
use super::blame::Kill;
use super::children::{end, log};
use super::plan::{DOORS, Plan, name};
use super::roles::{CONTROLLER_SECRET, FRONT_DOOR_SECRET};
use crate::proxy::peers;
use crate::proxy::soak::Random;

/// How long a sidecar goes on accepting requests when it is told to end, for activators to hear:
/// longer than a controller that is killed just then is away, and activators take to find it again.
const QUIET_PERIOD_MS: &str = "4000";

/// How long a process may take to end when it is told to.
const END_PATIENCE: Duration = Duration::from_secs(30);

/// So many ports rest before the first of them is another instance's: one that has just been in use
/// is not given away while somebody may still believe that it is the first one's.
const RESTING: usize = 200;

/// Ports for instances.
#[derive(Debug, Default)]
pub(super) struct Ports(Mutex<VecDeque<Reserved>>);

impl Ports {
    /// A port that nobody listens on.
    fn next(&self) -> io::Result<Reserved> {
        let mut resting = self.0.lock();
        let rested = resting.len().checked_sub(RESTING).and_then(|_| resting.pop_front());
        rested.map_or_else(Reserved::new, Ok)
    }

    fn rest(&self, port: Reserved) {
        self.0.lock().push_back(port);
    }
}

/// Which half of an instance is killed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Half {
    App,
    Sidecar,
}

/// What an instance is told.
enum Order {
    Stop,
    Kill(Half, oneshot::Sender<Kill>),
}

/// What is asked of the instances of one revision.
pub(super) enum Ask {
    /// Kill a half of any of them, if there is one.
    Kill(Half, oneshot::Sender<Option<oneshot::Receiver<Kill>>>),
}

/// The instances of one revision, as others see them.
pub(super) struct Instances {
    pub(super) ask: mpsc::Sender<Ask>,
    /// How many there are, those that end included.
    pub(super) count: watch::Receiver<usize>,
    /// The most that there were at a time since this was last set to none.
    pub(super) most: Arc<AtomicUsize>,
    pub(super) started: Arc<AtomicUsize>,
}

/// Keeps as many instances as are wanted, until nobody wants any number any more.
pub(super) fn keep(run: Arc<Run>, revision: usize, wanted: watch::Receiver<usize>) -> Instances {
    let (ask, asked) = mpsc::channel(16);
    let (count, counted) = watch::channel(0);
    let (most, started) = (Arc::<AtomicUsize>::default(), Arc::<AtomicUsize>::default());
    let set = Set {
        chance: Random::new(run.plan.seed ^ (revision as u64 + 1)),
        run,
        revision,
        living: Vec::new(),
        tasks: JoinSet::new(),
        most: Arc::clone(&most),
        started: Arc::clone(&started),
    };
    tokio::spawn(set.keep(wanted, asked, count));
    Instances { ask, count: counted, most, started }
}

struct Set {
    run: Arc<Run>,
    revision: usize,
    chance: Random,
    /// Those that were not told to stop.
    living: Vec<(usize, mpsc::Sender<Order>)>,
    tasks: JoinSet<usize>,
    most: Arc<AtomicUsize>,
    started: Arc<AtomicUsize>,
}

impl Set {
    async fn keep(
        mut self,
        mut wanted: watch::Receiver<usize>,
        mut asked: mpsc::Receiver<Ask>,
        count: watch::Sender<usize>,
    ) {
        loop {
            let now = *wanted.borrow_and_update();
            if let Err(error) = self.reconcile(now) {
                self.run.stumbled(&error);
                return;
            }
            count.send_replace(self.tasks.len());
            tokio::select! {
                changed = wanted.changed() => if changed.is_err() { break },
                Some(ended) = self.tasks.join_next() => self.forget(ended.ok()),
                Some(Ask::Kill(half, tell)) = asked.recv() => {
                    // Nobody waits for it any more if the run has failed.
                    let _ = tell.send(self.kill(half));
                }
            }
        }
        // What still runs is stopped in order.
        let _ = self.reconcile(0);
        while self.tasks.join_next().await.is_some() {}
    }

    fn forget(&mut self, ended: Option<usize>) {
        self.living.retain(|(number, orders)| Some(*number) != ended && !orders.is_closed());
    }

    fn reconcile(&mut self, wanted: usize) -> anyhow::Result<()> {
        self.forget(None);
        while self.living.len() > wanted {
            let at = self.chance.below(self.living.len() as u64) as usize;
            let (_, orders) = self.living.swap_remove(at);
            // One that has just ended needs no order.
            let _ = orders.try_send(Order::Stop);
        }
        while self.living.len() < wanted {
            let number = self.started.fetch_add(1, Ordering::Relaxed);
            let (orders, ordered) = mpsc::channel(4);
            let instance = Instance::start(&self.run, self.revision, number)?;
            self.living.push((number, orders));
            self.tasks.spawn(instance.live(ordered));
            self.most.fetch_max(self.tasks.len(), Ordering::Relaxed);
        }
        Ok(())
    }

    fn kill(&mut self, half: Half) -> Option<oneshot::Receiver<Kill>> {
        self.forget(None);
        let living = u64::try_from(self.living.len()).ok().filter(|count| *count > 0)?;
        let at = self.chance.below(living) as usize;
        let (killed, when) = oneshot::channel();
        self.living[at].1.try_send(Order::Kill(half, killed)).ok()?;
        Some(when)
    }
}

/// One instance.
struct Instance {
    run: Arc<Run>,
    revision: usize,
    number: usize,
    app: Child,
    sidecar: Child,
    ports: [Reserved; 2],
}

impl Instance {
    fn start(run: &Arc<Run>, revision: usize, number: usize) -> anyhow::Result<Self> {
        let no_port = "there is no port for an instance";
        let ports = [run.ports.next().context(no_port)?, run.ports.next().context(no_port)?];
        let [app_address, address] = ports.each_ref().map(Reserved::address);
        let app =
            app(&run.plan, app_address.port()).spawn().context("the app cannot be started")?;
        let own = format!("{}-{number}", name(revision));
        let mut sidecar = sidecar(run, revision, &own, (app_address, address))?;
        let sidecar = sidecar.spawn().context("a sidecar cannot be started")?;
        Ok(Self { run: Arc::clone(run), revision, number, app, sidecar, ports })
    }

    /// Lives until it is told to stop, or a half of it ends. Gives its number.
    async fn live(mut self, mut orders: mpsc::Receiver<Order>) -> usize {
        loop {
            tokio::select! {
                _ = self.app.wait() => break,
                _ = self.sidecar.wait() => break,
                order = orders.recv() => match order {
                    Some(Order::Kill(half, tell)) => {
                        let kill = self.kill(half).await;
                        // The tally may have ended with an error.
                        let _ = tell.send(kill);
                    }
                    Some(Order::Stop) | None => break,
                },
            }
        }
        // The sidecar drains first: until it has, its app is needed.
        end(&mut self.sidecar, END_PATIENCE).await;
        end(&mut self.app, END_PATIENCE).await;
        self.ports.into_iter().for_each(|port| self.run.ports.rest(port));
        self.number
    }

    async fn kill(&mut self, half: Half) -> Kill {
        let began = self.run.elapsed();
        let (child, places) = match half {
            // What waits in the sidecar goes to another instance.
            Half::App => (&mut self.app, self.run.plan.limit),
            // Before their streams are open, activators do not know of each other.
            Half::Sidecar => (&mut self.sidecar, self.run.plan.limit * DOORS as u32),
        };
        // One that has ended is as dead.
        let _ = child.kill().await;
        Kill { revision: self.revision, began, ended: self.run.elapsed(), places }
    }
}

fn app(plan: &Plan, port: u16) -> Command {
    let mut command = Command::new(&plan.tidegate);
    let service = format!("{}ms", plan.service.as_secs_f64() * 1e3);
    command
        .args(["demo", "--app", "--start-up", "0ms", "--service-time", &service])
        .env("PORT", port.to_string());
    quietly(command)
}

fn sidecar(
    run: &Run,
    revision: usize,
    own_name: &str,
    (app, own): (SocketAddr, SocketAddr),
) -> anyhow::Result<Command> {
    let mut command = peers::bare_sidecar(&run.plan.tidegate, app, own, run.plan.limit as usize);
    let probe = format!(r#"{{"tcpSocket":{{"host":"127.0.0.1","port":{}}}}}"#, app.port());
    command
        .arg("queue-proxy")
        .env(keys::SERVING_READINESS_PROBE, probe)
        .env(keys::SERVING_CONFIGURATION, name(revision))
        .env(keys::SERVING_REVISION, name(revision))
        .env(keys::SERVING_POD, own_name)
        .env(keys::TIDEGATE_LISTEN_HOST, "127.0.0.1")
        .env(keys::TIDEGATE_ADDRESS, own.to_string())
        .env(keys::TIDEGATE_QUIET_PERIOD_MS, QUIET_PERIOD_MS)
        .env(keys::TIDEGATE_CONTROLLER, run.controller.address.to_string())
        .env(keys::TIDEGATE_SECRET, CONTROLLER_SECRET)
        .env(keys::TIDEGATE_FRONT_DOOR, FRONT_DOOR_SECRET);
    let file: Option<PathBuf> = run.plan.logs.as_ref().map(|folder| folder.join("sidecars.log"));
    let said = log(file.as_deref())?;
    let mut command = quietly(command.into());
    command.stderr(said);
    Ok(command)
}

fn quietly(mut command: Command) -> Command {
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).kill_on_drop(true);
    command
}
