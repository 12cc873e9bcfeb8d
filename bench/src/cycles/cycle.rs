//! One cycle of one revision: from nothing to some instances, a kill on the way, and back.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context, ensure};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinSet;

use super::Run;
use super::blame::Failure;
use super::clients::{self, Ended};
use super::instances::{Ask, Half, Instances};
use super::plan::{name, qualified};
use crate::proxy::soak::Random;

/// How long the last instance may take to end after the last request: a window, a decision, a
/// drain, and what a busy machine makes of them.
const DOWN_PATIENCE: Duration = Duration::from_secs(300);

/// About how long that takes. Kills that are not due among the requests are in this time.
const DOWN_TIME: Duration = Duration::from_secs(8);

/// The longest that a role stays away when it was killed.
const AWAY_MAX_MS: u64 = 1_000;

/// The wait for an instance that can be killed.
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// Who is killed; out of ten.
#[derive(Debug, Clone, Copy)]
enum Victim {
    Half(Half),
    Activator(usize),
    Controller,
}

impl Victim {
    fn draw(chance: &mut Random, activators: usize) -> Self {
        match chance.below(10) {
            0..=2 => Self::Half(Half::App),
            3..=5 => Self::Half(Half::Sidecar),
            6 | 7 => Self::Activator(chance.below(activators as u64) as usize),
            _ => Self::Controller,
        }
    }

    /// Its place among the counts.
    fn kind(self) -> usize {
        match self {
            Self::Half(Half::App) => 0,
            Self::Half(Half::Sidecar) => 1,
            Self::Activator(_) => 2,
            Self::Controller => 3,
        }
    }
}

/// The requests of a cycle.
struct Requests {
    left: AtomicU64,
    ended: watch::Sender<u64>,
}

/// Repeats cycles for as long as there are some to be done.
pub(super) async fn repeat(
    run: Arc<Run>,
    revision: usize,
    mut instances: Instances,
) -> anyhow::Result<()> {
    let mut chance = Random::new(run.plan.seed.wrapping_mul(1_000_003) + revision as u64);
    while run.take_cycle() {
        instances.most.store(0, Ordering::Relaxed);
        once(&run, revision, &mut instances, &mut chance)
            .await
            .with_context(|| format!("in a cycle of {}", qualified(revision)))?;
        let most = instances.most.load(Ordering::Relaxed) as u64;
        ensure!(most > 0, "requests were served and nobody was there");
        run.count(|tally| {
            tally.outcome.cycles += 1;
            tally.outcome.most_instances = tally.outcome.most_instances.max(most);
        });
    }
    let started = instances.started.load(Ordering::Relaxed) as u64;
    run.count(|tally| tally.outcome.instances += started);
    Ok(())
}

async fn once(
    run: &Arc<Run>,
    revision: usize,
    instances: &mut Instances,
    chance: &mut Random,
) -> anyhow::Result<()> {
    let plan = &run.plan;
    let requests =
        Arc::new(Requests { left: AtomicU64::new(plan.requests), ended: watch::Sender::new(0) });
    let mut tasks = JoinSet::new();
    for _ in 0..plan.clients {
        let seed = chance.roll();
        tasks.spawn(client(Arc::clone(run), revision, Arc::clone(&requests), seed));
    }
    let victim = Victim::draw(chance, run.activators.len());
    let after = chance.below(plan.requests + plan.requests.div_ceil(4));
    let away = Duration::from_millis(chance.below(AWAY_MAX_MS));
    let killing = Killing {
        run: Arc::clone(run),
        requests: Arc::clone(&requests),
        ask: instances.ask.clone(),
        victim,
        away,
    };
    let killing = tokio::spawn(killing.after(after));
    while let Some(ended) = tasks.join_next().await {
        ended?;
    }
    for door in &run.doors {
        door.close_idle().await;
    }
    killing.await??;
    let down = instances.count.wait_for(|count| *count == 0);
    tokio::time::timeout(DOWN_PATIENCE, down).await.context("it does not come back to zero")??;
    Ok(())
}

/// Asks until the requests of the cycle are used up.
async fn client(run: Arc<Run>, revision: usize, requests: Arc<Requests>, seed: u64) {
    let mut chance = Random::new(seed);
    let name = name(revision);
    let request = format!(
        "GET / HTTP/1.1\r\nHost: {name}\r\nKnative-Serving-Namespace: default\r\n\
         Knative-Serving-Revision: {name}\r\n\r\n"
    );
    let one_less = |left: u64| left.checked_sub(1);
    while requests.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_less).is_ok() {
        let first = chance.below(run.doors.len() as u64) as usize;
        let sent = run.elapsed();
        let ended = clients::ask(&run.doors, first, request.as_bytes()).await;
        let now = run.elapsed();
        run.count(|tally| match ended {
            Ended::Served(inside) => {
                tally.outcome.served += 1;
                tally.outcome.most_inside = tally.outcome.most_inside.max(inside);
            }
            Ended::LostWithDoor => tally.outcome.lost_with_activators += 1,
            Ended::Failed(saw) => tally.failures.push(Failure { revision, sent, ended: now, saw }),
        });
        requests.ended.send_modify(|ended| *ended += 1);
    }
}

/// One kill.
struct Killing {
    run: Arc<Run>,
    requests: Arc<Requests>,
    ask: mpsc::Sender<Ask>,
    victim: Victim,
    /// How long a role stays away.
    away: Duration,
}

impl Killing {
    /// Kills once so many requests have ended, or later, on the way down.
    async fn after(self, ended: u64) -> anyhow::Result<()> {
        let all = self.run.plan.requests;
        self.requests.ended.subscribe().wait_for(|now| *now >= ended.min(all)).await?;
        if ended > all {
            let share = (ended - all) as f64 / all.div_ceil(4) as f64;
            tokio::time::sleep(DOWN_TIME.mul_f64(share)).await;
        }
        let killed = match self.victim {
            Victim::Half(half) => self.kill_half(half).await?,
            Victim::Activator(number) => {
                self.run.activators[number].kill_and_restart(self.away).await?
            }
            Victim::Controller => self.run.controller.kill_and_restart(self.away).await?,
        };
        self.run.count(|tally| tally.outcome.kills[self.victim.kind()] += u64::from(killed));
        Ok(())
    }

    /// Kills a half of an instance, unless there is none any more. Gives whether there was.
    async fn kill_half(&self, half: Half) -> anyhow::Result<bool> {
        loop {
            let (tell, told) = oneshot::channel();
            self.ask.send(Ask::Kill(half, tell)).await?;
            if let Some(dying) = told.await? {
                // One that ended meanwhile by itself was not killed.
                let Ok(kill) = dying.await else { return Ok(false) };
                self.run.count(|tally| tally.kills.push(kill));
                return Ok(true);
            }
            if *self.requests.ended.borrow() == self.run.plan.requests {
                return Ok(false);
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }
}
