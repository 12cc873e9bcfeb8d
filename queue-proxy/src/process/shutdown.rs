//! Carries out what the drain decides.

use std::future::pending;
use std::process::ExitCode;

use tidegate_relay as relay;
use tidegate_relay::Phase;
use tidegate_reporter::Directives;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep_until};

use super::admin::DrainRequest;
use crate::drain::{Draining, Machine, Stage, Traffic};
use crate::environment::Switch;
use crate::gate::Gate;
use crate::settings;
use tidegate_shutdown_signals::{ShutdownSignal, ShutdownSignals};

/// Owns the drain.
pub(super) struct ShutdownCoordinator {
    pub(super) settings: settings::Drain,
    pub(super) draining: Draining,
    pub(super) gate: Gate,
    pub(super) drain: relay::Drain,
    pub(super) stage: watch::Sender<Stage>,
    pub(super) requests: mpsc::Receiver<DrainRequest>,
    pub(super) directives: Option<watch::Receiver<Directives>>,
}

/// What can happen to a drain.
enum Event {
    Signal(ShutdownSignal),
    Requested(DrainRequest),
    Directed,
    Time,
    Traffic,
}

impl ShutdownCoordinator {
    /// Runs until the drain is over.
    pub(super) async fn run(mut self, mut signals: ShutdownSignals) -> ExitCode {
        let mut machine = Machine::new(self.settings);
        let mut signals_seen = 0_u32;
        loop {
            let (before, traffic) = (machine.stage(), self.traffic(machine.stage()));
            let stage = machine.advance(Instant::now(), traffic);
            self.carry_out(stage);
            if stage == Stage::Over {
                if traffic.in_flight > 0 {
                    let left = traffic.in_flight;
                    tracing::warn!(left, "the grace period is over, work in flight is cut off");
                }
                return ExitCode::SUCCESS;
            }
            if stage != before {
                continue;
            }
            match self.event(&machine, &mut signals).await {
                Event::Signal(signal) if signals_seen > 0 => {
                    tracing::error!("second signal to end, ending at once");
                    return signal.exit_code();
                }
                Event::Signal(_) => {
                    signals_seen += 1;
                    tracing::info!("signal to end, draining");
                    machine.signal(Instant::now());
                }
                Event::Requested(DrainRequest::App) => machine.begin_before_signal(Instant::now()),
                Event::Requested(DrainRequest::Sidecar) => {
                    tracing::info!("the pod ends, draining");
                    machine.signal(Instant::now());
                }
                Event::Directed => {
                    tracing::info!("the controller asks to drain");
                    machine.signal(Instant::now());
                }
                Event::Time | Event::Traffic => {}
            }
        }
    }

    async fn event(&mut self, machine: &Machine, signals: &mut ShutdownSignals) -> Event {
        let traffic = self.traffic(machine.stage());
        let time = async {
            match machine.next_change(traffic) {
                Some(change) => sleep_until(change).await,
                None => pending().await,
            }
        };
        let finishing = machine.stage() == Stage::Finishing && traffic.in_flight > 0;
        let quiet = async {
            if finishing {
                self.gate.empty().await;
                self.drain.until_empty().await;
            } else {
                pending::<()>().await;
            }
        };
        let directed = async {
            match &mut self.directives {
                Some(directives) if machine.stage() == Stage::Serving => {
                    if directives.wait_for(|directives| directives.drain).await.is_err() {
                        pending::<()>().await;
                    }
                }
                _ => pending().await,
            }
        };
        tokio::select! {
            biased;
            signal = signals.next() => Event::Signal(signal),
            Some(request) = self.requests.recv() => Event::Requested(request),
            () = directed => Event::Directed,
            () = time => Event::Time,
            () = quiet => Event::Traffic,
        }
    }

    fn traffic(&self, stage: Stage) -> Traffic {
        let inside = self.gate.levels().inside();
        // A slow reader may still be fetching what the app has long finished.
        let connections = match stage {
            Stage::Finishing | Stage::Over => self.drain.connections(),
            Stage::Serving | Stage::Quiet => 0,
        };
        Traffic {
            last_request: self.draining.last_request(),
            in_flight: inside.saturating_add(u32::try_from(connections).unwrap_or(u32::MAX)),
        }
    }

    fn carry_out(&self, stage: Stage) {
        let before = *self.stage.borrow();
        if before == stage {
            return;
        }
        match stage {
            Stage::Serving => {
                tracing::info!("no signal followed, the drain is undone");
                self.draining.set(Switch::Off);
                self.drain.set_phase(Phase::Serving);
            }
            Stage::Quiet => {
                self.draining.set(Switch::On);
                self.drain.set_phase(Phase::Draining);
            }
            Stage::Finishing | Stage::Over => self.drain.set_phase(Phase::Closing),
        }
        self.stage.send_replace(stage);
    }
}
