//! Several activators before the same sidecars: a place that is free is found by whoever needs it,
//! no app ever has more than its limit, and what an activator held is free when it is gone.

use std::net::SocketAddr;
use std::time::Duration;

use tidegate_activator::{
    Activator, Config, Endpoint, FrontDoors, HeaderValue, RevisionName, Running,
};
use tokio::runtime::Runtime;

use crate::app::{App, Gate, eventually};
use crate::client::{Client, get, root};
use crate::sidecar::{PATIENCE, Sidecar};

const METRICS: (&str, &str) =
    ("OBSERVABILITY_CONFIG", r#"{"requestMetrics":{"protocol":"prometheus"}}"#);
const SECRET: &str = "the-front-doors-secret";

/// An activator that knows some sidecars and shows them its secret.
struct FrontDoor {
    running: Option<Running>,
    runtime: Option<Runtime>,
    address: SocketAddr,
}

impl FrontDoor {
    fn open(ports: &[u16], limit: u32) -> Self {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
        let runtime = runtime.unwrap();
        let revision = RevisionName { namespace: "default".into(), name: "web-00001".into() };
        let endpoint = |port: &u16| Endpoint {
            instance: format!("web-{port}"),
            address: format!("127.0.0.1:{port}"),
            limit,
        };
        let config = Config {
            default_revision: Some(revision.clone()),
            endpoints: ports.iter().map(|port| (revision.clone(), endpoint(port))).collect(),
            sidecar_secret: Some(HeaderValue::from_static(SECRET)),
            front_doors: FrontDoors::Several,
            ..Config::new(([127, 0, 0, 1], 0).into())
        };
        let running = runtime.block_on(async { Activator::bind(config).unwrap().spawn() });
        let address = running.address();
        Self { running: Some(running), runtime: Some(runtime), address }
    }

    fn client(&self) -> Client {
        Client::connect(self.address.port())
    }

    /// Instances that grant it credits.
    fn streams(&self) -> u32 {
        let running = self.running.as_ref().unwrap();
        running.throttler().all().iter().map(|revision| revision.status().credit_streams).sum()
    }

    /// Ends as a process that is killed: nothing is said to anybody.
    fn kill(&mut self) {
        drop(self.running.take());
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

impl Drop for FrontDoor {
    fn drop(&mut self) {
        self.kill();
    }
}

fn sidecar(app: &App, limit: &str) -> Sidecar {
    let changes = [("CONTAINER_CONCURRENCY", limit), ("TIDEGATE_FRONT_DOOR", SECRET), METRICS];
    Sidecar::start(app.port, &changes)
}

fn metric(sidecar: &Sidecar, name: &str) -> u64 {
    let page = get(sidecar.ports.metrics, "GET /metrics HTTP/1.0\r\n\r\n");
    let line = page
        .text()
        .lines()
        .find(|line| line.strip_prefix(name).is_some_and(|rest| rest.starts_with(['{', ' '])));
    let value = line.and_then(|line| line.rsplit(' ').next()?.parse::<f64>().ok());
    value.unwrap_or_else(|| panic!("there is no {name}")) as u64
}

fn working(service: Duration) -> App {
    App::start(move |connection| {
        while connection.request().is_some() {
            connection.execute(|| std::thread::sleep(service));
            connection.send("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello");
        }
    })
}

/// Sends `each` requests one after the other on each of `clients` connections.
fn load(door: &FrontDoor, clients: usize, each: usize) -> Vec<std::thread::JoinHandle<()>> {
    let port = door.address.port();
    let client = move || {
        let mut client = Client::connect(port);
        for _ in 0..each {
            let response = client.ask(&root(""));
            assert_eq!((response.status, response.text()), (200, "hello"));
        }
    };
    (0..clients).map(|_| std::thread::spawn(client)).collect()
}

/// Has every stream open before anything is counted.
fn warm(doors: &[FrontDoor], instances: u32) {
    for door in doors {
        assert_eq!(door.client().ask(&root("")).text(), "hello");
        eventually("a stream to each instance", || door.streams() == instances);
    }
}

#[test]
fn three_activators_never_exceed_the_limit_and_leave_nothing_in_a_sidecars_line() {
    let apps: Vec<App> = (0..4).map(|_| working(Duration::from_millis(3))).collect();
    let sidecars: Vec<Sidecar> = apps.iter().map(|app| sidecar(app, "1")).collect();
    let ports: Vec<u16> = sidecars.iter().map(|sidecar| sidecar.ports.main).collect();
    let doors: Vec<FrontDoor> = (0..3).map(|_| FrontDoor::open(&ports, 1)).collect();
    warm(&doors, 4);
    let before: u64 = sidecars.iter().map(|s| metric(s, "tidegate_credits_spent_total")).sum();
    let clients: Vec<_> = doors.iter().flat_map(|door| load(door, 6, 40)).collect();
    for client in clients {
        client.join().unwrap();
    }
    for (app, sidecar) in apps.iter().zip(&sidecars) {
        assert_eq!(app.most_executing(), 1);
        assert_eq!(metric(sidecar, "tidegate_credits_void_total"), 0);
        assert_eq!(metric(sidecar, "tidegate_requests_waiting"), 0);
    }
    // Every request came with a credit, and so waited in no sidecar.
    let spent: u64 = sidecars.iter().map(|s| metric(s, "tidegate_credits_spent_total")).sum();
    assert_eq!(spent - before, 3 * 6 * 40);
}

#[test]
fn a_place_that_one_activator_keeps_goes_to_the_one_that_needs_it() {
    let app = working(Duration::ZERO);
    let sidecar = sidecar(&app, "1");
    let doors = [(); 2].map(|()| FrontDoor::open(&[sidecar.ports.main], 1));
    warm(&doors, 1);
    let mut clients = doors.each_ref().map(FrontDoor::client);
    for _ in 0..20 {
        for client in &mut clients {
            assert_eq!(client.ask(&root("")).text(), "hello");
        }
    }
    // Somebody without a credit gets it as well.
    assert_eq!(get(sidecar.ports.main, &root("")).text(), "hello");
    assert_eq!((app.most_executing(), metric(&sidecar, "tidegate_front_doors")), (1, 2));
}

#[test]
fn what_a_dead_activator_held_is_free() {
    let gate = Gate::default();
    let app = App::held(&gate);
    let sidecar = sidecar(&app, "2");
    let mut door = FrontDoor::open(&[sidecar.ports.main], 2);
    gate.open(1);
    assert_eq!(door.client().ask(&root("")).text(), "hello");
    // The first request may have come before the stream: its place is kept by nobody then.
    eventually("a place is kept", || metric(&sidecar, "tidegate_credits_promised") > 0);
    let mut inside = door.client();
    inside.send(&root(""));
    app.heads(2);
    door.kill();
    eventually("nothing is kept", || metric(&sidecar, "tidegate_credits_promised") == 0);
    // What the dead one sent is still inside: its slot is held until the app is done.
    let mut second = Client::connect(sidecar.ports.main);
    second.send(&root(""));
    app.heads(3);
    eventually("both are worked on", || app.most_executing() == 2);
    gate.open(2);
    assert_eq!(second.response().text(), "hello");
    assert_eq!(app.most_executing(), 2);
}

#[test]
fn a_sidecar_that_drains_ends_its_streams() {
    let app = working(Duration::ZERO);
    let mut sidecar = sidecar(&app, "1");
    let door = FrontDoor::open(&[sidecar.ports.main], 1);
    assert_eq!(door.client().ask(&root("")).text(), "hello");
    eventually("a stream", || door.streams() == 1);
    sidecar.signal("TERM");
    assert!(sidecar.wait().success(), "no stream keeps it from ending");
    eventually("the stream has ended", || door.streams() == 0);
}

#[test]
fn a_sidecar_without_the_secret_shows_its_app_nothing_of_it() {
    let app = App::hello();
    let stranger = Sidecar::start(app.port, &[("CONTAINER_CONCURRENCY", "1"), METRICS]);
    let door = FrontDoor::open(&[stranger.ports.main], 1);
    for _ in 0..20 {
        assert_eq!(door.client().ask(&root("Tidegate-Credit: 1-1-1\r\n")).text(), "hello");
    }
    let heads = app.heads(20);
    assert_eq!(heads.len(), 20, "no request but the clients'");
    let told = |head: &String| head.to_ascii_lowercase().contains("tidegate-credit");
    assert!(!heads.iter().any(told), "{heads:?}");
    assert_eq!((door.streams(), metric(&stranger, "tidegate_front_doors")), (0, 0));
}

/// Who guesses a stream's name and a number without the secret gets no place by it.
#[test]
fn a_credit_that_a_client_shows_is_none() {
    let gate = Gate::default();
    let app = App::held(&gate);
    let sidecar = sidecar(&app, "1");
    let door = FrontDoor::open(&[sidecar.ports.main], 1);
    gate.open(1);
    assert_eq!(door.client().ask(&root("")).text(), "hello");
    let mut inside = door.client();
    inside.send(&root(""));
    app.heads(2);
    let guesses = ["0-4294967296-1", "1-1-1", "-", "", "x-y-z", "1-2-3-4"];
    let mut guessing = guesses.map(|guess| {
        let mut client = Client::connect(sidecar.ports.main);
        client.send(&root(&format!("Tidegate-Credit: {guess}\r\n")));
        client
    });
    eventually("they wait", || metric(&sidecar, "tidegate_requests_waiting") == 6);
    gate.open(1 + guesses.len());
    inside.stream.set_read_timeout(Some(PATIENCE)).unwrap();
    assert_eq!(inside.response().text(), "hello");
    for client in &mut guessing {
        assert_eq!(client.response().text(), "hello");
    }
    assert_eq!(app.most_executing(), 1);
}
