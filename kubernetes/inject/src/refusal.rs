//! Why a pod does not get the sidecar, each with what to do.

use tidegate_words::{excerpt, list};

use crate::credentials::VOLUME;
use crate::settings::{SIDECAR, SettingError};

/// Why a pod cannot have the sidecar as it stands.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// A pod without containers is none.
    #[error("it has no containers, expected `spec.containers` with one at least")]
    NoContainers,
    /// Containers are known by their names.
    #[error("each of its containers needs a name of its own")]
    Names,
    /// The container that takes the traffic is ambiguous.
    #[error(
        "which of its containers takes the traffic ({})? Say so with --container NAME or the \
         annotation tidegate.dev/container",
        quoted(.0)
    )]
    WhichContainer(Vec<String>),
    /// There is no such container.
    #[error("it has no container '{}', expected {}", excerpt(.asked), quoted(.known))]
    NoSuchContainer {
        /// The requested name.
        asked: String,
        /// The names that exist.
        known: Vec<String>,
    },
    /// The container declares no port.
    #[error(
        "its container '{}' declares no TCP port. Say which one the app listens on with --port N \
         or the annotation tidegate.dev/port; if it serves nothing, annotate its pods with \
         tidegate.dev/inject: disabled",
        excerpt(.0)
    )]
    NoPort(String),
    /// The container declares several ports.
    #[error(
        "its container '{}' declares several TCP ports ({ports}). Say which one takes the traffic \
         with --port N or the annotation tidegate.dev/port",
        excerpt(.container)
    )]
    WhichPort {
        /// The container.
        container: String,
        /// Its ports.
        ports: String,
    },
    /// A port of ours is in use.
    #[error(
        "its container '{}' has port {port}, which the sidecar needs. Move the sidecar's with \
         --set {key}=N or the annotation tidegate.dev/{key}",
        excerpt(.container)
    )]
    PortTaken {
        /// The container.
        container: String,
        /// The port.
        port: u16,
        /// The setting that moves ours.
        key: &'static str,
    },
    /// A volume of ours is taken.
    #[error(
        "it has a volume '{VOLUME}', which is the name of the sidecar's own. Give it another name"
    )]
    VolumeTaken,
    /// Two of our own ports are the same.
    #[error("the sidecar's ports must differ, and {0} is used twice")]
    PortTwice(u16),
    /// The app expects TLS where the sidecar would send plain HTTP.
    #[error(
        "its app speaks TLS on port {0} (its probe is HTTPS), and the sidecar speaks plain HTTP to \
         it. Let the app serve plain HTTP inside the pod, on a port of its own, and name that one"
    )]
    Tls(u16),
    /// A probe names a port that does not exist.
    #[error(
        "its {probe} names the port '{}', which its container does not declare",
        excerpt(.port)
    )]
    ProbePort {
        /// The probe.
        probe: &'static str,
        /// The port.
        port: String,
    },
    /// The node's network.
    #[error(
        "it uses the node's network (hostNetwork), where the ports of two sidecars collide and \
         what is bound to loopback is the node's"
    )]
    HostNetwork,
    /// Another operating system.
    #[error("it is for Windows nodes, and the sidecar's image is for Linux")]
    Windows,
    /// Knative has its own.
    #[error(
        "Knative has put its own sidecar there (container 'queue-proxy'). Swap the image instead: \
         docs/knative.md"
    )]
    Knative,
    /// A sidecar was written by hand.
    #[error(
        "it has a container '{SIDECAR}' that was not put there by `inject` (its annotation \
         tidegate.dev/injected is missing or unreadable). Take that container out first"
    )]
    NotOurs,
    /// No image was named.
    #[error(
        "which image has the sidecar? Say so with --image IMAGE or the annotation \
         tidegate.dev/image; docs/inject.md says how to build it"
    )]
    NoImage,
    /// An annotation has a value that cannot be used.
    #[error("annotation tidegate.dev/{0}")]
    Annotation(SettingError),
    /// The annotation that decides has an unknown value.
    #[error("tidegate.dev/inject: '{}', expected enabled or disabled", excerpt(.0))]
    Inject(String),
    /// It is not built as its kind is.
    #[error("{0}")]
    Shape(String),
}

/// Names that others chose, as a sentence lists them.
fn quoted(names: &[String]) -> String {
    let names: Vec<String> = names.iter().map(|name| excerpt(name)).collect();
    list(names.iter().map(String::as_str))
}
