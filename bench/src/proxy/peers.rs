//! The peers: who they are, and how each is told to do the same work.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context;
use tidegate_knative::environment;

use super::process::Peer;

/// The limit the sidecars enforce: high enough never to refuse, so that only its cost shows.
const CONCURRENCY: usize = 1000;

/// What to compare.
#[derive(Debug, Clone)]
pub struct Lineup {
    /// Our sidecar.
    pub queue_proxy: PathBuf,
    /// The proxy everybody knows; left out when it is not installed.
    pub nginx: Option<PathBuf>,
    /// hyper with its pooled client.
    pub hyper: Option<PathBuf>,
    /// Knative's sidecar. Its fixed ports must be free.
    pub knative: Option<PathBuf>,
    /// Where configuration files go.
    pub directory: PathBuf,
}

impl Lineup {
    /// Starts every peer in front of `app`, on ports from `first_port`.
    ///
    /// # Errors
    /// When one of them does not start.
    pub fn start(&self, app: SocketAddr, first_port: u16) -> anyhow::Result<Vec<Peer>> {
        let mut peers = vec![self.tidegate(app, first_port, CONCURRENCY)?];
        if let Some(program) = &self.nginx {
            peers.push(nginx_proxy(program, &self.directory, app, first_port + 1)?);
        }
        if let Some(program) = &self.hyper {
            let address = local(first_port + 2);
            let mut command = Command::new(program);
            command.arg(address.to_string()).arg(app.to_string());
            peers.push(Peer::start("hyper, pooled client", address, &mut command)?);
        }
        if let Some(program) = &self.knative {
            let address = local(first_port + 3);
            let mut command = sidecar(program, app, address, CONCURRENCY);
            peers.push(Peer::start("Knative", address, &mut command)?);
        }
        Ok(peers)
    }

    /// Starts our sidecar alone, with a limit of its own.
    ///
    /// # Errors
    /// When it does not start.
    pub fn tidegate(&self, app: SocketAddr, port: u16, limit: usize) -> anyhow::Result<Peer> {
        let address = local(port);
        let mut command = sidecar(&self.queue_proxy, app, address, limit);
        command
            .env(environment::TIDEGATE_ADMIN_PORT, (port + 500).to_string())
            .env(environment::TIDEGATE_STATS_PORT, (port + 501).to_string());
        Peer::start("Tidegate", address, &mut command)
    }
}

/// A sidecar with everything on that a Knative user has by default: the breaker, the time
/// limit, statistics, forwarding fields.
#[must_use]
pub fn sidecar(program: &Path, app: SocketAddr, address: SocketAddr, limit: usize) -> Command {
    let mut command = Command::new(program);
    command
        .env_clear()
        .env(environment::CONTAINER_CONCURRENCY, limit.to_string())
        .env(environment::QUEUE_SERVING_PORT, address.port().to_string())
        .env(environment::QUEUE_SERVING_TLS_PORT, (address.port() + 600).to_string())
        .env(environment::USER_PORT, app.port().to_string())
        .env(environment::REVISION_TIMEOUT_SECONDS, "300")
        .env(environment::SERVING_LOGGING_CONFIG, "")
        .env(environment::SERVING_LOGGING_LEVEL, "")
        .env(environment::SERVING_NAMESPACE, "default")
        .env(environment::SERVING_CONFIGURATION, "bench")
        .env(environment::SERVING_REVISION, "bench-00001")
        .env(environment::SERVING_POD, "bench-pod")
        .env(environment::SERVING_POD_IP, "127.0.0.1")
        .env(environment::OBSERVABILITY_CONFIG, "{}");
    command
}

/// The same with its main port alone, as where many run on one machine.
#[must_use]
pub fn bare_sidecar(program: &Path, app: SocketAddr, address: SocketAddr, limit: usize) -> Command {
    let mut command = sidecar(program, app, address, limit);
    command
        .env(environment::QUEUE_SERVING_TLS_PORT, "")
        .env(environment::TIDEGATE_ADMIN_PORT, "off")
        .env(environment::TIDEGATE_STATS_PORT, "off")
        .env(environment::TIDEGATE_METRICS_PORT, "off");
    command
}

/// nginx as a reverse proxy, told to stream and to keep its connections.
fn nginx_proxy(
    program: &Path,
    directory: &Path,
    app: SocketAddr,
    port: u16,
) -> anyhow::Result<Peer> {
    let address = local(port);
    let servers = format!(
        "upstream app {{ server {app}; keepalive 1024; keepalive_requests 1000000000; }}
         map $http_upgrade $hop {{ default upgrade; '' ''; }}
         server {{
           listen {address} backlog=4096;
           location / {{
             proxy_pass http://app;
             proxy_http_version 1.1;
             proxy_set_header Host $host;
             proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
             proxy_set_header Upgrade $http_upgrade;
             proxy_set_header Connection $hop;
             proxy_buffering off;
             proxy_request_buffering off;
             proxy_read_timeout 300s;
             client_max_body_size 0;
           }}
         }}"
    );
    nginx("nginx", program, directory, address, &servers)
}

/// nginx as the app: a fixed response of 64 bytes, as cheap as an app can be.
///
/// # Errors
/// When it does not start.
pub fn nginx_app(program: &Path, directory: &Path, port: u16) -> anyhow::Result<Peer> {
    let address = local(port);
    let body = "0123456789abcdef".repeat(4);
    let servers = format!(
        "server {{
           listen {address} backlog=4096;
           location / {{ default_type text/plain; return 200 '{body}'; }}
         }}"
    );
    nginx("app", program, directory, address, &servers)
}

pub(super) fn nginx(
    name: &str,
    program: &Path,
    directory: &Path,
    address: SocketAddr,
    servers: &str,
) -> anyhow::Result<Peer> {
    let port = address.port();
    let base = directory.display();
    let configuration = format!(
        "worker_processes 1; daemon off; error_log /dev/null crit; pid {base}/nginx-{port}.pid;
         worker_rlimit_nofile 65536;
         events {{ worker_connections 60000; }}
         http {{
           access_log off; keepalive_requests 1000000000; keepalive_timeout 3600s;
           client_body_temp_path {base}; proxy_temp_path {base}; fastcgi_temp_path {base};
           uwsgi_temp_path {base}; scgi_temp_path {base};
           {servers}
         }}"
    );
    let path = directory.join(format!("nginx-{port}.conf"));
    fs::write(&path, configuration).context("nginx's configuration cannot be written")?;
    Peer::start(name, address, Command::new(program).arg("-c").arg(&path))
}

pub(super) fn local(port: u16) -> SocketAddr {
    SocketAddr::from((Ipv4Addr::LOCALHOST, port))
}
