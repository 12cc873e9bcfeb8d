//! Whose turn it is, for each revision: two of them behind one activator, one fair and one by
//! deadline, with a controller, sidecars and apps that are all real; and a change of the order
//! while requests wait.
//!
//! Without the test harness, because this program plays the roles of its own services.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::process::ExitCode;
use std::sync::mpsc::{Receiver, channel};
use std::thread::JoinHandle;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tidegate_admission::Order;
use tidegate_controller::{Declaration, QueueOrder, QueueRules, RevisionId};
use tidegate_local::{Config, RoleProgram, Service, Settings, roles};

/// How long anything may take here, on a machine that does much else.
const PATIENCE: Duration = Duration::from_secs(90);

/// The variable with the address at which an app asks whether it may answer.
const GATE: &str = "GATE";

const ROUTES: &str = "[route.v1]\nhosts = [\"v1\"]\nto = \"local/v1\"\n\
                      [route.v2]\nhosts = [\"v2\"]\nto = \"local/v2\"\n";

fn main() -> ExitCode {
    if let Some(code) = roles::play() {
        return code;
    }
    if std::env::args().any(|argument| argument == "app") {
        return app();
    }
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(each_revision_has_its_order());
    ExitCode::SUCCESS
}

/// Where apps ask, and who asks there.
struct Gate {
    address: SocketAddr,
    asked: Receiver<(String, TcpStream)>,
}

impl Gate {
    fn open() -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
        let address = listener.local_addr().expect("an address");
        let (tell, asked) = channel();
        std::thread::spawn(move || {
            for mut app in listener.incoming().map_while(Result::ok) {
                let name = line(&mut app);
                if tell.send((name, app)).is_err() {
                    return;
                }
            }
        });
        Self { address, asked }
    }

    /// Waits for the request that comes to an app next.
    fn next(&self) -> (String, TcpStream) {
        self.asked.recv_timeout(PATIENCE).expect("a request comes to an app")
    }

    /// Lets the request at the app go, and each that follows: who they are.
    fn served(&self, mut inside: TcpStream, count: usize) -> Vec<String> {
        let mut names = Vec::new();
        for _ in 0..count {
            inside.write_all(b"!").expect("the app waits for it");
            let (name, next) = self.next();
            names.push(name);
            inside = next;
        }
        inside.write_all(b"!").expect("the app waits for it");
        names
    }
}

/// What is read up to the end of the line.
fn line(stream: &mut TcpStream) -> String {
    let mut text = String::new();
    let mut byte = [0];
    while stream.read(&mut byte).is_ok_and(|count| count > 0) && byte[0] != b'\n' {
        text.push(char::from(byte[0]));
    }
    text
}

fn declaration(name: &str, gate: SocketAddr, order: QueueOrder) -> Declaration {
    let program = std::env::current_exe().expect("this program");
    let mut settings = Settings::new(name, [program.into_os_string(), "app".into()]);
    (settings.min, settings.max, settings.initial) = (1, 1, 1);
    settings.concurrency = 1;
    settings.environment.push((GATE.into(), gate.to_string().into()));
    let mut declaration = settings.declare().expect("valid");
    declaration.queue = QueueRules { order: Some(order), ..QueueRules::default() };
    declaration
}

/// A client asks in a thread of its own, and gives the response.
fn ask(address: SocketAddr, host: &str, name: &str, header: &str) -> JoinHandle<String> {
    let request = format!(
        "GET / HTTP/1.1\r\nHost: {host}\r\nX-Name: {name}\r\n{header}\r\n\
         Connection: close\r\n\r\n"
    );
    std::thread::spawn(move || {
        let mut stream = TcpStream::connect(address).expect("it listens");
        stream.write_all(request.as_bytes()).expect("it reads");
        let mut response = String::new();
        stream.read_to_string(&mut response).expect("a response");
        response
    })
}

fn due_in(seconds: u64) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970");
    format!("X-Request-Deadline: {}", now.as_secs() + seconds)
}

/// One request is inside; these come behind it, one after the other. Gives whom to wait for.
async fn come(
    service: &Service,
    gate: &Gate,
    host: &str,
    lines: &[(&str, &str)],
) -> (TcpStream, Vec<JoinHandle<String>>) {
    let mut clients = vec![ask(service.address(), host, "first", "A: b")];
    let (name, inside) = gate.next();
    assert_eq!(name, "first");
    let view = service.view().of(RevisionId::new("local", host).expect("valid"));
    for (nth, (name, header)) in (1..).zip(lines) {
        clients.push(ask(service.address(), host, name, header));
        view.wait_until(|status| status.activator.waiting == nth).await.expect("it runs");
    }
    (inside, clients)
}

fn all_are_answered(clients: Vec<JoinHandle<String>>) {
    for client in clients {
        let response = client.join().expect("it ends");
        assert!(response.starts_with("HTTP/1.1 200"), "{response}");
    }
}

async fn each_revision_has_its_order() {
    let gate = Gate::open();
    let fair = || QueueOrder::FairBy("header:x-user".to_owned());
    let config = Config::new(declaration("v1", gate.address, fair()), RoleProgram::Ourselves);
    let second = declaration("v2", gate.address, QueueOrder::Deadline);
    let config = config.expect("a port").with_routes(ROUTES, vec![second]).expect("valid routes");
    let mut service = Service::start(config).await.expect("started");
    let (late, soon) = (due_in(2_000), due_in(1_000));

    let (busy, other) = ("X-User: busy", "X-User: other");
    let lines = [("b1", busy), ("b2", busy), ("b3", busy), ("o1", other)];
    let (inside, clients) = come(&service, &gate, "v1", &lines).await;
    assert_eq!(gate.served(inside, lines.len()), ["b1", "o1", "b2", "b3"], "users take turns");
    all_are_answered(clients);

    let lines = [("never", "A: b"), ("late", late.as_str()), ("soon", soon.as_str())];
    let (inside, clients) = come(&service, &gate, "v2", &lines).await;
    assert_eq!(gate.served(inside, lines.len()), ["soon", "late", "never"], "by deadline");
    all_are_answered(clients);

    // All of them are one user, so they would be served as they came.
    let (inside, clients) = come(&service, &gate, "v1", &lines).await;
    let changed = declaration("v1", gate.address, QueueOrder::Deadline);
    service.view().controller().declare(changed).await.expect("it runs");
    let view = service.view();
    let follows = view.wait_until(|status| {
        status.activator.order == Order::EarliestDeadline && status.activator.waiting == 3
    });
    tokio::time::timeout(PATIENCE, follows).await.expect("in time").expect("it runs");
    assert_eq!(gate.served(inside, lines.len()), ["soon", "late", "never"], "for those that wait");
    all_are_answered(clients);
    println!("each revision has its order, and a change of it loses nothing that waits");
    service.drain(Duration::from_secs(5)).await.expect("drained");
    assert_eq!(service.finish().await, 0, "nothing was left");
}

/// An app that tells the gate of each request, and answers once it may.
fn app() -> ExitCode {
    let port = std::env::var("PORT").expect("set").parse().expect("a port");
    let gate: SocketAddr = std::env::var(GATE).expect("set").parse().expect("an address");
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).expect("free");
    for mut client in listener.incoming().map_while(Result::ok) {
        std::thread::spawn(move || {
            let mut request = [0; 4_096];
            // A probe that only checks whether the port is open sends nothing.
            let count = client.read(&mut request).unwrap_or(0);
            let head = String::from_utf8_lossy(&request[..count]).to_ascii_lowercase();
            let name = head.lines().find_map(|line| line.strip_prefix("x-name: "));
            let Some(name) = name else { return };
            let mut asking = TcpStream::connect(gate).expect("the test listens");
            writeln!(asking, "{name}").expect("it reads");
            let _ = asking.read(&mut [0]);
            let response = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
            client.write_all(response.as_bytes()).expect("written");
        });
    }
    ExitCode::SUCCESS
}
