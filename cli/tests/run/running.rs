//! A `tidegate run`, or another verb that serves, as it runs, seen from outside.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// The time between two checks of a condition that is waited for.
const POLL_PERIOD: Duration = Duration::from_millis(5);

/// Nothing here takes this long unless it hangs, on however busy a machine.
const PATIENCE: Duration = Duration::from_secs(90);

pub(crate) struct Running {
    child: Child,
    /// Tells the processes of this run from all others: they inherit it.
    mark: String,
    output: Arc<Mutex<String>>,
    readers: Vec<JoinHandle<()>>,
}

impl Running {
    pub(crate) fn start(arguments: Vec<String>) -> Self {
        Self::spawn(("run", arguments), Shown::Stdout, &[])
    }

    /// With more in its environment.
    pub(crate) fn start_with(arguments: Vec<String>, variables: &[(&str, &str)]) -> Self {
        Self::spawn(("run", arguments), Shown::Stdout, variables)
    }

    /// With what goes to standard error as part of the output.
    pub(crate) fn start_with_stderr(arguments: Vec<String>) -> Self {
        Self::spawn(("run", arguments), Shown::Both, &[])
    }

    /// Another verb.
    #[allow(dead_code, reason = "what `run` is tested with needs no other")]
    pub(crate) fn start_verb(
        verb: &'static str,
        arguments: Vec<String>,
        variables: &[(&str, &str)],
    ) -> Self {
        Self::spawn((verb, arguments), Shown::Both, variables)
    }

    fn spawn(
        (verb, arguments): (&'static str, Vec<String>),
        shown: Shown,
        variables: &[(&str, &str)],
    ) -> Self {
        let unique = Instant::now();
        let mark = format!("{}-{unique:?}", std::process::id());
        let mut child = Command::new(env!("CARGO_BIN_EXE_tidegate"))
            .arg(verb)
            .args(arguments)
            .env("TIDEGATE_TEST", &mark)
            .envs(variables.iter().copied())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(if shown == Shown::Both { Stdio::piped() } else { Stdio::inherit() })
            .spawn()
            .expect("the program starts");
        let output = Arc::new(Mutex::new(String::new()));
        let stdout = child.stdout.take().expect("it is piped");
        let mut readers = vec![read(stdout, &output)];
        readers.extend(child.stderr.take().map(|stderr| read(stderr, &output)));
        Self { child, mark, output, readers }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn is_parent_of(&self, pid: u32) -> bool {
        parent_of(pid) == Some(self.pid())
    }

    /// The process of this name that the run started.
    pub(crate) fn child_called(&self, name: &str) -> u32 {
        wait_until("the process is there", || !self.children_called(name).is_empty());
        self.children_called(name)[0]
    }

    pub(crate) fn children_called(&self, name: &str) -> Vec<u32> {
        processes()
            .into_iter()
            .filter(|pid| self.is_parent_of(*pid) && name_of(*pid) == name)
            .collect()
    }

    /// The launchers that stand ready.
    pub(crate) fn ready_launchers(&self) -> Vec<u32> {
        let all = processes().into_iter();
        all.filter(|pid| self.is_parent_of(*pid) && stands_ready(*pid)).collect()
    }

    /// The launcher that stands ready, once it is in its group.
    pub(crate) fn ready_launcher(&self) -> u32 {
        let find = || self.ready_launchers().into_iter().find(|pid| group_of(*pid).is_some());
        wait_until("a launcher stands ready", || find().is_some());
        find().expect("it stands")
    }

    /// Everything printed so far.
    pub(crate) fn output(&self) -> String {
        self.output.lock().expect("not poisoned").clone()
    }

    pub(crate) fn wait_for(&mut self, text: &str) {
        let start = Instant::now();
        while !self.output().contains(text) {
            let ended = self.child.try_wait().expect("it is ours");
            let late = start.elapsed() > PATIENCE;
            assert!(!late && ended.is_none(), "no {text:?} ({ended:?}) in:\n{}", self.output());
            std::thread::sleep(POLL_PERIOD);
        }
    }

    /// Where it listens, as it printed.
    pub(crate) fn address(&mut self) -> String {
        self.address_behind("on http://")
    }

    /// The address that is printed behind these words.
    pub(crate) fn address_behind(&mut self, words: &str) -> String {
        self.wait_for(words);
        let output = self.output();
        let rest = output.split(words).nth(1).expect("just seen");
        rest.split_whitespace().next().expect("an address").to_owned()
    }

    /// The process id that the first app printed.
    pub(crate) fn app_pid(&mut self) -> u32 {
        self.wait_for("-1 | pid ");
        let output = self.output();
        let rest = output.split("-1 | pid ").nth(1).expect("just seen");
        rest.lines().next().and_then(|pid| pid.trim().parse().ok()).expect("a number")
    }

    /// Waits until an instance has a request, which shows in its sidecar's connections: there is
    /// one from the activator besides the one to the controller.
    pub(crate) fn wait_for_request(&mut self) {
        let address = self.address();
        let port: u16 = address.rsplit(':').next().and_then(|p| p.parse().ok()).expect("a port");
        wait_until("the request is there", || {
            let table = std::fs::read_to_string("/proc/net/tcp").unwrap_or_default();
            let local = format!(":{port:04X} ");
            // State 01 is an established connection.
            table.lines().any(|line| {
                line.split_whitespace().nth(1).is_some_and(|l| format!("{l} ").ends_with(&local))
                    && line.split_whitespace().nth(3) == Some("01")
            })
        });
    }

    pub(crate) fn signal(&self, name: &str) {
        kill(self.child.id(), name);
    }

    pub(crate) fn wait_for_exit(&mut self) -> Option<i32> {
        let start = Instant::now();
        let status = loop {
            if let Some(status) = self.child.try_wait().expect("it is ours") {
                break status;
            }
            assert!(start.elapsed() < PATIENCE, "it does not end:\n{}", self.output());
            std::thread::sleep(POLL_PERIOD);
        };
        for reader in self.readers.drain(..) {
            reader.join().expect("the reader ends");
        }
        status.code()
    }

    /// Processes that this run started and that are still there: itself, its guard and the launcher
    /// that stands ready are left out.
    pub(crate) fn descendants(&self) -> Vec<u32> {
        let ours = self.child.id();
        processes()
            .into_iter()
            .filter(|pid| {
                let environment = std::fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
                let mark = format!("TIDEGATE_TEST={}", self.mark);
                let entries: Vec<&[u8]> = environment.split(|byte| *byte == 0).collect();
                let is_app = entries.contains(&mark.as_bytes());
                let is_marked = entries.iter().any(|entry| entry.starts_with(b"TIDEGATE_RUN="));
                let is_part = is_marked && (is_app || self.is_parent_of(*pid));
                *pid != ours && is_part && !stands_ready(*pid)
            })
            .collect()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // A test that failed must not leave anything behind; the guard ends the rest.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Which streams make the output.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Shown {
    Stdout,
    Both,
}

fn read(from: impl Read + Send + 'static, output: &Arc<Mutex<String>>) -> JoinHandle<()> {
    let sink = Arc::clone(output);
    std::thread::spawn(move || {
        for line in BufReader::new(from).lines().map_while(Result::ok) {
            let mut sink = sink.lock().expect("not poisoned");
            sink.push_str(&line);
            sink.push('\n');
        }
    })
}

fn parent_of(pid: u32) -> Option<u32> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat.rsplit(") ").next()?.split_whitespace().nth(1)?.parse().ok()
}

/// The name of a launcher's process, for as long as it stands ready.
const LAUNCHER: &str = "tg-launch";

/// Whether a process is a launcher that has not become an app.
pub(crate) fn stands_ready(pid: u32) -> bool {
    let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    line.split(|byte| *byte == 0).next() == Some(LAUNCHER.as_bytes())
}

/// The folder of the control group that a process is in, if it is one of a run.
pub(crate) fn group_of(pid: u32) -> Option<PathBuf> {
    let mounts = std::fs::read_to_string("/proc/self/mounts").ok()?;
    let mount = mounts.lines().find(|line| line.contains(" cgroup2 "))?.split(' ').nth(1)?;
    let groups = std::fs::read_to_string(format!("/proc/{pid}/cgroup")).ok()?;
    let group = groups.lines().find_map(|line| line.strip_prefix("0::/"))?;
    group.contains("tidegate-").then(|| Path::new(mount).join(group))
}

/// What the kernel calls a process.
pub(crate) fn name_of(pid: u32) -> String {
    let name = std::fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
    name.trim_end().to_owned()
}

fn processes() -> Vec<u32> {
    let entries = std::fs::read_dir("/proc").expect("this is Linux").flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect()
}

/// Whether a process runs. One that has ended and was not waited for yet does not.
pub(crate) fn is_alive(pid: u32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit(") ").next().is_some_and(|rest| !rest.is_empty() && !rest.starts_with('Z'))
}

pub(crate) fn kill(pid: u32, signal: &str) {
    kill_all(&[pid], signal);
}

/// Signals all of them in one call of the shell.
pub(crate) fn kill_all(pids: &[u32], signal: &str) {
    let pids: Vec<String> = pids.iter().map(u32::to_string).collect();
    let command = format!("kill -s {signal} {}", pids.join(" "));
    let sent = Command::new("sh").args(["-c", &command]).status();
    assert!(sent.expect("a shell is everywhere").success(), "{pids:?} are not there");
}

pub(crate) fn wait_until(what: &str, mut is_so: impl FnMut() -> bool) {
    let start = Instant::now();
    while !is_so() {
        assert!(start.elapsed() < PATIENCE, "in vain: {what}");
        std::thread::sleep(POLL_PERIOD);
    }
}

pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: String,
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| {
            let (found, value) = line.split_once(':')?;
            found.eq_ignore_ascii_case(name).then_some(value.trim())
        })
    }
}

/// One request over a connection of its own.
pub(crate) fn get(address: &str) -> std::io::Result<Answer> {
    let text = get_text(address)?;
    let head = text.split("\r\n\r\n").next().unwrap_or_default().to_owned();
    let status = head.split_whitespace().nth(1).and_then(|status| status.parse().ok());
    status
        .map(|status| Answer { status, head })
        .ok_or_else(|| std::io::Error::other(format!("no response: {text:?}")))
}

/// Sends that request; what is returned is its client, which leaves when it is dropped.
pub(crate) fn ask(address: &str) -> std::io::Result<TcpStream> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    write!(stream, "GET / HTTP/1.1\r\nHost: app\r\nConnection: close\r\n\r\n")?;
    Ok(stream)
}

/// The same, with the response as it came.
pub(crate) fn get_text(address: &str) -> std::io::Result<String> {
    let mut stream = ask(address)?;
    let mut text = String::new();
    stream.read_to_string(&mut text)?;
    Ok(text)
}
