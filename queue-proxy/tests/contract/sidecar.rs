//! The built binary, started on free ports.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

/// The time between two checks of a condition that is waited for.
const POLL_PERIOD: Duration = Duration::from_millis(2);

/// How long anything that must happen may take on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// A running sidecar; killed when dropped.
pub(crate) struct Sidecar {
    child: Child,
    pub(crate) ports: Ports,
    pub(crate) stderr: Output,
    pub(crate) stdout: Output,
}

/// Where it listens; 0 is nowhere.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Ports {
    pub(crate) main: u16,
    pub(crate) tls: u16,
    pub(crate) admin: u16,
    pub(crate) stats: u16,
    pub(crate) metrics: u16,
}

/// Lines that the process has written so far.
#[derive(Clone, Default)]
pub(crate) struct Output {
    shared: Arc<(Mutex<Written>, Condvar)>,
}

#[derive(Default)]
struct Written {
    lines: Vec<String>,
    ended: bool,
}

/// A complete environment that differs from Knative's defaults as `changes` say. `-` removes a key.
pub(crate) fn environment(app_port: u16, changes: &[(&str, &str)]) -> BTreeMap<String, String> {
    let app_port = app_port.to_string();
    let defaults = [
        ("CONTAINER_CONCURRENCY", "0"),
        ("QUEUE_SERVING_PORT", "0"),
        ("QUEUE_SERVING_TLS_PORT", "0"),
        ("USER_PORT", &app_port),
        ("REVISION_TIMEOUT_SECONDS", "300"),
        ("SERVING_LOGGING_CONFIG", ""),
        ("SERVING_LOGGING_LEVEL", ""),
        ("SERVING_NAMESPACE", "default"),
        ("SERVING_CONFIGURATION", "web"),
        ("SERVING_REVISION", "web-00001"),
        ("SERVING_POD", "pod-abc"),
        ("SERVING_POD_IP", "10.0.0.9"),
        ("TIDEGATE_LISTEN_HOST", "127.0.0.1"),
        ("TIDEGATE_ADMIN_PORT", "0"),
        ("TIDEGATE_STATS_PORT", "0"),
        ("TIDEGATE_METRICS_PORT", "0"),
        ("TIDEGATE_QUIET_PERIOD_MS", "0"),
        ("TIDEGATE_CERTIFICATE_DIRECTORY", "/nonexistent"),
    ];
    let mut environment: BTreeMap<String, String> =
        defaults.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
    for (key, value) in changes {
        if *value == "-" {
            environment.remove(*key);
        } else {
            environment.insert((*key).to_owned(), (*value).to_owned());
        }
    }
    environment
}

impl Sidecar {
    /// Starts it and waits until it listens.
    pub(crate) fn start(app_port: u16, changes: &[(&str, &str)]) -> Self {
        let mut sidecar = Self::spawn(app_port, changes);
        let line = sidecar.stderr.wait_for("\"message\":\"serving\"");
        let log: serde_json::Value = serde_json::from_str(&line).unwrap();
        let port = |name: &str| u16::try_from(log[name].as_u64().unwrap()).unwrap();
        sidecar.ports = Ports {
            main: port("main"),
            tls: port("tls"),
            admin: port("admin"),
            stats: port("stats"),
            metrics: port("metrics"),
        };
        sidecar
    }

    /// Starts it and does not wait.
    pub(crate) fn spawn(app_port: u16, changes: &[(&str, &str)]) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_queue-proxy"))
            .env_clear()
            .envs(environment(app_port, changes))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let stderr = Output::follow(child.stderr.take().unwrap());
        let stdout = Output::follow(child.stdout.take().unwrap());
        Self { child, ports: Ports::default(), stderr, stdout }
    }

    /// Sends a signal by name.
    pub(crate) fn signal(&self, name: &str) {
        let pid = self.child.id().to_string();
        let status = Command::new("kill").args(["-s", name, &pid]).status().unwrap();
        assert!(status.success());
    }

    /// Waits for its end.
    pub(crate) fn wait(&mut self) -> ExitStatus {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(Instant::now() < deadline, "the sidecar does not end");
            std::thread::sleep(POLL_PERIOD);
        }
    }

    /// Whether it still runs.
    pub(crate) fn is_running(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// A line of `/proc/PID/status` in its own unit.
    pub(crate) fn status_field(&self, field: &str) -> u64 {
        let path = format!("/proc/{}/status", self.child.id());
        let status = std::fs::read_to_string(path).unwrap();
        let line = status.lines().find(|line| line.starts_with(field)).unwrap();
        line.split_whitespace().nth(1).unwrap().parse().unwrap()
    }

    /// Open descriptors.
    pub(crate) fn descriptors(&self) -> usize {
        std::fs::read_dir(format!("/proc/{}/fd", self.child.id())).unwrap().count()
    }
}

impl Drop for Sidecar {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Output {
    fn follow(pipe: impl Read + Send + 'static) -> Self {
        let output = Self::default();
        let shared = output.shared.clone();
        std::thread::spawn(move || {
            for line in BufReader::new(pipe).lines().map_while(Result::ok) {
                shared.0.lock().unwrap().lines.push(line);
                shared.1.notify_all();
            }
            shared.0.lock().unwrap().ended = true;
            shared.1.notify_all();
        });
        output
    }

    /// The first line that contains `text`, once there is one.
    pub(crate) fn wait_for(&self, text: &str) -> String {
        self.wait_for_many(text, 1).remove(0)
    }

    /// The first `count` lines that contain `text`, once there are so many.
    pub(crate) fn wait_for_many(&self, text: &str, count: usize) -> Vec<String> {
        let deadline = Instant::now() + PATIENCE;
        let mut written = self.shared.0.lock().unwrap();
        loop {
            let found: Vec<String> = written
                .lines
                .iter()
                .filter(|line| line.contains(text))
                .take(count)
                .cloned()
                .collect();
            if found.len() == count {
                return found;
            }
            let now = Instant::now();
            assert!(
                now < deadline && !written.ended,
                "no {count} lines with {text:?} in {:#?}",
                written.lines
            );
            written = self.shared.1.wait_timeout(written, deadline - now).unwrap().0;
        }
    }

    /// Everything, once the process has ended.
    pub(crate) fn all(&self) -> String {
        let deadline = Instant::now() + PATIENCE;
        let mut written = self.shared.0.lock().unwrap();
        while !written.ended {
            assert!(Instant::now() < deadline, "the output does not end");
            written = self.shared.1.wait_timeout(written, PATIENCE).unwrap().0;
        }
        written.lines.join("\n")
    }
}
