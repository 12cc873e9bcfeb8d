//! Services from Knative's manifests: what can be honoured on this machine, and what is ignored.

use std::time::Duration;

use tidegate_routes::{FILE_BYTES_MAX, FileError, is_label};
use tidegate_words::excerpt;

use crate::keys::{CONCURRENCY_MAX, INSTANCES_MAX};
use crate::quantity;
use crate::service::{Concurrency, Ready, Rollout, Service, Services, Template};
use crate::together;
use crate::yaml::{Node, Tree, documents};

/// The prefix of annotations that say how a revision is scaled.
const AUTOSCALING: &str = "autoscaling.knative.dev/";

/// How long a route takes to give a new revision everything.
const ROLLOUT_DURATION: &str = "serving.knative.dev/rollout-duration";

/// What stands in a manifest and means nothing here, where it stands, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ignored {
    /// The line, from 1.
    pub line: usize,
    /// The column, from 1.
    pub column: usize,
    /// What it is, and why it is ignored.
    pub what: String,
}

impl Services {
    /// Reads Knative's Services out of YAML.
    ///
    /// # Errors
    ///
    /// What cannot be served here, of each Service the first.
    pub fn parse_knative(text: &str) -> Result<(Self, Vec<Ignored>), Vec<FileError>> {
        if text.len() > FILE_BYTES_MAX {
            let what =
                format!("the file has {} bytes, expected {FILE_BYTES_MAX} at most", text.len());
            return Err(vec![FileError { line: 1, column: 1, what }]);
        }
        let documents = documents(text).map_err(|error| vec![error])?;
        let mut reading = Reading::default();
        let mut wrong = Vec::new();
        for document in &documents {
            if let Err(error) = reading.document(document) {
                wrong.push(error);
            }
        }
        let Reading { services, ignored } = reading;
        if wrong.is_empty() && services.services.is_empty() {
            let what = "there is no Service of serving.knative.dev, expected one or more";
            wrong.push(FileError { line: 1, column: 1, what: what.to_owned() });
        }
        if wrong.is_empty() {
            wrong = together::wrong(&services);
        }
        if wrong.is_empty() { Ok((services, ignored)) } else { Err(wrong) }
    }
}

#[derive(Default)]
struct Reading {
    services: Services,
    ignored: Vec<Ignored>,
}

impl Reading {
    fn ignore(&mut self, node: &Node, what: impl Into<String>) {
        self.ignored.push(Ignored { line: node.line, column: node.column, what: what.into() });
    }

    /// Ignores every key but those that are read.
    fn ignore_others(&mut self, node: Option<&Node>, path: &str, read: &[&str]) {
        for (key, value) in node.map(Node::entries).unwrap_or_default() {
            if !read.contains(&key.as_str()) {
                self.ignore(value, format!("{path}{} means nothing here", excerpt(key)));
            }
        }
    }

    fn document(&mut self, document: &Node) -> Result<(), FileError> {
        if matches!(document.value, Tree::Nothing) {
            return Ok(());
        }
        let kind = document.text_of("kind").unwrap_or("a document without a kind");
        let of = document.text_of("apiVersion").unwrap_or_default();
        if kind != "Service" || !of.starts_with("serving.knative.dev/") {
            self.ignore(document, format!("{} is no Service of Knative", excerpt(kind)));
            return Ok(());
        }
        let name = document.at(&["metadata", "name"]);
        let name = name.ok_or_else(|| document.wrong("`metadata.name` is missing"))?;
        let label = name.text().filter(|text| is_label(text)).ok_or_else(|| {
            name.wrong("`metadata.name`: expected lower-case letters, digits and hyphens")
        })?;
        let spec = document.at(&["spec", "template", "spec"]);
        let spec = spec.ok_or_else(|| document.wrong("`spec.template.spec` is missing"))?;
        let template = self.template(spec)?;
        let mut service = Service::new(template);
        self.annotations(document, &mut service)?;
        self.ignore_others(document.get("spec"), "spec.", &["template", "traffic"]);
        if let Some(traffic) = document.at(&["spec", "traffic"]) {
            let is_latest = |node: &Node| node.text_of("latestRevision") == Some("true");
            if !matches!(traffic.list(), [only] if is_latest(only)) {
                self.ignore(traffic, "spec.traffic: requests go to the newest revision here");
            }
        }
        for (place, key) in [(document, ""), (name, "hosts"), (spec, "command")] {
            let at = (place.line, place.column);
            self.services.places.insert((label.to_owned(), key), at);
        }
        self.services.services.insert(label.to_owned(), service);
        Ok(())
    }

    fn annotations(&mut self, document: &Node, service: &mut Service) -> Result<(), FileError> {
        if let Some(of_service) = document.at(&["metadata", "annotations"]) {
            for (name, value) in of_service.entries() {
                match (name.as_str(), value.text()) {
                    (ROLLOUT_DURATION, Some(over)) => {
                        let over = toml::Value::String(over.to_owned());
                        let shares = toml::Table::from_iter([("over".to_owned(), over)]);
                        service.rollout = Rollout::Shares(shares);
                    }
                    _ => self.ignore(value, format!("the annotation {}", excerpt(name))),
                }
            }
        }
        let of_revision = document.at(&["spec", "template", "metadata", "annotations"]);
        for (name, value) in of_revision.map(Node::entries).unwrap_or_default() {
            let text = value.text().unwrap_or_default().to_owned();
            let count = || {
                let expected = || value.wrong(format!("`{name}`: expected a whole number"));
                text.parse::<u32>().map_err(|_| expected())
            };
            match name.strip_prefix(AUTOSCALING) {
                Some("min-scale" | "minScale") => service.scale.min = count()?,
                Some("max-scale" | "maxScale") => {
                    service.scale.max =
                        Some(count()?).filter(|max| *max > 0).unwrap_or(INSTANCES_MAX);
                }
                Some("initial-scale" | "initialScale") => service.scale.initial = count()?,
                Some(_) => service.scale.set.push((name.clone(), text)),
                None => self.ignore(value, format!("the annotation {}", excerpt(name))),
            }
        }
        let scale = &mut service.scale;
        scale.initial = scale.initial.min(scale.max);
        Ok(())
    }

    fn template(&mut self, spec: &Node) -> Result<Template, FileError> {
        let containers = spec.get("containers").map(Node::list).unwrap_or_default();
        let Some((container, others)) = containers.split_first() else {
            return Err(spec.wrong("`containers` is missing, expected one container"));
        };
        for other in others {
            self.ignore(other, "a second container: one program is run for each instance");
        }
        let mut template = Template::new(self.command(container)?);
        self.environment(container, &mut template);
        template.directory = container.text_of("workingDir").map(str::to_owned);
        template.ready = Self::ready(container);
        self.limits(container, &mut template)?;
        if let Some(limit) = spec.get("containerConcurrency") {
            let number = limit.text().and_then(|text| text.parse::<u32>().ok());
            let number = number.filter(|number| u64::from(*number) <= CONCURRENCY_MAX);
            template.concurrency = match number {
                Some(0) => Concurrency::Unlimited,
                Some(number) => Concurrency::Limit(number),
                None => return Err(limit.wrong("`containerConcurrency`: expected a whole number")),
            };
        }
        if let Some(timeout) = spec.get("timeoutSeconds") {
            let seconds = timeout.text().and_then(|text| text.parse::<u32>().ok());
            let seconds = seconds.filter(|seconds| (1..=86_400 * 30).contains(seconds));
            let wrong = || timeout.wrong("`timeoutSeconds`: expected a whole number above 0");
            template.timeout = Duration::from_secs(seconds.ok_or_else(wrong)?.into());
        }
        let read = ["containers", "containerConcurrency", "timeoutSeconds"];
        self.ignore_others(Some(spec), "spec.template.spec.", &read);
        let read = [
            "name",
            "command",
            "args",
            "env",
            "workingDir",
            "ports",
            "readinessProbe",
            "resources",
        ];
        self.ignore_others(Some(container), "the container's ", &read);
        Ok(template)
    }

    fn command(&mut self, container: &Node) -> Result<Vec<String>, FileError> {
        let words = |key: &str| -> Vec<String> {
            let listed = container.get(key).map(Node::list).unwrap_or_default();
            listed.iter().filter_map(Node::text).map(|word| expand(container, word)).collect()
        };
        let (mut command, arguments) = (words("command"), words("args"));
        if command.is_empty() {
            let place = container.get("image").unwrap_or(container);
            return Err(place.wrong(
                "an image cannot be run here: expected a `command` in the container as well, which \
                 is run on this machine",
            ));
        }
        command.extend(arguments);
        if let Some(ports) = container.get("ports") {
            self.ignore(ports, "ports: the port of an instance is in $PORT, and $(PORT) in args");
        }
        Ok(command)
    }

    fn environment(&mut self, container: &Node, template: &mut Template) {
        for variable in container.get("env").map(Node::list).unwrap_or_default() {
            let Some(name) = variable.text_of("name") else { continue };
            match variable.get("valueFrom") {
                Some(from) => {
                    self.ignore(from, format!("the variable {}: valueFrom", excerpt(name)));
                }
                None => {
                    let value = variable.text_of("value").unwrap_or_default();
                    let value = expand(container, value);
                    template.variables.insert(name.to_owned(), value);
                }
            }
        }
    }

    /// What one instance may use.
    fn limits(&mut self, container: &Node, template: &mut Template) -> Result<(), FileError> {
        let resources = container.get("resources");
        self.ignore_others(resources, "the container's resources.", &["limits"]);
        let limits = resources.and_then(|resources| resources.get("limits"));
        self.ignore_others(limits, "the limit of ", &["memory", "cpu"]);
        for (key, value) in limits.map(Node::entries).unwrap_or_default() {
            let text = value.text().unwrap_or_default();
            let is_read = match key.as_str() {
                "memory" => {
                    template.limits.memory_bytes = quantity::bytes(text);
                    template.limits.memory_bytes.is_some()
                }
                "cpu" => {
                    template.limits.cpu_millis = quantity::cpu_millis(text);
                    template.limits.cpu_millis.is_some()
                }
                _ => true,
            };
            if !is_read {
                return Err(
                    value.wrong(format!("`{key}`: expected a quantity such as 128Mi or 500m"))
                );
            }
        }
        Ok(())
    }

    fn ready(container: &Node) -> Ready {
        let Some(probe) = container.get("readinessProbe") else { return Ready::Tcp };
        if let Some(get) = probe.get("httpGet") {
            let path = get.text_of("path").unwrap_or("/");
            return Ready::Http(format!("/{}", path.trim_start_matches('/')));
        }
        if let Some(grpc) = probe.get("grpc") {
            return Ready::Grpc(grpc.text_of("service").unwrap_or_default().to_owned());
        }
        let command = probe.at(&["exec", "command"]).map(Node::list).unwrap_or_default();
        let command: Vec<String> =
            command.iter().filter_map(Node::text).map(|word| expand(container, word)).collect();
        if command.is_empty() { Ready::Tcp } else { Ready::Exec(command) }
    }
}

/// What Kubernetes makes of `$(NAME)`, and our `{PORT}` of `$(PORT)`.
fn expand(container: &Node, text: &str) -> String {
    let mut expanded = text.replace("$(PORT)", "{PORT}");
    for variable in container.get("env").map(Node::list).unwrap_or_default() {
        if let (Some(name), Some(value)) = (variable.text_of("name"), variable.text_of("value")) {
            expanded = expanded.replace(&format!("$({name})"), value);
        }
    }
    expanded
}
