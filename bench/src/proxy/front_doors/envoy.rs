//! Envoy's configuration: the hosts, paths and shares that all front doors have.

use std::fmt::Write as _;
use std::net::SocketAddr;

const MANAGER: &str = concat!(
    "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.",
    "HttpConnectionManager"
);
const ROUTER: &str = "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router";

/// What Envoy reads: one listener, its virtual hosts, and two clusters that are the same app.
pub(super) fn configuration(
    address: SocketAddr,
    app: SocketAddr,
    asked: &str,
    hosts: usize,
) -> String {
    let mut virtual_hosts = String::new();
    for host in 1..hosts {
        let name = format!("{host}.example");
        // Writing to a String does not fail.
        let _ = write!(virtual_hosts, "{}", virtual_host(&name, "cluster: v1"));
    }
    let split = "weighted_clusters: {clusters: [{name: v1, weight: 70}, {name: v2, weight: 30}]}";
    let _ = write!(virtual_hosts, "{}", virtual_host(asked, split));
    format!(
        "static_resources:
  listeners:
  - address: {listen}
    tcp_backlog_size: 4096
    filter_chains:
    - filters:
      - name: envoy.filters.network.http_connection_manager
        typed_config:
          '@type': {MANAGER}
          stat_prefix: front
          use_remote_address: true
          upgrade_configs: [{{upgrade_type: websocket}}]
          http_filters:
          - name: envoy.filters.http.router
            typed_config:
              '@type': {ROUTER}
          route_config:
            virtual_hosts:
{virtual_hosts}  clusters:
{v1}{v2}",
        listen = socket_address(address),
        v1 = cluster("v1", app),
        v2 = cluster("v2", app),
    )
}

fn virtual_host(name: &str, to: &str) -> String {
    format!(
        "            - name: {name}
              domains: ['{name}']
              routes:
              - match: {{prefix: '/api/'}}
                route: {{cluster: v2, timeout: 300s}}
              - match: {{prefix: '/'}}
                route: {{{to}, timeout: 300s}}
"
    )
}

fn cluster(name: &str, app: SocketAddr) -> String {
    format!(
        "  - name: {name}
    type: STATIC
    connect_timeout: 5s
    load_assignment:
      cluster_name: {name}
      endpoints: [{{lb_endpoints: [{{endpoint: {{address: {address}}}}}]}}]
",
        address = socket_address(app)
    )
}

fn socket_address(address: SocketAddr) -> String {
    let (ip, port) = (address.ip(), address.port());
    format!("{{socket_address: {{address: {ip}, port_value: {port}}}}}")
}
