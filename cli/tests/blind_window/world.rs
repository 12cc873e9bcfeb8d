//! An app, sidecars, an activator, clients that never pause, and a controller that has trouble.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use rustix::process::{Pid, Signal, kill_process};

use crate::cut::Network;
use crate::sidecar_command::sidecar_command;
use crate::wanted::{Follower, Wanted};

/// Nothing here takes this long unless it hangs, on however busy a machine.
const PATIENCE: Duration = Duration::from_secs(90);

/// Time between two looks at something that is waited for.
const LOOK_PERIOD: Duration = Duration::from_millis(10);

/// How long the app works on a request.
const SERVICE: Duration = Duration::from_secs(1);

const INSTANCES: usize = 2;

/// Those that report: the sidecars and the activator.
const REPORTERS: usize = INSTANCES + 1;

/// What happens to the controller.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Trouble {
    /// Nothing.
    None,
    /// It is killed, and started again.
    Killed,
    /// Its reporters cannot reach it for a while.
    CutOff,
    /// It is stopped, and continued.
    Stopped,
    /// It is killed, and one that stands by takes over.
    Replaced,
}

impl Trouble {
    /// All of them; first what the others are compared with.
    pub(crate) const ALL: [Self; 5] =
        [Self::None, Self::Killed, Self::CutOff, Self::Stopped, Self::Replaced];
}

/// A number from the environment.
pub(crate) fn from_environment(name: &str, default: u32) -> u32 {
    std::env::var(name).map_or(default, |text| text.parse().expect(name))
}

/// A process that is killed with its world.
struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Process {
    /// Starts it and waits until it says one of these; gives what follows.
    fn start(mut command: Command, marks: &[&str]) -> (Self, String) {
        command.env_remove("TIDEGATE_LOG");
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let mut before = Vec::new();
        let said = lines.by_ref().map_while(Result::ok).find_map(|line| {
            let said = marks.iter().find_map(|mark| Some(line.split_once(mark)?.1.to_owned()));
            before.push(line);
            said
        });
        let said = said.unwrap_or_else(|| panic!("it ended with {before:?}, not with {marks:?}"));
        // Read to the end, or it would wait for room in the pipe.
        thread::spawn(move || lines.map_while(Result::ok).for_each(drop));
        (Self(child), said)
    }

    fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.0.id()).unwrap();
        kill_process(Pid::from_raw(pid).unwrap(), signal).unwrap();
    }
}

fn digits(text: &str) -> u16 {
    text.chars().take_while(char::is_ascii_digit).collect::<String>().parse().unwrap()
}

/// A port that is the controller's, also while there is none.
fn reserved_port() -> u16 {
    tidegate_reserved_port::reserve().unwrap().port()
}

/// What clients do, and what came of it.
#[derive(Default)]
struct Traffic {
    over: AtomicBool,
    failed: AtomicUsize,
    answered: AtomicUsize,
}

/// All of it. What is first here ends first.
pub(crate) struct World {
    trouble: Trouble,
    follower: Follower,
    traffic: Arc<Traffic>,
    clients: Vec<JoinHandle<()>>,
    activator_port: u16,
    _activator: Process,
    _sidecars: Vec<Process>,
    controller: Process,
    standby: Option<Process>,
    network: Network,
    ports: Ports,
    folder: tempfile::TempDir,
}

/// Where the controller is.
#[derive(Debug, Clone, Copy)]
struct Ports {
    reports: u16,
    admin: u16,
}

impl World {
    pub(crate) fn start(trouble: Trouble) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let ports = Ports { reports: reserved_port(), admin: reserved_port() };
        let network = Network::to(ports.reports);
        let reached = match trouble {
            Trouble::CutOff => network.port,
            _ => ports.reports,
        };
        let lock = folder.path().join("lock");
        let standby = (trouble == Trouble::Replaced).then_some(lock.as_path());
        let controller = Process::start(controller(ports, standby), &["listening on "]).0;
        let second =
            standby.map(|_| Process::start(self::controller(ports, standby), &["standing by"]).0);
        let app = app();
        let sidecars: Vec<(Process, String)> = (1..=INSTANCES)
            .map(|number| {
                let mut command = sidecar_command(app);
                command
                    .env("CONTAINER_CONCURRENCY", "0")
                    .env("SERVING_POD", format!("web-{number}"))
                    .env("TIDEGATE_CONTROLLER", format!("127.0.0.1:{reached}"));
                Process::start(command, &["\"main\":"])
            })
            .collect();
        let mut command = Command::new(env!("CARGO_BIN_EXE_tidegate"));
        command
            .args(["activator", "--listen", "127.0.0.1:0", "--default-revision", "default/web"])
            .args(["--log", "off", "--name", "door", "--slow-start", "0"])
            .arg(format!("--controller=127.0.0.1:{reached}"));
        for (_, port) in &sidecars {
            command.arg(format!("--endpoint=default/web=127.0.0.1:{}", digits(port)));
        }
        let (activator, port) = Process::start(command, &["listening on 127.0.0.1:"]);
        let world = Self {
            trouble,
            follower: Follower::start(format!("127.0.0.1:{}", ports.reports)),
            traffic: Arc::default(),
            clients: Vec::new(),
            activator_port: digits(&port),
            _activator: activator,
            _sidecars: sidecars.into_iter().map(|(process, _)| process).collect(),
            controller,
            standby: second,
            network,
            ports,
            folder,
        };
        world.until_all_report(Instant::now());
        world
    }

    pub(crate) fn unix_ms(&self) -> i64 {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        i64::try_from(since.as_millis()).unwrap()
    }

    /// From now on there are so many clients.
    pub(crate) fn load(&mut self, clients: usize) {
        while self.clients.len() < clients {
            let (traffic, port) = (Arc::clone(&self.traffic), self.activator_port);
            self.clients.push(thread::spawn(move || ask(port, &traffic)));
        }
    }

    /// Ends the clients. Gives how many requests failed, and how many did not.
    pub(crate) fn stop_clients(&mut self) -> (usize, usize) {
        self.traffic.over.store(true, Ordering::Relaxed);
        self.clients.drain(..).for_each(|client| client.join().unwrap());
        let Traffic { failed, answered, .. } = &*self.traffic;
        (failed.load(Ordering::Relaxed), answered.load(Ordering::Relaxed))
    }

    pub(crate) fn wanted(&self) -> Vec<Wanted> {
        self.follower.all()
    }

    /// Waits until as many instances are wanted.
    pub(crate) fn until_wanted(&self, instances: i32) {
        let since = Instant::now();
        while self.wanted().last().is_none_or(|last| last.instances < instances) {
            let wanted = self.wanted();
            assert!(since.elapsed() < PATIENCE, "{:?}: {instances} of {wanted:?}", self.trouble);
            thread::sleep(LOOK_PERIOD);
        }
    }

    /// Makes trouble. Gives how long reporters took to be back once it was over, where they left.
    pub(crate) fn trouble(&mut self, away: Duration) -> Option<Duration> {
        let lock = self.folder.path().join("lock");
        match self.trouble {
            Trouble::None => return None,
            Trouble::Killed => {
                self.controller.0.kill().unwrap();
                self.controller.0.wait().unwrap();
                self.controller =
                    Process::start(controller(self.ports, None), &["listening on "]).0;
            }
            Trouble::CutOff => {
                self.network.cut();
                thread::sleep(away);
                self.network.heal();
            }
            Trouble::Stopped => {
                self.controller.signal(Signal::STOP);
                thread::sleep(away);
                self.controller.signal(Signal::CONT);
            }
            Trouble::Replaced => {
                self.controller.0.kill().unwrap();
                let over = Instant::now();
                self.controller.0.wait().unwrap();
                self.controller = self.standby.take().unwrap();
                let back = self.until_all_report(over);
                let next = controller(self.ports, Some(&lock));
                self.standby = Some(Process::start(next, &["standing by"]).0);
                return Some(back);
            }
        }
        Some(self.until_all_report(Instant::now()))
    }

    /// Waits until the controller hears from everybody. Gives how long that is after `since`.
    fn until_all_report(&self, since: Instant) -> Duration {
        let reporters = || {
            let page = page(self.ports.admin);
            let mut lines = page.lines();
            let line = lines.find(|line| line.starts_with("tidegate_controller_reporters{"));
            line.and_then(|line| line.rsplit(' ').next()?.parse::<usize>().ok())
        };
        while reporters() != Some(REPORTERS) {
            let seen = reporters();
            assert!(since.elapsed() < PATIENCE, "{:?}: {seen:?} reporters", self.trouble);
            thread::sleep(LOOK_PERIOD);
        }
        since.elapsed()
    }
}

fn controller(ports: Ports, standby: Option<&std::path::Path>) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tidegate"));
    command
        .args(["controller", "--log", "off", "--revision", "default/web"])
        .args(["--set", "target=10", "--set", "window=6s"])
        .arg(format!("--listen=127.0.0.1:{}", ports.reports))
        .arg(format!("--admin=127.0.0.1:{}", ports.admin));
    if let Some(lock) = standby {
        command.arg("--standby").arg(lock);
    }
    command
}

/// The metrics page; empty while there is none.
fn page(port: u16) -> String {
    let ask = || -> std::io::Result<String> {
        let mut stream = TcpStream::connect(("127.0.0.1", port))?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")?;
        let mut page = String::new();
        stream.read_to_string(&mut page)?;
        Ok(page)
    };
    ask().unwrap_or_default()
}

/// An app at a port of its own.
fn app() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            thread::spawn(move || serve(stream));
        }
    });
    port
}

fn serve(mut stream: TcpStream) {
    while read_to(&mut stream, b"\r\n\r\n").is_some() {
        thread::sleep(SERVICE);
        if stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").is_err() {
            return;
        }
    }
}

/// One request after the other, on a connection that stays.
fn ask(port: u16, traffic: &Traffic) {
    let mut connection = None;
    while !traffic.over.load(Ordering::Relaxed) {
        let stream = match &mut connection {
            Some(stream) => stream,
            none => {
                let stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
                stream.set_read_timeout(Some(PATIENCE)).unwrap();
                none.insert(stream)
            }
        };
        let sent = stream.write_all(b"GET / HTTP/1.1\r\nHost: web.example\r\n\r\n");
        let response = sent.ok().and_then(|()| read_to(stream, b"\r\n\r\nok"));
        if response.is_some_and(|response| response.starts_with(b"HTTP/1.1 200")) {
            traffic.answered.fetch_add(1, Ordering::Relaxed);
        } else {
            traffic.failed.fetch_add(1, Ordering::Relaxed);
            connection = None;
        }
    }
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
