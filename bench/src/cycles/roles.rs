//! The controller and the activators: processes that are killed at any moment and started again at
//! the same address.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use tidegate_knative::environment as keys;
use tokio::net::TcpStream;
use tokio::process::{Child, Command};
use tokio::sync::Mutex;

use super::children::{end, log};
use super::plan::{Plan, qualified};

/// What activators and sidecars share.
pub(super) const FRONT_DOOR_SECRET: &str = "the-front-doors-of-this-run";

/// What everybody shows the controller.
pub(super) const CONTROLLER_SECRET: &str = "the-controller-of-this-run";

/// How long a role may take to listen, on however busy a machine.
const START_PATIENCE: Duration = Duration::from_secs(60);

/// The time between two looks at whether it listens.
const LOOK_EVERY: Duration = Duration::from_millis(2);

/// A role that runs, unless it was killed just now.
pub struct Role {
    name: String,
    /// Where it listens, each time.
    pub address: SocketAddr,
    program: PathBuf,
    arguments: Vec<String>,
    /// Where what it says is written.
    log: Option<PathBuf>,
    child: Mutex<Option<Child>>,
    /// Rises when it listens and when it is about to be killed: even while it is there.
    generation: AtomicU64,
}

impl Role {
    /// The controller of a run. It knows the revisions and starts none of their instances itself.
    pub(super) fn controller(plan: &Plan, address: SocketAddr) -> Arc<Self> {
        let mut arguments = vec!["controller".to_owned(), "--listen".into(), address.to_string()];
        for revision in 0..plan.revisions {
            arguments.push("--revision".into());
            arguments.push(format!("{},{}", qualified(revision), plan.limit));
        }
        for setting in SHORTEST {
            arguments.extend(["--set".into(), setting.into()]);
        }
        Self::new(plan, "controller", address, arguments)
    }

    /// An activator of a run.
    pub(super) fn activator(
        plan: &Plan,
        number: usize,
        address: SocketAddr,
        controller: SocketAddr,
    ) -> Arc<Self> {
        let name = format!("door-{number}");
        let arguments = ["activator", "--cause-header", "--name", &name, "--drain", "5s"];
        let mut arguments: Vec<String> = arguments.map(str::to_owned).to_vec();
        arguments.extend(["--listen".into(), address.to_string()]);
        arguments.extend(["--controller".into(), controller.to_string()]);
        Self::new(plan, &name, address, arguments)
    }

    fn new(plan: &Plan, name: &str, address: SocketAddr, arguments: Vec<String>) -> Arc<Self> {
        Arc::new(Self {
            name: name.to_owned(),
            address,
            program: plan.tidegate.clone(),
            arguments,
            log: plan.logs.as_ref().map(|folder| folder.join(format!("{name}.log"))),
            child: Mutex::new(None),
            generation: AtomicU64::new(1),
        })
    }

    /// Which of its lives this is; `None` while it is away.
    pub(super) fn life(&self) -> Option<u64> {
        let generation = self.generation.load(Ordering::SeqCst);
        generation.is_multiple_of(2).then_some(generation)
    }

    /// Starts it and waits until it listens.
    pub(super) async fn start(&self) -> anyhow::Result<()> {
        let mut child = self.child.lock().await;
        let mut command = Command::new(&self.program);
        command
            .args(&self.arguments)
            .env(keys::TIDEGATE_SECRET, CONTROLLER_SECRET)
            .env(keys::TIDEGATE_FRONT_DOOR, FRONT_DOOR_SECRET)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log(self.log.as_deref())?)
            .kill_on_drop(true);
        let mut started =
            command.spawn().with_context(|| format!("{} cannot be started", self.name))?;
        let begun = Instant::now();
        while TcpStream::connect(self.address).await.is_err() {
            if let Some(status) = started.try_wait()? {
                bail!("{} ended before it listened on {}: {status}", self.name, self.address);
            }
            if begun.elapsed() > START_PATIENCE {
                bail!("{} does not listen on {}", self.name, self.address);
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
        *child = Some(started);
        self.generation.fetch_add(1, Ordering::SeqCst);
        Ok(())
    }

    /// Kills it, and starts it again after `pause`. False if another has killed it just now.
    pub(super) async fn kill_and_restart(&self, pause: Duration) -> anyhow::Result<bool> {
        let killed = self.child.lock().await.take();
        let Some(mut killed) = killed else { return Ok(false) };
        self.generation.fetch_add(1, Ordering::SeqCst);
        killed.kill().await?;
        tokio::time::sleep(pause).await;
        self.start().await?;
        Ok(true)
    }

    /// Ends it in order, or by force where that takes too long.
    pub(super) async fn stop(&self) -> anyhow::Result<()> {
        let Some(mut child) = self.child.lock().await.take() else { return Ok(()) };
        end(&mut child, START_PATIENCE).await;
        Ok(())
    }
}

/// The shortest times that the rules allow.
const SHORTEST: [&str; 5] = [
    "stable-window=6s",
    "scale-to-zero-grace-period=100ms",
    "scale-to-zero-pod-retention-period=0s",
    "allow-zero-initial-scale=true",
    "initial-scale=0",
];
