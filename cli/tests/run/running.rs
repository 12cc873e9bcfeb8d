//! A `tidegate run` that runs, seen from outside.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Nothing here takes this long unless it hangs, on however busy a machine.
const PATIENCE: Duration = Duration::from_secs(90);

pub(crate) struct Running {
    child: Child,
    /// Tells the processes of this run from all others: they inherit it.
    mark: String,
    output: Arc<Mutex<String>>,
    reader: Option<JoinHandle<()>>,
}

impl Running {
    pub(crate) fn start(arguments: Vec<String>) -> Self {
        let unique = Instant::now();
        let mark = format!("{}-{unique:?}", std::process::id());
        let mut child = Command::new(env!("CARGO_BIN_EXE_tidegate"))
            .arg("run")
            .args(arguments)
            .env("TIDEGATE_TEST", &mark)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .spawn()
            .expect("the program starts");
        let stdout = child.stdout.take().expect("it is piped");
        let output = Arc::new(Mutex::new(String::new()));
        let sink = Arc::clone(&output);
        let reader = std::thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                let mut sink = sink.lock().expect("not poisoned");
                sink.push_str(&line);
                sink.push('\n');
            }
        });
        Self { child, mark, output, reader: Some(reader) }
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
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Where it listens, as it printed.
    pub(crate) fn address(&mut self) -> String {
        self.wait_for("on http://");
        let output = self.output();
        let rest = output.split("on http://").nth(1).expect("just seen");
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
    /// one from the front door besides the one to the controller.
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
            std::thread::sleep(Duration::from_millis(5));
        };
        if let Some(reader) = self.reader.take() {
            reader.join().expect("the reader ends");
        }
        status.code()
    }

    /// Processes that this run started and that are still there, itself and its guard left out.
    pub(crate) fn descendants(&self) -> Vec<u32> {
        let ours = self.child.id();
        processes()
            .into_iter()
            .filter(|pid| {
                let environment = std::fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
                let mark = format!("TIDEGATE_TEST={}", self.mark);
                let sidecar_of_us = || {
                    let parent = std::fs::read_to_string(format!("/proc/{pid}/stat"));
                    let parent = parent.unwrap_or_default();
                    let fields = parent.rsplit(") ").next().unwrap_or_default();
                    fields.split_whitespace().nth(1) == Some(&ours.to_string())
                };
                let entries: Vec<&[u8]> = environment.split(|byte| *byte == 0).collect();
                let is_app = entries.contains(&mark.as_bytes());
                let is_marked = entries.iter().any(|entry| entry.starts_with(b"TIDEGATE_RUN="));
                *pid != ours && is_marked && (is_app || sidecar_of_us())
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
    let sent = Command::new("sh").args(["-c", &format!("kill -s {signal} {pid}")]).status();
    assert!(sent.expect("a shell is everywhere").success(), "{pid} is not there");
}

pub(crate) fn wait_until(what: &str, mut is_so: impl FnMut() -> bool) {
    let start = Instant::now();
    while !is_so() {
        assert!(start.elapsed() < PATIENCE, "in vain: {what}");
        std::thread::sleep(Duration::from_millis(5));
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
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    write!(stream, "GET / HTTP/1.1\r\nHost: app\r\nConnection: close\r\n\r\n")?;
    let mut text = String::new();
    stream.read_to_string(&mut text)?;
    let head = text.split("\r\n\r\n").next().unwrap_or_default().to_owned();
    let status = head.split_whitespace().nth(1).and_then(|status| status.parse().ok());
    status
        .map(|status| Answer { status, head })
        .ok_or_else(|| std::io::Error::other(format!("no answer: {text:?}")))
}
