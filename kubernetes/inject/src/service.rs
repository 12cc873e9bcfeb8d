//! Services in the same input: whether their traffic comes through the sidecar.

use serde_json::{Value, json};

use crate::json::{list, port, text};
use crate::pod::Injected;

/// What is to be said, or done, about a Service.
#[derive(Debug, PartialEq)]
pub(crate) enum Advice {
    /// It selects no pod that has been given the sidecar.
    Unconcerned,
    /// Its traffic comes through the sidecar.
    Fine,
    /// It is to be this.
    Changed(Value),
    /// Its traffic goes past the sidecar; a sentence that says what to do.
    Past(String),
}

/// Whether a Service may be changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Change {
    /// It was named for that.
    Allowed,
    /// Advice is all that it gets.
    AdviceOnly,
}

/// Checks a Service against the pods that have the sidecar.
pub(crate) fn advise(service: &Value, pods: &[&Injected], change: Change) -> Advice {
    let spec = service.get("spec").unwrap_or(&Value::Null);
    let pods: Vec<_> = pods.iter().filter(|pod| selects(spec, pod)).collect();
    if pods.is_empty() {
        return Advice::Unconcerned;
    }
    let mut changed = service.clone();
    let mut past = Vec::new();
    for (index, entry) in list(spec, "ports").iter().enumerate() {
        let target = entry.get("targetPort").filter(|target| !target.is_null());
        let number = port(target.or(entry.get("port")));
        let Some(pod) = pods.iter().find(|pod| Some(pod.app_port) == number) else { continue };
        past.push((pod.app_port, pod.sidecar_port));
        changed["spec"]["ports"][index]["targetPort"] = json!(pod.sidecar_port);
    }
    let is_headless = text(spec, "clusterIP") == Some("None");
    match past.first() {
        None if is_headless => Advice::Past(
            "it is headless: who connects to a pod's address chooses the port, and only the \
             sidecar's is limited and counted"
                .to_owned(),
        ),
        None => Advice::Fine,
        Some(_) if change == Change::Allowed => Advice::Changed(changed),
        Some((app, sidecar)) => Advice::Past(format!(
            "its targetPort {app} goes past the sidecar; name it with --service, or set the \
             targetPort to {sidecar}"
        )),
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
