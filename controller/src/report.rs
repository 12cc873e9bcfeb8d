//! What reporters send, validated: past this module there is no NaN, no negative count and no time
//! from the future.

use tidegate_admission::queue::KNATIVE_DEPTH_TIMES_LIMIT;
use tidegate_autoscaler::sample::{Sample, SampleError};
use tidegate_proto::PROTOCOL_VERSION;
use tidegate_proto::stats::v1 as wire;
use tidegate_rollout::Outcomes;

use crate::cold_start::ColdStart;
use crate::identity::{InstanceName, NameError, RevisionId, Token};
use crate::outcomes;

/// How far a reporter's clock may be ahead of the controller's before the controller's is used.
pub const CLOCK_SKEW_MAX_MS: i64 = 2_000;

/// Longest period of one report. A longer average does not describe single seconds.
pub const PERIOD_MAX_MS: u32 = 60_000;

/// Longest `host:port`: a host name of 253 characters and a port of five.
const ADDRESS_BYTES_MAX: usize = 260;

/// Requests that one instance may claim to hold, whatever its limits: a process has one socket for
/// each, and as many ports as 16 bits count.
pub const INSTANCE_LOAD_MAX: u32 = 65_535;

/// Requests that one activator may claim to hold for one revision: a hundred times its default
/// queue.
pub const ACTIVATOR_LOAD_MAX: u32 = 1_000_000;

/// Requests a second that one reporter may claim; ten times what one relay thread carries.
pub const RATE_MAX: f64 = 1_000_000.0;

/// Most load that a reporter may claim. What exceeds it is cut to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LoadCeiling {
    waiting: u32,
    in_flight: u32,
}

impl LoadCeiling {
    /// What an instance of a revision may claim whose instances take `limit` requests at a time (0
    /// is unlimited), and queue `announced` (0 when it announced none).
    #[must_use]
    pub fn of_instance(limit: u32, announced: u32) -> Self {
        if limit == 0 {
            return Self { waiting: INSTANCE_LOAD_MAX, in_flight: INSTANCE_LOAD_MAX };
        }
        let depth = match announced {
            0 => limit.saturating_mul(KNATIVE_DEPTH_TIMES_LIMIT),
            announced => announced,
        };
        let waiting = depth.min(INSTANCE_LOAD_MAX);
        Self { waiting, in_flight: limit.saturating_add(waiting).min(INSTANCE_LOAD_MAX) }
    }

    /// What an activator may claim for one revision whose queue may be `announced` long (0 when it
    /// announced none).
    #[must_use]
    pub fn of_activator(announced: u32) -> Self {
        let waiting = if announced == 0 { ACTIVATOR_LOAD_MAX } else { announced };
        Self { waiting: waiting.min(ACTIVATOR_LOAD_MAX), in_flight: ACTIVATOR_LOAD_MAX }
    }
}

/// Why a message of a reporter is refused.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum ReportError {
    /// Another version of the protocol.
    #[error("protocol version {0} is not spoken here: expected {ours}", ours = PROTOCOL_VERSION)]
    Version(u32),
    /// A role that is neither queue-proxy nor activator.
    #[error("role {0} is unknown: expected a queue-proxy or an activator")]
    Role(i32),
    /// A name cannot be used.
    #[error(transparent)]
    Name(#[from] NameError),
    /// A queue-proxy must give the address at which it takes traffic.
    #[error("address {0:?} cannot be used: expected host:port")]
    Address(String),
    /// A number that is not finite or is negative.
    #[error(transparent)]
    Sample(#[from] SampleError),
    /// A period of zero length, or too long.
    #[error("a period of {0} ms cannot be used: expected 1 to {PERIOD_MAX_MS}")]
    Period(u32),
}

impl ReportError {
    /// Every name that [`Self::label`] gives.
    pub(crate) const LABELS: [&'static str; 4] = ["number", "period", "name", "identity"];

    /// What is wrong, as a label of metrics.
    pub(crate) fn label(&self) -> &'static str {
        match self {
            Self::Sample(_) => "number",
            Self::Period(_) => "period",
            Self::Name(_) => "name",
            Self::Version(_) | Self::Role(_) | Self::Address(_) => "identity",
        }
    }
}

/// The first message of a reporter: what it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Hello {
    /// The sidecar of one instance.
    QueueProxy {
        /// The revision it belongs to.
        revision: RevisionId,
        /// The instance that it is the sidecar of.
        instance: InstanceName,
        /// Where it takes traffic, `host:port`.
        address: String,
        /// Requests the instance takes at a time; 0 is unlimited.
        container_concurrency: u32,
        /// Requests that may wait in it; 0 when it announces none.
        max_waiting: u32,
        /// Whether it counts connections that carry no HTTP as well.
        counts_connections: bool,
        /// When it started, so that a namesake is not taken for it. Unix milliseconds.
        start_unix_ms: i64,
        /// What it proves itself with, should it open a second stream.
        token: Option<Token>,
    },
    /// An activator, which reports for many revisions.
    Activator {
        /// Its name.
        name: InstanceName,
        /// Requests that may wait in it for one revision; 0 when it announces none.
        max_waiting: u32,
        /// What it proves itself with, should it open a second stream.
        token: Option<Token>,
    },
}

impl TryFrom<wire::Hello> for Hello {
    type Error = ReportError;

    fn try_from(hello: wire::Hello) -> Result<Self, ReportError> {
        if hello.protocol_version != PROTOCOL_VERSION {
            return Err(ReportError::Version(hello.protocol_version));
        }
        let instance = InstanceName::new(&hello.instance)?;
        let (max_waiting, token) = (hello.max_waiting, Token::new(&hello.token));
        match wire::Role::try_from(hello.role) {
            Ok(wire::Role::Activator) => Ok(Self::Activator { name: instance, max_waiting, token }),
            Ok(wire::Role::QueueProxy) => {
                let port = hello.address.rsplit_once(':').and_then(|(_, p)| p.parse::<u16>().ok());
                if port.is_none_or(|port| port == 0) || hello.address.len() > ADDRESS_BYTES_MAX {
                    let shown = hello.address.chars().take(64).collect();
                    return Err(ReportError::Address(shown));
                }
                Ok(Self::QueueProxy {
                    revision: hello.revision.unwrap_or_default().try_into()?,
                    instance,
                    address: hello.address,
                    counts_connections: hello.counts_connections,
                    container_concurrency: hello.container_concurrency,
                    max_waiting,
                    start_unix_ms: hello.start_unix_ms,
                    token,
                })
            }
            Ok(wire::Role::Unspecified) | Err(_) => Err(ReportError::Role(hello.role)),
        }
    }
}

/// What one reporter saw in one period.
#[derive(Debug, Clone, PartialEq)]
pub struct Report {
    /// Its number in the reporter's life.
    pub sequence: u64,
    /// End of the period in Unix milliseconds; never later than it was received.
    pub end_unix_ms: i64,
    /// Length of the period in milliseconds, at least 1.
    pub length_ms: u32,
    /// Averages and rates over the period.
    pub sample: Sample,
    /// Requests in the queue at the end of the period.
    pub waiting: u32,
    /// Requests executing and waiting at the end of the period.
    pub in_flight: u32,
    /// Concurrency limit at the end of the period; 0 is unlimited.
    pub limit: u32,
    /// Whether the instance takes requests.
    pub ready: bool,
    /// Whether the instance drains.
    pub draining: bool,
    /// Whose numbers these are when an activator reports.
    pub revision: Option<RevisionId>,
    /// What became of the requests that ended in the period.
    pub outcomes: Outcomes,
    /// How long ago the app accepted its first connection, in milliseconds, if it has.
    pub listening_age_ms: Option<u32>,
    /// Cold starts that an activator tells of.
    pub cold_starts: Vec<ColdStart>,
}

impl Report {
    /// The same report, of no more than may be claimed.
    #[must_use]
    pub fn within(&self, claim: &LoadCeiling) -> Self {
        let most = f64::from(claim.in_flight);
        let sample = &self.sample;
        let cut = Sample::new(
            sample.concurrency().min(most),
            sample.proxied_concurrency().min(most),
            sample.request_rate().min(RATE_MAX),
            sample.proxied_request_rate().min(RATE_MAX),
        );
        Self {
            // A valid sample cut to smaller values is valid.
            sample: cut.unwrap_or(*sample),
            waiting: self.waiting.min(claim.waiting),
            in_flight: self.in_flight.min(claim.in_flight),
            ..self.clone()
        }
    }

    /// Whether there was no request, neither in the period nor at its end.
    #[must_use]
    pub fn is_of_nothing(&self) -> bool {
        let sample = &self.sample;
        let idle = sample.concurrency() == 0.0 && sample.request_rate() == 0.0;
        idle && self.waiting == 0 && self.in_flight == 0
    }

    /// Reads a stat that was received at `now_unix_ms`.
    ///
    /// # Errors
    ///
    /// When a number is not finite or negative, or the period has no length.
    pub fn read(stat: wire::Stat, now_unix_ms: i64) -> Result<Self, ReportError> {
        let length_ms = stat.period_length_ms;
        if length_ms == 0 || length_ms > PERIOD_MAX_MS {
            return Err(ReportError::Period(length_ms));
        }
        let per_second = 1_000.0 / f64::from(length_ms);
        // The proxied part is a part: whatever was reported, it cannot exceed the whole.
        let proxied = stat.average_proxied_concurrency.min(stat.average_concurrency);
        let proxied_count = stat.proxied_request_count.min(stat.request_count);
        let sample = Sample::new(
            stat.average_concurrency,
            proxied,
            stat.request_count as f64 * per_second,
            proxied_count as f64 * per_second,
        )?;
        let end = stat.period_start_unix_ms.saturating_add(i64::from(length_ms));
        let end_unix_ms = if end > now_unix_ms.saturating_add(CLOCK_SKEW_MAX_MS) {
            now_unix_ms
        } else {
            end.min(now_unix_ms)
        };
        let requests_max = (RATE_MAX / per_second).ceil() as u64;
        Ok(Self {
            outcomes: outcomes::read(&stat, requests_max),
            sequence: stat.sequence,
            end_unix_ms,
            length_ms,
            sample,
            waiting: stat.waiting,
            in_flight: stat.in_flight,
            limit: stat.limit,
            ready: stat.ready,
            draining: stat.draining,
            revision: stat.revision.map(RevisionId::try_from).transpose()?,
            listening_age_ms: stat.listening_age_ms,
            cold_starts: ColdStart::read(stat.cold_starts),
        })
    }
}

#[cfg(test)]
impl Report {
    /// A report of this concurrency over a period of this length, from a ready instance without a
    /// limit.
    pub(crate) fn of_concurrency(concurrency: f64, length_ms: u32) -> Report {
        Report {
            sequence: 1,
            end_unix_ms: 0,
            length_ms,
            sample: Sample::of_concurrency(concurrency).expect("valid"),
            waiting: 0,
            in_flight: 0,
            limit: 0,
            ready: true,
            draining: false,
            revision: None,
            outcomes: Outcomes::default(),
            listening_age_ms: None,
            cold_starts: Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_700_000_000_000;

    fn stat() -> wire::Stat {
        wire::Stat {
            period_start_unix_ms: NOW - 1_000,
            period_length_ms: 500,
            average_concurrency: 2.0,
            average_proxied_concurrency: 1.0,
            request_count: 10,
            proxied_request_count: 4,
            ..wire::Stat::default()
        }
    }

    fn hello(role: wire::Role) -> wire::Hello {
        wire::Hello {
            protocol_version: 1,
            role: role.into(),
            revision: Some(wire::Revision { namespace: "default".into(), name: "web".into() }),
            instance: "web-1".into(),
            address: "127.0.0.1:8012".into(),
            ..wire::Hello::default()
        }
    }

    #[test]
    fn counts_become_rates() {
        let report = Report::read(stat(), NOW).expect("valid");
        assert_eq!(report.sample.request_rate(), 20.0);
        assert_eq!(report.sample.proxied_request_rate(), 8.0);
        assert_eq!(report.end_unix_ms, NOW - 500);
    }

    #[test]
    fn no_number_that_is_none_passes() {
        for bad in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, -1.0, 1e300] {
            let stat = wire::Stat { average_concurrency: bad, ..stat() };
            assert!(Report::read(stat, NOW).is_err(), "{bad}");
        }
        for bad in [f64::NEG_INFINITY, -1.0] {
            let stat = wire::Stat { average_proxied_concurrency: bad, ..stat() };
            assert!(Report::read(stat, NOW).is_err(), "{bad}");
        }
        assert!(Report::read(wire::Stat { period_length_ms: 0, ..stat() }, NOW).is_err());
        assert!(Report::read(wire::Stat { period_length_ms: u32::MAX, ..stat() }, NOW).is_err());
        let most = wire::Stat { request_count: u64::MAX, ..stat() };
        assert!(Report::read(most, NOW).is_err());
    }

    #[test]
    fn a_part_is_never_more_than_the_whole() {
        let odd =
            wire::Stat { average_proxied_concurrency: 9.0, proxied_request_count: 99, ..stat() };
        let sample = Report::read(odd, NOW).expect("valid").sample;
        assert_eq!(sample.proxied_concurrency(), sample.concurrency());
        assert_eq!(sample.proxied_request_rate(), sample.request_rate());
    }

    #[test]
    fn no_time_is_from_the_future() {
        for start in [NOW, NOW + 1_000, NOW + 86_400_000, i64::MAX] {
            let early = wire::Stat { period_start_unix_ms: start, ..stat() };
            assert_eq!(Report::read(early, NOW).expect("valid").end_unix_ms, NOW, "{start}");
        }
    }

    #[test]
    fn claims_are_bounded() {
        let most = wire::Stat { waiting: u32::MAX, in_flight: u32::MAX, ..stat() };
        let most = wire::Stat { average_concurrency: 1e9, request_count: 5_000_000, ..most };
        let report = Report::read(most, NOW).expect("valid");
        for (claim, waiting, in_flight) in [
            (LoadCeiling::of_instance(0, 0), 65_535, 65_535),
            (LoadCeiling::of_instance(10, 0), 100, 110),
            (LoadCeiling::of_instance(10, 7), 7, 17),
            (LoadCeiling::of_instance(10, u32::MAX), 65_535, 65_535),
            (LoadCeiling::of_instance(u32::MAX, 0), 65_535, 65_535),
            (LoadCeiling::of_activator(10_000), 10_000, 1_000_000),
            (LoadCeiling::of_activator(0), 1_000_000, 1_000_000),
        ] {
            let cut = report.within(&claim);
            assert_eq!((cut.waiting, cut.in_flight), (waiting, in_flight), "{claim:?}");
            assert_eq!(cut.sample.concurrency(), f64::from(in_flight));
            assert_eq!(cut.sample.request_rate(), RATE_MAX);
        }
        let honest = Report::read(stat(), NOW).expect("valid");
        assert_eq!(honest.within(&LoadCeiling::of_instance(10, 0)), honest);
    }

    #[test]
    fn hellos_are_checked() {
        assert!(Hello::try_from(hello(wire::Role::QueueProxy)).is_ok());
        assert!(Hello::try_from(hello(wire::Role::Activator)).is_ok());
        let bad = [
            wire::Hello { protocol_version: 2, ..hello(wire::Role::QueueProxy) },
            wire::Hello { role: 7, ..hello(wire::Role::QueueProxy) },
            wire::Hello { role: 0, ..hello(wire::Role::QueueProxy) },
            wire::Hello { instance: String::new(), ..hello(wire::Role::QueueProxy) },
            wire::Hello { revision: None, ..hello(wire::Role::QueueProxy) },
            wire::Hello { address: "nowhere".into(), ..hello(wire::Role::QueueProxy) },
            wire::Hello { address: "h:0".into(), ..hello(wire::Role::QueueProxy) },
        ];
        for hello in bad {
            assert!(Hello::try_from(hello.clone()).is_err(), "{hello:?}");
        }
    }
}
