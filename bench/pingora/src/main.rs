//! A front door made of Pingora, told to route as the activator and its other peers are.
//!
//! `tidegate-bench-pingora LISTEN APP`: twenty hosts with a path of their own beside all others,
//! and what is for the last host divided 70 to 30 between two revisions, which are the same app.
//! `front_door_cost --pingora` starts it; it must never be part of what is shipped.

#![forbid(unsafe_code)]

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::Context;
use async_trait::async_trait;
use pingora::prelude::*;
use pingora::server::configuration::ServerConf;

const HOSTS: usize = 20;

/// A revision: where it is.
type Revision = SocketAddr;

struct Rules {
    api: Revision,
    /// What everything else is for: so many of a hundred requests to the first.
    split: (u8, Revision, Revision),
}

struct Router {
    hosts: HashMap<String, Rules>,
}

impl Router {
    fn new(app: SocketAddr) -> Self {
        let (v1, v2) = (app, app);
        let rule = |share| Rules { api: v2, split: (share, v1, v2) };
        let mut hosts: HashMap<_, _> =
            (1..HOSTS).map(|host| (format!("{host}.example"), rule(100))).collect();
        hosts.insert("bench".to_owned(), rule(70));
        Self { hosts }
    }

    fn revision(&self, host: &str, path: &str) -> Option<Revision> {
        let rules = self.hosts.get(host)?;
        if path.starts_with("/api/") {
            return Some(rules.api);
        }
        let (share, first, second) = rules.split;
        Some(if fastrand::u8(0..100) < share { first } else { second })
    }
}

#[async_trait]
impl ProxyHttp for Router {
    type CTX = ();

    fn new_ctx(&self) -> Self::CTX {}

    async fn upstream_peer(&self, session: &mut Session, _: &mut ()) -> Result<Box<HttpPeer>> {
        let head = session.req_header();
        let host = head.headers.get("host").and_then(|host| host.to_str().ok()).unwrap_or("");
        let revision = self.revision(host, head.uri.path());
        let to = revision.ok_or_else(|| Error::new(HTTPStatus(404)))?;
        Ok(Box::new(HttpPeer::new(to, false, String::new())))
    }

    async fn upstream_request_filter(
        &self,
        session: &mut Session,
        upstream: &mut RequestHeader,
        _: &mut (),
    ) -> Result<()> {
        if let Some(client) = session.client_addr().and_then(|address| address.as_inet()) {
            upstream.append_header("X-Forwarded-For", client.ip().to_string())?;
        }
        Ok(())
    }
}

fn main() -> anyhow::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [listen, app] = arguments.as_slice() else {
        anyhow::bail!("expected LISTEN APP, for example 127.0.0.1:8080 127.0.0.1:9000");
    };
    let app = app.parse().with_context(|| format!("{app} is no address"))?;
    let settings =
        ServerConf { threads: 1, upstream_keepalive_pool_size: 1024, ..ServerConf::default() };
    let mut server = Server::new_with_opt_and_conf(None, settings);
    server.bootstrap();
    let mut service = http_proxy_service(&Arc::clone(&server.configuration), Router::new(app));
    service.add_tcp(listen);
    server.add_service(service);
    server.run_forever()
}
