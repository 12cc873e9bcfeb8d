//! One pod, or the template of many: adds and removes the sidecar.

use serde_json::{Map, Value, json};
use tidegate_words::excerpt;

use crate::credentials;
use crate::json::{array, covers, covers_container, list, name, object, text};
use crate::probe::{self, STAYING, is_portable, resolve_port};
use crate::record::{INJECTED, PORT, Record, fingerprint};
use crate::refusal::Refusal;
use crate::settings::{INJECT, KEYS, PREFIX, SIDECAR, Settings, is_off, is_on};
use crate::sidecar::{self, Moved, Sidecar};

/// Containers of service meshes: what they redirect has to be redirected before traffic comes to
/// the sidecar, and until it has left it.
const MESH_CONTAINERS: &[&str] = &[
    "istio-init",
    "istio-validation",
    "istio-proxy",
    "linkerd-init",
    "linkerd-network-validator",
    "linkerd-proxy",
];

/// By which a mesh is known, and the annotation that keeps ports out of it: the kubelet calls the
/// drain's port from outside of any mesh.
const MESHES: &[(&str, &str)] = &[
    ("sidecar.istio.io/", "traffic.sidecar.istio.io/excludeInboundPorts"),
    ("linkerd.io/", "config.linkerd.io/skip-inbound-ports"),
];

/// The outcome for a pod.
#[derive(Debug)]
pub(crate) enum Injection {
    /// It has the sidecar now, or had it already.
    Injected(Injected),
    /// Its annotation declines it.
    Declined,
}

/// A pod with the sidecar.
#[derive(Debug)]
pub(crate) struct Injected {
    /// The pod or the template with the change.
    pub(crate) template: Value,
    pub(crate) container: String,
    pub(crate) app_port: u16,
    /// Where its traffic is to go; the app's own port where that carries no HTTP.
    pub(crate) sidecar_port: u16,
    /// Advice for the user, each a sentence.
    pub(crate) remarks: Vec<String>,
}

/// Adds the sidecar to a pod, or to the template of a workload of this name.
pub(crate) fn inject(
    template: &Value,
    workload: &str,
    settings: &Settings,
) -> Result<Injection, Refusal> {
    let mut remarks = Vec::new();
    let Some(settings) = settle(template, settings, &mut remarks)? else {
        return Ok(Injection::Declined);
    };
    let (before, found) = without_sidecar(template)?;
    let spec = before.get("spec").ok_or(Refusal::NoContainers)?;
    refuse(&before, spec)?;
    if credentials::is_taken(spec) && credentials::volume(&settings).is_some() {
        return Err(Refusal::VolumeTaken);
    }
    let index = container_index(&before, spec, settings.container.as_deref())?;
    let app = &list(spec, "containers")[index];
    let app_port = app_port(app, settings.port)?;
    ports_are_free(spec, &settings)?;
    let image = settings.image.as_deref().ok_or(Refusal::NoImage)?;

    let mut record =
        Record { container: name(app).to_owned(), port: app_port, ..Record::default() };
    let mut changed_app = app.as_object().cloned().unwrap_or_default();
    let asked = readiness_of(&mut changed_app, app_port, &mut record)?;
    let moved = change_app(&mut changed_app, app_port, &settings, &mut record)?;
    if record.readiness.is_none() && changed_app.contains_key("readinessProbe") {
        remarks.push("its readiness command stays with its container".to_owned());
    }
    if !record.has_hook {
        remarks
            .push("its own preStop hook stays; let it take as long as endpoints need".to_owned());
    }
    let container = Sidecar {
        settings: &settings,
        image,
        app_port,
        revision: settings.revision.as_deref().unwrap_or(workload),
        workload,
        probe: asked.as_ref(),
        spec,
        moved,
    };
    let container = container.container();
    record.sidecar = fingerprint(&container);
    // A server's defaults are no difference: the webhook may be called twice.
    let is_same = |found: &Found| {
        found.record.sidecar == record.sidecar && covers_container(&found.sidecar, &container)
    };
    let container = found.filter(is_same).map_or(container, |found| found.sidecar);

    let wanted = assemble(&before, index, changed_app, container, record, &settings);
    let is_there = annotation(template) == annotation(&wanted) && covers(template, &wanted);
    let template = if is_there { template.clone() } else { wanted };
    let sidecar_port = match settings.tcp_ports.contains(&app_port) {
        true => app_port,
        false => settings.sidecar_port,
    };
    Ok(Injection::Injected(Injected {
        template,
        container: name(app).to_owned(),
        app_port,
        sidecar_port,
        remarks,
    }))
}

/// Removes the sidecar from a pod, with everything that was added with it; `None` where there is
/// none.
pub(crate) fn remove(template: &Value) -> Result<Option<Injected>, Refusal> {
    let (before, Some(found)) = without_sidecar(template)? else { return Ok(None) };
    let port = list(&found.sidecar, "ports").first();
    let sidecar_port = port.and_then(|port| crate::json::port(port.get("containerPort")));
    Ok(Some(Injected {
        template: before,
        container: found.record.container,
        app_port: found.record.port,
        sidecar_port: sidecar_port.unwrap_or(found.record.port),
        remarks: Vec::new(),
    }))
}

/// Writes the parts of a pod back, the sidecar among its init containers.
fn assemble(
    before: &Value,
    index: usize,
    app: Map<String, Value>,
    sidecar: Value,
    mut record: Record,
    settings: &Settings,
) -> Value {
    let mut template = before.as_object().cloned().unwrap_or_default();
    let spec = object(&mut template, "spec");
    array(spec, "containers")[index] = Value::Object(app);
    let init = array(spec, "initContainers");
    let behind_mesh = init.iter().rposition(|container| MESH_CONTAINERS.contains(&name(container)));
    init.insert(behind_mesh.map_or(0, |last| last + 1), sidecar);
    if let Some(volume) = credentials::volume(settings) {
        credentials::put_in(spec, volume);
        record.has_volume = true;
    }
    let metadata = object(&mut template, "metadata");
    let mesh = mesh_exclusion(metadata, settings.admin_port);
    let annotations = object(metadata, "annotations");
    if let Some((key, value)) = mesh {
        let was = annotations.insert(key.to_owned(), json!(value));
        record.mesh = Some((key.to_owned(), was.and_then(|was| was.as_str().map(str::to_owned))));
    }
    annotations.insert(INJECTED.to_owned(), json!(record.to_text()));
    Value::Object(template)
}

/// The settings with those of the pod's annotations; `None` where they decline.
fn settle(
    template: &Value,
    settings: &Settings,
    remarks: &mut Vec<String>,
) -> Result<Option<Settings>, Refusal> {
    let mut settings = settings.clone();
    let annotations = template.get("metadata").and_then(|meta| meta.get("annotations"));
    for (key, value) in annotations.and_then(Value::as_object).into_iter().flatten() {
        let Some(name) = key.strip_prefix(PREFIX) else { continue };
        let value = match value {
            Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        if key == INJECT {
            match value.as_str() {
                word if is_off(word) => return Ok(None),
                word if is_on(word) => {}
                _ => return Err(Refusal::Inject(value)),
            }
        } else if KEYS.iter().any(|known| known.name == name) {
            settings.set(name, &value).map_err(Refusal::Annotation)?;
        } else if key != INJECTED
            && let Some(meant) = tidegate_words::nearest(name, KEYS.iter().map(|key| key.name))
        {
            let key = excerpt(key);
            remarks
                .push(format!("annotation {key} is none of ours, did you mean {PREFIX}{meant}?"));
        }
    }
    Ok(Some(settings))
}

/// The sidecar of an earlier injection.
struct Found {
    sidecar: Value,
    record: Record,
}

/// The record of an earlier injection.
fn annotation(template: &Value) -> Option<&str> {
    template.get("metadata")?.get("annotations")?.get(INJECTED)?.as_str()
}

/// The pod as it was before an earlier injection, and the sidecar that was found.
fn without_sidecar(template: &Value) -> Result<(Value, Option<Found>), Refusal> {
    let mut before = template.as_object().cloned().unwrap_or_default();
    let spec = template.get("spec").unwrap_or(&Value::Null);
    let found = list(spec, "initContainers").iter().find(|container| name(container) == SIDECAR);
    let by_hand = list(spec, "containers").iter().any(|container| name(container) == SIDECAR);
    match annotation(template).map(Record::parse) {
        _ if by_hand => Err(Refusal::NotOurs),
        Some(Some(record)) => {
            record.undo(&mut before);
            let found = found.map(|sidecar| Found { sidecar: sidecar.clone(), record });
            Ok((Value::Object(before), found))
        }
        Some(None) => Err(Refusal::NotOurs),
        None if found.is_some() => Err(Refusal::NotOurs),
        None => Ok((Value::Object(before), None)),
    }
}

/// Why a pod as a whole cannot have the sidecar.
fn refuse(template: &Value, spec: &Value) -> Result<(), Refusal> {
    if list(spec, "containers").is_empty() {
        return Err(Refusal::NoContainers);
    }
    let mut names: Vec<&str> = list(spec, "containers").iter().map(name).collect();
    names.sort_unstable();
    if names[0].is_empty() || names.windows(2).any(|two| two[0] == two[1]) {
        return Err(Refusal::Names);
    }
    if sidecar::is_on_host_network(spec) {
        return Err(Refusal::HostNetwork);
    }
    if sidecar::is_for_windows(spec) {
        return Err(Refusal::Windows);
    }
    if sidecar::is_knatives(template) {
        return Err(Refusal::Knative);
    }
    Ok(())
}

/// Which container takes the traffic: the one that is named, the only one, kubectl's default
/// container, the only one with ports; never a guess.
fn container_index(template: &Value, spec: &Value, asked: Option<&str>) -> Result<usize, Refusal> {
    let containers = list(spec, "containers");
    let names = || containers.iter().map(|container| name(container).to_owned()).collect();
    let by_name = |wanted: &str| containers.iter().position(|container| name(container) == wanted);
    if let Some(asked) = asked {
        let no_such = || Refusal::NoSuchContainer { asked: asked.to_owned(), known: names() };
        return by_name(asked).ok_or_else(no_such);
    }
    if containers.len() == 1 {
        return Ok(0);
    }
    let annotations = template.get("metadata").and_then(|meta| meta.get("annotations"));
    let preferred =
        annotations.and_then(|all| text(all, "kubectl.kubernetes.io/default-container"));
    if let Some(index) = preferred.and_then(by_name) {
        return Ok(index);
    }
    let mut with_ports = containers.iter().enumerate().filter(|(_, container)| {
        !MESH_CONTAINERS.contains(&name(container)) && !tcp_ports(container).is_empty()
    });
    match (with_ports.next(), with_ports.next()) {
        (Some((index, _)), None) => Ok(index),
        _ => Err(Refusal::WhichContainer(names())),
    }
}

/// The TCP ports that a container declares, with their names.
fn tcp_ports(container: &Value) -> Vec<(u16, Option<&str>)> {
    let ports = list(container, "ports").iter();
    ports
        .filter(|port| text(port, "protocol").unwrap_or("TCP") == "TCP")
        .filter_map(|port| {
            Some((crate::json::port(port.get("containerPort"))?, text(port, "name")))
        })
        .collect()
}

/// The port on which the app takes its traffic.
fn app_port(app: &Value, asked: Option<u16>) -> Result<u16, Refusal> {
    if let Some(port) = asked {
        return Ok(port);
    }
    let ports = tcp_ports(app);
    match ports.as_slice() {
        [] => Err(Refusal::NoPort(name(app).to_owned())),
        [(port, _)] => Ok(*port),
        several => {
            let shown = several.iter().map(|(port, name)| match name {
                Some(name) => format!("{port} '{}'", excerpt(name)),
                None => port.to_string(),
            });
            let ports = shown.collect::<Vec<_>>().join(", ");
            Err(Refusal::WhichPort { container: name(app).to_owned(), ports })
        }
    }
}

/// All containers of a pod share their ports.
fn ports_are_free(spec: &Value, settings: &Settings) -> Result<(), Refusal> {
    let ours = [
        (Some(settings.sidecar_port), "sidecar-port"),
        (Some(settings.admin_port), "admin-port"),
        (settings.metrics_port, "metrics-port"),
    ];
    let ours: Vec<(u16, &'static str)> =
        ours.into_iter().filter_map(|(port, key)| Some((port?, key))).collect();
    for (index, (port, _)) in ours.iter().enumerate() {
        if ours[..index].iter().any(|(other, _)| other == port) {
            return Err(Refusal::PortTwice(*port));
        }
    }
    let all = list(spec, "containers").iter().chain(list(spec, "initContainers"));
    for container in all {
        for (port, _) in tcp_ports(container) {
            if let Some((_, key)) = ours.iter().find(|(ours, _)| *ours == port) {
                let container = name(container).to_owned();
                return Err(Refusal::PortTaken { container, port, key });
            }
        }
    }
    if let Some((port, key)) = ours.iter().find(|(port, _)| Some(*port) == settings.port) {
        return Err(Refusal::PortTaken { container: "app".to_owned(), port: *port, key });
    }
    Ok(())
}

/// Removes the readiness probe of the app's container if the sidecar can execute it, and returns it
/// with its port as a number.
fn readiness_of(
    app: &mut Map<String, Value>,
    app_port: u16,
    record: &mut Record,
) -> Result<Option<Value>, Refusal> {
    let ports = ports_of(app);
    let Some(original) = app.get("readinessProbe").filter(|probe| is_portable(probe)).cloned()
    else {
        return Ok(None);
    };
    let mut asked = original.clone();
    let port = resolve_port(&mut asked, &ports, "readinessProbe")?;
    if probe::is_https(&asked) && port == Some(app_port) {
        return Err(Refusal::Tls(app_port));
    }
    app.remove("readinessProbe");
    record.readiness = Some(original);
    Ok(Some(asked))
}

fn ports_of(container: &Map<String, Value>) -> Vec<Value> {
    container.get("ports").and_then(Value::as_array).cloned().unwrap_or_default()
}

/// Changes the app's container: named ports and hooks now belong to the sidecar.
fn change_app(
    app: &mut Map<String, Value>,
    app_port: u16,
    settings: &Settings,
    record: &mut Record,
) -> Result<Moved, Refusal> {
    let ports = ports_of(app);
    // What carries no HTTP goes to the app as before.
    let moved = match settings.tcp_ports.contains(&app_port) {
        true => Moved::default(),
        false => move_port(app, app_port),
    };
    record.port_name.clone_from(&moved.name);
    record.host_port = moved.host_port;
    for what in STAYING {
        let Some(probe) = app.get_mut(what) else { continue };
        if probe::is_https(probe) {
            let mut resolved = probe.clone();
            if resolve_port(&mut resolved, &ports, what)? == Some(app_port) {
                return Err(Refusal::Tls(app_port));
            }
        }
        if names_port(probe, moved.name.as_deref()) {
            resolve_port(probe, &ports, what)?;
            record.renumbered.push(what.to_owned());
        }
    }
    let lifecycle = object(app, "lifecycle");
    if !lifecycle.get("preStop").is_some_and(Value::is_object) {
        lifecycle.insert("preStop".to_owned(), sidecar::app_hook(settings.admin_port));
        record.has_hook = true;
    }
    let knows_its_port = list_of(app, "env").any(|variable| name(variable) == PORT)
        || list_of(app, "envFrom").next().is_some();
    if !knows_its_port {
        let variable = json!({"name": PORT, "value": app_port.to_string()});
        array(app, "env").push(variable);
        record.has_port_variable = true;
    }
    Ok(moved)
}

fn list_of<'v>(map: &'v Map<String, Value>, key: &str) -> impl Iterator<Item = &'v Value> {
    map.get(key).and_then(Value::as_array).into_iter().flatten()
}

/// Whether a probe calls its port by this name, which is the sidecar's from now on.
fn names_port(probe: &Value, moved: Option<&str>) -> bool {
    let actions = probe.as_object().into_iter().flat_map(Map::values);
    let mut ports = actions.filter_map(|action| text(action, "port"));
    moved.is_some() && ports.any(|port| Some(port) == moved)
}

/// Removes the name and the host port of the app's port.
fn move_port(app: &mut Map<String, Value>, app_port: u16) -> Moved {
    let ports = app.get_mut("ports").and_then(Value::as_array_mut).into_iter().flatten();
    let mut ports = ports.filter_map(Value::as_object_mut);
    let is_it = |port: &Map<String, Value>| {
        let is_tcp = port.get("protocol").and_then(Value::as_str).unwrap_or("TCP") == "TCP";
        is_tcp && port.get("containerPort").and_then(Value::as_u64) == Some(app_port.into())
    };
    let Some(port) = ports.find(|port| is_it(port)) else { return Moved::default() };
    let name = port.get("name").and_then(Value::as_str).map(str::to_owned);
    let host_port = port.get("hostPort").and_then(Value::as_u64).filter(|port| *port > 0);
    if name.is_some() {
        port.remove("name");
    }
    if host_port.is_some() {
        port.remove("hostPort");
    }
    Moved { name, host_port }
}

/// The annotation that keeps the drain's port out of a mesh that the pod says it is in.
fn mesh_exclusion(metadata: &Map<String, Value>, port: u16) -> Option<(&'static str, String)> {
    let of = |key: &str| metadata.get(key).and_then(Value::as_object).into_iter().flatten();
    let keys = || of("annotations").chain(of("labels")).map(|(key, _)| key);
    let (_, exclusion) = MESHES.iter().find(|(mark, _)| keys().any(|key| key.starts_with(mark)))?;
    let before = of("annotations").find(|(key, _)| key == exclusion);
    let before = before.and_then(|(_, value)| value.as_str()).unwrap_or_default().trim();
    let port = port.to_string();
    if before.split(',').any(|known| known.trim() == port) {
        return None;
    }
    let value = if before.is_empty() { port } else { format!("{before},{port}") };
    Some((*exclusion, value))
}
