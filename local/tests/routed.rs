//! Several revisions of a service in one program, with real processes: shares, each from zero; a
//! rollout of a bad revision, which is returned, and what a person orders.
//!
//! Without the test harness, because this program plays the roles of its own services.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::{Duration, Instant};

use tidegate_controller::Declaration;
use tidegate_controller::routes::{RouteOrder, RouteStatus};
use tidegate_local::{Config, RoleProgram, Service, Settings, roles};

/// Requests of the first scenario: enough for both revisions to get some, whatever is drawn.
const REQUESTS: u32 = 300;

/// How long a rollout of a bad revision may take here, on a machine that does much else.
const PATIENCE: Duration = Duration::from_secs(90);

/// The time between two looks at a rollout.
const POLL_PERIOD: Duration = Duration::from_millis(50);

fn main() -> ExitCode {
    if let Some(code) = roles::play() {
        return code;
    }
    let mut arguments = std::env::args().skip_while(|argument| argument != "app").skip(1);
    if let Some(name) = arguments.next() {
        return app(&name);
    }
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(async {
        requests_are_divided_and_each_revision_scales_from_zero().await;
        a_bad_revision_is_returned().await;
    });
    ExitCode::SUCCESS
}

fn declaration(name: &str) -> Declaration {
    let program = std::env::current_exe().expect("this program");
    let command = [program.into_os_string(), "app".into(), name.into()];
    let mut settings = Settings::new(name, command);
    settings.initial = 0;
    settings.window = Duration::from_secs(6);
    settings.idle = Some(Duration::from_secs(1));
    settings.declare().expect("valid")
}

async fn start(text: &str) -> Service {
    let config = Config::new(declaration("v1"), RoleProgram::Ourselves).expect("a port");
    let config = config.with_routes(text, vec![declaration("v2")]).expect("it can be followed");
    Service::start(config).await.expect("started")
}

async fn end(mut service: Service) {
    service.drain(Duration::from_secs(5)).await.expect("drained");
    assert_eq!(service.finish().await, 0, "nothing was left");
}

/// Instances of both revisions that take requests.
async fn ready(service: &Service) -> [u32; 2] {
    let all = service.view().controller().statuses().await.expect("it runs");
    ["v1", "v2"].map(|name| {
        let status = all.iter().find(|status| status.revision.name() == name);
        status.map_or(0, |status| status.ready)
    })
}

async fn requests_are_divided_and_each_revision_scales_from_zero() {
    let service = start("[route.web]\nsplit = { \"local/v1\" = 70, \"local/v2\" = 30 }").await;
    assert_eq!(ready(&service).await, [0, 0]);
    let address = service.address();
    let counting = tokio::task::spawn_blocking(move || {
        let bodies = (0..REQUESTS).map(|_| get(address));
        bodies.filter(|response| response.ends_with("v1")).count()
    });
    let count = counting.await.expect("every request was answered");
    println!("{count} of {REQUESTS} requests went to the revision with 70 %");
    let error = (f64::from(REQUESTS) * 0.7 * 0.3).sqrt();
    let distance = (count as f64 - f64::from(REQUESTS) * 0.7).abs();
    assert!(distance <= 4.0 * error, "{count} of {REQUESTS}");
    while ready(&service).await != [0, 0] {
        tokio::time::sleep(POLL_PERIOD).await;
    }
    end(service).await;
}

async fn route(service: &Service) -> RouteStatus {
    let mut all = service.view().controller().routes().await.expect("it runs");
    all.pop().expect("there is one")
}

/// Waits until the rollout says something that holds.
async fn until(service: &Service, holds: impl Fn(&RouteStatus) -> bool) -> RouteStatus {
    let waiting = async {
        loop {
            let status = route(service).await;
            if holds(&status) {
                return status;
            }
            tokio::time::sleep(POLL_PERIOD).await;
        }
    };
    tokio::time::timeout(PATIENCE, waiting).await.expect("in time")
}

fn phase(status: &RouteStatus) -> String {
    let rollout = status.rollout.as_ref().expect("it has one");
    rollout.phase.map_or_else(|| "Waiting".to_owned(), |phase| format!("{phase:?}"))
}

/// The second revision fails for one of twenty requests, and gets a tenth of them.
async fn a_bad_revision_is_returned() {
    let text = r#"
        [route.web.rollout]
        from = "local/v1"
        to = "local/v2"
        steps = [{ percent = 10, hold = "10m" }]
    "#;
    let service = start(text).await;
    until(&service, |status| phase(status) == "Progressing").await;
    let (address, begun) = (service.address(), Instant::now());
    let (over, sent) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU32::new(0)));
    let clients: Vec<_> = (0..4)
        .map(|_| {
            let (over, sent) = (Arc::clone(&over), Arc::clone(&sent));
            tokio::task::spawn_blocking(move || {
                while !over.load(Ordering::Relaxed) {
                    get(address);
                    sent.fetch_add(1, Ordering::Relaxed);
                }
            })
        })
        .collect();
    let returned = until(&service, |status| phase(status) == "Returned").await;
    println!(
        "returned after {} s and {} requests: {}",
        begun.elapsed().as_secs(),
        sent.load(Ordering::Relaxed),
        returned
            .rollout
            .and_then(|rollout| rollout.last_change)
            .map_or_else(String::new, |it| it.1)
    );
    over.store(true, Ordering::Relaxed);
    for client in clients {
        client.await.expect("it ends");
    }
    assert_eq!(returned.shares[1].1.millionths(), 0);
    let controller = service.view().controller().clone();
    let order = |what| controller.order_rollout("web".to_owned(), what);
    order(RouteOrder::Promote).await.expect("it runs").expect("it is followed");
    until_all_go_to(&service, "v2").await;
    order(RouteOrder::Abort).await.expect("it runs").expect("it is followed");
    until_all_go_to(&service, "v1").await;
    end(service).await;
}

/// An order reaches the activator within a round trip; who asks earlier may get the other one.
async fn until_all_go_to(service: &Service, name: &'static str) {
    let address = service.address();
    let asking = tokio::task::spawn_blocking(move || {
        let begun = Instant::now();
        let mut in_a_row = 0;
        while in_a_row < 20 {
            let is_it = get(address).ends_with(name);
            in_a_row = if is_it { in_a_row + 1 } else { 0 };
            assert!(begun.elapsed() < PATIENCE, "requests go elsewhere than to {name}");
        }
    });
    asking.await.expect("all of them do");
}

fn get(address: SocketAddr) -> String {
    let mut stream = TcpStream::connect(address).expect("it listens");
    let request = b"GET / HTTP/1.1\r\nHost: web\r\nConnection: close\r\n\r\n";
    stream.write_all(request).expect("it reads");
    let mut response = String::new();
    stream.read_to_string(&mut response).expect("a response");
    let is_the_apps = response.starts_with("HTTP/1.1 200") || response.starts_with("HTTP/1.1 500");
    assert!(is_the_apps, "{response}");
    response
}

/// An app that says its name; the second revision fails for one of twenty requests.
fn app(name: &str) -> ExitCode {
    let port = std::env::var("PORT").expect("set").parse().expect("a port");
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).expect("free");
    let mut served = 0_u32;
    for mut stream in listener.incoming().map_while(Result::ok) {
        let mut request = [0; 4_096];
        // A probe that only checks whether the port is open sends nothing.
        if stream.read(&mut request).is_ok_and(|bytes| bytes > 0) {
            served += 1;
            let is_bad = name == "v2" && served.is_multiple_of(20);
            let status = if is_bad { "500 Oh" } else { "200 OK" };
            let response = format!(
                "HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{name}",
                name.len()
            );
            stream.write_all(response.as_bytes()).expect("written");
        }
    }
    ExitCode::SUCCESS
}
