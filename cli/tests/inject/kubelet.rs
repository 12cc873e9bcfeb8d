//! As much of a kubelet as a pod's life needs: the downward API, the order of starts, hooks, the
//! order of ends.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

/// The time between two checks of a condition that is waited for.
const POLL_PERIOD: Duration = Duration::from_millis(5);

/// How long the app works on a request.
const APP_WORK: Duration = Duration::from_millis(3);

pub(crate) const TIDEGATE: &str = env!("CARGO_BIN_EXE_tidegate");

/// How long anything that must happen may take on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// Waits for something that must happen.
pub(crate) fn eventually(what: &str, mut is_so: impl FnMut() -> bool) {
    let begin = Instant::now();
    while !is_so() {
        assert!(begin.elapsed() < PATIENCE, "{what} has not happened");
        std::thread::sleep(POLL_PERIOD);
    }
}

/// Ports that nobody else is given.
pub(crate) fn free_ports<const N: usize>() -> [u16; N] {
    [(); N].map(|()| tidegate_reserved_port::reserve().unwrap().port())
}

/// The manifest of a pod, injected by the binary itself.
pub(crate) fn injected(pod: &Value, flags: &[&str]) -> Value {
    let mut child = Command::new(TIDEGATE)
        .args(["inject", "--image", "registry.example/queue-proxy:0.1.0"])
        .args(flags)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(pod.to_string().as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success());
    serde_json::from_slice(&output.stdout).unwrap()
}

/// A pod whose app listens on this port, injected with a sidecar on ports that are free.
pub(crate) fn pod(app_port: u16, grace_seconds: u64, app: &Value, flags: &[&str]) -> Pod {
    let [main, admin, metrics] = free_ports();
    let ports = [("sidecar-port", main), ("admin-port", admin), ("metrics-port", metrics)];
    let ports = ports.map(|(key, port)| format!("--set={key}={port}"));
    let flags: Vec<&str> = ports.iter().map(String::as_str).chain(flags.iter().copied()).collect();
    let mut container =
        json!({"name": "app", "image": "app", "ports": [{"containerPort": app_port}]});
    for (key, value) in app.as_object().unwrap() {
        container[key] = value.clone();
    }
    let pod = json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "web-1", "namespace": "shop"},
        "spec": {"terminationGracePeriodSeconds": grace_seconds, "containers": [container]},
    });
    Pod { manifest: injected(&pod, &flags), main, admin, metrics }
}

/// A pod that has been injected.
pub(crate) struct Pod {
    pub(crate) manifest: Value,
    pub(crate) main: u16,
    pub(crate) admin: u16,
    pub(crate) metrics: u16,
}

impl Pod {
    fn sidecar(&self) -> &Value {
        &self.manifest["spec"]["initContainers"][0]
    }

    pub(crate) fn app(&self) -> &Value {
        &self.manifest["spec"]["containers"][0]
    }

    /// The sidecar's environment as the kubelet resolves it.
    pub(crate) fn environment(&self) -> Vec<(String, String)> {
        let variables = self.sidecar()["env"].as_array().unwrap().iter();
        let resolved = variables.map(|variable| {
            let value = match variable["valueFrom"]["fieldRef"]["fieldPath"].as_str() {
                Some("metadata.name") => "web-1".to_owned(),
                Some("metadata.namespace") => "shop".to_owned(),
                Some("status.podIP") => "127.0.0.1".to_owned(),
                Some(other) => panic!("the test's kubelet does not know {other}"),
                // A dollar that is doubled is one that nothing is expanded for.
                None => variable["value"].as_str().unwrap().replace("$$(", "$("),
            };
            (variable["name"].as_str().unwrap().to_owned(), value)
        });
        resolved.collect()
    }

    fn command(&self) -> Command {
        let mut command = Command::new(TIDEGATE);
        command
            .arg("queue-proxy")
            .env_clear()
            .envs(self.environment())
            // Every test has the same loopback.
            .env("TIDEGATE_LISTEN_HOST", "127.0.0.1");
        command
    }

    /// Starts the sidecar, and returns when it listens. The app need not wait for that: a startup
    /// probe would keep it for as long as the kubelet takes to ask twice, a second of every start.
    pub(crate) fn start(&self) -> Sidecar {
        assert_eq!(self.sidecar().get("startupProbe"), None);
        let mut child = self.command().stderr(Stdio::piped()).spawn().unwrap();
        let stderr = BufReader::new(child.stderr.take().unwrap());
        // Its log is read to its end, so that it never waits for a reader.
        std::thread::spawn(move || stderr.lines().for_each(drop));
        let mut sidecar = Sidecar { child };
        eventually("the sidecar's start", || {
            assert_eq!(sidecar.child.try_wait().unwrap(), None, "the sidecar has ended");
            TcpStream::connect(("127.0.0.1", self.main)).is_ok()
        });
        sidecar
    }

    /// Asks the sidecar what the kubelet asks it, and returns the status.
    pub(crate) fn readiness(&self) -> u16 {
        let probe = &self.sidecar()["readinessProbe"];
        let get = &probe["httpGet"];
        assert_eq!(get["port"].as_u64(), Some(self.main.into()));
        let mut head = format!("GET {} HTTP/1.1\r\n", get["path"].as_str().unwrap());
        head += "Host: 127.0.0.1\r\nUser-Agent: kube-probe/1.33\r\nConnection: close\r\n";
        for header in get["httpHeaders"].as_array().unwrap() {
            let (name, value) = (&header["name"], &header["value"]);
            head += &format!("{}: {}\r\n", name.as_str().unwrap(), value.as_str().unwrap());
        }
        status(self.main, &head)
    }

    /// Runs the hooks of all containers at once, as the kubelet does when a pod ends; returns when
    /// the app's is done.
    pub(crate) fn run_hooks(&self) {
        let own = &self.sidecar()["lifecycle"]["preStop"]["exec"]["command"];
        assert_eq!(*own, json!(["/queue-proxy", "drain"]));
        let mut own = self.command().arg("drain").spawn().unwrap();
        let of_app = &self.app()["lifecycle"]["preStop"]["httpGet"];
        assert_eq!(of_app["port"].as_u64(), Some(self.admin.into()));
        let head = format!("GET {} HTTP/1.1\r\n", of_app["path"].as_str().unwrap());
        assert_eq!(status(self.admin, &format!("{head}Host: a\r\nConnection: close\r\n")), 200);
        assert!(own.wait().unwrap().success());
    }
}

/// The status of a response; 0 where there is none.
pub(crate) fn status(port: u16, head: &str) -> u16 {
    let Ok(mut stream) = TcpStream::connect(("127.0.0.1", port)) else { return 0 };
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut response = String::new();
    let asked = write!(stream, "{head}\r\n").and_then(|()| stream.read_to_string(&mut response));
    if asked.is_err() {
        return 0;
    }
    response.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0)
}

/// A sidecar that runs; killed when dropped.
pub(crate) struct Sidecar {
    pub(crate) child: Child,
}

impl Sidecar {
    /// Sends it its signal, if it has not ended by itself, and waits for a good end.
    pub(crate) fn end(mut self) {
        if self.child.try_wait().unwrap().is_none() {
            let pid = self.child.id().to_string();
            assert!(Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
        }
        eventually("the sidecar's end", || self.child.try_wait().unwrap().is_some());
        assert_eq!(self.child.try_wait().unwrap().unwrap().code(), Some(0));
    }
}

impl Drop for Sidecar {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// An app that answers `hello` after a few milliseconds, and that ends hard: on its signal it
/// refuses what is new, and drops connections on which nothing is asked.
pub(crate) struct App {
    pub(crate) port: u16,
    ends: Arc<AtomicBool>,
    working: Arc<AtomicUsize>,
    accepting: Option<JoinHandle<()>>,
}

impl App {
    pub(crate) fn start(port: u16) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", port)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let ends = Arc::new(AtomicBool::new(false));
        let working = Arc::new(AtomicUsize::new(0));
        let (ending, busy) = (Arc::clone(&ends), Arc::clone(&working));
        let accepting = std::thread::spawn(move || {
            for stream in listener.incoming() {
                if ending.load(Ordering::SeqCst) {
                    break;
                }
                let (ending, busy) = (Arc::clone(&ending), Arc::clone(&busy));
                std::thread::spawn(move || serve(stream.unwrap(), &ending, &busy));
            }
        });
        Self { port, ends, working, accepting: Some(accepting) }
    }

    /// Its signal: it is gone when this returns.
    pub(crate) fn end(mut self) {
        self.ends.store(true, Ordering::SeqCst);
        // Wakes the listener, which closes.
        let _ = TcpStream::connect(("127.0.0.1", self.port));
        self.accepting.take().unwrap().join().unwrap();
        eventually("the app's end", || self.working.load(Ordering::SeqCst) == 0);
    }
}

fn serve(stream: TcpStream, ends: &AtomicBool, working: &AtomicUsize) {
    stream.set_read_timeout(Some(Duration::from_millis(20))).unwrap();
    let mut writer = stream.try_clone().unwrap();
    let mut reader = BufReader::new(stream);
    let mut head = String::new();
    loop {
        let length = head.len();
        match reader.read_line(&mut head) {
            Ok(0) => return,
            Ok(_) if head.ends_with("\r\n\r\n") => {
                working.fetch_add(1, Ordering::SeqCst);
                std::thread::sleep(APP_WORK);
                let response = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello";
                let written = writer.write_all(response.as_bytes());
                working.fetch_sub(1, Ordering::SeqCst);
                // One that was told to end does not wait for a pause of its clients.
                if written.is_err() || ends.load(Ordering::SeqCst) {
                    return;
                }
                head.clear();
            }
            Ok(_) => {}
            // Nothing has come for a while: a moment to see whether it is all over.
            Err(error) if is_timeout(&error) => {
                if length == 0 && head.is_empty() && ends.load(Ordering::SeqCst) {
                    return;
                }
            }
            Err(_) => return,
        }
    }
}

fn is_timeout(error: &std::io::Error) -> bool {
    matches!(error.kind(), std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut)
}
