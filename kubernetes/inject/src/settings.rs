//! The settings, on the command line or in annotations: one table, one parser.

use std::time::Duration;

use tidegate_words::{excerpt, nearest, parse_duration};

/// The sidecar's container.
pub const SIDECAR: &str = "tidegate-queue-proxy";

/// The variable that says which image the sidecar has where nothing else does.
pub const IMAGE_VARIABLE: &str = "TIDEGATE_INJECT_IMAGE";

/// The prefix of all our annotations.
pub const PREFIX: &str = "tidegate.dev/";

/// Its value `enabled` or `disabled` decides whether a pod gets the sidecar.
pub const INJECT: &str = "tidegate.dev/inject";

/// Whether a label or an annotation switches something on; also as people write it elsewhere.
pub(crate) fn is_on(value: &str) -> bool {
    matches!(value, "enabled" | "true" | "yes" | "on")
}

/// Whether it switches something off.
pub(crate) fn is_off(value: &str) -> bool {
    matches!(value, "disabled" | "false" | "no" | "off")
}

/// Requests at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Concurrency {
    /// At most so many; 0 is no limit.
    Limit(u32),
    /// The limit follows the app's latency.
    Auto,
}

/// All settings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// The sidecar's image; there is no default.
    pub image: Option<String>,
    /// Name of the container that takes the traffic; found out where there is one candidate.
    pub container: Option<String>,
    /// The app's port; found out where the container declares one.
    pub port: Option<u16>,
    /// Requests that the app takes at a time.
    pub concurrency: Concurrency,
    /// Requests that may wait.
    pub queue_depth: Option<u32>,
    /// Longest time in the queue.
    pub queue_timeout: Option<Duration>,
    /// What clients and the app can make the sidecar hold at a time, such as `32Mi`; `None` is a
    /// quarter of its memory limit.
    pub queue_bytes: Option<String>,
    /// The HTTP status of what is not let in.
    pub overflow_status: Option<u16>,
    /// After how many seconds clients are told to try again.
    pub overflow_retry_after: Option<u32>,
    /// Longest time of a request; zero is no limit.
    pub request_timeout: Duration,
    /// The controller that takes reports, `host:port`.
    pub controller: Option<String>,
    /// Secret in the pod's namespace whose key `secret` is shown to the controller.
    pub secret: Option<String>,
    /// Secret in the pod's namespace whose key `secret` the activators share.
    pub front_door: Option<String>,
    /// Audience of the token of the pod's ServiceAccount that is shown to the controller.
    pub token_audience: Option<String>,
    /// ConfigMap in the pod's namespace whose key `ca.crt` is who vouches for the controller.
    pub authority: Option<String>,
    /// Secret in the pod's namespace with a certificate that is shown to the controller.
    pub certificate: Option<String>,
    /// Name under which instances report; the workload's by default.
    pub revision: Option<String>,
    /// Ports of the app that carry no HTTP, whose connections the sidecar counts.
    pub tcp_ports: Vec<u16>,
    /// Port that takes the traffic.
    pub sidecar_port: u16,
    /// Port of `/wait-for-drain`.
    pub admin_port: u16,
    /// Port of the metrics for Prometheus; `None` is off.
    pub metrics_port: Option<u16>,
    /// CPU request of the sidecar.
    pub cpu_request: String,
    /// CPU limit; `None` is no limit, except in pods of the class Guaranteed.
    pub cpu_limit: Option<String>,
    /// Memory request of the sidecar.
    pub memory_request: String,
    /// Memory limit; its budget for what clients send is a quarter of it.
    pub memory_limit: String,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            image: None,
            container: None,
            port: None,
            concurrency: Concurrency::Limit(0),
            queue_depth: None,
            queue_timeout: None,
            queue_bytes: None,
            overflow_status: None,
            overflow_retry_after: None,
            request_timeout: Duration::ZERO,
            controller: None,
            secret: None,
            front_door: None,
            token_audience: None,
            authority: None,
            certificate: None,
            revision: None,
            tcp_ports: Vec::new(),
            // Knative's, so that what is written about its sidecar holds for this one.
            sidecar_port: 8012,
            admin_port: 8022,
            metrics_port: Some(9091),
            // Knative's default; a thousand small requests a second take some 20m.
            cpu_request: "25m".to_owned(),
            cpu_limit: None,
            // Idle it holds 3 MB; at 500 connections some 12.
            memory_request: "16Mi".to_owned(),
            // The largest default budget for what clients can make it hold is 40Mi, a quarter.
            memory_limit: "160Mi".to_owned(),
        }
    }
}

/// A setting that can be written as `--set KEY=VALUE` and as the annotation `tidegate.dev/KEY`.
#[derive(Debug, Clone, Copy)]
pub struct Key {
    /// Its name.
    pub name: &'static str,
    /// What it is, for help and for the book.
    pub meaning: &'static str,
    set: Setter,
}

/// Reads a value into the settings, or says what was expected.
type Setter = fn(&mut Settings, &str) -> Result<(), &'static str>;

/// All settings, in the order in which they are documented.
pub const KEYS: &[Key] = &[
    Key {
        name: "image",
        meaning: "the sidecar's image; there is no default",
        set: |settings, value| {
            let is_one = !value.is_empty() && value.chars().all(|c| c.is_ascii_graphic());
            settings.image = is_one.then(|| value.to_owned());
            if is_one {
                Ok(())
            } else {
                Err("an image, such as registry.example/queue-proxy:0.1.0")
            }
        },
    },
    Key {
        name: "container",
        meaning: "the container that takes the traffic, where there are several",
        set: |settings, value| name(value).map(|name| settings.container = Some(name)),
    },
    Key {
        name: "port",
        meaning: "the app's port, where its container declares none or several",
        set: |settings, value| port(value).map(|port| settings.port = Some(port)),
    },
    Key {
        name: "concurrency",
        meaning: "requests that the app takes at a time, or `auto`; 0, the default, is no limit",
        set: |settings, value| {
            settings.concurrency = match value {
                "auto" => Concurrency::Auto,
                number => Concurrency::Limit(number.parse().map_err(|_| "a number, or auto")?),
            };
            Ok(())
        },
    },
    Key {
        name: "queue-depth",
        meaning: "requests that may wait; ten times the concurrency by default",
        set: |settings, value| {
            settings.queue_depth = Some(value.parse().map_err(|_| "a number")?);
            Ok(())
        },
    },
    Key {
        name: "queue-timeout",
        meaning: "longest time in the queue, such as 5s; none by default",
        set: |settings, value| time(value).map(|time| settings.queue_timeout = Some(time)),
    },
    Key {
        name: "queue-bytes",
        meaning: "what clients and the app can make the sidecar hold, such as 32Mi; a quarter of \
                  its memory limit",
        set: |settings, value| {
            let digits = value.bytes().take_while(u8::is_ascii_digit).count();
            let fits = digits > 0 && digits <= 5 && ["Mi", "Gi"].contains(&&value[digits..]);
            settings.queue_bytes = fits.then(|| value.to_owned());
            if fits { Ok(()) } else { Err("a whole number of Mi or Gi, such as 32Mi") }
        },
    },
    Key {
        name: "overflow-status",
        meaning: "status of what finds the queue full or waits too long: 503, the default, or 429",
        set: |settings, value| {
            let known = ["503", "429"].contains(&value);
            settings.overflow_status = value.parse().ok().filter(|_| known);
            if known { Ok(()) } else { Err("503 or 429") }
        },
    },
    Key {
        name: "overflow-retry-after",
        meaning: "seconds after which clients are then told to try again; not told by default",
        set: |settings, value| {
            let seconds = value.parse().map_err(|_| "a number of seconds")?;
            settings.overflow_retry_after = Some(seconds);
            Ok(())
        },
    },
    Key {
        name: "request-timeout",
        meaning: "longest time of a request, in whole seconds; 0, the default, is none",
        set: |settings, value| {
            let time = time(value)?;
            if time.subsec_nanos() != 0 {
                return Err("whole seconds, such as 30s");
            }
            settings.request_timeout = time;
            Ok(())
        },
    },
    Key {
        name: "controller",
        meaning: "the controller that takes reports, host:port; none by default",
        set: |settings, value| {
            let (_, port) = value.rsplit_once(':').ok_or("host:port")?;
            port.parse::<u16>().map_err(|_| "host:port")?;
            settings.controller = Some(value.to_owned());
            Ok(())
        },
    },
    Key {
        name: "secret",
        meaning: "Secret in the pod's namespace; its key `secret` is shown to the controller",
        set: |settings, value| name(value).map(|name| settings.secret = Some(name)),
    },
    Key {
        name: "front-door",
        meaning: "Secret in the pod's namespace; its key `secret` is shared with the activators",
        set: |settings, value| name(value).map(|name| settings.front_door = Some(name)),
    },
    Key {
        name: "token-audience",
        meaning: "show a token of the pod's account, for this audience, in the secret's place",
        set: |settings, value| {
            let is_one = (1..=253).contains(&value.len()) && value.bytes().all(is_graphic);
            settings.token_audience = is_one.then(|| value.to_owned());
            if is_one { Ok(()) } else { Err("an audience, such as tidegate") }
        },
    },
    Key {
        name: "authority",
        meaning: "ConfigMap in the pod's namespace; its key `ca.crt` vouches for the controller",
        set: |settings, value| name(value).map(|name| settings.authority = Some(name)),
    },
    Key {
        name: "certificate",
        meaning: "Secret in the pod's namespace with tls.crt, tls.key, ca.crt, to be shown to it",
        set: |settings, value| name(value).map(|name| settings.certificate = Some(name)),
    },
    Key {
        name: "revision",
        meaning: "name under which the pods report; the workload's by default",
        set: |settings, value| name(value).map(|name| settings.revision = Some(name)),
    },
    Key {
        name: "tcp-ports",
        meaning: "ports of the app that carry no HTTP, such as 5432: their connections count",
        set: |settings, value| {
            const EXPECTED: &str = "up to 16 ports with commas between them, such as 5432,6379";
            let ports: Result<Vec<u16>, _> = value.split(',').map(port).collect();
            let ports = ports.map_err(|_| EXPECTED)?;
            if ports.len() > 16 {
                return Err(EXPECTED);
            }
            settings.tcp_ports = ports;
            Ok(())
        },
    },
    Key {
        name: "sidecar-port",
        meaning: "port of the sidecar that takes the traffic; 8012",
        set: |settings, value| port(value).map(|port| settings.sidecar_port = port),
    },
    Key {
        name: "admin-port",
        meaning: "port of the sidecar's drain; 8022",
        set: |settings, value| port(value).map(|port| settings.admin_port = port),
    },
    Key {
        name: "metrics-port",
        meaning: "port of the sidecar's metrics, or `off`; 9091",
        set: |settings, value| {
            settings.metrics_port = match value {
                "off" => None,
                number => Some(port(number).map_err(|_| "a port from 1 to 65535, or off")?),
            };
            Ok(())
        },
    },
    Key {
        name: "cpu-request",
        meaning: "CPU that the sidecar asks for; 25m",
        set: |settings, value| quantity(value).map(|value| settings.cpu_request = value),
    },
    Key {
        name: "cpu-limit",
        meaning: "most CPU that the sidecar gets; none, in pods of class Guaranteed 500m",
        set: |settings, value| quantity(value).map(|value| settings.cpu_limit = Some(value)),
    },
    Key {
        name: "memory-request",
        meaning: "memory that the sidecar asks for; 16Mi",
        set: |settings, value| quantity(value).map(|value| settings.memory_request = value),
    },
    Key {
        name: "memory-limit",
        meaning: "most memory that the sidecar gets; 160Mi",
        set: |settings, value| quantity(value).map(|value| settings.memory_limit = value),
    },
];

/// Why a setting is not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SettingError {
    /// It is no pair.
    #[error("'{}', expected KEY=VALUE", excerpt(.pair))]
    NoPair {
        /// What was written.
        pair: String,
    },
    /// There is no such key.
    #[error("there is no setting '{}'{hint}", excerpt(.key))]
    Unknown {
        /// What was written.
        key: String,
        /// The setting most likely meant.
        hint: String,
    },
    /// The key has no such value.
    #[error("{key}: '{}', expected {expected}", excerpt(.value))]
    Value {
        /// The setting.
        key: &'static str,
        /// What was written.
        value: String,
        /// What can be written.
        expected: &'static str,
    },
}

impl Settings {
    /// Sets what a text such as `concurrency=10` says.
    ///
    /// # Errors
    /// [`SettingError`], whose text says what was expected.
    pub fn set_pair(&mut self, pair: &str) -> Result<(), SettingError> {
        let no_pair = || SettingError::NoPair { pair: pair.to_owned() };
        let (key, value) = pair.split_once('=').ok_or_else(no_pair)?;
        self.set(key, value)
    }

    /// Sets what `key` names.
    ///
    /// # Errors
    /// [`SettingError`], whose text says what was expected.
    pub fn set(&mut self, key: &str, value: &str) -> Result<(), SettingError> {
        let Some(known) = KEYS.iter().find(|known| known.name == key) else {
            let meant = nearest(key, KEYS.iter().map(|key| key.name));
            let hint = meant.map(|meant| format!(", did you mean '{meant}'?")).unwrap_or_default();
            return Err(SettingError::Unknown { key: key.to_owned(), hint });
        };
        (known.set)(self, value).map_err(|expected| SettingError::Value {
            key: known.name,
            value: value.to_owned(),
            expected,
        })
    }
}

fn is_graphic(byte: u8) -> bool {
    byte.is_ascii_graphic()
}

fn port(value: &str) -> Result<u16, &'static str> {
    let port = value.parse::<u16>().ok().filter(|port| *port > 0);
    port.ok_or("a port from 1 to 65535")
}

fn time(value: &str) -> Result<Duration, &'static str> {
    parse_duration(value).map_err(|_| "a time such as 5s or 1m30s")
}

/// A name as Kubernetes has it: it goes into environments and references as it is.
fn name(value: &str) -> Result<String, &'static str> {
    let is_inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let fits = value.len() <= 253
        && value.bytes().all(|byte| is_inner(byte) || byte == b'-' || byte == b'.')
        && value.bytes().next().is_some_and(is_inner)
        && value.bytes().next_back().is_some_and(is_inner);
    if fits { Ok(value.to_owned()) } else { Err("a name of small letters, digits and dashes") }
}

/// A quantity as Kubernetes has it, such as `25m` or `160Mi`.
fn quantity(value: &str) -> Result<String, &'static str> {
    let digits = value.bytes().take_while(|b| b.is_ascii_digit() || *b == b'.').count();
    let units = ["", "m", "k", "M", "G", "Ki", "Mi", "Gi"];
    let fits = value[..digits].parse::<f64>().is_ok_and(|number| number > 0.0)
        && units.contains(&&value[digits..]);
    if fits { Ok(value.to_owned()) } else { Err("a quantity such as 25m or 64Mi") }
}
