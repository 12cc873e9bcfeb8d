//! A role in a process of its own, and what it takes of memory.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Resource, getrlimit, setrlimit};

/// What stands in front of the app.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    Sidecar,
    Activator,
}

pub(crate) struct Stage {
    child: Child,
    port: u16,
    /// Where it listens besides, in the order in which it says so.
    more_ports: Vec<u16>,
    _turn: MutexGuard<'static, ()>,
}

/// All tests share one process and its descriptors, which are few by default.
static TURN: Mutex<()> = Mutex::new(());

/// How long anything may take that has to happen.
const PATIENCE: Duration = Duration::from_secs(30);
/// A peak that has not grown in so many looks has been reached.
const LOOKS: u32 = 10;
const BETWEEN_LOOKS: Duration = Duration::from_millis(50);

/// So many exchanges can be open at a time, or a few thousand: each takes two descriptors here, and
/// two in the process.
pub(crate) fn exchanges_max() -> usize {
    const FEW_THOUSAND: usize = 2500;
    const OTHERS: u64 = 200;
    let mut limits = getrlimit(Resource::Nofile);
    limits.current = limits.maximum;
    setrlimit(Resource::Nofile, limits).unwrap();
    let descriptors = limits.maximum.unwrap_or(u64::MAX).saturating_sub(OTHERS);
    usize::try_from(descriptors / 2).map_or(FEW_THOUSAND, |count| count.min(FEW_THOUSAND))
}

impl Stage {
    pub(crate) fn start(role: Role, app: u16, limit: u32, more: &[(&str, &str)]) -> Stage {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tidegate"));
        Stage::spawn(command_for(&mut command, role, app, limit).envs(more.iter().copied()))
    }

    /// With so many bytes of address space.
    pub(crate) fn start_within(bytes: u64, role: Role, app: u16) -> Stage {
        let mut command = Command::new("prlimit");
        command.arg(format!("--as={bytes}")).arg(env!("CARGO_BIN_EXE_tidegate"));
        Stage::spawn(command_for(&mut command, role, app, 0))
    }

    /// An activator with these flags, which listens at `more` addresses beside the main one.
    pub(crate) fn start_activator(flags: &[&str], more: usize) -> Stage {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tidegate"));
        Stage::spawn_with(command.args(ACTIVATOR).args(flags), more)
    }

    /// The same, with so many descriptors.
    pub(crate) fn start_activator_within(descriptors: u64, flags: &[&str]) -> Stage {
        let mut command = Command::new("prlimit");
        command.arg(format!("--nofile={descriptors}")).arg(env!("CARGO_BIN_EXE_tidegate"));
        Stage::spawn_with(command.args(ACTIVATOR).args(flags), 0)
    }

    fn spawn(command: &mut Command) -> Stage {
        Stage::spawn_with(command, 0)
    }

    fn spawn_with(command: &mut Command, more: usize) -> Stage {
        let turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
        let mut child = command.stderr(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
        let lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let mut lines = lines.map_while(Result::ok);
        let mut announced = lines.by_ref().filter_map(|line| announced_port(&line));
        let port = announced.next().expect("it says where it listens");
        let more_ports = announced.take(more).collect();
        thread::spawn(move || lines.for_each(drop));
        let stage = Stage { child, port, more_ports, _turn: turn };
        // What is allocated with the first request is no attack's.
        stage.until_served();
        stage
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// One of the other ports.
    pub(crate) fn other_port(&self, nth: usize) -> u16 {
        self.more_ports[nth]
    }

    /// Waits until what is at a path has this body.
    pub(crate) fn until_body(&self, path: &str, body: &str) {
        let request = format!("GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
        let since = Instant::now();
        loop {
            let response = self.response_to(request.as_bytes()).unwrap_or_default();
            assert!(response.starts_with("HTTP/1.1 200"), "{response}");
            if response.ends_with(body) {
                return;
            }
            assert!(since.elapsed() < PATIENCE, "{path} never has {body}");
            thread::sleep(BETWEEN_LOOKS);
        }
    }

    /// Whether a request that names this host reaches its app and is answered.
    pub(crate) fn serves(&self, host: &str) -> bool {
        let request = format!("GET / HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
        let response = self.response_to(request.as_bytes());
        response.is_some_and(|response| response.starts_with("HTTP/1.1 200"))
    }

    /// What it takes now, without the pages of the program itself: they come in as its parts are
    /// run for the first time, and a debug build has a hundred megabytes of them.
    pub(crate) fn resident_megabytes(&self) -> u64 {
        self.status("VmRSS:") - self.program_megabytes()
    }

    fn program_megabytes(&self) -> u64 {
        self.status("RssFile:")
    }

    /// The most it has taken so far, once that no longer grows, without the program's pages.
    pub(crate) fn settled_peak_megabytes(&self) -> u64 {
        let mut peak = 0;
        let mut unchanged = 0;
        while unchanged < LOOKS {
            thread::sleep(BETWEEN_LOOKS);
            let now = self.status("VmHWM:");
            unchanged = if now == peak { unchanged + 1 } else { 0 };
            peak = now;
        }
        peak - self.program_megabytes()
    }

    fn status(&self, key: &str) -> u64 {
        let path = format!("/proc/{}/status", self.child.id());
        let status = std::fs::read_to_string(path).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix(key));
        let kibibytes = line.expect("the process is alive").trim().trim_end_matches(" kB");
        kibibytes.parse::<u64>().unwrap() / 1024
    }

    /// Whether a probe gets a response, were it a refusal.
    pub(crate) fn answers(&self) -> bool {
        self.probe().is_some()
    }

    /// Waits until a probe is answered with a success.
    pub(crate) fn until_served(&self) {
        let since = Instant::now();
        while self.probe().is_none_or(|response| !response.starts_with("HTTP/1.1 200")) {
            assert!(since.elapsed() < PATIENCE, "nobody is served any more");
            thread::sleep(BETWEEN_LOOKS);
        }
    }

    fn probe(&self) -> Option<String> {
        const PROBE: &[u8] = b"GET / HTTP/1.1\r\nHost: a\r\nK-Network-Probe: probe\r\n\
                               K-Network-Hash: x\r\nConnection: close\r\n\r\n";
        self.response_to(PROBE)
    }

    fn response_to(&self, request: &[u8]) -> Option<String> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).ok()?;
        stream.set_read_timeout(Some(PATIENCE)).ok()?;
        stream.write_all(request).ok()?;
        let mut response = String::new();
        let _ = stream.read_to_string(&mut response);
        response.starts_with("HTTP/").then_some(response)
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The port in what a role says when it listens.
fn announced_port(line: &str) -> Option<u16> {
    let after = line
        .split_once("\"main\":")
        .or_else(|| line.split_once("listening on 127.0.0.1:"))
        .or_else(|| line.split_once("what connects to 127.0.0.1:"))
        .map(|(_, after)| after)?;
    let digits = after.split(|character: char| !character.is_ascii_digit()).next()?;
    digits.parse().ok()
}

/// An activator, wherever there is room for it.
const ACTIVATOR: [&str; 3] = ["activator", "--listen", "127.0.0.1:0"];

fn command_for(command: &mut Command, role: Role, app: u16, limit: u32) -> &mut Command {
    match role {
        Role::Activator => command
            .args(ACTIVATOR)
            .args(["--default-revision", "d/w"])
            .arg(format!("--endpoint=d/w=127.0.0.1:{app},{limit}")),
        Role::Sidecar => command.arg("queue-proxy").envs([
            ("CONTAINER_CONCURRENCY", limit.to_string()),
            ("USER_PORT", app.to_string()),
            ("QUEUE_SERVING_PORT", "0".into()),
            ("QUEUE_SERVING_TLS_PORT", "0".into()),
            ("REVISION_TIMEOUT_SECONDS", "300".into()),
            ("SERVING_LOGGING_CONFIG", String::new()),
            ("SERVING_LOGGING_LEVEL", "info".into()),
            ("SERVING_NAMESPACE", "d".into()),
            ("SERVING_CONFIGURATION", "w".into()),
            ("SERVING_REVISION", "w-1".into()),
            ("SERVING_POD", "p".into()),
            ("SERVING_POD_IP", "127.0.0.1".into()),
            ("TIDEGATE_ADMIN_PORT", "0".into()),
            ("TIDEGATE_STATS_PORT", "0".into()),
            ("TIDEGATE_LISTEN_HOST", "127.0.0.1".into()),
        ]),
    }
}
