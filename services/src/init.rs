//! A first file, made of what is found in a folder.

use std::fmt::Write;

use tidegate_routes::{FileError, is_label};
use toml::Value;

use crate::keys::SERVICES_MAX;
use crate::service::Services;
use crate::yaml::{Node, documents};

/// What is found in a folder: the texts of files that say how to start something.
#[derive(Debug, Clone, Copy, Default)]
pub struct Found<'a> {
    /// `Procfile`.
    pub procfile: Option<&'a str>,
    /// `compose.yaml`, or one of its other names.
    pub compose: Option<&'a str>,
    /// A manifest with Knative's Services.
    pub knative: Option<&'a str>,
    /// `package.json`.
    pub package: Option<&'a str>,
}

/// A service of the file to be, or a remark about one that cannot be.
#[derive(Debug)]
struct Draft {
    name: String,
    /// Where it was found.
    origin: &'static str,
    keys: Vec<(&'static str, Value)>,
    /// Services that it depends on.
    after: Vec<String>,
    /// What the person has to know, or to do.
    remarks: Vec<String>,
}

/// The text of a first file, and the names of the services in it.
#[must_use]
pub fn draft(found: Found<'_>) -> (String, Vec<String>) {
    let mut drafts: Vec<Draft> = Vec::new();
    let all = [
        found.knative.map(of_knative),
        found.procfile.map(of_procfile),
        found.compose.map(of_compose),
        found.package.map(of_package),
    ];
    for draft in all.into_iter().flatten().flatten() {
        if !drafts.iter().any(|known| known.name == draft.name) {
            drafts.push(draft);
        }
    }
    drafts.truncate(SERVICES_MAX);
    drafts.iter_mut().for_each(Draft::leave_out_what_is_refused);
    let runnable = drafts.iter().filter(|draft| draft.can_run());
    let names: Vec<String> = runnable.map(|draft| draft.name.clone()).collect();
    for draft in &mut drafts {
        draft.after.retain(|after| names.contains(after) && *after != draft.name);
        if !draft.after.is_empty() {
            draft.key("after", draft.after.clone());
        }
    }
    if Services::parse(&text(&drafts)).is_err() {
        // Each of them can be said alone: what they wait for goes in a circle.
        drafts.iter_mut().for_each(Draft::wait_for_nothing);
    }
    (text(&drafts), names)
}

const HEAD: &str = "\
# Services for `tidegate up`. Check this file with `tidegate check`; editors know its keys by
#   tidegate check --schema > tidegate.schema.json
# and the line `#:schema ./tidegate.schema.json`.

# Where clients connect. Each service is at http://NAME.localhost:8080 unless it says otherwise.
# listen = \"127.0.0.1:8080\"
";

const TAIL: &str = "
# What else a service may say, with its default:
# directory = \".\"               # the folder that it runs in
# environment = { KEY = \"value\" }
# env_files = [\".env\"]
# build = \"make\"                # run before the first instance of a revision
# concurrency = 10              # requests that one instance takes at a time; unlimited
# min = 0                       # fewest instances
# max = 10                      # most
# idle = \"30s\"                  # how long the last instance stays
# ready = \"tcp\"                 # or a path such as \"/healthz\"
# hosts = [\"NAME.localhost\"]    # and path = \"/api\"
# after = [\"db\"]                # started once these are ready
";

const EXAMPLE: &str = "
# Nothing was found that says how to start something: say it here.
[service.web]
command = \"python3 -m http.server {PORT}\"
";

fn text(drafts: &[Draft]) -> String {
    let mut text = HEAD.to_owned();
    if !drafts.iter().any(Draft::can_run) {
        text.push_str(EXAMPLE);
    }
    for draft in drafts {
        text.push_str(&draft.text());
    }
    text.push_str(TAIL);
    text
}

impl Draft {
    fn new(name: &str, origin: &'static str) -> Self {
        Self {
            name: name_of(name),
            origin,
            keys: Vec::new(),
            after: Vec::new(),
            remarks: Vec::new(),
        }
    }

    fn key(&mut self, key: &'static str, value: impl Into<Value>) {
        self.keys.push((key, value.into()));
    }

    /// Leaves out what a file may not say, and says so.
    fn leave_out_what_is_refused(&mut self) {
        while let Some(error) = self.first_mistake() {
            // Line 1 names the service, and line 2 may stand in for its command.
            let mut line = if self.can_run() { 1 } else { 2 };
            let refused = self.keys.iter().position(|(_, value)| {
                line += value.to_string().lines().count();
                error.line <= line
            });
            let Some(refused) = refused else { return };
            let (key, _) = self.keys.remove(refused);
            let named = format!("`{key}`: ");
            let what = error.what.split_once(&named).map_or(&*error.what, |(_, what)| what);
            self.remarks.push(format!("Its {key} is left out: {what}"));
        }
    }

    /// The first mistake in a file of this service alone.
    fn first_mistake(&self) -> Option<FileError> {
        let mut text = format!("[service.{}]\n", self.name);
        if !self.can_run() {
            text.push_str("command = \"…\"\n");
        }
        for (key, value) in &self.keys {
            let _ = writeln!(text, "{key} = {value}");
        }
        Services::parse(&text).err()?.into_iter().min_by_key(|error| error.line)
    }

    fn wait_for_nothing(&mut self) {
        self.keys.retain(|(key, _)| *key != "after");
        if !self.after.is_empty() {
            let what = self.after.join(", ");
            self.remarks.push(format!("It depends on {what}, which goes in a circle."));
        }
    }

    fn can_run(&self) -> bool {
        self.keys.iter().any(|(key, _)| *key == "command")
    }

    fn text(&self) -> String {
        let mut text = format!("\n# From {}.\n", self.origin);
        for remark in &self.remarks {
            let _ = writeln!(text, "# {}", one_line(remark));
        }
        let off = if self.can_run() { "" } else { "# " };
        let _ = writeln!(text, "{off}[service.{}]", self.name);
        if !self.can_run() {
            let _ = writeln!(text, "# command = \"…\"");
        }
        for (key, value) in &self.keys {
            for line in format!("{key} = {value}").lines() {
                let _ = writeln!(text, "{off}{line}");
            }
        }
        text
    }
}

fn one_line(text: &str) -> String {
    text.chars().map(|letter| if letter.is_control() { ' ' } else { letter }).take(200).collect()
}

/// A name as services may have it.
fn name_of(text: &str) -> String {
    let letters = text.to_ascii_lowercase();
    let letters = letters.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' });
    let name: String = letters.take(50).collect();
    let name = name.trim_matches('-').to_owned();
    if is_label(&name) { name } else { "app".to_owned() }
}

/// A line of a shell which may name its port in a way of its own.
fn ported(line: &str) -> String {
    ["${PORT:-8080}", "${PORT}", "$PORT"]
        .iter()
        .fold(line.to_owned(), |line, name| line.replace(name, "{PORT}"))
}

fn of_procfile(text: &str) -> Vec<Draft> {
    let lines = text.lines().filter_map(|line| {
        let line = line.trim();
        line.split_once(':').filter(|_| !line.starts_with('#'))
    });
    let drafts = lines.map(|(name, command)| {
        let mut draft = Draft::new(name.trim(), "Procfile");
        draft.key("command", ported(command.trim()));
        if name.trim() != "web" {
            draft.remarks.push(
                "It has to listen on $PORT. What does not, such as a worker, is not for this file."
                    .to_owned(),
            );
        }
        draft
    });
    drafts.collect()
}

fn of_package(text: &str) -> Vec<Draft> {
    let Ok(package) = serde_json::from_str::<serde_json::Value>(text) else { return Vec::new() };
    let script = |name: &str| package["scripts"][name].is_string();
    let command = match (script("start"), script("dev")) {
        (true, _) => "npm start",
        (false, true) => "npm run dev",
        (false, false) => return Vec::new(),
    };
    let mut draft = Draft::new(package["name"].as_str().unwrap_or("web"), "package.json");
    draft.key("command", command);
    if script("build") {
        draft.key("build", "npm run build");
    }
    draft.remarks.push("It has to listen on $PORT (process.env.PORT).".to_owned());
    vec![draft]
}

fn of_knative(text: &str) -> Vec<Draft> {
    let documents = documents(text).unwrap_or_default();
    let services = documents.iter().filter(|document| is_knative(document));
    let drafts = services.map(|document| {
        let name = document.at(&["metadata", "name"]).and_then(Node::text).unwrap_or("app");
        let mut draft = Draft::new(name, "a Service of Knative, which `tidegate up -f` also takes");
        let spec = document.at(&["spec", "template", "spec"]);
        let container = spec.and_then(|spec| spec.get("containers")?.list().first());
        let words = |key: &str| {
            let listed = container.and_then(|container| container.get(key));
            let words = listed.map(Node::list).unwrap_or_default().iter();
            words.filter_map(Node::text).map(|word| Value::from(word.replace("$(PORT)", "{PORT}")))
        };
        let command: Vec<Value> = words("command").chain(words("args")).collect();
        if words("command").next().is_some() {
            draft.key("command", command);
        } else {
            let image = container.and_then(|container| container.text_of("image"));
            draft.remarks.push(format!(
                "Its image is {}: say here how to run it on this machine.",
                image.unwrap_or("unknown")
            ));
        }
        let limit = spec.and_then(|spec| spec.text_of("containerConcurrency")?.parse::<i64>().ok());
        if let Some(limit) = limit.filter(|limit| *limit > 0) {
            draft.key("concurrency", limit);
        }
        if let Some(variables) = container.and_then(|container| container.get("env")) {
            draft.environment(variables);
        }
        draft
    });
    drafts.collect()
}

fn is_knative(document: &Node) -> bool {
    document.text_of("kind") == Some("Service")
        && document.text_of("apiVersion").is_some_and(|of| of.starts_with("serving.knative.dev/"))
}

impl Draft {
    /// Variables as a list of names and values, a list of `NAME=VALUE`, or a map.
    fn environment(&mut self, node: &Node) {
        let mut variables = toml::Table::new();
        for entry in node.list() {
            let pair = match (entry.text_of("name"), entry.text_of("value"), entry.text()) {
                (Some(name), Some(value), _) => Some((name, value)),
                (_, _, Some(text)) => text.split_once('='),
                _ => None,
            };
            variables.extend(pair.map(|(name, value)| (name.to_owned(), Value::from(value))));
        }
        for (name, value) in node.entries() {
            let value = value.text().unwrap_or_default();
            variables.insert(name.clone(), Value::from(value));
        }
        variables.retain(|name, _| crate::env_file::is_variable(name));
        if !variables.is_empty() {
            self.key("environment", variables);
        }
    }
}

fn of_compose(text: &str) -> Vec<Draft> {
    let documents = documents(text).unwrap_or_default();
    let services = documents.first().and_then(|document| document.get("services"));
    let entries = services.map(Node::entries).unwrap_or_default();
    entries.iter().map(|(name, service)| of_compose_service(name, service)).collect()
}

fn of_compose_service(name: &str, service: &Node) -> Draft {
    let mut draft = Draft::new(name, "the Compose file");
    match service.get("command") {
        Some(command) if command.text().is_some() => {
            draft.key("command", ported(command.text().unwrap_or_default()));
        }
        Some(command) => {
            let words = command.list().iter().filter_map(Node::text).map(ported);
            draft.key("command", words.map(Value::from).collect::<Vec<_>>());
        }
        None => {
            let what = match (service.text_of("image"), service.get("build")) {
                (Some(image), _) => format!("Its image is {image}: say here how to run it."),
                (None, _) => "Its image is built: say here how to run it.".to_owned(),
            };
            draft.remarks.push(what);
        }
    }
    if let Some(directory) = service.text_of("working_dir") {
        draft.key("directory", directory);
    }
    if let Some(variables) = service.get("environment") {
        draft.environment(variables);
    }
    if let Some(files) = service.get("env_file") {
        let one = files.text().into_iter();
        let files: Vec<Value> =
            one.chain(files.list().iter().filter_map(Node::text)).map(Value::from).collect();
        draft.key("env_files", files);
    }
    if let Some(ports) = service.get("ports").filter(|ports| !ports.list().is_empty()) {
        let published: Vec<&str> = ports.list().iter().filter_map(Node::text).collect();
        draft.remarks.push(format!(
            "It published {}: here it has to listen on $PORT, and `listen` is its own address.",
            published.join(", ")
        ));
    }
    let after = service.get("depends_on");
    let names = after.map(|after| {
        let listed = after.list().iter().filter_map(Node::text);
        listed.chain(after.entries().iter().map(|(name, _)| name.as_str())).map(name_of)
    });
    draft.after = names.into_iter().flatten().collect();
    draft
}
