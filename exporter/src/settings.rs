//! Where metrics go, which, and how often.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tidegate_otlp::{Protocol as OtlpProtocol, Signal, Transport, TransportError, transport};
use tidegate_trust::ClientTls;

use crate::headers::Headers;
use crate::message::{Format, Identity};
use crate::rules::Rules;
use crate::sampler::LOOKBACK;

/// Time between two readings unless configured, OpenTelemetry's default.
pub const INTERVAL: Duration = Duration::from_secs(60);
/// Shortest time between two readings: a tick of the controller is two seconds.
pub const INTERVAL_MIN: Duration = Duration::from_secs(1);
/// Longest time between two readings, and for which readings wait for each other.
pub const INTERVAL_MAX: Duration = Duration::from_secs(3600);
/// What may wait to be sent, unless configured: with a hundred kilobytes an hour, as a busy
/// controller has, three days.
pub const BACKLOG_BYTES: usize = 8 << 20;
/// Least that may wait: a few messages.
pub const BACKLOG_BYTES_MIN: usize = 64 << 10;
/// Age at which values are worth nothing any more, unless configured.
pub const BACKLOG_AGE: Duration = Duration::from_secs(24 * 3600);

/// How metrics are pushed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// OTLP, protobuf over HTTP/1.1.
    OtlpHttp,
    /// OTLP over gRPC.
    OtlpGrpc,
    /// Prometheus' remote write, version 1.
    RemoteWrite,
}

impl Protocol {
    /// What its messages are.
    #[must_use]
    pub const fn format(self) -> Format {
        match self {
            Self::OtlpHttp | Self::OtlpGrpc => Format::Otlp,
            Self::RemoteWrite => Format::RemoteWrite,
        }
    }

    /// The URL that somebody means by `text`: without a scheme an encrypted one, and without
    /// anything the collector on this machine.
    #[must_use]
    pub fn endpoint(self, text: &str) -> String {
        transport::endpoint(
            match self {
                Self::OtlpGrpc => OtlpProtocol::Grpc,
                Self::OtlpHttp | Self::RemoteWrite => OtlpProtocol::Http,
            },
            text,
        )
    }

    /// The transport to an endpoint.
    ///
    /// # Errors
    ///
    /// The endpoint is no URL that can be pushed to.
    pub fn transport(self, endpoint: &str) -> Result<Transport, TransportError> {
        match self {
            Self::OtlpHttp => Transport::otlp(OtlpProtocol::Http, endpoint, Signal::Metrics),
            Self::OtlpGrpc => Transport::otlp(OtlpProtocol::Grpc, endpoint, Signal::Metrics),
            Self::RemoteWrite => Transport::post(endpoint),
        }
    }
}

/// A push of metrics.
#[derive(Debug)]
pub struct Settings {
    /// How.
    pub protocol: Protocol,
    /// Where to, as a URL without a user.
    pub endpoint: String,
    /// Whose metrics they are.
    pub identity: Identity,
    /// Which leave.
    pub rules: Rules,
    /// Time between two readings.
    pub interval: Duration,
    /// How long readings wait for others to share their message; less than the interval sends each
    /// by itself.
    pub batch: Duration,
    /// Headers of every push.
    pub headers: Headers,
    /// Whom an encrypted connection trusts, and what it shows; `None` for one that is not.
    pub tls: Option<Arc<ClientTls>>,
    /// Most bytes that may wait.
    pub backlog_bytes: usize,
    /// Age at which what waits is given up.
    pub backlog_age: Duration,
    /// Where what could not be sent outlives the process.
    pub folder: Option<PathBuf>,
}

impl Settings {
    /// Readings in one message, unless it gets too long.
    #[must_use]
    pub fn readings_per_message(&self) -> usize {
        let count = self.batch.as_millis() / self.interval.as_millis().max(1);
        usize::try_from(count).unwrap_or(usize::MAX).max(1)
    }

    /// Time after which an unchanged value is repeated: it has to arrive before the one before it
    /// counts as gone. Messages that wait for long arrive too late for that whatever is in them;
    /// then it is enough that the past has no gaps.
    #[must_use]
    pub fn repeat_after(&self) -> Duration {
        let others = u32::try_from(self.readings_per_message() - 1).unwrap_or(u32::MAX);
        let in_time = LOOKBACK.saturating_sub(self.interval);
        let delayed = in_time.saturating_sub(self.interval.saturating_mul(others));
        if delayed < LOOKBACK / 2 { in_time } else { delayed }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unchanged_values_are_repeated_in_time_and_never_at_each_reading_for_that() {
        for (interval, batch, readings, repeat_after) in [
            (60, 60, 1, 240),
            (15, 60, 4, 240),
            (15, 1, 1, 285),
            (60, 120, 2, 180),
            (60, 300, 5, 240),
            (15, 300, 20, 285),
            (3600, 60, 1, 0),
        ] {
            let settings = Settings {
                protocol: Protocol::OtlpHttp,
                endpoint: String::new(),
                identity: Identity {
                    service: String::new(),
                    instance: String::new(),
                    labels: Vec::new(),
                },
                rules: Rules::default(),
                interval: Duration::from_secs(interval),
                batch: Duration::from_secs(batch),
                headers: Headers::default(),
                tls: None,
                backlog_bytes: BACKLOG_BYTES,
                backlog_age: BACKLOG_AGE,
                folder: None,
            };
            let found = (settings.readings_per_message(), settings.repeat_after().as_secs());
            assert_eq!(found, (readings, repeat_after), "{interval} s, {batch} s");
        }
    }
}
