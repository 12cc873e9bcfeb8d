//! What the controller sends, kept so that the newest message wins and a slow reader delays no
//! other.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::time::Duration;

use tidegate_admission::QueueRules;
use tidegate_proto::stats::v1 as wire;
use tidegate_shards::Shard;
use tokio::sync::{Notify, watch};
use tokio::time::Instant;

use crate::queue_rules;
use crate::starts::{self, Starts};

/// Most instances accepted of one revision; a controller that names more is broken.
pub const MAX_ENDPOINTS: usize = 100_000;

/// Most instances kept of all revisions together, and most revisions that something is kept of:
/// what a controller has at most. What is beyond is left out, whatever it says.
pub const MAX_ENDPOINTS_IN_ALL: usize = 200_000;

/// See [`MAX_ENDPOINTS_IN_ALL`].
pub const MAX_REVISIONS: usize = 100_000;

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

/// The starts that the newest list of each revision told of; one that told of none has none.
pub type StartMap = BTreeMap<RevisionName, Starts>;

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

/// The rules of every revision's queue that has some of its own.
pub type QueueRulesMap = BTreeMap<RevisionName, QueueRules>;

/// Which revision requests go to, in the controller's words: whoever follows it reads it. `None`
/// until the controller has sent one.
pub type RoutesMessage = Option<Arc<wire::Routes>>;

/// Whether there is a controller at the other end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Link {
    /// Not connected; what was received before still holds.
    #[default]
    Down,
    /// Connected, and the controller has been sent our history.
    Up,
}

/// The receiving half: nine values, each the newest.
#[derive(Debug, Clone)]
pub struct Inbox {
    /// What the controller wants of this reporter.
    pub directives: watch::Receiver<Directives>,
    /// Where requests may be sent; only activators receive it.
    pub endpoints: watch::Receiver<EndpointMap>,
    /// How some of those came up, set before [`Self::endpoints`]; only activators receive it.
    pub starts: watch::Receiver<StartMap>,
    /// Where to take requests; only activators receive it.
    pub ports: watch::Receiver<ListenPorts>,
    /// Where to hand requests on; only queue-proxies receive it.
    pub overflow: watch::Receiver<OverflowAddresses>,
    /// How to hold requests; only activators receive it.
    pub holds: watch::Receiver<HoldBoundsMap>,
    /// In which order requests leave the queues; only activators receive it.
    pub queues: watch::Receiver<QueueRulesMap>,
    /// Which revision requests go to; only activators receive it.
    pub routes: watch::Receiver<RoutesMessage>,
    /// Whether the stream is up.
    pub link: watch::Receiver<Link>,
}

/// The sending end, held by the driver.
#[derive(Debug)]
pub(crate) struct Channels {
    /// Instances in all lists.
    listed: AtomicUsize,
    /// What the controller has said it is.
    shard: AtomicU32,
    /// Rung whenever something has come that may have changed one of the others.
    pub(crate) news: Arc<Notify>,
    pub(crate) directives: watch::Sender<Directives>,
    pub(crate) endpoints: watch::Sender<EndpointMap>,
    pub(crate) starts: watch::Sender<StartMap>,
    pub(crate) ports: watch::Sender<ListenPorts>,
    pub(crate) overflow: watch::Sender<OverflowAddresses>,
    pub(crate) holds: watch::Sender<HoldBoundsMap>,
    pub(crate) queues: watch::Sender<QueueRulesMap>,
    pub(crate) routes: watch::Sender<RoutesMessage>,
    pub(crate) link: watch::Sender<Link>,
}

pub(crate) fn pair() -> (Channels, Inbox) {
    let (directives, directives_seen) = watch::channel(Directives::default());
    let (endpoints, endpoints_seen) = watch::channel(EndpointMap::new());
    let (starts, starts_seen) = watch::channel(StartMap::new());
    let (ports, ports_seen) = watch::channel(ListenPorts::new());
    let (overflow, overflow_seen) = watch::channel(OverflowAddresses::new());
    let (holds, holds_seen) = watch::channel(HoldBoundsMap::new());
    let (queues, queues_seen) = watch::channel(QueueRulesMap::new());
    let (routes, routes_seen) = watch::channel(RoutesMessage::default());
    let (link, link_seen) = watch::channel(Link::Down);
    let inbox = Inbox {
        directives: directives_seen,
        endpoints: endpoints_seen,
        starts: starts_seen,
        ports: ports_seen,
        overflow: overflow_seen,
        holds: holds_seen,
        queues: queues_seen,
        routes: routes_seen,
        link: link_seen,
    };
    let channels = Channels {
        listed: AtomicUsize::new(0),
        shard: AtomicU32::new(0),
        news: Arc::default(),
        directives,
        endpoints,
        starts,
        ports,
        overflow,
        holds,
        queues,
        routes,
        link,
    };
    (channels, inbox)
}

impl Channels {
    pub(crate) fn directive(&self, received: wire::Directive) {
        self.keep_own(received.shard, received.shards);
        self.directives.send_if_modified(|directives| directives.apply(received));
    }

    pub(crate) fn endpoints(&self, received: wire::Endpoints, at: Instant) {
        let revision: RevisionName = received.revision.unwrap_or_default().into();
        let (known, before) = {
            let map = self.endpoints.borrow();
            (map.len(), map.get(&revision).map(Vec::len))
        };
        if before.is_none() && known >= MAX_REVISIONS {
            return;
        }
        let others = self.listed.load(Ordering::Relaxed) - before.unwrap_or(0);
        let most = MAX_ENDPOINTS.min(MAX_ENDPOINTS_IN_ALL.saturating_sub(others));
        let starts = starts::read(received.starts.into_iter().take(most), at);
        self.starts.send_if_modified(|map| match starts.is_empty() {
            true if received.partial => false,
            true => map.remove(&revision).is_some(),
            false => {
                map.insert(revision.clone(), starts);
                true
            }
        });
        let list = received.endpoints.into_iter().take(most);
        let mut list: Vec<Endpoint> = list
            .map(|e| Endpoint { instance: e.instance, address: e.address, limit: e.limit })
            .collect();
        if received.partial {
            self.keep_known(&revision, &mut list);
            list.truncate(most);
        }
        self.listed.store(others + list.len(), Ordering::Relaxed);
        self.endpoints.send_modify(|map| {
            map.insert(revision, list);
        });
    }

    /// How many instances are known of each revision that has some.
    pub(crate) fn known_instances(&self) -> Vec<wire::RevisionInstances> {
        let lists = self.endpoints.borrow();
        let known = lists.iter().filter(|(_, list)| !list.is_empty());
        known
            .map(|(revision, list)| wire::RevisionInstances {
                revision: Some(revision.clone().into()),
                instances: u32::try_from(list.len()).unwrap_or(u32::MAX),
            })
            .collect()
    }

    /// Adds what is known of a revision and not named in the list.
    fn keep_known(&self, revision: &RevisionName, list: &mut Vec<Endpoint>) {
        let known = self.endpoints.borrow().get(revision).cloned().unwrap_or_default();
        let named: BTreeSet<String> = list.iter().map(|e| e.instance.clone()).collect();
        list.extend(known.into_iter().filter(|e| !named.contains(&e.instance)));
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
            false if map.len() >= MAX_REVISIONS && !map.contains_key(&revision) => false,
            false => map.insert(revision, bounds) != Some(bounds),
        });
    }

    pub(crate) fn queue_rules(&self, mut received: wire::QueueRules) {
        let revision: RevisionName = received.revision.take().unwrap_or_default().into();
        let rules = queue_rules::read(received);
        self.queues.send_if_modified(|map| match rules == QueueRules::default() {
            true => map.remove(&revision).is_some(),
            false if map.len() >= MAX_REVISIONS && !map.contains_key(&revision) => false,
            false => map.insert(revision, rules.clone()).as_ref() != Some(&rules),
        });
    }

    pub(crate) fn routes(&self, received: wire::Routes) {
        self.routes.send_if_modified(|routes| {
            let is_new = routes.as_deref() != Some(&received);
            *routes = Some(Arc::new(received));
            is_new
        });
    }

    /// A revision is none any more.
    pub(crate) fn forget(&self, revision: &RevisionName) {
        self.starts.send_if_modified(|map| map.remove(revision).is_some());
        self.endpoints.send_if_modified(|map| {
            let Some(list) = map.remove(revision) else { return false };
            self.listed.fetch_sub(list.len(), Ordering::Relaxed);
            true
        });
        self.ports.send_if_modified(|map| {
            let before = map.len();
            map.retain(|_, of| of.revision != *revision);
            map.len() != before
        });
        self.holds.send_if_modified(|map| map.remove(revision).is_some());
        self.queues.send_if_modified(|map| map.remove(revision).is_some());
    }

    /// Forgets the revisions that a controller has left to another shard since it spoke last: it
    /// will never name them again, and whoever has them does. Nothing is forgotten where it is what
    /// it was.
    fn keep_own(&self, number: u32, of: u32) {
        let Ok(shard) = Shard::new(number.max(1), of.max(1)) else { return };
        let now = u32::from(shard.number().get()) << 16 | u32::from(shard.of().get());
        let before = self.shard.swap(now, Ordering::Relaxed);
        if before == 0 || before == now {
            return;
        }
        let named: Vec<RevisionName> = self.endpoints.borrow().keys().cloned().collect();
        for revision in named.iter().filter(|it| !shard.owns(&it.namespace, &it.name)) {
            self.forget(revision);
        }
    }

    pub(crate) fn link(&self, now: Link) {
        self.link.send_if_modified(|link| std::mem::replace(link, now) != now);
        self.news.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn endpoints(revision: usize, count: usize) -> wire::Endpoints {
        let endpoint = wire::Endpoint::default();
        let name = RevisionName { namespace: "default".into(), name: revision.to_string() };
        let revision = Some(name.into());
        wire::Endpoints { revision, endpoints: vec![endpoint; count], ..wire::Endpoints::default() }
    }

    /// The story: a controller that had just started told of the instances that it knew, first of
    /// none, and its activators forgot the others, which served.
    #[test]
    fn a_partial_list_adds_to_what_is_known() {
        let (channels, inbox) = pair();
        let list = |names: &[(&str, u32)], partial| {
            let endpoint = |(name, limit): &(&str, u32)| wire::Endpoint {
                instance: (*name).to_owned(),
                limit: *limit,
                ..wire::Endpoint::default()
            };
            let named = names.iter().map(endpoint).collect();
            wire::Endpoints { endpoints: named, partial, ..endpoints(0, 0) }
        };
        let known = || {
            let lists = inbox.endpoints.borrow();
            let instances = lists.values().flatten();
            let mut known: Vec<_> = instances.map(|e| (e.instance.clone(), e.limit)).collect();
            known.sort();
            known
        };
        let named = |names: &[(&str, u32)]| {
            names.iter().map(|(name, limit)| ((*name).to_owned(), *limit)).collect::<Vec<_>>()
        };
        channels.endpoints(list(&[("a", 1), ("b", 1)], false), Instant::now());
        channels.endpoints(list(&[], true), Instant::now());
        assert_eq!(known(), named(&[("a", 1), ("b", 1)]));
        channels.endpoints(list(&[("b", 2), ("c", 1)], true), Instant::now());
        assert_eq!(known(), named(&[("a", 1), ("b", 2), ("c", 1)]), "the newest word holds");
        channels.endpoints(list(&[("c", 1)], false), Instant::now());
        assert_eq!(known(), named(&[("c", 1)]), "a whole list replaces all");
    }

    /// A bound of each revision is none of all of them.
    #[test]
    fn what_a_controller_names_is_bounded_as_a_sum() {
        let (channels, inbox) = pair();
        let held = || inbox.endpoints.borrow().values().map(Vec::len).sum::<usize>();
        for revision in 0..3 {
            channels.endpoints(endpoints(revision, MAX_ENDPOINTS + 1), Instant::now());
        }
        assert_eq!((held(), inbox.endpoints.borrow().len()), (MAX_ENDPOINTS_IN_ALL, 3));
        channels.endpoints(endpoints(0, 1), Instant::now());
        channels.forget(&RevisionName { namespace: "default".into(), name: "1".into() });
        channels.endpoints(endpoints(2, 10), Instant::now());
        assert_eq!(held(), 11, "what was given back can be used again");
        for revision in 0..MAX_REVISIONS + 10 {
            channels.endpoints(endpoints(revision, 0), Instant::now());
            let revision = endpoints(revision, 0).revision;
            channels.holds(wire::HoldBounds { revision, max_waiting: 1, longest_wait_ms: 1 });
        }
        assert_eq!(inbox.endpoints.borrow().len(), MAX_REVISIONS);
        assert_eq!(inbox.holds.borrow().len(), MAX_REVISIONS);
    }
}
