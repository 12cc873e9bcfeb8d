//! Probes: the sidecar reports the app's readiness, and probes the app over loopback.

use serde_json::{Map, Value, json};

use crate::json::text;
use crate::refusal::Refusal;

/// Kubernetes' defaults, which the sidecar gets explicitly.
const PERIOD_SECONDS: u64 = 10;
const TIMEOUT_SECONDS: u64 = 1;

/// Handlers that the sidecar can execute for the kubelet.
const PORTABLE: [&str; 3] = ["httpGet", "tcpSocket", "grpc"];

/// Probes that stay with the app's container.
pub(crate) const STAYING: [&str; 2] = ["startupProbe", "livenessProbe"];

/// Whether the sidecar can probe in the kubelet's place: not where a command runs in the container.
pub(crate) fn is_portable(probe: &Value) -> bool {
    PORTABLE.iter().any(|handler| probe.get(handler).is_some_and(Value::is_object))
}

/// The port of a container by what a probe calls it: a number, or the name of one of its ports.
pub(crate) fn port_number(ports: &[Value], port: &Value) -> Option<u16> {
    let number = match port {
        Value::Number(number) => number.as_u64(),
        Value::String(name) => {
            let named = ports.iter().find(|port| text(port, "name") == Some(name));
            let number = named.and_then(|port| port.get("containerPort")).and_then(Value::as_u64);
            number.or_else(|| name.parse().ok())
        }
        _ => None,
    };
    number.and_then(|number| u16::try_from(number).ok()).filter(|number| *number > 0)
}

/// Writes the port of a probe, or of a hook, as its number.
pub(crate) fn resolve_port(
    probe: &mut Value,
    ports: &[Value],
    what: &'static str,
) -> Result<Option<u16>, Refusal> {
    let handlers = PORTABLE.iter().filter_map(|handler| Some((*handler, probe.get(*handler)?)));
    let Some((handler, port)) = handlers
        .filter_map(|(handler, action)| Some((handler, action.get("port")?.clone())))
        .next()
    else {
        return Ok(None);
    };
    let number = port_number(ports, &port).ok_or_else(|| Refusal::ProbePort {
        probe: what,
        port: port.as_str().map_or_else(|| port.to_string(), str::to_owned),
    })?;
    probe[handler]["port"] = json!(number);
    Ok(Some(number))
}

/// Whether a probe uses TLS.
pub(crate) fn is_https(probe: &Value) -> bool {
    let scheme = probe.get("httpGet").and_then(|get| text(get, "scheme"));
    scheme.is_some_and(|scheme| scheme.eq_ignore_ascii_case("https"))
}

/// How the sidecar probes the app, and the kubelet the sidecar.
pub(crate) struct Readiness {
    /// The value of `SERVING_READINESS_PROBE`.
    pub(crate) asked_of_app: String,
    /// The sidecar's own readiness probe.
    pub(crate) of_sidecar: Value,
}

/// Readiness through the sidecar: by the app's own probe, its ports resolved, or, where there is
/// none or it is a command, by whether the app listens.
pub(crate) fn readiness(
    probe: Option<&Value>,
    app_port: u16,
    sidecar_port: u16,
    header: (&str, &str),
) -> Readiness {
    let mut asked = match probe {
        Some(Value::Object(probe)) => probe.clone(),
        _ => {
            let listens = json!({"tcpSocket": {"port": app_port}, "periodSeconds": 1});
            listens.as_object().cloned().unwrap_or_default()
        }
    };
    let number = |probe: &Map<String, Value>, key: &str, default: u64| {
        probe.get(key).and_then(Value::as_u64).filter(|number| *number > 0).unwrap_or(default)
    };
    let period = number(&asked, "periodSeconds", PERIOD_SECONDS);
    let timeout = number(&asked, "timeoutSeconds", TIMEOUT_SECONDS);
    asked.insert("periodSeconds".to_owned(), json!(period));
    asked.insert("timeoutSeconds".to_owned(), json!(timeout));
    let (name, value) = header;
    let mut of_sidecar = json!({
        "httpGet": {
            "path": "/",
            "port": sidecar_port,
            "httpHeaders": [{"name": name, "value": value}],
        },
        "periodSeconds": period,
        // The sidecar responds after its own probe of the app.
        "timeoutSeconds": timeout + 1,
    });
    for key in ["initialDelaySeconds", "successThreshold", "failureThreshold"] {
        if let Some(number) = asked.get(key).filter(|number| number.is_number()) {
            of_sidecar[key] = number.clone();
        }
    }
    Readiness { asked_of_app: Value::Object(asked).to_string(), of_sidecar }
}
