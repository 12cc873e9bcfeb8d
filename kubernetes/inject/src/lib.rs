//! Puts Tidegate's sidecar into Kubernetes manifests: text in, text out.
//!
//! It must never talk to a cluster, read a file or make any other change: everything that is no pod
//! passes through byte for byte, and of a pod only the lines that must change do. Injection is
//! idempotent: a pod with the sidecar changes only if the settings or the version differ.
//!
//! Modules in reading order: [`settings`] is what can be chosen. `document` reads YAML and JSON
//! into nodes that know where they stand, `value` says what they mean, `workload` finds the pods
//! among them. `pod` turns a pod into one with a sidecar, `sidecar` makes that container, with
//! `credentials` for the controller, `probe` moves readiness to it, `record` keeps what was
//! changed, [`refusal`] says why not; `scaler` reads what a `TrafficScaler` beside says, `service`
//! looks at Services. `edit` and `render` carry the difference into the text; [`review`] is the
//! same for one pod that a cluster asks about, with the difference as a `patch`.

mod credentials;
mod document;
mod edit;
mod json;
mod patch;
mod pod;
mod probe;
mod record;
pub mod refusal;
mod render;
pub mod review;
mod scaler;
mod service;
pub mod settings;
mod sidecar;
mod value;
mod workload;

use std::collections::BTreeMap;

use serde_json::Value;

use document::Node;
use edit::Editor;
use pod::{Injected, Injection};
pub use refusal::Refusal;
use scaler::Scaler;
use service::Advice;
pub use settings::{SIDECAR, Settings};
use value::{Resolver, VALUES_MAX};
use workload::{Identity, Role};

/// Most bytes of an input. The largest manifests that are shipped as one file have five million.
pub const INPUT_BYTES_MAX: usize = 16 << 20;

/// Most workloads and Services of an input: each Service is compared with every workload. A large
/// cluster's whole namespace has some hundreds.
const OBJECTS_MAX: usize = 5_000;

/// What to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Action {
    /// Add the sidecar.
    #[default]
    Inject,
    /// Remove it, with everything that was added with it.
    Remove,
}

/// The options of a run.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// What to do.
    pub action: Action,
    /// The sidecar's settings; annotations of a pod override them.
    pub settings: Settings,
    /// Services whose target ports may be changed.
    pub services: Vec<String>,
    /// Further objects with a pod's template at `spec.template`, as `Kind` or `Kind/name`.
    pub workloads: Vec<String>,
}

/// The input with sidecars.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// The text.
    pub text: String,
    /// Changes and advice, a sentence each that begins with the object.
    pub notes: Vec<String>,
}

/// The input cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}, column {column}: {problem}")]
pub struct Malformed {
    /// Where, from 1.
    pub line: usize,
    /// Where in the line, from 1.
    pub column: usize,
    /// What is wrong, and what was expected.
    pub problem: String,
}

/// Why there is no output; it is all or nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// It is larger than [`INPUT_BYTES_MAX`].
    #[error("larger than {} MiB, expected a smaller input; split it", INPUT_BYTES_MAX >> 20)]
    TooLarge,
    /// It is no YAML and no JSON.
    #[error(transparent)]
    Malformed(#[from] Malformed),
    /// It was parsed, and cannot be injected: every reason.
    #[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))]
    Refused(Vec<Refused>),
}

/// An object that cannot be changed as requested.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{object}: {reason}")]
pub struct Refused {
    /// Its kind and its name, or the option that matches nothing.
    pub object: String,
    /// Where it begins, from 1; 0 is nowhere.
    pub line: usize,
    /// Why, and what to do.
    pub reason: String,
}

/// Adds the sidecar to every workload of a text of YAML or JSON documents.
///
/// # Errors
/// [`Failure`]: the text cannot be read, or an object of it cannot have the sidecar.
pub fn inject(text: &str, options: &Options) -> Result<Outcome, Failure> {
    if text.len() > INPUT_BYTES_MAX {
        return Err(Failure::TooLarge);
    }
    let roots = document::parse(text)?;
    let mut run = Run::new(options);
    for root in &roots {
        run.read(root);
    }
    run.workloads();
    run.services();
    run.unused();
    if !run.refusals.is_empty() {
        return Err(Failure::Refused(run.refusals));
    }
    if run.objects.iter().all(|object| object.injected.is_none()) && run.notes.is_empty() {
        run.notes.push("nothing to inject: no workload in the input".to_owned());
    }
    let text = run.write(text, &roots)?;
    Ok(Outcome { text, notes: run.notes })
}

/// The objects of a text of YAML or JSON documents, those of lists included; nothing is injected.
///
/// # Errors
/// [`Failure`]: the text cannot be read.
pub fn objects(text: &str) -> Result<Vec<Value>, Failure> {
    if text.len() > INPUT_BYTES_MAX {
        return Err(Failure::TooLarge);
    }
    let mut values_left = VALUES_MAX;
    let mut objects = Vec::new();
    for root in &document::parse(text)? {
        let value = Resolver::new(root).value(root, &mut values_left);
        let mut value = value.map_err(|error| {
            let (line, column, problem) = (root.line, 1, error.to_string());
            Malformed { line, column, problem }
        })?;
        let is_list = value["kind"].as_str().is_some_and(|kind| kind.ends_with("List"));
        match value.get_mut("items").map(Value::take) {
            Some(Value::Array(items)) if is_list => objects.extend(items),
            _ => objects.push(value),
        }
    }
    Ok(objects)
}

/// One object of the input.
struct Object {
    /// The document, and the number in its list if that is one.
    place: (usize, Option<usize>),
    identity: Identity,
    line: usize,
    role: Role,
    old: Value,
    new: Value,
    injected: Option<Injected>,
}

struct Run<'o> {
    options: &'o Options,
    documents: usize,
    objects: Vec<Object>,
    scalers: Vec<Scaler>,
    notes: Vec<String>,
    refusals: Vec<Refused>,
    values_left: usize,
}

impl<'o> Run<'o> {
    fn new(options: &'o Options) -> Self {
        Self {
            options,
            documents: 0,
            objects: Vec::new(),
            scalers: Vec::new(),
            notes: Vec::new(),
            refusals: Vec::new(),
            values_left: VALUES_MAX,
        }
    }

    /// Handles a document, or every object of a list.
    fn read(&mut self, root: &Node<'_>) {
        let document = self.documents;
        self.documents += 1;
        let identity = Identity::of(root);
        let mut values_left = self.values_left;
        let mut resolver = None;
        let objects: Vec<(Option<usize>, &Node<'_>)> = match root.get("items") {
            Some(items) if identity.is_list() => {
                items.items().iter().enumerate().map(|(index, item)| (Some(index), item)).collect()
            }
            _ => vec![(None, root)],
        };
        for (index, node) in objects {
            let mut identity = Identity::of(node);
            if index.is_some() && identity.kind.is_empty() {
                // What a typed list holds says so only once.
                let of_list = Identity::of(root);
                identity.kind = of_list.kind.trim_end_matches("List").to_owned();
                identity.group = of_list.group;
            }
            let role = identity.role(&self.options.workloads);
            if role == Role::Other {
                continue;
            }
            let known = self.objects.len() + self.scalers.len() + self.refusals.len();
            if known >= OBJECTS_MAX {
                let problem = format!("more than {OBJECTS_MAX} workloads and Services; split them");
                return self.refuse(&identity, node.line, &problem);
            }
            let resolver = resolver.get_or_insert_with(|| Resolver::new(root));
            match resolver.value(node, &mut values_left) {
                Ok(value) => self.object((document, index), identity, (node.line, role), value),
                Err(problem) => self.refuse(&identity, node.line, &problem.to_string()),
            }
        }
        self.values_left = values_left;
    }

    fn object(
        &mut self,
        place: (usize, Option<usize>),
        identity: Identity,
        (line, mut role): (usize, Role),
        value: Value,
    ) {
        if role == Role::Scaler {
            self.scalers.extend(Scaler::read(&identity, &value));
            return;
        }
        if let Role::Waiting(path) = role {
            let asks = workload::at(&value, path).is_some_and(workload::asks);
            if !asks && self.options.action == Action::Inject {
                self.notes.push(format!(
                    "{identity}: passed through; it runs to an end, and does not ask for the \
                     sidecar with {}: enabled",
                    settings::INJECT
                ));
                return;
            }
            role = Role::Workload(path);
        }
        let (old, new) = (value.clone(), value);
        self.objects.push(Object { place, identity, line, role, old, new, injected: None });
    }

    /// Looks at the workloads once every `TrafficScaler` is known, wherever they are in the input.
    fn workloads(&mut self) {
        for mut object in std::mem::take(&mut self.objects) {
            if let Role::Workload(path) = object.role {
                match self.workload(&object, path) {
                    Ok(injected) => {
                        if let Some(injected) = &injected
                            && let Some(place) = workload::at_mut(&mut object.new, path)
                        {
                            place.clone_from(&injected.template);
                        }
                        object.injected = injected;
                    }
                    Err(reason) => {
                        self.refuse(&object.identity, object.line, &reason);
                        continue;
                    }
                }
            }
            self.objects.push(object);
        }
    }

    /// The settings of a workload's sidecar, before its pod has its say.
    fn settings(&mut self, identity: &Identity) -> Result<Settings, String> {
        let mut settings = self.options.settings.clone();
        let scaler = self.scalers.iter().find(|scaler| scaler.is_of(identity));
        let Some(scaler) = scaler else { return Ok(settings) };
        let set = scaler.apply(&mut settings).map_err(|error| error.to_string())?;
        if set > 0 {
            let name = tidegate_words::excerpt(&scaler.name);
            let note = format!("{identity}: sidecar settings of TrafficScaler {name} are followed");
            self.notes.push(note);
        }
        Ok(settings)
    }

    fn workload(&mut self, object: &Object, path: &[&str]) -> Result<Option<Injected>, String> {
        let identity = &object.identity;
        let shape = || {
            let path = path.join(".");
            Refusal::Shape(format!("it has no pod template, expected one at `{path}`"))
        };
        let template = workload::at(&object.old, path).filter(|template| template.is_object());
        let told = |refusal: Refusal| refusal.to_string();
        let template = template.ok_or_else(shape).map_err(told)?;
        if self.options.action == Action::Remove {
            let removed = pod::remove(template).map_err(told)?;
            let done = if removed.is_some() { "the sidecar is taken out" } else { "as it was" };
            self.notes.push(format!("{identity}: {done}"));
            return Ok(removed);
        }
        let settings = self.settings(identity)?;
        match pod::inject(template, &identity.name, &settings).map_err(told)? {
            Injection::Declined => {
                self.notes.push(format!("{identity}: passed through; it declines the sidecar"));
                Ok(None)
            }
            Injection::Injected(injected) => {
                let done = if injected.template == *template { "as it was" } else { "injected" };
                self.notes.push(format!(
                    "{identity}: {done}; container {}, port {}",
                    tidegate_words::excerpt(&injected.container),
                    injected.app_port
                ));
                let remarks = injected.remarks.iter();
                self.notes.extend(remarks.map(|remark| format!("{identity}: {remark}")));
                Ok(Some(injected))
            }
        }
    }

    /// Checks the Services once all pods are known, in whatever order they are.
    fn services(&mut self) {
        let (services, others): (Vec<_>, Vec<_>) =
            self.objects.drain(..).partition(|object| object.role == Role::Service);
        for mut object in services {
            let identity = object.identity.clone();
            let is_named = self.options.services.contains(&identity.name);
            let pods: Vec<&Injected> = others
                .iter()
                .filter(|other| other.identity.namespace == identity.namespace)
                .filter_map(|other| other.injected.as_ref())
                .collect();
            let change = match is_named {
                true => service::Change::Allowed,
                false => service::Change::AdviceOnly,
            };
            let (action, note) = (self.options.action, |text: &str| format!("{identity}: {text}"));
            match service::advise(&object.old, &pods, action, change) {
                // A sidecar that was removed before is no mistake: removal is idempotent.
                Advice::Unconcerned if is_named && action == Action::Inject => {
                    let problem = "it selects no pod that is changed here";
                    self.refuse(&identity, object.line, problem);
                }
                Advice::Unconcerned => {}
                Advice::Fine => self.notes.push(note("its traffic goes where it should")),
                Advice::Elsewhere(from, to) => self.notes.push(note(&format!(
                    "its targetPort {from} should be {to} now; name it with --service, or change it"
                ))),
                Advice::Headless => self.notes.push(note(
                    "it is headless: who connects to a pod's address chooses the port, and only \
                     the sidecar's is limited and counted",
                )),
                Advice::Changed(new) => {
                    self.notes.push(note("its targetPort is changed"));
                    object.new = new;
                }
            }
            self.objects.push(object);
        }
        self.objects.extend(others);
    }

    /// Names that match nothing in the input are most likely misspelt.
    fn unused(&mut self) {
        let has = |test: &dyn Fn(&Identity) -> bool| {
            self.objects.iter().any(|object| test(&object.identity))
        };
        let services = self.options.services.iter();
        let services = services
            .filter(|name| !has(&|id| id.kind == "Service" && id.name == **name))
            .map(|name| ("--service", name));
        let workloads = self.options.workloads.iter();
        let workloads =
            workloads.filter(|word| !has(&|id| id.is_named_by(word))).map(|w| ("--workload", w));
        let unused: Vec<_> = services
            .chain(workloads)
            .map(|(flag, name)| {
                let object = format!("{flag} {}", tidegate_words::excerpt(name));
                Refused { object, line: 0, reason: "the input has nothing of that name".to_owned() }
            })
            .collect();
        // Where something was refused, its name is missing for that reason.
        if self.refusals.is_empty() {
            self.refusals = unused;
        }
    }

    fn refuse(&mut self, identity: &Identity, line: usize, reason: &str) {
        let (object, reason) = (identity.to_string(), reason.to_owned());
        self.refusals.push(Refused { object, line, reason });
    }

    /// The text with every change, parsed again to verify its value.
    fn write(&self, text: &str, roots: &[Node<'_>]) -> Result<String, Failure> {
        let mut wanted = Vec::new();
        let mut editor = Editor::new(text);
        let mut documents: BTreeMap<usize, Vec<&Object>> = BTreeMap::new();
        for object in self.objects.iter().filter(|object| object.old != object.new) {
            documents.entry(object.place.0).or_default().push(object);
        }
        let mut values_left = VALUES_MAX;
        for (index, changed) in documents {
            let (Some(root), Some(first)) = (roots.get(index), changed.first()) else { continue };
            let refused = |line: usize| {
                let reason = "it cannot be changed in place; write in full what its aliases and \
                              merges stand for";
                let (object, reason) = (first.identity.to_string(), reason.to_owned());
                Failure::Refused(vec![Refused { object, line, reason }])
            };
            let old = Resolver::new(root).value(root, &mut values_left);
            let old = old.map_err(|_| refused(root.line))?;
            let mut new = old.clone();
            for object in &changed {
                let place = match object.place.1 {
                    Some(item) => &mut new["items"][item],
                    None => &mut new,
                };
                place.clone_from(&object.new);
            }
            editor.change(root, &old, &new).map_err(|problem| refused(problem.line))?;
            wanted.push((index, new, refused(first.line)));
        }
        if wanted.is_empty() {
            return Ok(text.to_owned());
        }
        let text = editor.finish();
        let roots = document::parse(&text);
        // The added values count too.
        let mut values_left = 2 * VALUES_MAX;
        for (index, new, refused) in wanted {
            let root = roots.as_ref().ok().and_then(|roots| roots.get(index));
            let found = root.map(|root| Resolver::new(root).value(root, &mut values_left));
            if found != Some(Ok(new)) {
                return Err(refused);
            }
        }
        Ok(text)
    }
}
