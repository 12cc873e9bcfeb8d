//! The book's table of metrics, the declarations in the code, and what real processes serve are the
//! same.
//!
//! After a change of a declaration run
//! `TIDEGATE_METRICS_TABLE=write cargo test -p tidegate --test metrics the_book`.

#![expect(clippy::unwrap_used, reason = "what cannot be read or started fails the test")]

#[path = "metrics/exposure.rs"]
mod exposure;
#[path = "metrics/page.rs"]
mod page;
#[path = "metrics/pushed.rs"]
mod pushed;
#[path = "metrics/sidecar_command.rs"]
mod sidecar_command;
#[path = "metrics/stage.rs"]
mod stage;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use page::Page;
use stage::{App, Role, get};
use tidegate_telemetry::Metric;

/// Setting this to `write` writes the table instead of comparing it.
const REWRITE: &str = "TIDEGATE_METRICS_TABLE";
/// The lines around the table.
const BEGIN: &str = "<!-- metrics -->\n";
const END: &str = "<!-- end of metrics -->\n";

/// What each role can show.
fn declared() -> [(&'static str, Vec<&'static Metric>); 4] {
    // The sidecar pushes in Knative's way, which counts less.
    let pushed = tidegate_exporter::metrics::METRICS;
    [
        ("sidecar", tidegate_queue_proxy::metrics::metrics().collect()),
        ("activator", tidegate_activator::metrics::metrics().chain(pushed).collect()),
        ("controller", tidegate_controller::metrics::metrics().chain(pushed).collect()),
        ("view", tidegate_sites::metrics::metrics().collect()),
    ]
}

fn table() -> String {
    let mut roles: BTreeMap<&str, (Vec<&str>, &Metric)> = BTreeMap::new();
    for (role, metrics) in declared() {
        for metric in metrics {
            let (roles, first) = roles.entry(metric.name).or_insert((Vec::new(), metric));
            assert_eq!(*first, metric, "two metrics have one name");
            roles.push(role);
        }
    }
    let mut table =
        "| name | type | labels | roles | meaning |\n|---|---|---|---|---|\n".to_owned();
    for (name, (roles, metric)) in roles {
        let labels: Vec<String> = metric.labels.iter().map(|name| format!("`{name}`")).collect();
        table += &format!(
            "| `{name}` | {} | {} | {} | {} |\n",
            metric.kind.name(),
            labels.join(", "),
            roles.join(", "),
            metric.help
        );
    }
    table
}

#[test]
fn the_book_has_every_metric_that_is_declared() {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../docs/metrics.md");
    let text = std::fs::read_to_string(&path).unwrap();
    let (before, rest) = text.split_once(BEGIN).unwrap();
    let (shown, after) = rest.split_once(END).unwrap();
    let table = table();
    if std::env::var_os(REWRITE).is_some_and(|value| value == "write") {
        std::fs::write(&path, format!("{before}{BEGIN}{table}{END}{after}")).unwrap();
        return;
    }
    assert_eq!(
        shown, table,
        "run `{REWRITE}=write cargo test -p tidegate --test metrics the_book`"
    );
}

/// Both ways: what a role serves is declared, and what it declares is served once it has had
/// something to do.
#[track_caller]
fn assert_serves_what_it_declares(role: &str, page: &str) {
    let page = Page::read(page);
    let declared = declared().into_iter().find(|(name, _)| *name == role).unwrap().1;
    for metric in &declared {
        let served = page.families.get(metric.name);
        let served = served.unwrap_or_else(|| panic!("{role} does not serve {}", metric.name));
        assert_eq!(served.kind, metric.kind.name(), "{}", metric.name);
        assert_eq!(served.help, metric.help, "{}", metric.name);
        let known: BTreeSet<&str> = metric.labels.iter().copied().collect();
        let unknown: Vec<_> = served.labels.iter().filter(|l| !known.contains(&l[..])).collect();
        assert!(unknown.is_empty(), "{} has labels {unknown:?}", metric.name);
        let is_scoped = served.scopes.len() == 1;
        assert_eq!(is_scoped, metric.scope.is_some(), "{}: {:?}", metric.name, served.scopes);
    }
    let known: BTreeSet<&str> = declared.iter().map(|metric| metric.name).collect();
    let unknown: Vec<_> = page.families.keys().filter(|name| !known.contains(&name[..])).collect();
    assert!(unknown.is_empty(), "{role} serves {unknown:?}, which nothing declares");
}

#[test]
fn roles_serve_what_they_declare() {
    let app = App::start();
    let controller = Role::controller();
    let sidecar = Role::sidecar(app.port(), &controller.address);
    let activator = Role::activator(&controller.address);
    activator.until_ready();
    controller.until_ready();
    assert!(get(&activator.address, "/").starts_with("HTTP/1.1 200"), "the app is reached");
    // No request of HTTP: the relay turns it away by itself.
    get(&sidecar.address, "no target");
    assert_serves_what_it_declares("sidecar", &sidecar.page());
    assert_serves_what_it_declares("activator", &activator.page());
    assert_serves_what_it_declares("controller", &controller.page());
    let view = Role::view(&controller.address);
    view.until_ready();
    assert_serves_what_it_declares("view", &view.page());
    let rejected = Page::read(&sidecar.page());
    assert_eq!(rejected.value("tidegate_requests_rejected_total", "cause=\"malformed\""), 1.0);
    let activator = Page::read(&activator.page());
    let answered = "tidegate_activator_request_duration_seconds_count";
    assert_eq!(activator.value(answered, "status_class=\"2xx\""), 1.0);
    assert_eq!(activator.value("tidegate_report_stream_connected", ""), 1.0);
}

#[test]
fn an_activator_is_ready_once_it_has_heard_and_until_it_drains() {
    let alone = Role::activator_alone();
    assert!(get(&alone.admin, "/readyz").starts_with("HTTP/1.1 200"));
    let nobody = Role::activator("127.0.0.1:1");
    let unready = get(&nobody.admin, "/readyz");
    assert!(unready.starts_with("HTTP/1.1 503"), "{unready}");
    assert!(unready.ends_with("the controller has not been reached yet\n"), "{unready}");
    assert!(get(&nobody.admin, "/healthz").starts_with("HTTP/1.1 200"));
    assert!(get(&nobody.admin, "/other").starts_with("HTTP/1.1 404"));
    assert!(stage::ask(&nobody.admin, "POST", "/metrics").starts_with("HTTP/1.1 405"));
    alone.terminate();
    alone.until(|role| get(&role.admin, "/readyz").ends_with("shutting down\n"));
}
