//! Three controllers that divide six revisions, their instances, an activator, and clients.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::num::NonZeroU16;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use tidegate_explain::query::Query;
use tidegate_trust::Credentials;

use crate::sidecar_command::sidecar_command;

/// Nothing here takes this long unless it hangs, on however busy a machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(90);

/// Time between two looks at something that is waited for.
const LOOK_PERIOD: Duration = Duration::from_millis(20);

/// How long the app works on a request.
const SERVICE: Duration = Duration::from_millis(200);

/// A process that is killed with its test.
pub(crate) struct Process {
    child: Child,
    log: Arc<Mutex<Vec<String>>>,
}

impl Process {
    pub(crate) fn start(mut command: Command) -> Self {
        command.env_remove("TIDEGATE_LOG").env_remove("TIDEGATE_SHARD");
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let log = Arc::<Mutex<Vec<String>>>::default();
        let into = Arc::clone(&log);
        thread::spawn(move || {
            lines.map_while(Result::ok).for_each(|line| into.lock().unwrap().push(line));
        });
        Self { child, log }
    }

    /// What follows this text where it is first said.
    pub(crate) fn said(&self, text: &str) -> String {
        let found = || {
            let log = self.log.lock().unwrap();
            log.iter().find_map(|line| Some(line.split_once(text)?.1.to_owned()))
        };
        until(&format!("{text:?} is said"), || found().is_some());
        found().unwrap()
    }

    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Tells it to end, as a platform does.
    pub(crate) fn tell_to_end(&self) {
        let told = Command::new("kill").args(["-s", "TERM", &self.child.id().to_string()]).status();
        assert!(told.unwrap().success());
    }

    /// Tells it to end, and waits until it has.
    pub(crate) fn terminate(mut self) {
        self.tell_to_end();
        self.child.wait().unwrap();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub(crate) fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let since = Instant::now();
    while !is_so() {
        assert!(since.elapsed() < PATIENCE, "not within {PATIENCE:?}: {what}");
        thread::sleep(LOOK_PERIOD);
    }
}

pub(crate) fn port_in(text: &str) -> u16 {
    text.chars().take_while(char::is_ascii_digit).collect::<String>().parse().unwrap()
}

/// The number of the shard that a revision of `default` belongs to, of so many.
pub(crate) fn owner(name: &str, shards: u16) -> u16 {
    tidegate_shards::owner("default", name, NonZeroU16::new(shards).unwrap()).get()
}

/// Two revisions of each of three shards.
pub(crate) fn revisions() -> Vec<String> {
    let of_shard = |shard| {
        let names = (0..).map(|number| format!("web{number}"));
        names.filter(move |name| owner(name, 3) == shard).take(2)
    };
    (1..=3).flat_map(of_shard).collect()
}

pub(crate) fn controller(port: u16, shard: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tidegate"));
    command
        .args(["controller", "--shard", shard, "--set", "target=10", "--set", "window=6s"])
        .arg(format!("--listen=127.0.0.1:{port}"));
    command
}

/// The addresses of shards, as reporters are given them.
pub(crate) fn addresses(ports: &[u16]) -> String {
    ports.iter().map(|port| format!("127.0.0.1:{port}")).collect::<Vec<_>>().join(";")
}

pub(crate) fn sidecar(app: u16, revision: &str, instance: &str, controllers: &str) -> Process {
    let mut command = sidecar_command(app);
    command
        .env("CONTAINER_CONCURRENCY", "0")
        .env("SERVING_REVISION", revision)
        .env("SERVING_POD", instance)
        .env("TIDEGATE_CONTROLLER", controllers);
    Process::start(command)
}

/// An activator that serves, and its port.
pub(crate) fn activator(name: &str, controllers: &str) -> (Process, u16) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tidegate"));
    command
        .args(["activator", "--listen", "127.0.0.1:0", "--name", name])
        .args(["--controller", controllers]);
    let activator = Process::start(command);
    let port = port_in(&activator.said("listening on 127.0.0.1:"));
    (activator, port)
}

/// How many instances each revision has and should have, by the controllers at these addresses.
pub(crate) fn statuses(controllers: &str) -> BTreeMap<String, (u32, i32)> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let Ok(mut query) = Query::connect(controllers, &Credentials::default()).await else {
            return BTreeMap::new();
        };
        let known = query.revisions().await.unwrap_or_default();
        known.into_iter().map(|it| (it.name, (it.ready, it.desired))).collect()
    })
}

/// An app at a port of its own.
pub(crate) fn app() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            thread::spawn(move || {
                while read_to(&mut stream, b"\r\n\r\n").is_some() {
                    thread::sleep(SERVICE);
                    let response = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
                    if stream.write_all(response).is_err() {
                        return;
                    }
                }
            });
        }
    });
    port
}

/// Clients that never pause, one for each revision.
pub(crate) struct Clients {
    over: Arc<AtomicBool>,
    answered: Vec<(String, Arc<AtomicUsize>)>,
    failed: Arc<Mutex<Vec<String>>>,
    threads: Vec<JoinHandle<()>>,
}

impl Clients {
    pub(crate) fn start(port: u16, revisions: &[String]) -> Self {
        let mut all = Self {
            over: Arc::default(),
            answered: Vec::new(),
            failed: Arc::default(),
            threads: Vec::new(),
        };
        for revision in revisions {
            let answered = Arc::<AtomicUsize>::default();
            all.answered.push((revision.clone(), Arc::clone(&answered)));
            let (over, failed) = (Arc::clone(&all.over), Arc::clone(&all.failed));
            let revision = revision.clone();
            all.threads.push(thread::spawn(move || {
                while !over.load(Ordering::Relaxed) {
                    match ask(port, &revision) {
                        Ok(()) => drop(answered.fetch_add(1, Ordering::Relaxed)),
                        Err(what) => failed.lock().unwrap().push(format!("{revision}: {what}")),
                    }
                }
            }));
        }
        all
    }

    /// Waits until every revision has answered so many more requests.
    pub(crate) fn until_more(&self, requests: usize) {
        let counted = |of: &AtomicUsize| of.load(Ordering::Relaxed);
        let before: Vec<usize> = self.answered.iter().map(|(_, of)| counted(of)).collect();
        until("every revision answers", || {
            self.answered.iter().zip(&before).all(|((_, of), was)| counted(of) >= was + requests)
        });
    }

    /// Ends them; gives what failed.
    pub(crate) fn stop(self) -> Vec<String> {
        self.over.store(true, Ordering::Relaxed);
        self.threads.into_iter().for_each(|thread| thread.join().unwrap());
        self.failed.lock().unwrap().clone()
    }
}

/// One request to a revision, over a connection of its own.
pub(crate) fn ask(port: u16, revision: &str) -> Result<(), String> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).map_err(|error| error.to_string())?;
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let request = format!(
        "GET / HTTP/1.1\r\nHost: a.example\r\nKnative-Serving-Namespace: default\r\n\
         Knative-Serving-Revision: {revision}\r\nConnection: close\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).map_err(|error| error.to_string())?;
    let mut response = String::new();
    stream.read_to_string(&mut response).map_err(|error| error.to_string())?;
    if response.starts_with("HTTP/1.1 200") { Ok(()) } else { Err(response) }
}

/// What comes up to these bytes, which are the last that come.
fn read_to(stream: &mut TcpStream, end: &[u8]) -> Option<Vec<u8>> {
    let (mut bytes, mut piece) = (Vec::new(), [0; 4096]);
    while !bytes.ends_with(end) {
        match stream.read(&mut piece) {
            Ok(count @ 1..) => bytes.extend_from_slice(&piece[..count]),
            _ => return None,
        }
    }
    Some(bytes)
}
