//! From zero to many and back, again and again, while processes are killed at random.
//!
//! One controller, two activators and a few revisions, all real processes. Each cycle of a revision
//! sends requests to it while it has no instance, kills a process at a random moment, and ends when
//! its last instance has. What was inside a killed instance is lost with it, and what was on its
//! way through a killed activator is its clients' loss; every other request is to succeed.
//!
//! Modules in reading order: [`plan`] is what to do, `children` starts and ends processes,
//! [`roles`] are the controller and the activators, `instances` the apps and their sidecars,
//! `clients` ask, [`blame`] says which kill a lost request was lost to, `cycle` is one cycle of one
//! revision.

pub mod blame;
mod children;
mod clients;
mod cycle;
mod instances;
pub mod plan;
pub mod roles;

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{anyhow, ensure};
use tidegate_proto::scale::v1::WatchDecisionsRequest;
use tidegate_proto::scale::v1::scale_service_client::ScaleServiceClient;
use tidegate_reporter::Credentials;
use tidegate_reporter::transport::{self, Target};
use tidegate_reserved_port::reserve;
use tidegate_trust::secret::SECRET_VARIABLE;
use tokio::sync::watch;
use tokio::task::JoinSet;

use self::blame::{Failure, Kill, unexplained};
use self::clients::Door;
pub use self::plan::Plan;
use self::plan::{DOORS, name};
use self::roles::{CONTROLLER_SECRET, Role};

/// The wait before a controller that was killed is asked again what it wants.
const ASK_AGAIN: Duration = Duration::from_millis(20);

/// What came of it.
#[derive(Debug, Default)]
pub struct Outcome {
    /// Cycles that went from zero to some and back to zero.
    pub cycles: u64,
    /// Requests that were answered with a 200.
    pub served: u64,
    /// Requests that were lost inside a killed instance.
    pub lost_with_instances: u64,
    /// Requests that were on their way through an activator when it was killed.
    pub lost_with_activators: u64,
    /// Requests that were lost for no such reason.
    pub lost: Vec<Failure>,
    /// Killed apps, sidecars, activators and controllers.
    pub kills: [u64; 4],
    /// Those of them that were halves of an instance, where something was lost otherwise.
    pub halves: Vec<Kill>,
    /// Instances that were started.
    pub instances: u64,
    /// The most instances that one revision had at a time, those that were ending included.
    pub most_instances: u64,
    /// The most requests that were inside one app at a time.
    pub most_inside: u32,
    /// How long it took.
    pub took: Duration,
}

/// What all parts of a run share.
pub(crate) struct Run {
    plan: Plan,
    began: Instant,
    controller: Arc<Role>,
    doors: Vec<Door>,
    activators: Vec<Arc<Role>>,
    ports: instances::Ports,
    tally: Mutex<Tally>,
    cycles_left: AtomicU64,
    /// Why it cannot go on.
    failed: watch::Sender<Option<String>>,
}

/// What is counted as it happens.
#[derive(Default)]
struct Tally {
    outcome: Outcome,
    failures: Vec<Failure>,
    kills: Vec<Kill>,
}

impl Run {
    fn elapsed(&self) -> Duration {
        self.began.elapsed()
    }

    fn count(&self, count: impl FnOnce(&mut Tally)) {
        count(&mut self.tally.lock().unwrap_or_else(PoisonError::into_inner));
    }

    /// Ends the run: something failed that is not under test.
    fn stumbled(&self, error: &anyhow::Error) {
        self.failed.send_replace(Some(format!("{error:#}")));
    }

    /// Takes one of the cycles that are left.
    fn take_cycle(&self) -> bool {
        let one_less = |left: u64| left.checked_sub(1);
        self.cycles_left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_less).is_ok()
    }
}

/// Runs a plan to its end, and counts.
///
/// # Errors
/// When a process cannot be started, or a revision does not come back to zero.
pub async fn run(plan: Plan, mut progress: impl FnMut(&Outcome)) -> anyhow::Result<Outcome> {
    let run = begin(plan).await?;
    let mut failed = run.failed.subscribe();
    let (wanted, watched): (Vec<_>, Vec<_>) =
        (0..run.plan.revisions).map(|_| watch::channel(0)).unzip();
    let orders = tokio::spawn(follow(Arc::clone(&run), wanted));
    let mut cycles = JoinSet::new();
    for (revision, wanted) in watched.into_iter().enumerate() {
        let instances = instances::keep(Arc::clone(&run), revision, wanted);
        cycles.spawn(cycle::repeat(Arc::clone(&run), revision, instances));
    }
    let mut look = tokio::time::interval(Duration::from_secs(10));
    loop {
        tokio::select! {
            ended = cycles.join_next() => match ended {
                Some(ended) => ended??,
                None => break,
            },
            _ = failed.changed() => {
                let why = failed.borrow().clone().unwrap_or_default();
                return Err(anyhow!(why));
            }
            _ = look.tick() => run.count(|tally| progress(&tally.outcome)),
        }
    }
    orders.abort();
    for role in run.activators.iter().chain([&run.controller]) {
        role.stop().await?;
    }
    let tally = std::mem::take(&mut *run.tally.lock().unwrap_or_else(PoisonError::into_inner));
    let Tally { mut outcome, failures, kills } = tally;
    let failed = failures.len() as u64;
    outcome.lost = unexplained(kills.clone(), failures);
    outcome.halves = if outcome.lost.is_empty() { Vec::new() } else { kills };
    outcome.lost_with_instances = failed - outcome.lost.len() as u64;
    outcome.took = run.elapsed();
    Ok(outcome)
}

async fn begin(plan: Plan) -> anyhow::Result<Arc<Run>> {
    ensure!(plan.revisions > 0 && plan.clients > 0, "expected at least one revision and client");
    // The roles come back where they were.
    let controller = Role::controller(&plan, reserve()?);
    let activators: io::Result<Vec<_>> = (1..=DOORS)
        .map(|nth| Ok(Role::activator(&plan, nth, reserve()?, controller.address)))
        .collect();
    let activators = activators?;
    controller.start().await?;
    for activator in &activators {
        activator.start().await?;
    }
    Ok(Arc::new(Run {
        began: Instant::now(),
        doors: activators.iter().cloned().map(Door::new).collect(),
        ports: instances::Ports::default(),
        tally: Mutex::default(),
        cycles_left: AtomicU64::new(plan.cycles as u64),
        failed: watch::Sender::new(None),
        controller,
        activators,
        plan,
    }))
}

/// Follows what the controller wants, through its deaths: the last word counts.
async fn follow(run: Arc<Run>, wanted: Vec<watch::Sender<usize>>) {
    loop {
        // A controller that is killed ends this; the next one says all it wants.
        let _ = follow_one(&run, &wanted).await;
        tokio::time::sleep(ASK_AGAIN).await;
    }
}

async fn follow_one(run: &Run, wanted: &[watch::Sender<usize>]) -> anyhow::Result<()> {
    let shown = |name: &str| (name == SECRET_VARIABLE).then(|| CONTROLLER_SECRET.to_owned());
    let credentials = Credentials::configured(shown)?;
    let target = Target::new(&run.controller.address.to_string(), &credentials)?;
    let connection = transport::connect(&target).await?;
    let mut client = ScaleServiceClient::with_origin(connection, target.origin());
    let everything = WatchDecisionsRequest::default();
    let mut decisions = client.watch_decisions(everything).await?.into_inner();
    while let Some(decision) = decisions.message().await? {
        let of = |number: &usize| name(*number) == decision.name;
        let Some(number) = (0..wanted.len()).find(of) else { continue };
        // A controller that does not know yet says less than none.
        if let Ok(desired) = usize::try_from(decision.desired) {
            wanted[number].send_if_modified(|now| {
                let told = if decision.provisional { desired.max(*now) } else { desired };
                std::mem::replace(now, told) != told
            });
        }
    }
    Ok(())
}
