//! Several scalers that get in each other's way: what is looked at again after each event is
//! enough, and no more than what the event is about.

use std::net::IpAddr;

use proptest::prelude::*;
use serde_json::{Value, json};
use tidegate_autoscaler::Timestamp;
use tidegate_kubernetes::observe;
use tidegate_kubernetes::plan::Action;
use tidegate_kubernetes::reconciler::{Change, Effect, Ended, Event, Reconciler, Response};
use tidegate_kubernetes::recorder::Identity;
use tidegate_kubernetes::world::{
    DesiredScale, KindKey, ObjectKey, RivalKey, TargetKey, Version, World,
};

use crate::anew::{PlanAnew, compare};

const SYSTEM: &str = "tidegate-system";
const HPA: &str = "HorizontalPodAutoscaler";
const KINDS: [&str; 2] = ["Deployment", "StatefulSet"];
const MODES: [&str; 4] = ["Warm", "Draining", "Zero", "Activating"];

/// Something that happens. Numbers choose among a few objects of each kind.
#[derive(Debug, Clone)]
enum Op {
    Scaler { which: usize, target: usize, service: usize, created: usize, status: usize },
    ScalerGone(usize),
    ScalersListed(usize),
    Target { which: usize, replicas: usize, ready: usize },
    TargetGone(usize),
    Service { which: usize, ports: usize, shape: usize },
    ServiceGone(usize),
    Slice { which: usize, of: usize, ready: usize },
    SliceGone(usize),
    Rival { which: usize, target: usize },
    RivalGone(usize),
    Kind(usize, usize),
    Desired { which: usize, replicas: i32, reporting: i32, pods: usize },
    Checked { address: usize, port: usize, listens: usize },
    Activators(usize),
    Wait(u64),
    End { which: usize, how: usize },
}

fn op() -> impl Strategy<Value = Op> {
    let n = 0..12usize;
    prop_oneof![
        3 => (n.clone(), n.clone(), n.clone(), n.clone(), n.clone()).prop_map(
            |(which, target, service, created, status)| {
                Op::Scaler { which, target, service, created, status }
            }
        ),
        1 => n.clone().prop_map(Op::ScalerGone),
        1 => n.clone().prop_map(Op::ScalersListed),
        3 => (n.clone(), 0..4usize, 0..3usize)
            .prop_map(|(which, replicas, ready)| Op::Target { which, replicas, ready }),
        1 => n.clone().prop_map(Op::TargetGone),
        2 => (n.clone(), 0..3usize, n.clone())
            .prop_map(|(which, ports, shape)| Op::Service { which, ports, shape }),
        1 => n.clone().prop_map(Op::ServiceGone),
        3 => (n.clone(), n.clone(), 0..3usize)
            .prop_map(|(which, of, ready)| Op::Slice { which, of, ready }),
        1 => n.clone().prop_map(Op::SliceGone),
        1 => (n.clone(), n.clone()).prop_map(|(which, target)| Op::Rival { which, target }),
        1 => n.clone().prop_map(Op::RivalGone),
        1 => (n.clone(), n.clone()).prop_map(|(kind, how)| Op::Kind(kind, how)),
        6 => (n.clone(), 0..3i32, 0..3i32, n.clone()).prop_map(
            |(which, replicas, reporting, pods)| Op::Desired { which, replicas, reporting, pods }
        ),
        4 => (n.clone(), n.clone(), n.clone())
            .prop_map(|(address, port, listens)| Op::Checked { address, port, listens }),
        1 => n.clone().prop_map(Op::Activators),
        5 => (0..3_000u64).prop_map(Op::Wait),
        6 => (n.clone(), n).prop_map(|(which, how)| Op::End { which, how }),
    ]
}

/// A few objects of each kind, and a reconciler that is told of them.
pub(crate) struct World3 {
    pub(crate) reconciler: Reconciler,
    pub(crate) now: Timestamp,
    pub(crate) version: u64,
    pub(crate) sent: Vec<Action>,
}

pub(crate) fn kind(name: &str) -> KindKey {
    KindKey { api_version: "apps/v1".to_owned(), kind: name.to_owned() }
}

fn target(which: usize) -> TargetKey {
    let object = ObjectKey::new("shop", &format!("app-{}", which % 3));
    TargetKey { kind: kind(KINDS[which / 3 % 2]), object }
}

impl World3 {
    pub(crate) fn new() -> Self {
        let range = "20000-20005".parse().expect("a range");
        let world = World { port_range: range, ..World::default() };
        let activators = ObjectKey::new(SYSTEM, "tidegate-activator");
        let reconciler = Reconciler::new(world, activators, Identity::default());
        let now = Timestamp::from_secs(1_800_000_000);
        let mut this = Self { reconciler, now, version: 0, sent: Vec::new() };
        this.apply(Event::Scalers(Box::new(Change::Listed(Vec::new()))));
        this.apply(Event::Services(Change::Listed(Vec::new())));
        this.apply(Event::Slices(None, Change::Listed(Vec::new())));
        this.apply(Event::Rivals(HPA, Change::Listed(Vec::new())));
        for name in KINDS {
            this.apply(Event::Kind(kind(name), Ok(format!("{}s", name.to_lowercase()))));
        }
        this
    }

    pub(crate) fn apply(&mut self, event: Event) {
        let effects = self.reconciler.apply(self.now, event);
        self.keep(effects);
    }

    pub(crate) fn keep(&mut self, effects: Vec<Effect>) {
        self.sent.extend(effects.into_iter().filter_map(|effect| match effect {
            Effect::Send(action) => Some(action),
            _ => None,
        }));
    }

    /// Metadata of an object that has just changed.
    pub(crate) fn metadata(&mut self, namespace: &str, name: &str) -> Value {
        self.version += 1;
        json!({"namespace": namespace, "name": name, "resourceVersion": self.version.to_string()})
    }

    fn newest(&mut self) -> Version {
        self.version += 1;
        Version(self.version.to_string())
    }

    fn scaler(&mut self, op: &Op) {
        let Op::Scaler { which, target: of, service, created, status } = *op else { return };
        let name = format!("scaler-{}", which % 4);
        let mut metadata = self.metadata("shop", &name);
        metadata["uid"] = json!(format!("uid-{which}"));
        metadata["creationTimestamp"] = json!(format!("2026-01-01T00:00:{created:02}Z"));
        let TargetKey { kind, object } = target(of);
        let ports = [0, 1].map(
            |n| json!({"servicePort": n + 1, "activatorPort": 20_000 + (status + n * which) % 6}),
        );
        let mut object = json!({
            "metadata": metadata,
            "spec": {
                "targetRef": {"apiVersion": "apps/v1", "kind": kind.kind, "name": object.name},
                "service": {"name": format!("service-{}", service % 3)},
            },
        });
        if status > 2 {
            object["status"] = json!({"mode": MODES[status % 4], "activatorPorts": ports});
        }
        let seen = observe::scaler(&object).expect("it can be read");
        let key = ObjectKey::new("shop", &name);
        self.apply(Event::Scalers(Box::new(Change::Seen(key, seen))));
    }

    fn slice(&mut self, which: usize, of: usize, ready: usize) {
        let service = format!("service-{}", of % 3);
        let (name, ours) = match which % 3 {
            0 => (format!("{service}-pods"), None),
            1 => (format!("service-{}-tidegate-ipv4", which / 3 % 3), Some(which)),
            _ => (format!("service-{}-tidegate-ipv4", which / 3 % 3), None),
        };
        let mut metadata = self.metadata("shop", &name);
        metadata["labels"] = json!({"kubernetes.io/service-name": service});
        if let Some(owner) = ours {
            metadata["labels"]["endpointslice.kubernetes.io/managed-by"] = json!("tidegate");
            metadata["ownerReferences"] = json!([{"uid": format!("uid-{owner}")}]);
        }
        let endpoints: Vec<Value> =
            (0..ready).map(|n| json!({"addresses": [format!("10.1.0.{n}")]})).collect();
        let object = json!({
            "metadata": metadata,
            "addressType": "IPv4",
            "ports": [{"name": "p1", "port": 8080}, {"name": "tcp-2", "port": 5432}],
            "endpoints": endpoints,
        });
        let seen = observe::slice(&object).expect("it can be read");
        self.apply(Event::Slices(None, Change::Seen(ObjectKey::new("shop", &name), seen)));
    }

    fn service(&mut self, which: usize, ports: usize, shape: usize) {
        let name = format!("service-{}", which % 3);
        let metadata = self.metadata("shop", &name);
        let names = ["p1", "tcp-2"];
        let ports = (0..ports).map(|n| json!({"name": names[n], "port": n + 1}));
        let mut spec = json!({
            "ports": ports.collect::<Vec<_>>(),
            "ipFamilies": ["IPv4"],
            "selector": {"app": "web"},
        });
        if shape == 0 {
            spec["clusterIP"] = json!("None");
        }
        let seen = observe::service(&json!({"metadata": metadata, "spec": spec}));
        self.apply(Event::Services(Change::Seen(ObjectKey::new("shop", &name), seen)));
    }

    pub(crate) fn activators(&mut self, which: usize) {
        let mut metadata = self.metadata(SYSTEM, "activators");
        metadata["labels"] = json!({"kubernetes.io/service-name": "tidegate-activator"});
        let endpoints: Vec<Value> =
            (0..which % 3).map(|n| json!({"addresses": [format!("10.0.0.{n}")]})).collect();
        let object = json!({
            "metadata": metadata, "addressType": "IPv4", "endpoints": endpoints,
        });
        let seen = observe::slice(&object).expect("it can be read");
        let key = ObjectKey::new(SYSTEM, "activators");
        self.apply(Event::Slices(None, Change::Seen(key, seen)));
    }

    fn gone(&mut self, op: &Op) {
        let version = self.newest();
        let shop = |name: String| ObjectKey::new("shop", &name);
        self.apply(match *op {
            Op::ScalerGone(n) => {
                let change = Change::Gone(shop(format!("scaler-{}", n % 4)), version);
                Event::Scalers(Box::new(change))
            }
            Op::TargetGone(n) => Event::Targets(target(n).kind, Change::Gone(target(n), version)),
            Op::ServiceGone(n) => {
                Event::Services(Change::Gone(shop(format!("service-{}", n % 3)), version))
            }
            Op::SliceGone(n) => {
                let end = if n % 2 == 0 { "pods" } else { "tidegate-ipv4" };
                let key = shop(format!("service-{}-{end}", n / 2 % 3));
                Event::Slices(None, Change::Gone(key, version))
            }
            Op::RivalGone(n) => {
                let key = RivalKey { kind: HPA, object: shop(format!("rival-{}", n % 2)) };
                Event::Rivals(HPA, Change::Gone(key, version))
            }
            _ => return,
        });
    }

    fn desired(&mut self, op: &Op) {
        let Op::Desired { which, replicas, reporting, pods } = *op else { return };
        let busy = u32::try_from(pods).expect("a few");
        let pods = (0..reporting).map(|n| (format!("pod-{n}"), busy)).collect();
        let desired = DesiredScale {
            replicas,
            decided: Timestamp::from_secs(i64::from(replicas)),
            as_of: self.now,
            reason: replicas.to_string(),
            reporting,
            counting: reporting - i32::from(busy > 5),
            pods,
        };
        self.apply(Event::Desired(vec![(target(which).object, desired)]));
    }

    fn end(&mut self, which: usize, how: usize) {
        if self.sent.is_empty() {
            return;
        }
        let action = self.sent.remove(which % self.sent.len());
        let mut object = action.request.body.clone();
        object["metadata"] = self.metadata("shop", "");
        let response = match how {
            0 => Response::Conflict,
            1 => Response::NotFound,
            2 => Response::Failed { why: "500".to_owned(), wait_ms: 0 },
            _ => Response::Done(object),
        };
        self.apply(Event::Ended(Box::new(Ended { action, response, chance: 0.5 })));
    }

    fn happen(&mut self, op: &Op) {
        match *op {
            Op::Scaler { .. } => self.scaler(op),
            Op::ScalersListed(mask) => {
                // Listed are some of those that are known: the others are gone unheard.
                let known = self.reconciler.world.scalers.iter();
                let known = known.map(|(key, scaler)| (key.clone(), scaler.clone()));
                let known: Vec<_> = known.enumerate().filter(|(n, _)| mask >> n & 1 == 1).collect();
                let spec = || {
                    json!({
                        "targetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "x"},
                        "service": {"name": "x"},
                    })
                };
                let spec = || serde_json::from_value(spec()).expect("a spec");
                let listed = known.into_iter().map(|(_, (key, scaler))| (key, (scaler, spec())));
                self.apply(Event::Scalers(Box::new(Change::Listed(listed.collect()))));
            }
            Op::Target { which, replicas, ready } => {
                let key = target(which);
                let metadata = self.metadata("shop", &key.object.name);
                let (spec, status) =
                    (json!({"replicas": replicas}), json!({"readyReplicas": ready.min(replicas)}));
                let object = json!({"metadata": metadata, "spec": spec, "status": status});
                let seen = observe::target(&object);
                self.apply(Event::Targets(key.kind.clone(), Change::Seen(key, seen)));
            }
            Op::Service { which, ports, shape } => self.service(which, ports, shape),
            Op::Slice { which, of, ready } => self.slice(which, of, ready),
            Op::Rival { which, target: of } => {
                let TargetKey { kind, object } = target(of);
                let metadata = self.metadata("shop", &format!("rival-{}", which % 2));
                let key = RivalKey {
                    kind: HPA,
                    object: observe::key(&json!({"metadata": metadata})).expect("it has a name"),
                };
                let reference = json!({
                    "apiVersion": "apps/v1", "kind": kind.kind, "name": object.name,
                });
                let object = json!({"metadata": metadata, "spec": {"scaleTargetRef": reference}});
                let seen = observe::rival(HPA, &object).expect("it can be read");
                self.apply(Event::Rivals(HPA, Change::Seen(key, seen)));
            }
            Op::Kind(which, how) => {
                let name = KINDS[which % 2];
                let said = match how {
                    0 => Err("it is not there".to_owned()),
                    _ => Ok(format!("{}s", name.to_lowercase())),
                };
                self.apply(Event::Kind(kind(name), said));
            }
            Op::Desired { .. } => self.desired(op),
            Op::Checked { address, port, listens } => {
                let address: IpAddr = format!("10.0.0.{}", address % 2).parse().expect("one");
                let port = 20_000 + u16::try_from(port % 6).expect("small");
                self.apply(Event::Checked((address, port), listens > 2));
            }
            Op::Activators(which) => self.activators(which),
            Op::Wait(ms) => self.now = self.now.plus_millis(ms),
            Op::End { which, how } => self.end(which, how),
            _ => self.gone(op),
        }
    }

    fn reconcile(&mut self) {
        let anew = PlanAnew::of(&self.reconciler.world, self.now);
        let (effects, _) = self.reconciler.reconcile(self.now);
        compare(anew.as_ref(), &self.reconciler);
        self.keep(effects);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn what_is_looked_at_again_is_enough(
        ops in prop::collection::vec((op(), any::<bool>()), 1..200),
    ) {
        let mut world = World3::new();
        world.activators(2);
        for (op, reconciles) in &ops {
            world.happen(op);
            if *reconciles {
                world.reconcile();
            }
        }
        world.reconcile();
    }
}
