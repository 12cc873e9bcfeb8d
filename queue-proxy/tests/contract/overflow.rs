//! A burst came to the one instance that there was, and what did not fit into its queue was refused
//! while new instances began. What would wait for long goes to an activator now, where the
//! controller names one of this revision's, and waits here as before where none can be reached.

use std::collections::BTreeMap;
use std::io::Read;
use std::net::SocketAddr;
use std::time::Duration;

use tidegate_autoscaler::Improvements;
use tidegate_autoscaler::settings::Config;
use tidegate_controller::{
    Access, ActivatorPorts, Declaration, Handle, NoActuator, RevisionId, Template,
    UndeclaredRevisions,
};
use tokio::net::TcpListener;
use tokio::runtime::Runtime;

use crate::app::{App, Gate, eventually};
use crate::client::{Client, get, root};
use crate::sidecar::Sidecar;

const METRICS: (&str, &str) =
    ("OBSERVABILITY_CONFIG", r#"{"requestMetrics":{"protocol":"prometheus"}}"#);

/// A request that is not handed on waits for longer, and then leaves the queue.
const PROBE_TIMEOUT: Duration = Duration::from_millis(200);

/// A controller that names activators to the sidecars of `default/web-00001`.
struct Controller {
    runtime: Runtime,
    handle: Handle,
    address: SocketAddr,
}

impl Controller {
    fn start() -> Self {
        let runtime = Runtime::new().unwrap();
        let (handle, controller) = tidegate_controller::controller(UndeclaredRevisions::Refuse);
        runtime.spawn(controller.run(NoActuator));
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
        let address = listener.local_addr().unwrap();
        let (serving, access) = (handle.clone(), Access::anonymous());
        runtime.spawn(tidegate_controller::serve(
            serving,
            listener,
            access,
            std::future::pending(),
        ));
        let controller = Self { runtime, handle, address };
        controller.name(&[]);
        controller
    }

    fn name(&self, ports: &[u16]) {
        let template = Template {
            config: Config::default(),
            annotations: BTreeMap::new(),
            improvements: Improvements::all(),
        };
        let id = RevisionId::new("default", "web-00001").unwrap();
        let declared = template.declare(id, 1).unwrap();
        let overflow = ports.iter().map(|port| SocketAddr::from(([127, 0, 0, 1], *port))).collect();
        let activator_ports = ActivatorPorts { overflow, ..ActivatorPorts::default() };
        let declaration = Declaration { activator_ports, ..declared };
        self.runtime.block_on(self.handle.declare(declaration)).unwrap();
    }

    fn sidecar(&self, app: &App, changes: &[(&str, &str)]) -> Sidecar {
        let address = self.address.to_string();
        let mut all = vec![
            ("CONTAINER_CONCURRENCY", "1"),
            ("TIDEGATE_CONTROLLER", &address),
            // A controller takes an instance to be where its stream comes from.
            ("SERVING_POD_IP", "127.0.0.1"),
            METRICS,
        ];
        all.extend_from_slice(changes);
        Sidecar::start(app.port, &all)
    }
}

fn handed_on(sidecar: &Sidecar) -> u64 {
    let page = get(sidecar.ports.metrics, "GET /metrics HTTP/1.0\r\n\r\n");
    let name = "tidegate_requests_handed_on_total{";
    let line = page.text().lines().find(|line| line.starts_with(name)).map(str::to_owned);
    line.and_then(|line| line.rsplit(' ').next()?.parse().ok()).unwrap()
}

fn client(sidecar: &Sidecar, fields: &str) -> Client {
    let mut client = Client::connect(sidecar.ports.main);
    client.send(&root(fields));
    client
}

/// One request in the app and one in the queue, as many as may run.
fn filled(sidecar: &Sidecar, app: &App) -> [Client; 2] {
    let inside = client(sidecar, "");
    app.heads(1);
    let waits = client(sidecar, "");
    eventually("a request that waits", || {
        let page = get(sidecar.ports.metrics, "GET /metrics HTTP/1.0\r\n\r\n");
        page.text().lines().any(|l| l.starts_with("tidegate_requests_waiting") && l.ends_with(" 1"))
    });
    [inside, waits]
}

/// Sends one request more than fits until one is handed on: the names of activators come after the
/// sidecar has begun to serve.
fn until_named(sidecar: &Sidecar) {
    eventually("an activator that is named", || {
        let mut probe = client(sidecar, "");
        probe.stream.set_read_timeout(Some(PROBE_TIMEOUT)).unwrap();
        probe.stream.read(&mut [0]).is_ok_and(|read| read > 0)
    });
}

#[test]
fn what_would_wait_for_long_is_handed_on() {
    let gate = Gate::default();
    let app = App::held(&gate);
    let activator = App::start(|connection| {
        while connection.request().is_some() {
            connection.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
        }
    });
    let controller = Controller::start();
    let sidecar = controller.sidecar(&app, &[]);
    let [mut inside, mut waits] = filled(&sidecar, &app);
    controller.name(&[activator.port]);
    until_named(&sidecar);
    let before = handed_on(&sidecar);
    for _ in 0..20 {
        let response = get(sidecar.ports.main, &root(""));
        assert_eq!((response.status, response.text()), (200, "ok"));
    }
    assert_eq!(handed_on(&sidecar), before + 20);
    // What is inside and what waits stay here.
    gate.open(2);
    assert_eq!(inside.response().text(), "hello");
    assert_eq!(waits.response().text(), "hello");
    assert_eq!(app.requests(), 2);
}

#[test]
fn what_an_activator_sent_is_not_handed_on() {
    let gate = Gate::default();
    let (app, activator) = (App::held(&gate), App::hello());
    let controller = Controller::start();
    controller.name(&[activator.port]);
    let sidecar = controller.sidecar(&app, &[]);
    let [mut inside, mut waits] = filled(&sidecar, &app);
    let mut sent = client(&sidecar, "K-Proxy-Request: activator\r\n");
    gate.open(3);
    for client in [&mut inside, &mut waits, &mut sent] {
        assert_eq!(client.response().text(), "hello");
    }
    assert_eq!((app.requests(), activator.requests()), (3, 0));
}

#[test]
fn it_waits_here_where_no_activator_can_be_reached() {
    let gate = Gate::default();
    let app = App::held(&gate);
    let controller = Controller::start();
    controller.name(&[App::absent_port(), App::absent_port()]);
    let sidecar = controller.sidecar(&app, &[]);
    let mut clients: Vec<Client> = filled(&sidecar, &app).into();
    clients.extend((0..5).map(|_| client(&sidecar, "")));
    gate.open(clients.len());
    for client in &mut clients {
        assert_eq!(client.response().text(), "hello");
    }
    assert_eq!((app.requests(), handed_on(&sidecar)), (7, 0));
}
