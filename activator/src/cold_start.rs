//! What is seen of a request that met no ready instance, from its arrival to its first byte.
//!
//! The controller tells how the instance came up, this activator adds when it sent the request and
//! when the response was there. It is told at that moment, and not when the response has ended:
//! some never do.

use std::sync::{Arc, OnceLock};

use tidegate_relay::ResponseHook;
use tidegate_relay::http::header::{HeaderName, HeaderValue};
use tidegate_timeline::{Start, Timeline};
use tokio::time::Instant;

use crate::metrics::Metrics;
use crate::revision_throttler::Instance;

const SERVER_TIMING: HeaderName = HeaderName::from_static("server-timing");

/// Whether clients are told in `Server-Timing` where the time of a cold start went. It shows them
/// how a service is run, so it is hidden unless somebody asks for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ServerTimingHeader {
    /// They are not.
    #[default]
    Hidden,
    /// They are, beside what the app says there itself.
    Shown,
}

/// Who is told of cold starts.
#[derive(Debug, Clone)]
pub(crate) struct Teller {
    pub(crate) metrics: Metrics,
    pub(crate) header: ServerTimingHeader,
}

impl Teller {
    /// What is to be called when the response is there to a request that was seen at `seen` and is
    /// sent to `instance` now. It sets `timeline`.
    pub(crate) fn hook(
        &self,
        seen: Instant,
        instance: &Instance,
        timeline: Arc<OnceLock<Timeline>>,
    ) -> ResponseHook {
        let (teller, instance) = (self.clone(), instance.clone());
        let (start, forwarded) = (after(instance.start(), seen), seen.elapsed());
        Box::new(move |fields| {
            let joined = Timeline::of(start, forwarded, Some(seen.elapsed()));
            teller.metrics.cold_started(&joined);
            instance.note_cold_start(seen, joined);
            if teller.header == ServerTimingHeader::Shown
                && let Ok(value) = HeaderValue::from_str(&joined.server_timing().to_string())
            {
                fields.append(SERVER_TIMING, value);
            }
            // It is called once.
            let _ = timeline.set(joined);
        })
    }
}

/// When the moments of a start were, in microseconds after `seen`.
pub(crate) fn after(start: Option<tidegate_reporter::InstanceStart>, seen: Instant) -> Start<i128> {
    start.map(|start| start.after(seen)).unwrap_or_default()
}
