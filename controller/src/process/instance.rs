//! The life of one instance: two processes that begin and end together.

use std::convert::Infallible;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use rustix::process::{Pid, Signal};
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until, timeout};

use super::commands;
use super::handle::Exit;
use super::listening::{left_running, why_not_ready};
use super::output::{Output, Whose};
use super::pair::{self, Pair};
use super::process_tag::{self, Scope};
use super::proof::Proving;
use super::sweep::sweep;
use super::{ActuatorState, Motion, Order, Wish};
use crate::declaration::Launch;
use crate::event::Event;
use crate::identity::{InstanceName, RevisionId};
use crate::kept::KeptInstance;
use crate::notice::Termination;

/// What a draining queue-proxy may take beyond its own periods before it is taken for stuck.
const DRAIN_MARGIN: Duration = Duration::from_secs(2);

/// An app that has not ended this long after SIGTERM is reported: most take a fraction of this.
const LINGERS_AFTER: Duration = Duration::from_secs(2);

/// The factor between two diagnoses of an app that is not ready: the first is after its start
/// timeout, each further one after this many times as long.
const DIAGNOSIS_BACKOFF_FACTOR: u32 = 5;

/// How long the last lines of a process that has ended may take to be read.
const OUTPUT_TIMEOUT: Duration = Duration::from_millis(200);

/// Where the processes of an instance come from.
pub(super) enum Origin {
    /// They are to be started.
    New,
    /// A run before has started them.
    Kept(KeptInstance),
}

/// Runs one instance from start to end, and returns how it ended.
pub(super) async fn live(
    shared: Arc<ActuatorState>,
    (revision, name): (RevisionId, InstanceName),
    launch: Arc<Launch>,
    origin: Origin,
    wishes: watch::Receiver<Wish>,
) {
    // Without its file an instance serves all the same.
    let log = shared.config.logs.as_ref().and_then(|logs| logs.begin(&name).ok());
    let memory = (shared.config.memory.clone(), shared.handle.clock());
    let output = Output::new(name.clone(), shared.config.output.clone(), memory, log);
    let of = commands::Whose { shared: &shared, revision: &revision, name: &name };
    let pair = match origin {
        Origin::New => pair::start(of, &launch, &output).await,
        Origin::Kept(kept) => pair::adopt(of, &launch, kept, &output),
    };
    let (what, whose) = match pair {
        Ok(pair) => pair.live(of, &launch, wishes).await,
        Err(what) => (what, Whose::App),
    };
    output.end();
    shared.forget(&name);
    let ending = Termination { what, output: output.tail(whose) };
    // When the controller has ended there is no task left to receive it.
    let _ = shared.handle.happened(Event::InstanceEnded { instance: name, ending }).await;
}

impl Pair {
    /// Watches both processes until both have ended; gives the cause.
    async fn live(
        mut self,
        of: commands::Whose<'_>,
        launch: &Launch,
        mut wishes: watch::Receiver<Wish>,
    ) -> (String, Whose) {
        let commands::Whose { shared, name, .. } = of;
        let sidecar_pid = self.sidecar.pid();
        let proving = self.proving.clone();
        let doubt = (self.app_port, &proving);
        let mut diagnosis = pin!(diagnose_repeatedly(shared, name, launch, doubt, sidecar_pid));
        let mut proof = pin!(proving.prove(of, launch, wishes.clone()));
        let (mut order, mut motion) = (Order::Run, Motion::Runs);
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
                        break format!("its queue-proxy ended ({status})");
                    }
                },
                changed = wishes.changed() => {
                    let wish = *wishes.borrow_and_update();
                    if wish.motion != motion {
                        motion = wish.motion;
                        self.app.signal_group(motion.signal());
                    }
                    match wish.order {
                        // The actuator was dropped, so no order follows: end too.
                        _ if changed.is_err() => break "the controller ended".to_owned(),
                        same if same == order => continue,
                        Order::Kill => break "it was killed".to_owned(),
                        Order::Drain => {
                            self.sidecar.signal(Signal::TERM);
                            let periods = launch.quiet_period + launch.grace_period;
                            give_up_at = Some(Instant::now() + periods + DRAIN_MARGIN);
                        }
                        Order::Terminate => {
                            // A queue-proxy ends at once on its second signal. Two of one kind
                            // could become one.
                            self.sidecar.signal(Signal::TERM);
                            self.sidecar.signal(Signal::INT);
                            give_up_at = Some(Instant::now() + DRAIN_MARGIN);
                        }
                        Order::Run => {}
                    }
                    order = wish.order;
                }
                never = &mut diagnosis => match never {},
                never = &mut proof => match never {},
                () = until(give_up_at) => break "it did not drain in time".to_owned(),
            }
        };
        let in_order = give_up_at.is_some() && what == "it was stopped";
        if !in_order {
            // Requests sent to it from now on would be lost.
            let instance = name.clone();
            self.sidecar.signal_group(Signal::KILL);
            let _ = shared.handle.happened(Event::InstanceFailed { instance }).await;
        }
        self.end(shared, name, launch, &mut wishes).await;
        (what, whose)
    }

    /// Ends whatever still runs: the app may finish unless it was to be killed.
    async fn end(
        &mut self,
        shared: &ActuatorState,
        name: &InstanceName,
        launch: &Launch,
        wishes: &mut watch::Receiver<Wish>,
    ) {
        if wishes.borrow().order != Order::Kill {
            self.app.signal_group(Signal::TERM);
            // What stands still takes a signal only once it goes on.
            self.app.signal_group(Signal::CONT);
            tokio::select! {
                _ = self.app.wait() => {}
                () = deadline(shared, name, launch.stop_deadline) => {}
                _ = wishes.wait_for(|wish| wish.order == Order::Kill) => {}
            }
        }
        self.app.signal_group(Signal::KILL);
        self.sidecar.signal_group(Signal::KILL);
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

impl Motion {
    /// What an app's process group is sent. It can neither refuse nor notice the first.
    fn signal(self) -> Signal {
        match self {
            Self::StandsStill => Signal::STOP,
            Self::Runs => Signal::CONT,
        }
    }
}

/// Diagnoses an instance that is not ready in time, and reports the cause, until it is ready or is
/// being stopped.
async fn diagnose_repeatedly(
    shared: &ActuatorState,
    name: &InstanceName,
    launch: &Launch,
    (port, proving): (u16, &Proving),
    sidecar: Option<Pid>,
) -> Infallible {
    let mut wait = launch.patience;
    loop {
        tokio::time::sleep(wait).await;
        let app = processes(shared, name, sidecar);
        let why = why_not_ready(port, &launch.readiness, app).await;
        let Some(why) = why.or_else(|| proving.why_not()) else { break };
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
    status: Exit,
) -> String {
    let left = match status.is_success() {
        true => left_running(processes(shared, name, sidecar)).await,
        false => None,
    };
    let what = format!("the app ended ({status})");
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
