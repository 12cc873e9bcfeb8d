//! The end of a pod, in the kubelet's order: all hooks at once, the app's signal after its hook,
//! the sidecar's after the app's end.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::client::{Load, Service};
use crate::kubelet::{App, Pod, eventually, free_ports, pod, status};

/// Clients at the same time.
const CLIENTS: usize = 8;

/// Time until everybody knows that a pod is no endpoint any more.
const PROPAGATION: Duration = Duration::from_millis(700);

/// Six seconds make a quiet period of two.
const GRACE_SECONDS: u64 = 6;

fn ready(pod: &Pod) {
    eventually("readiness", || pod.readiness() == 200);
}

/// A rolling update under load: a new pod for an old one, three times, endpoints late each time.
#[test]
fn a_rolling_update_loses_no_request() {
    let service = Service::default();
    std::thread::scope(|scope| {
        let load = Load(&service);
        let [app_port] = free_ports();
        let mut old = pod(app_port, GRACE_SECONDS, &json!({}), &[]);
        let mut old_sidecar = old.start();
        let mut old_app = App::start(app_port);
        ready(&old);
        service.endpoints.lock().unwrap().push(old.main);
        for number in 0..CLIENTS {
            let service = &service;
            scope.spawn(move || service.load(number));
        }
        for _ in 0..3 {
            let [app_port] = free_ports();
            let new = pod(app_port, GRACE_SECONDS, &json!({}), &[]);
            let new_sidecar = new.start();
            assert_eq!(new.readiness(), 503, "no app listens yet");
            let new_app = App::start(app_port);
            ready(&new);
            service.endpoints.lock().unwrap().push(new.main);

            std::thread::scope(|end| {
                end.spawn(|| {
                    std::thread::sleep(PROPAGATION);
                    service.endpoints.lock().unwrap().retain(|port| *port != old.main);
                });
                old.run_hooks();
            });
            old_app.end();
            old_sidecar.end();
            (old, old_sidecar, old_app) = (new, new_sidecar, new_app);
        }
        drop(load);
        old_sidecar.end();
        old_app.end();
    });
    let (answered, lost) = (service.answered.into_inner(), service.lost.into_inner().unwrap());
    eprintln!("{answered} requests answered, {} lost, over three replaced pods", lost.len());
    assert!(answered > 1_000, "{answered} requests are no load");
    assert!(lost.is_empty(), "{answered} answered, {} lost: {:?}", lost.len(), &lost[..1]);
}

/// The clients do see a pod that ends badly: without its hooks, requests are lost.
#[test]
fn without_hooks_requests_are_lost() {
    let service = Service::default();
    let [app_port] = free_ports();
    let pod = pod(app_port, GRACE_SECONDS, &json!({}), &[]);
    let sidecar = pod.start();
    let app = App::start(app_port);
    ready(&pod);
    service.endpoints.lock().unwrap().push(pod.main);
    std::thread::scope(|scope| {
        let _load = Load(&service);
        scope.spawn(|| service.load(0));
        eventually("load", || service.answered.load(Ordering::SeqCst) > 10);
        app.end();
        eventually("a loss", || !service.lost.lock().unwrap().is_empty());
    });
    drop(sidecar);
}

/// Where the kubelet restarts the app's container alone, its hook runs too. No hook of the sidecar
/// follows, so the sidecar serves on, and the hook does not hold the restart up for long.
#[test]
fn a_restart_of_the_app_alone_does_not_end_the_sidecar() {
    let [app_port] = free_ports();
    let pod = pod(app_port, 60, &json!({}), &[]);
    let sidecar = pod.start();
    let app = App::start(app_port);
    ready(&pod);
    let begin = Instant::now();
    let hook = "GET /wait-for-drain HTTP/1.1\r\nHost: a\r\nConnection: close\r\n";
    assert_eq!(status(pod.admin, hook), 200);
    // Its quiet period takes ten seconds, on a busy machine some more; a pod that ended has 60.
    assert!(begin.elapsed() < Duration::from_secs(50), "it waits for the whole grace period");
    app.end();
    let app = App::start(app_port);
    ready(&pod);
    let get = "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n";
    assert_eq!(status(pod.main, get), 200);
    app.end();
    drop(sidecar);
}

/// What begins a drain for good is answered to the pod itself alone.
#[test]
fn other_pods_cannot_end_a_sidecar() {
    let [app_port] = free_ports();
    let pod = pod(app_port, 60, &json!({}), &[]);
    let sidecar = pod.start();
    let from_elsewhere = std::net::SocketAddr::from(([127, 0, 0, 2], 0));
    let response = ask_from(from_elsewhere, pod.admin, "POST /drain HTTP/1.1\r\nHost: a\r\n");
    assert!(response.starts_with("HTTP/1.1 404 "), "{response}");
    let get = "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n";
    assert_eq!(status(pod.main, get), 502, "it serves, and has no app");
    drop(sidecar);
}

/// Asks from another address of this machine.
fn ask_from(from: std::net::SocketAddr, port: u16, head: &str) -> String {
    use std::io::{Read as _, Write as _};
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let stream = runtime.block_on(async {
        let socket = tokio::net::TcpSocket::new_v4().unwrap();
        socket.bind(from).unwrap();
        socket.connect(([127, 0, 0, 1], port).into()).await.unwrap().into_std().unwrap()
    });
    let mut stream = stream;
    stream.set_nonblocking(false).unwrap();
    write!(stream, "{head}Connection: close\r\nContent-Length: 0\r\n\r\n").unwrap();
    let mut response = String::new();
    stream.read_to_string(&mut response).unwrap();
    response
}
