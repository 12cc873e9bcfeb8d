//! Credits of instances: a stream to each, opened with the first request and kept while there are
//! more. The rules are those of [`tidegate_admission::credits`]; here is what carries them.
//!
//! An instance whose stream cannot be opened, or is cut, is sent requests as its limit allows, and
//! its sidecar lets in no more than that: a stream is never waited for.

mod stream;

use std::sync::{Arc, Weak};
use std::time::Duration;

use tidegate_admission::InstanceId;
use tidegate_admission::credits::{Disobedience, Orders};
use tidegate_proto::credits::v1::{HoldRequest, Yielded};
use tokio::sync::Notify;
use tokio::time::{Instant, sleep};

use self::stream::{Ended, Session};
use super::RevisionThrottler;
use super::backend::Backend;
use super::credit::{CreditSettings, Pace};

/// Waits between two attempts to open a stream that was cut: as short as a sidecar takes to begin
/// anew, and as long as makes no difference to one that has gone.
const REOPEN_FIRST: Duration = Duration::from_millis(50);
const REOPEN_LONGEST: Duration = Duration::from_secs(2);

/// The wait after an instance said that it grants none: it may be replaced by one that does.
const UNSUPPORTED_PAUSE: Duration = Duration::from_secs(60);

impl RevisionThrottler {
    /// Opens streams to instances that may grant credits and have none.
    pub(super) fn seek_credits(self: &Arc<Self>) {
        let Some(settings) = &self.credits else { return };
        let streamless = { self.state.lock().take_streamless() };
        for (instance, backend) in streamless {
            let keeper = Keeper {
                throttler: Arc::downgrade(self),
                stirred: Arc::clone(&self.stirred),
                settings: settings.clone(),
                instance,
                backend,
            };
            tokio::spawn(keeper.keep());
        }
    }

    /// Other instances are listed.
    pub(super) fn endpoints_changed(self: &Arc<Self>) {
        if self.credits.is_none() {
            return;
        }
        let in_use = self.state.lock().meter.concurrency() > 0;
        if in_use {
            self.seek_credits();
        }
        // A stream to an instance that is not listed any more ends.
        self.stirred.notify_waiters();
    }

    /// Has the streams tell the instances, if requests begin to wait or none waits any more.
    pub(super) fn tell_demand(&self) {
        if self.credits.is_some() && self.state.lock().has_demand_changed() {
            self.stirred.notify_waiters();
        }
    }

    fn obey(self: &Arc<Self>, instance: InstanceId, orders: &Orders) -> Result<(), Disobedience> {
        let deliveries = self.state.lock().obey(instance, orders)?;
        self.deliver(deliveries);
        Ok(())
    }

    /// What an instance is to be told, as it goes over the wire.
    fn report(&self, instance: InstanceId, pace: Pace) -> Option<HoldRequest> {
        let now = self.now();
        let report = self.state.lock().report(instance, pace)?;
        let since = |moment| u64::try_from(now.since(moment).as_micros()).unwrap_or(u64::MAX);
        Some(HoldRequest {
            protocol_version: 0,
            answered: report.answered,
            seen: report.seen,
            waiting: report.waiting,
            oldest_wait_us: since(report.oldest),
            newest_wait_us: since(report.newest),
            returned: report.returned,
            yielded: report
                .yielded
                .into_iter()
                .map(|yielded| Yielded { number: yielded.number, uses: yielded.uses })
                .collect(),
        })
    }

    fn close_stream(self: &Arc<Self>, instance: InstanceId) {
        let deliveries = self.state.lock().close_stream(instance);
        self.deliver(deliveries);
    }
}

impl Drop for RevisionThrottler {
    fn drop(&mut self) {
        // The streams end.
        self.stirred.notify_waiters();
    }
}

/// Keeps a stream to one instance open while the instance is listed and requests come.
struct Keeper {
    throttler: Weak<RevisionThrottler>,
    stirred: Arc<Notify>,
    settings: CreditSettings,
    instance: InstanceId,
    backend: Arc<Backend>,
}

impl Keeper {
    async fn keep(self) {
        let mut pause = REOPEN_FIRST;
        loop {
            let began = Instant::now();
            let ended = match self.settings.streams.try_acquire() {
                Ok(_place) => Session::new(&self).run().await,
                // As many as there may be: this instance is asked later.
                Err(_) => Ended::Unsupported,
            };
            let Some(throttler) = self.throttler.upgrade() else { return };
            throttler.close_stream(self.instance);
            let is_listed = throttler.state.lock().is_listed(self.instance);
            drop(throttler);
            if !is_listed {
                break;
            }
            tracing::debug!(instance = &*self.backend.name, ?ended, "a stream of credits ended");
            let wait = match ended {
                Ended::Idle => break,
                Ended::Unsupported => UNSUPPORTED_PAUSE,
                Ended::Lost => {
                    pause = match began.elapsed() > REOPEN_LONGEST {
                        true => REOPEN_FIRST,
                        false => (pause * 2).min(REOPEN_LONGEST),
                    };
                    pause
                }
            };
            sleep(wait).await;
        }
        if let Some(throttler) = self.throttler.upgrade() {
            throttler.state.lock().end_stream(self.instance);
        }
    }
}
