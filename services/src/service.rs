//! What a file says of its services.

use core::net::SocketAddr;
use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tidegate_admission::QueueRules;
use tidegate_routes::FileError;

/// The services of a file.
#[derive(Debug, Clone, Default)]
pub struct Services {
    /// Where clients of all services connect; `None` where the file does not say it.
    pub listen: Option<SocketAddr>,
    /// How long requests in flight may take at the end.
    pub drain: Option<Duration>,
    /// The services by their names.
    pub services: BTreeMap<String, Service>,
    /// Further routes, as the file has them: they name services.
    pub(crate) routes: toml::Table,
    pub(crate) places: Places,
}

/// Where keys stand in a file: line and column, by service and key.
pub(crate) type Places = BTreeMap<(String, &'static str), (usize, usize)>;

/// One service.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Service {
    /// What its instances are: a change makes a new revision.
    pub template: Template,
    /// How many of them there are: a change is followed by those that run.
    pub scale: Scale,
    /// Whose turn it is while several requests wait: a change is followed by those that wait.
    pub queue: QueueRules,
    /// How requests come to it.
    pub entrance: Entrance,
    /// How requests go from one revision to the next.
    pub rollout: Rollout,
    /// Services that have to be ready before it is started.
    pub after: Vec<String>,
}

/// What the instances of a service are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Template {
    /// Program and arguments.
    pub command: Vec<String>,
    /// The folder that it runs in, as the file has it.
    pub directory: Option<String>,
    /// Variables: those of its files, and those that stand in the file itself.
    pub variables: BTreeMap<String, String>,
    /// Files with variables, as the file has them.
    pub env_files: Vec<String>,
    /// Who runs it.
    pub user: Option<String>,
    /// What is run before the first instance of a revision.
    pub build: Option<Build>,
    /// The port that it listens on whatever it is told; a free one for each instance when `None`.
    pub port: Option<u16>,
    /// What its connections carry.
    pub protocol: Protocol,
    /// Requests that an instance takes at a time.
    pub concurrency: Concurrency,
    /// What becomes of instances that are not wanted.
    pub idle_mode: IdleMode,
    /// When an instance takes requests.
    pub ready: Ready,
    /// How long an instance may take to become ready.
    pub start_timeout: Duration,
    /// How long a request may take, waiting for an instance included.
    pub timeout: Duration,
    /// How long an instance may take to end after SIGTERM.
    pub stop_timeout: Duration,
    /// What becomes of a slot whose client has gone.
    pub abandoned: Abandoned,
    /// What one instance may use.
    pub limits: Limits,
}

/// What one instance may use; `None` is as much as there is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Limits {
    /// Memory, in bytes.
    pub memory_bytes: Option<u64>,
    /// Time of processors, in thousandths of one.
    pub cpu_millis: Option<u32>,
    /// Processes and threads.
    pub processes: Option<u32>,
}

/// What is run before the first instance of a revision.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Build {
    /// Program and arguments.
    pub command: Vec<String>,
}

/// What the connections of a service carry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum Protocol {
    /// HTTP.
    #[default]
    Http,
    /// Anything: each connection is passed on as it is, and is one request.
    Tcp,
}

/// Requests that an instance takes at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum Concurrency {
    /// Any number.
    #[default]
    Unlimited,
    /// So many.
    Limit(u32),
    /// What is found out from its latency.
    Auto,
}

/// What becomes of instances that are not wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum IdleMode {
    /// They end.
    #[default]
    Stop,
    /// They stand still in memory.
    Freeze,
}

/// When an instance takes requests.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum Ready {
    /// Once its port accepts connections.
    #[default]
    Tcp,
    /// Once it answers this path with 200 to 399.
    Http(String),
    /// Once gRPC's health service says so of this service of it; of all of it when empty.
    Grpc(String),
    /// Once its port accepts connections and this command ends well.
    Exec(Vec<String>),
    /// Once its port accepts connections and it has written a line with this in it, where `*`
    /// stands for anything.
    Log(String),
}

/// What becomes of a slot whose client has gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum Abandoned {
    /// It stays taken until the app is done.
    #[default]
    Hold,
    /// It is free.
    Release,
}

/// How many instances there are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Scale {
    /// Fewest.
    pub min: u32,
    /// Most.
    pub max: u32,
    /// To start with.
    pub initial: u32,
    /// The stable window.
    pub window: Duration,
    /// How long the last one stays after the last request; half a window when `None`.
    pub idle: Option<Duration>,
    /// Keys of `config-autoscaler`, and annotations, with their values.
    pub set: Vec<(String, String)>,
}

/// How requests come to a service.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Entrance {
    /// Hosts of the common address.
    pub hosts: Vec<String>,
    /// The path there, with all below it.
    pub path: Option<String>,
    /// An address of its own besides.
    pub listen: Option<SocketAddr>,
}

/// How requests go from one revision of a service to the next.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub enum Rollout {
    /// All at once, as soon as the new one is ready.
    #[default]
    WhenReady,
    /// The old one ends first: requests wait meanwhile.
    Replace,
    /// In shares, led by how the new one does; as the file has it.
    Shares(toml::Table),
}

impl Template {
    /// What is run by `command`, with everything else as it is by default.
    #[must_use]
    pub fn new(command: Vec<String>) -> Self {
        Self {
            command,
            directory: None,
            variables: BTreeMap::new(),
            env_files: Vec::new(),
            user: None,
            build: None,
            port: None,
            protocol: Protocol::Http,
            concurrency: Concurrency::Unlimited,
            idle_mode: IdleMode::Stop,
            ready: Ready::Tcp,
            start_timeout: Duration::from_secs(60),
            timeout: Duration::from_secs(300),
            stop_timeout: Duration::from_secs(10),
            abandoned: Abandoned::Hold,
            limits: Limits::default(),
        }
    }
}

impl Default for Scale {
    fn default() -> Self {
        Self {
            min: 0,
            max: 10,
            initial: 1,
            window: Duration::from_secs(60),
            idle: None,
            set: Vec::new(),
        }
    }
}

impl Service {
    /// A service of this template, with everything else as it is by default.
    #[must_use]
    pub fn new(template: Template) -> Self {
        Self {
            template,
            scale: Scale::default(),
            queue: QueueRules::default(),
            entrance: Entrance::default(),
            rollout: Rollout::default(),
            after: Vec::new(),
        }
    }
}

impl Services {
    /// An error at a key of a service, or at the service itself where it does not have the key.
    #[must_use]
    pub fn wrong(&self, service: &str, key: &str, what: impl std::fmt::Display) -> FileError {
        let at = |key: &str| {
            let mut all = self.places.iter();
            all.find(|((of, known), _)| of == service && *known == key).map(|(_, at)| *at)
        };
        let (line, column) = at(key).or_else(|| at("")).unwrap_or((1, 1));
        let what = match key {
            "" => format!("service \"{service}\": {what}"),
            key => format!("service \"{service}\": `{key}`: {what}"),
        };
        FileError { line, column, what }
    }

    /// Adds the variables of files to those that stand in the file, which win. `read` gives the
    /// text of a file by the name that the file has for it.
    ///
    /// # Errors
    ///
    /// The first file of each service that cannot be read or used.
    pub fn read_env_files(
        &mut self,
        mut read: impl FnMut(&str) -> Result<String, String>,
    ) -> Result<(), Vec<FileError>> {
        let mut wrong = Vec::new();
        for name in self.services.keys().cloned().collect::<Vec<_>>() {
            let template = &self.services[&name].template;
            let mut variables = BTreeMap::new();
            let mut add = |file: &String| -> Result<(), String> {
                let text = read(file)?;
                let of_file = crate::env_file::parse(&text);
                variables.extend(of_file.map_err(|error| format!("{file}: {error}"))?);
                Ok(())
            };
            if let Err(what) = template.env_files.iter().try_for_each(&mut add) {
                wrong.push(self.wrong(&name, "env_files", what));
                continue;
            }
            variables.extend(template.variables.clone());
            if let Some(service) = self.services.get_mut(&name) {
                service.template.variables = variables;
            }
        }
        if wrong.is_empty() { Ok(()) } else { Err(wrong) }
    }
}
