//! Runs that are killed, and what becomes of what they have left.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::running::{Running, group_of, is_alive, kill, wait_until};
use crate::{Desk, free_port, get};

/// An app that answers with its process id, and writes a line for each request.
const WHO: &str = r#"import http.server, os, sys
class H(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_GET(self):
        body = str(os.getpid()).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
        if self.path != "/": print("asked for", self.path, flush=True)
    def log_message(self, *args): pass
print("here I am", flush=True)
http.server.ThreadingHTTPServer(("127.0.0.1", int(os.environ["PORT"])), H).serve_forever()
"#;

const FILE: &str = "[service.web]\ncommand = [\"python3\", \"who.py\"]\n\
                    ready = { log = \"here\" }\n\
                    [service.api]\ncommand = [\"python3\", \"who.py\"]\nready = \"/\"\n";

/// Clients at a time.
const CLIENTS: u32 = 4;

/// Pause of a client that was refused: it would only count how fast it is.
const PAUSE: Duration = Duration::from_millis(5);

/// Services whose run may be killed, with a fixed address and a runtime folder of their own.
struct Scene {
    desk: Desk,
    port: u16,
}

/// A request: when it began and when it was over, and the process that answered.
struct Request {
    began: Instant,
    over: Instant,
    answer: Option<String>,
}

/// Clients that ask without a pause until they are told to stop.
struct Clients {
    over: Arc<AtomicBool>,
    clients: Vec<JoinHandle<Vec<Request>>>,
}

impl Scene {
    fn new() -> Self {
        let desk = Desk::new(FILE);
        std::fs::write(desk.path("who.py"), WHO).expect("written");
        Self { desk, port: free_port() }
    }

    fn up(&self, flags: &[&str]) -> Running {
        let file = self.desk.path("tidegate.toml").display().to_string();
        let listen = self.address();
        let folder = self.desk.folder.path().display().to_string();
        let words = ["-f", &file, "--listen", &listen].into_iter().chain(flags.iter().copied());
        let variables = [("XDG_RUNTIME_DIR", folder.as_str())];
        Running::start_verb("up", words.map(str::to_owned).collect(), &variables)
    }

    /// Both services, ready, and the processes that answer for them.
    fn up_ready(&self) -> (Running, [u32; 2]) {
        let mut run = self.up(&["--adopt"]);
        run.wait_for("web-00001-1 is ready");
        run.wait_for("api-00001-1 is ready");
        (run, ["web", "api"].map(|service| self.who(service)))
    }

    fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// The process that answers for a service.
    fn who(&self, service: &str) -> u32 {
        let answer = get(&self.address(), &format!("{service}.localhost"), "/");
        let (status, body) = answer.expect("an answer");
        assert_eq!(status, 200, "{body}");
        body.parse().expect("a process id")
    }

    fn clients(&self) -> Clients {
        let over = Arc::new(AtomicBool::new(false));
        let client = |_| {
            let (over, address) = (Arc::clone(&over), self.address());
            std::thread::spawn(move || {
                let mut requests = Vec::new();
                while !over.load(Ordering::Relaxed) {
                    let began = Instant::now();
                    let answer = get(&address, "web.localhost", "/");
                    let answer = answer.ok().filter(|(status, _)| *status == 200);
                    let over = Instant::now();
                    if answer.is_none() {
                        std::thread::sleep(PAUSE);
                    }
                    requests.push(Request { began, over, answer: answer.map(|(_, body)| body) });
                }
                requests
            })
        };
        Clients { clients: (0..CLIENTS).map(client).collect(), over: Arc::clone(&over) }
    }

    /// Waits until somebody listens again, and gives when that was.
    fn listens_again(&self) -> Instant {
        wait_until("somebody listens", || std::net::TcpStream::connect(self.address()).is_ok());
        Instant::now()
    }
}

impl Clients {
    fn end(self) -> Vec<Request> {
        self.over.store(true, Ordering::Relaxed);
        self.clients.into_iter().flat_map(|client| client.join().expect("it ends")).collect()
    }
}

/// Kills a run, and waits until it is gone: what it listened on is there for a moment after the
/// signal.
fn killed(run: &mut Running) {
    kill(run.pid(), "KILL");
    run.wait_for_exit();
}

/// Ends a run in order.
fn interrupted(run: &mut Running) {
    run.signal("INT");
    assert_eq!(run.wait_for_exit(), Some(0), "{}", run.output());
}

/// What clients saw of a run that was killed at `killed`, and followed by one that listened at
/// `listened`: nothing was lost outside of that time, and one process answered everything.
fn nothing_is_lost_but_meanwhile(
    requests: &[Request],
    killed: Instant,
    listened: Instant,
    process: u32,
) {
    let lost: Vec<&Request> = requests.iter().filter(|request| request.answer.is_none()).collect();
    let is_meanwhile = |request: &&&Request| request.over >= killed && request.began <= listened;
    let (meanwhile, outside): (Vec<&Request>, Vec<&Request>) =
        lost.iter().copied().partition(|request| is_meanwhile(&request));
    let after = requests.iter().filter(|request| request.began > listened).count();
    let first = requests.iter().filter(|of| of.answer.is_some() && of.over > listened);
    let first = first.map(|of| of.over).min().expect("it answers again");
    println!(
        "{} requests, {after} of them after the kill was over; {} lost while nobody listened \
         ({} ms), {} lost otherwise; the first answer came {} ms after the kill",
        requests.len(),
        meanwhile.len(),
        (listened - killed).as_millis(),
        outside.len(),
        (first - killed).as_millis(),
    );
    assert!(outside.is_empty(), "{} lost outside of the time without anybody", outside.len());
    let who = process.to_string();
    let others = requests.iter().filter_map(|request| request.answer.as_ref());
    assert!(others.clone().all(|body| *body == who), "one process answered all");
}

#[test]
fn what_runs_is_taken_over_as_it_is_and_nothing_is_lost_but_while_nobody_listens() {
    let scene = Scene::new();
    let (mut first, [web, api]) = scene.up_ready();
    let clients = scene.clients();
    // Another process while it lives would be one too many.
    let mut other = scene.up(&["--adopt"]);
    assert_eq!(other.wait_for_exit(), Some(1), "{}", other.output());
    assert!(other.output().contains("another process serves this already"), "{}", other.output());
    let killed_at = Instant::now();
    killed(&mut first);
    let mut second = scene.up(&["--adopt"]);
    let listened = scene.listens_again();
    second.wait_for("web-00001-1 is taken over from a run before");
    second.wait_for("api-00001-1 is ready");
    wait_until("it answers", || get(&scene.address(), "web.localhost", "/asked").is_ok());
    assert_eq!((scene.who("web"), scene.who("api")), (web, api));
    // What it writes is read on.
    second.wait_for("web-00001-1 | asked for /asked");
    nothing_is_lost_but_meanwhile(&clients.end(), killed_at, listened, web);
    assert!(!second.output().contains(" starts"), "{}", second.output());
    // It is followed, scaled and ended as what it has started itself.
    scene
        .desk
        .write(&FILE.replace("\"who.py\"]\nready = \"/\"", "\"who.py\", \"x\"]\nready = \"/\""));
    second.wait_for("requests go to api-00002; api-00001 ends");
    wait_until("the old one is gone", || !is_alive(api));
    assert_eq!(scene.who("web"), web);
    interrupted(&mut second);
    wait_until("nothing is left", || !is_alive(web));
}

#[test]
fn a_change_of_meanwhile_is_followed_from_what_runs() {
    let scene = Scene::new();
    let (mut first, [web, api]) = scene.up_ready();
    killed(&mut first);
    let without_api = FILE.split("[service.api]").next().expect("a part");
    scene.desk.write(&without_api.replace("\"who.py\"", "\"who.py\", \"changed\""));
    let mut second = scene.up(&["--adopt"]);
    second.wait_for("web-00001-1 is taken over");
    second.wait_for("instances of a run before that were ended: 1");
    second.wait_for("requests go to web-00002; web-00001 ends");
    wait_until("both are gone", || !is_alive(web) && !is_alive(api));
    assert!(is_alive(scene.who("web")));
    interrupted(&mut second);
}

#[test]
fn without_being_asked_what_was_left_is_ended() {
    let scene = Scene::new();
    let (mut first, [web, api]) = scene.up_ready();
    killed(&mut first);
    assert!(is_alive(web) && is_alive(api), "they outlive it");
    let mut second = scene.up(&[]);
    second.wait_for("processes of a run before that were ended: ");
    assert!(!is_alive(web) && !is_alive(api));
    second.wait_for("web-00001-1 is ready");
    assert_ne!(scene.who("web"), web);
    interrupted(&mut second);
}

#[test]
fn one_that_stands_by_takes_over_when_the_other_ends() {
    let scene = Scene::new();
    let mut first = scene.up(&["--adopt"]);
    first.wait_for("web-00001-1 is ready");
    let web = scene.who("web");
    let mut second = scene.up(&["--adopt", "--standby"]);
    second.wait_for("standing by");
    let clients = scene.clients();
    let before = Instant::now();
    wait_until("clients are served", || before.elapsed() > PAUSE * 40);
    let killed_at = Instant::now();
    killed(&mut first);
    let listened = scene.listens_again();
    second.wait_for("web-00001-1 is ready");
    assert_eq!(scene.who("web"), web);
    nothing_is_lost_but_meanwhile(&clients.end(), killed_at, listened, web);
    interrupted(&mut second);
    wait_until("nothing is left", || !is_alive(web));
}

/// One that stands by has begun nothing, and ends at once.
#[test]
fn one_that_stands_by_can_be_interrupted() {
    let scene = Scene::new();
    let mut first = scene.up(&["--adopt"]);
    first.wait_for("web-00001-1 is ready");
    let mut second = scene.up(&["--adopt", "--standby"]);
    second.wait_for("standing by");
    interrupted(&mut second);
    assert!(is_alive(scene.who("web")));
    interrupted(&mut first);
}

/// Its group is not named for it, but for what it was before.
#[test]
fn an_app_that_a_ready_launcher_became_is_taken_over_and_ended_with_its_group() {
    let scene = Scene::new();
    let (mut first, [web, _]) = scene.up_ready();
    if group_of(web).is_none() {
        return;
    }
    let launcher = first.ready_launcher();
    kill(web, "KILL");
    first.wait_for("web-00001-2 is ready");
    assert_eq!(scene.who("web"), launcher);
    let group = group_of(launcher).expect("it is in one");
    let next = first.ready_launcher();
    killed(&mut first);
    wait_until("the next launcher ends", || !is_alive(next));
    let mut second = scene.up(&["--adopt"]);
    second.wait_for("web-00001-2 is taken over from a run before");
    second.wait_for("web-00001-2 is ready");
    assert!(get(&scene.address(), "web.localhost", "/asked").is_ok());
    second.wait_for("web-00001-2 | asked for /asked");
    assert_eq!((scene.who("web"), group_of(launcher).as_ref()), (launcher, Some(&group)));
    interrupted(&mut second);
    assert!(!is_alive(launcher) && !group.exists());
}

/// `tidegate run` goes by its name and by the folder that it is started in.
#[test]
fn a_run_of_the_same_name_takes_over_as_well() {
    let scene = Scene::new();
    let (address, app) = (scene.address(), scene.desk.path("who.py").display().to_string());
    let folder = scene.desk.folder.path().display().to_string();
    let start = || {
        let words = ["--name", "web", "--adopt", "--listen", &address, "--", "python3", &app];
        let variables = [("XDG_RUNTIME_DIR", folder.as_str())];
        Running::start_verb("run", words.map(str::to_owned).into(), &variables)
    };
    let mut first = start();
    first.wait_for("web-1 is ready");
    let web = scene.who("web");
    killed(&mut first);
    let mut second = start();
    second.wait_for("web-1 is taken over from a run before");
    second.wait_for("web-1 is ready");
    assert_eq!(scene.who("web"), web);
    interrupted(&mut second);
    wait_until("nothing is left", || !is_alive(web));
}
