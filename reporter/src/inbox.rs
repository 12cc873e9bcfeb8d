//! What the controller sends, kept so that the newest message wins and a slow reader delays no
//! other.

use std::collections::BTreeMap;
use std::time::Duration;

use tidegate_proto::stats::v1 as wire;
use tokio::sync::watch;

/// Most instances accepted of one revision; a controller that names more is broken.
pub const MAX_ENDPOINTS: usize = 100_000;

/// Namespace and name of a revision.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct RevisionName {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
}

impl From<wire::Revision> for RevisionName {
    fn from(revision: wire::Revision) -> Self {
        Self { namespace: revision.namespace, name: revision.name }
    }
}

impl From<RevisionName> for wire::Revision {
    fn from(revision: RevisionName) -> Self {
        Self { namespace: revision.namespace, name: revision.name }
    }
}

/// What the controller wants of this reporter. `None` until it has sent one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Directives {
    /// Period of reports in milliseconds.
    pub report_interval_ms: Option<u32>,
    /// Seconds of history to keep; the history applies it by itself.
    pub history_seconds: Option<u32>,
    /// Concurrency limit; `Some(0)` is unlimited.
    pub limit: Option<u32>,
    /// Whether to drain. Never revoked.
    pub drain: bool,
}

impl Directives {
    fn apply(&mut self, received: wire::Directive) -> bool {
        let before = *self;
        if received.report_interval_ms > 0 {
            self.report_interval_ms = Some(received.report_interval_ms);
        }
        if received.history_seconds > 0 {
            self.history_seconds = Some(received.history_seconds);
        }
        self.limit = received.limit.or(self.limit);
        self.drain |= received.drain;
        *self != before
    }
}

/// One instance that may be sent requests.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    /// Its name, unique within the controller.
    pub instance: String,
    /// Where it takes traffic, `host:port`.
    pub address: String,
    /// Requests it takes at a time; 0 is unlimited.
    pub limit: u32,
}

/// The instances of every revision that the controller has named. A revision with no instance has
/// an empty list; one that was never named, or is none any more, has none.
pub type EndpointMap = BTreeMap<RevisionName, Vec<Endpoint>>;

/// The ports on which an activator takes requests besides its own, each of one revision.
pub type ListenPorts = BTreeMap<u16, ListenPort>;

/// What an activator does with the connections to one port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListenPort {
    /// Whose they are.
    pub revision: RevisionName,
    /// What they carry.
    pub protocol: PortProtocol,
    /// Where new connections of the revision's clients lead.
    pub mode: ServiceMode,
}

/// What the connections to a port carry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PortProtocol {
    /// HTTP/1 or HTTP/2, without TLS.
    Http,
    /// Anything: they are passed on as they are.
    Tcp {
        /// Where instances take them, `host:port` each.
        addresses: Vec<String>,
    },
}

/// Where new connections of a revision's clients lead, in Knative's words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ServiceMode {
    /// To activators, at least some of them.
    #[default]
    Proxy,
    /// To the instances: an activator lets go of the connections that it still has.
    Serve,
}

/// Where a queue-proxy may hand requests on that would have to wait, `host:port`.
pub type OverflowAddresses = Vec<String>;

/// Most addresses accepted for overflow: one is chosen for each request, and so many spread them
/// well enough.
pub const MAX_OVERFLOW_ADDRESSES: usize = 64;
/// How many requests of a revision an activator holds while they wait, and for how long.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct HoldBounds {
    /// Requests that may wait; `None` is as many as the activator is configured for.
    pub max_waiting: Option<u32>,
    /// Longest wait; `None` is as long as the activator is configured for.
    pub longest_wait: Option<Duration>,
}

/// The bounds of every revision that has some of its own.
pub type HoldBoundsMap = BTreeMap<RevisionName, HoldBounds>;

/// Whether there is a controller at the other end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Link {
    /// Not connected; what was received before still holds.
    #[default]
    Down,
    /// Connected, and the controller has been sent our history.
    Up,
}

/// The receiving half: six values, each the newest.
#[derive(Debug, Clone)]
pub struct Inbox {
    /// What the controller wants of this reporter.
    pub directives: watch::Receiver<Directives>,
    /// Where requests may be sent; only activators receive it.
    pub endpoints: watch::Receiver<EndpointMap>,
    /// Where to take requests; only activators receive it.
    pub ports: watch::Receiver<ListenPorts>,
    /// Where to hand requests on; only queue-proxies receive it.
    pub overflow: watch::Receiver<OverflowAddresses>,
    /// How to hold requests; only activators receive it.
    pub holds: watch::Receiver<HoldBoundsMap>,
    /// Whether the stream is up.
    pub link: watch::Receiver<Link>,
}

/// The sending end, held by the driver.
#[derive(Debug)]
pub(crate) struct Channels {
    pub(crate) directives: watch::Sender<Directives>,
    pub(crate) endpoints: watch::Sender<EndpointMap>,
    pub(crate) ports: watch::Sender<ListenPorts>,
    pub(crate) overflow: watch::Sender<OverflowAddresses>,
    pub(crate) holds: watch::Sender<HoldBoundsMap>,
    pub(crate) link: watch::Sender<Link>,
}

pub(crate) fn pair() -> (Channels, Inbox) {
    let (directives, directives_seen) = watch::channel(Directives::default());
    let (endpoints, endpoints_seen) = watch::channel(EndpointMap::new());
    let (ports, ports_seen) = watch::channel(ListenPorts::new());
    let (overflow, overflow_seen) = watch::channel(OverflowAddresses::new());
    let (holds, holds_seen) = watch::channel(HoldBoundsMap::new());
    let (link, link_seen) = watch::channel(Link::Down);
    let inbox = Inbox {
        directives: directives_seen,
        endpoints: endpoints_seen,
        ports: ports_seen,
        overflow: overflow_seen,
        holds: holds_seen,
        link: link_seen,
    };
    (Channels { directives, endpoints, ports, overflow, holds, link }, inbox)
}

impl Channels {
    pub(crate) fn directive(&self, received: wire::Directive) {
        self.directives.send_if_modified(|directives| directives.apply(received));
    }

    pub(crate) fn endpoints(&self, received: wire::Endpoints) {
        let revision = received.revision.unwrap_or_default().into();
        let list = received.endpoints.into_iter().take(MAX_ENDPOINTS);
        let list: Vec<Endpoint> = list
            .map(|e| Endpoint { instance: e.instance, address: e.address, limit: e.limit })
            .collect();
        self.endpoints.send_modify(|map| {
            map.insert(revision, list);
        });
    }

    /// There are as many ports as a number of a port has values: no other bound is needed.
    pub(crate) fn ports(&self, received: wire::ListenPorts) {
        let mode = match received.mode() {
            wire::ServiceMode::Serve => ServiceMode::Serve,
            wire::ServiceMode::Proxy | wire::ServiceMode::Unspecified => ServiceMode::Proxy,
        };
        let revision: RevisionName = received.revision.unwrap_or_default().into();
        let http = received.ports.into_iter().map(|port| (port, PortProtocol::Http));
        let tcp = received.tcp_ports.into_iter().map(|port| {
            let addresses = port.addresses.into_iter().take(MAX_ENDPOINTS).collect();
            (port.port, PortProtocol::Tcp { addresses })
        });
        let named = http.chain(tcp).filter_map(|(port, protocol)| {
            let port = u16::try_from(port).ok().filter(|port| *port > 0)?;
            Some((port, ListenPort { revision: revision.clone(), protocol, mode }))
        });
        self.ports.send_if_modified(|map| {
            let before = map.clone();
            map.retain(|_, of| of.revision != revision);
            map.extend(named);
            *map != before
        });
    }

    pub(crate) fn overflow(&self, received: wire::Overflow) {
        let mut addresses = received.addresses;
        addresses.truncate(MAX_OVERFLOW_ADDRESSES);
        self.overflow.send_if_modified(|known| {
            let is_new = *known != addresses;
            *known = addresses;
            is_new
        });
    }

    pub(crate) fn holds(&self, received: wire::HoldBounds) {
        let revision: RevisionName = received.revision.unwrap_or_default().into();
        let given = |value: u32| (value > 0).then_some(value);
        let bounds = HoldBounds {
            max_waiting: given(received.max_waiting),
            longest_wait: given(received.longest_wait_ms)
                .map(|ms| Duration::from_millis(ms.into())),
        };
        self.holds.send_if_modified(|map| match bounds == HoldBounds::default() {
            true => map.remove(&revision).is_some(),
            false => map.insert(revision, bounds) != Some(bounds),
        });
    }

    /// A revision is none any more.
    pub(crate) fn forget(&self, revision: &RevisionName) {
        self.endpoints.send_if_modified(|map| map.remove(revision).is_some());
        self.ports.send_if_modified(|map| {
            let before = map.len();
            map.retain(|_, of| of.revision != *revision);
            map.len() != before
        });
        self.holds.send_if_modified(|map| map.remove(revision).is_some());
    }

    pub(crate) fn link(&self, now: Link) {
        self.link.send_if_modified(|link| std::mem::replace(link, now) != now);
    }
}
