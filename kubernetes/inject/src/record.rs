//! What was changed, kept in an annotation: from it a later version, or other settings, restore the
//! pod as it was.

use serde_json::{Map, Value, json};

use crate::credentials;
use crate::json::{array, name, object};
use crate::probe::STAYING;
use crate::settings::SIDECAR;

/// The annotation.
pub(crate) const INJECTED: &str = "tidegate.dev/injected";

/// The variable that tells the app its port, as on Knative and Cloud Run.
pub(crate) const PORT: &str = "PORT";

/// Which changes were made to the app's container.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Record {
    /// The app's container.
    pub(crate) container: String,
    /// The app's port.
    pub(crate) port: u16,
    /// The name that its port had.
    pub(crate) port_name: Option<String>,
    /// The host port that mapped to it.
    pub(crate) host_port: Option<u64>,
    /// The readiness probe that the sidecar executes now.
    pub(crate) readiness: Option<Value>,
    /// Probes whose port was that name, and is a number now.
    pub(crate) renumbered: Vec<String>,
    /// Whether the hook before its end was added.
    pub(crate) has_hook: bool,
    /// Whether `PORT` was added.
    pub(crate) has_port_variable: bool,
    /// Whether the volume with its credentials was added.
    pub(crate) has_volume: bool,
    /// A fingerprint of the sidecar as it was rendered.
    pub(crate) sidecar: String,
    /// The annotation that keeps the drain's port out of a mesh, with its value before.
    pub(crate) mesh: Option<(String, Option<String>)>,
}

impl Record {
    /// The annotation's text.
    pub(crate) fn to_text(&self) -> String {
        let mut fields = Map::new();
        fields.insert("version".to_owned(), json!(env!("CARGO_PKG_VERSION")));
        fields.insert("container".to_owned(), json!(self.container));
        fields.insert("port".to_owned(), json!(self.port));
        fields.insert("sidecar".to_owned(), json!(self.sidecar));
        let mut set = |key: &str, value: Option<Value>| {
            if let Some(value) = value {
                fields.insert(key.to_owned(), value);
            }
        };
        set("portName", self.port_name.as_ref().map(|name| json!(name)));
        set("hostPort", self.host_port.map(|port| json!(port)));
        set("readinessProbe", self.readiness.clone());
        set("renumbered", (!self.renumbered.is_empty()).then(|| json!(self.renumbered)));
        set("preStop", self.has_hook.then_some(Value::Bool(true)));
        set("portVariable", self.has_port_variable.then_some(Value::Bool(true)));
        set("volume", self.has_volume.then_some(Value::Bool(true)));
        set("mesh", self.mesh.as_ref().map(|mesh| json!(mesh)));
        Value::Object(fields).to_string()
    }

    /// Reads the annotation; `None` is one that we did not write.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let fields: Value = serde_json::from_str(text).ok()?;
        let of = |key: &str| fields.get(key);
        let is = |key: &str| of(key) == Some(&Value::Bool(true));
        let mesh = of("mesh").and_then(|mesh| {
            let before = mesh.get(1).and_then(Value::as_str).map(str::to_owned);
            Some((mesh.get(0)?.as_str()?.to_owned(), before))
        });
        let renumbered = of("renumbered").and_then(Value::as_array).into_iter().flatten();
        Some(Self {
            container: of("container")?.as_str()?.to_owned(),
            port: u16::try_from(of("port")?.as_u64()?).ok()?,
            port_name: of("portName").and_then(Value::as_str).map(str::to_owned),
            host_port: of("hostPort").and_then(Value::as_u64),
            readiness: of("readinessProbe").cloned(),
            renumbered: renumbered.filter_map(Value::as_str).map(str::to_owned).collect(),
            has_hook: is("preStop"),
            has_port_variable: is("portVariable"),
            has_volume: is("volume"),
            sidecar: of("sidecar").and_then(Value::as_str).unwrap_or_default().to_owned(),
            mesh,
        })
    }

    /// Removes from a pod everything that was added.
    pub(crate) fn undo(&self, template: &mut Map<String, Value>) {
        let annotations = object(object(template, "metadata"), "annotations");
        annotations.remove(INJECTED);
        if let Some((key, before)) = &self.mesh {
            match before {
                Some(before) => annotations.insert(key.clone(), json!(before)),
                None => annotations.remove(key),
            };
        }
        if annotations.is_empty() {
            object(template, "metadata").remove("annotations");
        }
        let spec = object(template, "spec");
        let init = array(spec, "initContainers");
        init.retain(|container| name(container) != SIDECAR);
        if init.is_empty() {
            spec.remove("initContainers");
        }
        if self.has_volume {
            credentials::take_out(spec);
        }
        let containers = array(spec, "containers").iter_mut();
        let app = containers.filter_map(Value::as_object_mut).find(|container| {
            container.get("name").and_then(Value::as_str) == Some(&self.container)
        });
        if let Some(app) = app {
            self.undo_container(app);
        }
    }

    fn undo_container(&self, app: &mut Map<String, Value>) {
        let ports = app.get_mut("ports").and_then(Value::as_array_mut).into_iter().flatten();
        let mut ports = ports.filter_map(Value::as_object_mut);
        let number = Some(u64::from(self.port));
        if let Some(port) =
            ports.find(|port| port.get("containerPort").and_then(Value::as_u64) == number)
        {
            if let Some(name) = &self.port_name {
                port.insert("name".to_owned(), json!(name));
            }
            if let Some(host_port) = self.host_port {
                port.insert("hostPort".to_owned(), json!(host_port));
            }
        }
        if let Some(probe) = &self.readiness {
            app.entry("readinessProbe").or_insert_with(|| probe.clone());
        }
        for probe in STAYING.iter().filter(|probe| self.renumbered.iter().any(|p| p == *probe)) {
            let actions = app.get_mut(*probe).and_then(Value::as_object_mut).into_iter();
            let port = actions
                .flat_map(|probe| probe.values_mut())
                .filter_map(|action| action.get_mut("port"))
                .find(|port| port.as_u64() == number);
            if let (Some(port), Some(name)) = (port, &self.port_name) {
                *port = json!(name);
            }
        }
        if self.has_hook
            && let Some(lifecycle) = app.get_mut("lifecycle")
        {
            if let Some(hooks) = lifecycle.as_object_mut() {
                hooks.remove("preStop");
            }
            if lifecycle.as_object().is_some_and(Map::is_empty) {
                app.remove("lifecycle");
            }
        }
        if self.has_port_variable
            && let Some(env) = app.get_mut("env")
        {
            if let Some(variables) = env.as_array_mut() {
                variables.retain(|variable| name(variable) != PORT);
            }
            if env.as_array().is_some_and(Vec::is_empty) {
                app.remove("env");
            }
        }
    }
}

/// Identifies the same container, whatever defaults a server has filled in since: FNV-1a, which
/// is stable between versions, where the standard library's hash is not.
pub(crate) fn fingerprint(container: &Value) -> String {
    let hash = container.to_string().bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    format!("{hash:016x}")
}
