//! The sidecar's container: its environment, ports, probes, resources and rights.

use std::time::Duration;

use serde_json::{Value, json};
use tidegate_knative::environment as keys;
use tidegate_knative::headers::NETWORK_PROBE;
use tidegate_knative::probe::QUEUE;

use crate::credentials;
use crate::json::{is_true, list, text};
use crate::probe::{Readiness, readiness};
use crate::settings::{Concurrency, SIDECAR, Settings};

/// Where the image has the program; the Dockerfile's entry point.
const PROGRAM: &str = "/queue-proxy";

/// Port of the listener with TLS, which opens only where certificates are mounted; Knative's.
const TLS_PORT: u16 = 8112;

/// Kubernetes' default time between the begin of a pod's end and the last signal.
const GRACE_SECONDS: u64 = 30;

/// Longest time without a request that ends a drain. Endpoints take a second or two to reach every
/// node, an ingress some more; each late request starts the time anew.
const QUIET_MS: u64 = 10_000;

/// The part of the grace period that is left to the app when work in flight takes all the rest.
const APP_END_MS: u64 = 5_000;

/// Time in which the sidecar's own hook has to confirm that it is the pod that ends. The kubelet
/// starts all hooks of a pod at once; where only the app's container is restarted, no second hook
/// comes, and the sidecar serves on after this time.
const CONFIRM_MS: u64 = 3_000;

/// CPU of the sidecar where request and limit have to be the same: it is what limits beyond some
/// 10,000 small requests a second.
const GUARANTEED_CPU: &str = "500m";

/// User and group of the image; any other will do as well.
const USER: u32 = 65_532;

/// What the container is made from.
pub(crate) struct Sidecar<'p> {
    pub(crate) settings: &'p Settings,
    pub(crate) image: &'p str,
    pub(crate) app_port: u16,
    /// Name under which the pods report.
    pub(crate) revision: &'p str,
    /// The workload's name.
    pub(crate) workload: &'p str,
    /// The app's readiness probe, if the sidecar carries it out.
    pub(crate) probe: Option<&'p Value>,
    /// The pod's specification, before the sidecar is in it.
    pub(crate) spec: &'p Value,
    /// Name and host port that move here from the app's port.
    pub(crate) moved: Moved,
}

/// What moves from the app's port to the sidecar's, so that traffic that goes there by name or by
/// the node's port comes through the sidecar.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Moved {
    pub(crate) name: Option<String>,
    pub(crate) host_port: Option<u64>,
}

impl Sidecar<'_> {
    pub(crate) fn container(&self) -> Value {
        let settings = self.settings;
        let probe_header = NETWORK_PROBE;
        let header = (probe_header.as_str(), QUEUE);
        let Readiness { asked_of_app, of_sidecar } =
            readiness(self.probe, self.app_port, settings.sidecar_port, header);
        let mut container = json!({
            "name": SIDECAR,
            "image": self.image,
            "restartPolicy": "Always",
            "ports": self.ports(),
            "env": self.environment(&asked_of_app),
            "resources": self.resources(),
            "securityContext": self.security_context(),
            // No startup probe: the kubelet would ask when the process begins, a moment before it
            // listens, and ask again and begin the app a whole second later.
            "readinessProbe": of_sidecar,
            "lifecycle": {"preStop": {"exec": {"command": [PROGRAM, "drain"]}}},
        });
        if credentials::volume(settings).is_some() {
            container["volumeMounts"] = credentials::mounts();
        }
        container
    }

    fn ports(&self) -> Value {
        let name = self.moved.name.as_deref().unwrap_or("tidegate-http");
        let mut main = json!({"name": name, "containerPort": self.settings.sidecar_port});
        if let Some(port) = self.moved.host_port {
            main["hostPort"] = json!(port);
        }
        let admin = json!({"name": "tidegate-admin", "containerPort": self.settings.admin_port});
        let metrics = self.settings.metrics_port;
        let metrics = metrics.map(|port| json!({"name": "tidegate-metric", "containerPort": port}));
        Value::Array([Some(main), Some(admin), metrics].into_iter().flatten().collect())
    }

    fn environment(&self, readiness: &str) -> Value {
        let settings = self.settings;
        let limit = match settings.concurrency {
            Concurrency::Limit(limit) => limit,
            Concurrency::Auto => 0,
        };
        let mut env = Environment::default();
        env.set(keys::CONTAINER_CONCURRENCY, limit);
        env.set(keys::QUEUE_SERVING_PORT, settings.sidecar_port);
        env.set(keys::QUEUE_SERVING_TLS_PORT, TLS_PORT);
        env.set(keys::USER_PORT, self.app_port);
        env.set(keys::REVISION_TIMEOUT_SECONDS, settings.request_timeout.as_secs());
        env.set(keys::SERVING_LOGGING_CONFIG, "");
        env.set(keys::SERVING_LOGGING_LEVEL, "");
        env.field(keys::SERVING_NAMESPACE, "metadata.namespace");
        env.set(keys::SERVING_CONFIGURATION, self.revision);
        env.set(keys::SERVING_REVISION, self.revision);
        env.set(keys::SERVING_SERVICE, self.workload);
        env.field(keys::SERVING_POD, "metadata.name");
        env.field(keys::SERVING_POD_IP, "status.podIP");
        env.set(keys::SERVING_READINESS_PROBE, readiness);
        // Only Knative's autoscaler scrapes it, and many apps use port 9090.
        env.set(keys::TIDEGATE_STATS_PORT, "off");
        env.set(keys::TIDEGATE_ADMIN_PORT, settings.admin_port);
        if let Some(port) = settings.metrics_port {
            let prometheus = r#"{"requestMetrics":{"protocol":"prometheus"}}"#;
            env.set(keys::OBSERVABILITY_CONFIG, prometheus);
            env.set(keys::TIDEGATE_METRICS_PORT, port);
        }
        if settings.concurrency == Concurrency::Auto {
            env.set(keys::TIDEGATE_CONCURRENCY, "auto");
        }
        if !settings.tcp_ports.is_empty() {
            let ports: Vec<String> = settings.tcp_ports.iter().map(u16::to_string).collect();
            env.set(keys::TIDEGATE_TCP_PORTS, ports.join(","));
        }
        if let Some(depth) = settings.queue_depth {
            env.set(keys::TIDEGATE_QUEUE_DEPTH, depth);
        }
        if let Some(timeout) = settings.queue_timeout {
            env.set(keys::TIDEGATE_QUEUE_TIMEOUT_MS, timeout.as_millis());
        }
        if let Some(bytes) = &settings.queue_bytes {
            env.set(keys::TIDEGATE_MEMORY_BUDGET, bytes);
        }
        if let Some(status) = settings.overflow_status {
            env.set(keys::TIDEGATE_REFUSAL_STATUS, status);
        }
        if let Some(seconds) = settings.overflow_retry_after {
            env.set(keys::TIDEGATE_RETRY_AFTER_SECONDS, seconds);
        }
        if let Some(controller) = &settings.controller {
            env.set(keys::TIDEGATE_CONTROLLER, controller);
        }
        if let Some(secret) = &settings.secret {
            env.secret(keys::TIDEGATE_SECRET, secret);
        }
        if let Some(secret) = &settings.front_door {
            env.optional_secret(keys::TIDEGATE_FRONT_DOOR, secret);
        }
        for (name, path) in credentials::variables(settings) {
            env.set(name, path);
        }
        let drain = Drain::within(grace(self.spec));
        env.set(keys::TIDEGATE_QUIET_PERIOD_MS, drain.quiet.as_millis());
        env.set(keys::TIDEGATE_GRACE_PERIOD_MS, drain.grace.as_millis());
        env.set(keys::TIDEGATE_DRAIN_RESET_MS, CONFIRM_MS);
        Value::Array(env.variables)
    }

    /// In a pod of the class Guaranteed the sidecar's limits equal its requests: it must not change
    /// the pod's class.
    fn resources(&self) -> Value {
        let Settings { cpu_request, cpu_limit, memory_request, memory_limit, .. } = self.settings;
        if is_guaranteed(self.spec) {
            let cpu = cpu_limit.as_deref().unwrap_or(GUARANTEED_CPU);
            let all = json!({"cpu": cpu, "memory": memory_limit});
            return json!({"requests": all, "limits": all});
        }
        let mut resources = json!({
            "requests": {"cpu": cpu_request, "memory": memory_request},
            "limits": {"memory": memory_limit},
        });
        if let Some(cpu) = cpu_limit {
            resources["limits"]["cpu"] = json!(cpu);
        }
        resources
    }

    /// What the restricted Pod Security Standard asks for, and a read-only root
    /// file system.
    fn security_context(&self) -> Value {
        let mut context = json!({
            "allowPrivilegeEscalation": false,
            "capabilities": {"drop": ["ALL"]},
            "readOnlyRootFilesystem": true,
            "runAsNonRoot": true,
            "seccompProfile": {"type": "RuntimeDefault"},
        });
        // A pod that says root would make this container one that may not start. Otherwise its
        // user, or the one that the cluster chooses, is as good as the image's.
        let pod_user = self.spec.get("securityContext").and_then(|pod| pod.get("runAsUser"));
        if pod_user.and_then(Value::as_u64) == Some(0) {
            context["runAsUser"] = json!(USER);
            context["runAsGroup"] = json!(USER);
        }
        context
    }
}

/// How the sidecar ends within a pod's grace period.
struct Drain {
    quiet: Duration,
    grace: Duration,
}

impl Drain {
    fn within(grace: Duration) -> Self {
        let app_end = Duration::from_millis(APP_END_MS).min(grace / 2);
        Self { quiet: Duration::from_millis(QUIET_MS).min(grace / 3), grace: grace - app_end }
    }
}

fn grace(spec: &Value) -> Duration {
    let asked = spec.get("terminationGracePeriodSeconds").and_then(Value::as_u64);
    // A day is beyond what any cluster waits for, and far from where sums overflow.
    Duration::from_secs(asked.unwrap_or(GRACE_SECONDS).min(86_400))
}

/// Whether every container has limits for CPU and memory, and asks for all of them.
fn is_guaranteed(spec: &Value) -> bool {
    let all = list(spec, "containers").iter().chain(list(spec, "initContainers"));
    let mut all = all.peekable();
    all.peek().is_some()
        && all.all(|container| {
            ["cpu", "memory"].iter().all(|resource| {
                let of = |kind: &str| container.get("resources")?.get(kind)?.get(resource);
                let (request, limit) = (of("requests"), of("limits"));
                limit.is_some() && (request.is_none() || request == limit)
            })
        })
}

#[derive(Default)]
struct Environment {
    variables: Vec<Value>,
}

impl Environment {
    /// Kubernetes expands `$(NAME)` in values; what is meant as it stands has its dollar doubled.
    fn set(&mut self, name: &str, value: impl ToString) {
        let value = value.to_string().replace("$(", "$$(");
        self.variables.push(json!({"name": name, "value": value}));
    }

    fn field(&mut self, name: &str, path: &str) {
        let from = json!({"fieldRef": {"fieldPath": path}});
        self.variables.push(json!({"name": name, "valueFrom": from}));
    }

    fn secret(&mut self, name: &str, secret: &str) {
        let from = json!({"secretKeyRef": {"name": secret, "key": "secret"}});
        self.variables.push(json!({"name": name, "valueFrom": from}));
    }

    /// A secret without which the pod starts all the same.
    fn optional_secret(&mut self, name: &str, secret: &str) {
        let reference = json!({"name": secret, "key": "secret", "optional": true});
        let from = json!({"secretKeyRef": reference});
        self.variables.push(json!({"name": name, "valueFrom": from}));
    }
}

/// The hook that delays the app's signal until the sidecar has no more requests for it.
pub(crate) fn app_hook(admin_port: u16) -> Value {
    json!({"httpGet": {"path": "/wait-for-drain", "port": admin_port}})
}

/// Whether a pod is one of Knative's, which has a sidecar already.
pub(crate) fn is_knatives(template: &Value) -> bool {
    let containers = template.get("spec").map_or(&[][..], |spec| list(spec, "containers"));
    containers.iter().any(|container| text(container, "name") == Some("queue-proxy"))
}

/// Whether a pod is for Windows nodes.
pub(crate) fn is_for_windows(spec: &Value) -> bool {
    let os = spec.get("os").and_then(|os| text(os, "name"));
    let selected = spec.get("nodeSelector");
    let selected = selected.and_then(|selector| text(selector, "kubernetes.io/os"));
    os == Some("windows") || selected == Some("windows")
}

/// Whether a pod uses the node's network.
pub(crate) fn is_on_host_network(spec: &Value) -> bool {
    is_true(spec, "hostNetwork")
}
