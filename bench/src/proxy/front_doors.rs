//! Front doors: the activator and its peers, told to route the same way.
//!
//! All of them know twenty hosts with a path of their own beside all others, and divide what is
//! for the last host 70 to 30 between two revisions, which are the same app.

mod envoy;

use std::fmt::Write as _;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context;

use super::peers::{local, nginx, sidecar};
use super::process::Peer;

/// Hosts that each front door knows.
const HOSTS: usize = 20;

/// The host that clients ask for.
const ASKED: &str = "bench";

/// The limit of the sidecar behind the front door: high enough never to refuse.
const CONCURRENCY: usize = 1000;

/// What to compare.
#[derive(Debug, Clone)]
pub struct FrontDoors {
    /// Our activator.
    pub activator: PathBuf,
    /// Our sidecar, behind an activator.
    pub queue_proxy: PathBuf,
    /// nginx.
    pub nginx: PathBuf,
    /// HAProxy; left out when it is not installed.
    pub haproxy: Option<PathBuf>,
    /// Envoy; left out when it is not given.
    pub envoy: Option<PathBuf>,
    /// The program of `bench/pingora`; left out when it is not given.
    pub pingora: Option<PathBuf>,
    /// Where configuration files go.
    pub directory: PathBuf,
}

impl FrontDoors {
    /// Starts every peer in front of `app`, on ports from `first_port`.
    ///
    /// # Errors
    /// When one of them does not start.
    pub fn start(&self, app: SocketAddr, first_port: u16) -> anyhow::Result<Vec<Peer>> {
        let routed = self.activator("activator, routes", app, first_port, Some(&self.routes()?))?;
        let mut peers = vec![
            routed,
            self.activator("activator, one revision", app, first_port + 1, None)?,
            self.nginx(app, first_port + 2)?,
        ];
        if let Some(program) = &self.haproxy {
            peers.push(self.haproxy(program, app, first_port + 3)?);
        }
        if let Some(program) = &self.envoy {
            peers.push(self.envoy(program, app, first_port + 4)?);
        }
        if let Some(program) = &self.pingora {
            let address = local(first_port + 5);
            let mut command = Command::new(program);
            command.arg(address.to_string()).arg(app.to_string());
            peers.push(Peer::start("Pingora", address, &mut command)?);
        }
        Ok(peers)
    }

    /// Starts our sidecar in front of `app` and an activator in front of that; the activator last.
    ///
    /// # Errors
    /// When one of them does not start.
    pub fn with_sidecar(&self, app: SocketAddr, first_port: u16) -> anyhow::Result<[Peer; 2]> {
        let address = local(first_port);
        let mut command = sidecar(&self.queue_proxy, app, address, CONCURRENCY);
        let behind = Peer::start("sidecar", address, &mut command)?;
        let front = self.activator("activator", behind.address, first_port + 1, None)?;
        Ok([behind, front])
    }

    fn activator(
        &self,
        name: &str,
        app: SocketAddr,
        port: u16,
        routes: Option<&Path>,
    ) -> anyhow::Result<Peer> {
        let address = local(port);
        let mut command = Command::new(&self.activator);
        command.env_clear().args(["--log", "off", "--listen", &address.to_string()]);
        for revision in ["default/v1", "default/v2"] {
            command.arg("--endpoint").arg(format!("{revision}={app}"));
        }
        match routes {
            Some(routes) => command.arg("--routes").arg(routes),
            None => command.args(["--default-revision", "default/v1"]),
        };
        Peer::start(name, address, &mut command)
    }

    fn routes(&self) -> anyhow::Result<PathBuf> {
        let mut text = String::new();
        for host in 1..HOSTS {
            write!(
                text,
                "[route.all-{host}]\nhosts = [\"{host}.example\"]\nto = \"v1\"\n\
                 [route.api-{host}]\nhosts = [\"{host}.example\"]\npath = \"/api\"\nto = \"v2\"\n"
            )?;
        }
        write!(
            text,
            "[route.bench]\nhosts = [\"{ASKED}\"]\nsplit = {{ v1 = 70, v2 = 30 }}\n\
             [route.bench-api]\nhosts = [\"{ASKED}\"]\npath = \"/api\"\nto = \"v2\"\n"
        )?;
        self.written("routes.toml", &text)
    }

    fn nginx(&self, app: SocketAddr, port: u16) -> anyhow::Result<Peer> {
        const PROXIED: &str = "proxy_http_version 1.1; proxy_set_header Host $host;
             proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
             proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection $hop;
             proxy_buffering off; proxy_request_buffering off; proxy_read_timeout 300s;";
        let address = local(port);
        let mut servers = format!(
            "upstream v1 {{ server {app}; keepalive 1024; keepalive_requests 1000000000; }}
             upstream v2 {{ server {app}; keepalive 1024; keepalive_requests 1000000000; }}
             map $http_upgrade $hop {{ default upgrade; '' ''; }}
             split_clients $request_id $revision {{ 70% v1; * v2; }}
             client_max_body_size 0;"
        );
        for host in 1..HOSTS {
            write!(
                servers,
                "server {{ listen {address}; server_name {host}.example;
                   location / {{ proxy_pass http://v1; {PROXIED} }}
                   location /api/ {{ proxy_pass http://v2; {PROXIED} }} }}"
            )?;
        }
        write!(
            servers,
            "server {{ listen {address} backlog=4096; server_name {ASKED};
               location / {{ proxy_pass http://$revision; {PROXIED} }}
               location /api/ {{ proxy_pass http://v2; {PROXIED} }} }}"
        )?;
        nginx("nginx", &self.nginx, &self.directory, address, &servers)
    }

    fn haproxy(&self, program: &Path, app: SocketAddr, port: u16) -> anyhow::Result<Peer> {
        let address = local(port);
        let mut rules = String::new();
        for host in 1..HOSTS {
            write!(
                rules,
                "  use_backend v2 if {{ req.hdr(host) -i {host}.example }} {{ path_beg /api/ }}\n  \
                 use_backend v1 if {{ req.hdr(host) -i {host}.example }}\n"
            )?;
        }
        let configuration = format!(
            "global\n  nbthread 1\n  maxconn 4000\n\
             defaults\n  mode http\n  timeout connect 5s\n  timeout client 300s\n  \
             timeout server 300s\n  http-reuse always\n  option forwardfor\n\
             frontend all\n  bind {address} backlog 4096\n{rules}  \
             use_backend v2 if {{ req.hdr(host) -i {ASKED} }} {{ path_beg /api/ }}\n  \
             use_backend both if {{ req.hdr(host) -i {ASKED} }}\n\
             backend v1\n  server a {app}\nbackend v2\n  server a {app}\n\
             backend both\n  balance random\n  \
             server a {app} weight 70\n  server b {app} weight 30\n"
        );
        let path = self.written("haproxy.cfg", &configuration)?;
        Peer::start("HAProxy", address, Command::new(program).arg("-f").arg(path))
    }

    fn envoy(&self, program: &Path, app: SocketAddr, port: u16) -> anyhow::Result<Peer> {
        let address = local(port);
        let path = self.written("envoy.yaml", &envoy::configuration(address, app, ASKED, HOSTS))?;
        let mut command = Command::new(program);
        command.args(["--concurrency", "1", "--disable-hot-restart", "--log-level", "off", "-c"]);
        Peer::start("Envoy", address, command.arg(path))
    }

    fn written(&self, name: &str, text: &str) -> anyhow::Result<PathBuf> {
        let path = self.directory.join(name);
        fs::write(&path, text).with_context(|| format!("{} cannot be written", path.display()))?;
        Ok(path)
    }
}
