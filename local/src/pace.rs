//! How many instances this machine starts at a time.
//!
//! As many as it has processors, while those are busy. When they are not, what starts mostly waits
//! for something else, and more may start.

use std::num::NonZero;
use std::time::Duration;

use tidegate_autoscaler::start_turns::TURN_MS;
use tidegate_controller::{Event, Handle, Notice, StartPace};
use tokio::sync::broadcast;
use tokio::sync::broadcast::error::RecvError;
use tokio::task::JoinHandle;
use tokio::time::{Instant, MissedTickBehavior};

/// Fewest that start at a time, on however small a machine: one that computes, and one that waits
/// for its files meanwhile.
const AT_ONCE_MIN: usize = 2;

/// How long an instance that is not ready keeps others from starting where it is not known how busy
/// they are.
const BLIND_TURN_MS: u64 = 1_000;

/// How often it is looked at how busy they are, while something starts.
const LOOK_PERIOD: Duration = Duration::from_millis(100);

/// For how long that is looked at after the last start: no start that computes takes longer.
const LOOK_FOR: Duration = Duration::from_secs(30);

/// Where Linux counts what its processors did.
const PROCESSOR_TIMES: &str = "/proc/stat";

/// The pace of this machine.
#[must_use]
pub fn of_machine() -> StartPace {
    at_once(processors().max(AT_ONCE_MIN))
}

/// So many at a time.
#[must_use]
pub fn at_once(instances: usize) -> StartPace {
    let turn_ms = if Times::read().is_some() { TURN_MS } else { BLIND_TURN_MS };
    StartPace { at_once: instances, turn_ms }
}

fn processors() -> usize {
    std::thread::available_parallelism().map_or(1, NonZero::get)
}

/// Tells a controller of time that the machine has left while instances start; dropping it ends
/// that.
#[derive(Debug)]
pub(crate) struct SlackWatch {
    watching: JoinHandle<()>,
}

impl SlackWatch {
    /// Must be called within a runtime, and before anything starts.
    pub(crate) fn start(handle: Handle) -> Self {
        let notices = handle.watch_notices();
        Self { watching: tokio::spawn(watch(handle, notices)) }
    }
}

impl Drop for SlackWatch {
    fn drop(&mut self) {
        self.watching.abort();
    }
}

async fn watch(handle: Handle, mut notices: broadcast::Receiver<Notice>) {
    let mut looks = tokio::time::interval(LOOK_PERIOD);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let (mut before, mut until) = (Times::read(), None);
    loop {
        tokio::select! {
            notice = notices.recv() => match notice {
                Ok(Notice::Starting { .. }) | Err(RecvError::Lagged(_)) => {
                    if until.is_none() {
                        before = Times::read();
                        looks.reset();
                    }
                    until = Some(Instant::now() + LOOK_FOR);
                }
                Ok(_) => {}
                Err(RecvError::Closed) => return,
            },
            _ = looks.tick(), if until.is_some() => {
                let (Some(earlier), Some(now)) = (before, Times::read()) else { return };
                before = Some(now);
                let starts = now.idle_since(&earlier, processors());
                if starts > 0 && handle.happened(Event::Slack { starts }).await.is_err() {
                    return;
                }
                until = until.filter(|until| *until > Instant::now());
            }
        }
    }
}

/// What all processors did since the system began, in ticks of its clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Times {
    idle: u64,
    all: u64,
}

impl Times {
    /// `None` on systems that do not tell.
    fn read() -> Option<Self> {
        Self::parse(&std::fs::read_to_string(PROCESSOR_TIMES).ok()?)
    }

    fn parse(text: &str) -> Option<Self> {
        let times = text.lines().next()?.strip_prefix("cpu ")?.split_whitespace();
        // User, nice, system, idle, waiting for disks, and more that is work. Guests are counted
        // among users.
        let times: Vec<u64> = times.take(8).map_while(|time| time.parse().ok()).collect();
        let idle = times.get(3)? + times.get(4).unwrap_or(&0);
        Some(Self { idle, all: times.iter().sum() })
    }

    /// How many of the processors had nothing to do, rounded.
    fn idle_since(&self, before: &Self, processors: usize) -> usize {
        let all = self.all.saturating_sub(before.all);
        let idle = self.idle.saturating_sub(before.idle);
        if all == 0 {
            return 0;
        }
        (idle as f64 / all as f64 * processors as f64).round() as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn processors_without_work_are_counted() {
        let times = |text: &str| Times::parse(text).expect("times");
        let before = times("cpu  100 0 50 1000 10 0 0 0 0 0\ncpu0 1 2 3 4\n");
        let half = times("cpu  110 0 50 1008 12 0 0 0 0 0\n");
        assert_eq!(half.idle_since(&before, 2), 1);
        assert_eq!(half.idle_since(&before, 64), 32);
        let busy = times("cpu  140 8 50 1001 10 0 0 0 0 0\n");
        assert_eq!(busy.idle_since(&before, 2), 0);
        assert_eq!(before.idle_since(&before, 2), 0);
        for bad in ["", "cpu", "cpu  1 2", "intr 5"] {
            assert_eq!(Times::parse(bad), None, "{bad}");
        }
    }
}
