//! What the services are started with, what can be wrong with a file, and what is told.

use std::collections::BTreeMap;
use std::net::{SocketAddr, TcpListener};

use tidegate_activator::{ServerTimingHeader, TlsListen};
use tidegate_controller::process::{LogFolder, OutputLine};
use tidegate_controller::{Ended, Notice};
use tidegate_relay::StreamLimits;
use tidegate_services::{FileError, Limits, Services};
use tokio::sync::mpsc;

use super::declare::Surroundings;
use crate::engine::{LimitsWanted, StartError};
use crate::keep::Estate;
use crate::roles::RoleProgram;

/// What to serve, and where.
pub struct PlatformConfig {
    /// What the file says.
    pub services: Services,
    /// What the services have in common.
    pub surroundings: Surroundings,
    /// Where clients of all services connect.
    pub listener: TcpListener,
    /// Listeners that are there already, by the services whose own they are.
    pub listeners: BTreeMap<String, TcpListener>,
    /// Where clients connect over TLS, and what they are shown there.
    pub tls: Option<TlsListen>,
    /// How long a response or a tunnel may last once it has begun.
    pub streams: StreamLimits,
    /// Receives the lines that apps and builds write; `None` discards them.
    pub output: Option<mpsc::Sender<OutputLine>>,
    /// Keeps all of these lines in files.
    pub logs: Option<LogFolder>,
    /// Whether clients are told in `Server-Timing` where the time of a cold start went.
    pub server_timing: ServerTimingHeader,
    /// What a run before has left of them, and whether instances outlive this one.
    pub estate: Option<Estate>,
    /// The program that plays the roles beside each instance.
    pub roles: RoleProgram,
}

/// Why a file cannot be followed.
#[derive(Debug, thiserror::Error)]
pub enum FollowError {
    /// Something in it.
    #[error("{}", first(.0))]
    File(Vec<FileError>),
    /// An address of its own cannot be had.
    #[error("service \"{service}\": cannot listen on {address}")]
    Listen {
        /// The service.
        service: String,
        /// The address.
        address: SocketAddr,
        /// The system's error.
        source: std::io::Error,
    },
    /// It cannot be started.
    #[error(transparent)]
    Start(#[from] StartError),
    /// The controller has ended.
    #[error(transparent)]
    Ended(#[from] Ended),
}

fn first(all: &[FileError]) -> String {
    all.first().map(ToString::to_string).unwrap_or_default()
}

/// Something that a person wants to know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PlatformEvent {
    /// About an instance.
    Notice(Notice),
    /// About a service.
    Told(String),
}

/// Listens at the addresses that services want of their own and do not have.
pub(super) fn bind(
    services: &Services,
    open: &BTreeMap<String, SocketAddr>,
    mut there: BTreeMap<String, TcpListener>,
) -> Result<Vec<(String, TcpListener)>, FollowError> {
    let mut bound = Vec::new();
    for (name, service) in &services.services {
        let Some(address) = service.entrance.listen else { continue };
        if open.get(name) == Some(&address) {
            continue;
        }
        let wrong = |source| FollowError::Listen { service: name.clone(), address, source };
        let listener = match there.remove(name) {
            Some(listener) => listener,
            None => tidegate_relay::listen(address).map_err(wrong)?,
        };
        bound.push((name.clone(), listener));
    }
    Ok(bound)
}

/// Whether any service is to have limits.
pub(super) fn wants_limits(services: &Services) -> LimitsWanted {
    let mut all = services.services.values();
    match all.any(|service| service.template.limits != Limits::default()) {
        true => LimitsWanted::Yes,
        false => LimitsWanted::No,
    }
}
