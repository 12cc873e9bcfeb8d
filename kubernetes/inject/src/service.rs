//! Services in the same input: whether their traffic passes the sidecar.

use serde_json::{Value, json};

use crate::Action;
use crate::json::{list, port, text};
use crate::pod::Injected;

/// The outcome for a Service.
#[derive(Debug, PartialEq)]
pub(crate) enum Advice {
    /// It selects no pod with the sidecar.
    Unconcerned,
    /// Its traffic reaches the sidecar.
    Fine,
    /// It must be changed to this.
    Changed(Value),
    /// Its traffic bypasses the sidecar: its target should change from this port to that one.
    Elsewhere(u16, u16),
    /// Its clients choose the port by themselves.
    Headless,
}

/// Whether a Service may be changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Change {
    /// It was named in the options.
    Allowed,
    /// It was not: it gets advice only.
    AdviceOnly,
}

/// Checks a Service against the pods that have been changed.
pub(crate) fn advise(
    service: &Value,
    pods: &[&Injected],
    action: Action,
    change: Change,
) -> Advice {
    let ports = |pod: &Injected| match action {
        Action::Inject => (pod.app_port, pod.sidecar_port),
        Action::Remove => (pod.sidecar_port, pod.app_port),
    };
    let spec = service.get("spec").unwrap_or(&Value::Null);
    let pods: Vec<_> = pods.iter().filter(|pod| selects(spec, pod)).collect();
    if pods.is_empty() {
        return Advice::Unconcerned;
    }
    let mut changed = service.clone();
    let mut elsewhere = Vec::new();
    for (index, entry) in list(spec, "ports").iter().enumerate() {
        let target = entry.get("targetPort").filter(|target| !target.is_null());
        let number = port(target.or(entry.get("port")));
        let is_it = |(from, to): &(u16, u16)| Some(*from) == number && from != to;
        let Some((from, to)) = pods.iter().map(|pod| ports(pod)).find(is_it) else {
            continue;
        };
        elsewhere.push((from, to));
        changed["spec"]["ports"][index]["targetPort"] = json!(to);
    }
    let is_headless = text(spec, "clusterIP") == Some("None");
    match elsewhere.first() {
        None if is_headless && action == Action::Inject => Advice::Headless,
        None => Advice::Fine,
        Some(_) if change == Change::Allowed => Advice::Changed(changed),
        Some((from, to)) => Advice::Elsewhere(*from, *to),
    }
}

/// Whether the Service's selector fits the pod's labels.
fn selects(spec: &Value, pod: &Injected) -> bool {
    let labels = pod.template.get("metadata").and_then(|metadata| metadata.get("labels"));
    let Some(selector) = spec.get("selector").and_then(Value::as_object) else { return false };
    !selector.is_empty()
        && selector
            .iter()
            .all(|(key, value)| labels.and_then(|labels| labels.get(key)) == Some(value))
}
