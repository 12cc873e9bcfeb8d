//! All listeners, bound before the sidecar reports itself started.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener};

use crate::settings::observability::MetricsExport;
use crate::settings::{Port, Settings};

/// Listeners whose connections the kernel accepts, but which are not served yet.
#[derive(Debug)]
pub(super) struct Bound {
    pub(super) main: TcpListener,
    pub(super) tls: Option<TcpListener>,
    pub(super) admin: Option<TcpListener>,
    pub(super) stats: Option<TcpListener>,
    pub(super) metrics: Option<TcpListener>,
}

/// Where the listeners are; 0 is nowhere.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ports {
    pub(super) main: u16,
    pub(super) tls: u16,
    pub(super) admin: u16,
    pub(super) stats: u16,
    pub(super) metrics: u16,
}

impl Ports {
    /// The first line of the log: from here on everything is served.
    pub(super) fn announce(&self) {
        let Self { main, tls, admin, stats, metrics } = *self;
        tracing::info!(main, tls, admin, stats, metrics, "serving");
    }
}

impl Bound {
    /// Where the listeners are.
    pub(super) fn ports(&self) -> Ports {
        let port = |listener: &Option<TcpListener>| {
            let address = listener.as_ref().and_then(|listener| listener.local_addr().ok());
            address.map_or(0, |address| address.port())
        };
        Ports {
            main: self.main.local_addr().map_or(0, |address| address.port()),
            tls: port(&self.tls),
            admin: port(&self.admin),
            stats: port(&self.stats),
            metrics: port(&self.metrics),
        }
    }
}

/// Whether the TLS listener is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tls {
    Absent,
    Bound,
}

/// A listener cannot be bound.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on port {port} for {purpose}: {source}")]
pub(super) struct BindError {
    purpose: &'static str,
    port: u16,
    source: std::io::Error,
}

/// Binds what the settings ask for.
pub(super) fn bind(settings: &Settings, tls: Tls) -> Result<Bound, BindError> {
    let listeners = &settings.listeners;
    let optional = |purpose, port| match port {
        Port::Off => Ok(None),
        Port::At(port) => listen(purpose, listeners.host, port).map(Some),
    };
    let main = listen("requests", listeners.host, listeners.main)?;
    let metrics = match &settings.observability.metrics {
        MetricsExport::Prometheus { host, port } => {
            let host = listeners.metrics_host.or(*host).or(listeners.host);
            match (listeners.metrics, port) {
                (Port::At(default), Some(port)) if default == crate::settings::METRICS_PORT => {
                    Some(listen("metrics", host, *port)?)
                }
                (Port::At(port), _) => Some(listen("metrics", host, port)?),
                (Port::Off, _) => None,
            }
        }
        MetricsExport::None | MetricsExport::Otlp(_) => None,
    };
    Ok(Bound {
        main,
        tls: match tls {
            Tls::Bound => Some(listen("requests over TLS", listeners.host, listeners.tls)?),
            Tls::Absent => None,
        },
        admin: optional("administration", listeners.admin)?,
        stats: optional("statistics", listeners.stats)?,
        metrics,
    })
}

/// As [`tidegate_relay::listen`], with the purpose in its error.
fn listen(
    purpose: &'static str,
    host: Option<IpAddr>,
    port: u16,
) -> Result<TcpListener, BindError> {
    let bound = match host {
        Some(host) => tidegate_relay::listen(SocketAddr::new(host, port)),
        // One socket for both families, or IPv4 alone where the system has no IPv6.
        None => tidegate_relay::listen(SocketAddr::new(Ipv6Addr::UNSPECIFIED.into(), port))
            .or_else(|error| match error.kind() {
                std::io::ErrorKind::AddrInUse | std::io::ErrorKind::PermissionDenied => Err(error),
                _ => tidegate_relay::listen(SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), port)),
            }),
    };
    bound.map_err(|source| BindError { purpose, port, source })
}
