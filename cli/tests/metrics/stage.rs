//! The roles as processes of their own, and an app.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::sidecar_command::sidecar_command;

/// How long anything may take that has to happen on a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);
const BETWEEN_LOOKS: Duration = Duration::from_millis(20);

/// An app that answers every connection once.
pub(crate) struct App(TcpListener);

impl App {
    pub(crate) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let accepting = listener.try_clone().unwrap();
        thread::spawn(move || {
            for stream in accepting.incoming().map_while(Result::ok) {
                thread::spawn(move || answer(stream));
            }
        });
        Self(listener)
    }

    pub(crate) fn port(&self) -> u16 {
        self.0.local_addr().unwrap().port()
    }
}

fn answer(mut stream: TcpStream) {
    let mut head = BufReader::new(stream.try_clone().unwrap()).lines().map_while(Result::ok);
    if head.any(|line| line.is_empty()) {
        let _ = stream
            .write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok");
    }
}

const CONTROLLER: &[&str] = &["controller", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"];

/// A role that is killed with its test.
pub(crate) struct Role {
    child: Child,
    /// Where it serves.
    pub(crate) address: String,
    /// Where it is asked how it is.
    pub(crate) admin: String,
}

impl Role {
    pub(crate) fn controller() -> Self {
        Self::start(CONTROLLER, &[])
    }

    /// A controller that pushes its metrics to `receiver` every second.
    pub(crate) fn controller_pushing(receiver: &str) -> Self {
        let every_second = ["--metrics-push-interval", "1s", "--metrics-push-batch", "1s"];
        let arguments = [CONTROLLER, &every_second[..]].concat();
        let environment = [
            ("OTEL_EXPORTER_OTLP_METRICS_ENDPOINT", receiver),
            ("OTEL_EXPORTER_OTLP_HEADERS", "authorization=Bearer%20s3cret"),
        ];
        Self::start(&arguments, &environment)
    }

    pub(crate) fn controller_with(secret: &str) -> Self {
        Self::start(CONTROLLER, &[("TIDEGATE_SECRET", secret)])
    }

    /// A view of one site, a controller.
    pub(crate) fn view(controller: &str) -> Self {
        // It is read before the view says where it listens.
        let mut sites = tempfile::NamedTempFile::new().unwrap();
        writeln!(sites, "[here]\ncontroller = \"{controller}\"").unwrap();
        let sites = sites.path().to_str().unwrap();
        let own = ["view", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--sites", sites];
        Self::start(&own, &[])
    }

    pub(crate) fn activator(controller: &str) -> Self {
        Self::activator_in(controller, &[])
    }

    pub(crate) fn activator_with(controller: &str, secret: &str) -> Self {
        Self::activator_in(controller, &[("TIDEGATE_SECRET", secret)])
    }

    fn activator_in(controller: &str, environment: &[(&str, &str)]) -> Self {
        let arguments = [
            "activator",
            "--listen",
            "127.0.0.1:0",
            "--admin",
            "127.0.0.1:0",
            "--default-revision",
            "default/web",
            "--controller",
            controller,
        ];
        Self::start(&arguments, environment)
    }

    pub(crate) fn activator_alone() -> Self {
        let arguments = [
            "activator",
            "--listen",
            "127.0.0.1:0",
            "--admin",
            "127.0.0.1:0",
            "--endpoint",
            "default/web=127.0.0.1:1",
            "--lame-duck",
            "60s",
        ];
        Self::start(&arguments, &[])
    }

    pub(crate) fn sidecar(app: u16, controller: &str) -> Self {
        Self::sidecar_with(app, controller, "")
    }

    pub(crate) fn sidecar_with(app: u16, controller: &str, secret: &str) -> Self {
        let mut command = sidecar_command(app);
        command.envs([
            ("CONTAINER_CONCURRENCY", "10"),
            ("TIDEGATE_CONTROLLER", controller),
            ("TIDEGATE_SECRET", secret),
        ]);
        Self::spawn(command)
    }

    fn start(arguments: &[&str], environment: &[(&str, &str)]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tidegate"));
        command.args(arguments).envs(environment.iter().copied());
        Self::spawn(command)
    }

    fn spawn(mut command: Command) -> Self {
        command.env_remove("TIDEGATE_LOG");
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let stderr = BufReader::new(child.stderr.take().unwrap());
        let (said, heard) = mpsc::channel();
        // Read to the end, or the role would wait for room in the pipe.
        thread::spawn(move || {
            for line in stderr.lines().map_while(Result::ok) {
                let _ = said.send(line);
            }
        });
        let (mut address, mut admin) = (None, None);
        while address.is_none() || admin.is_none() {
            let line = heard.recv_timeout(PATIENCE).expect("it says where it listens");
            let after = |text: &str| line.split_once(text).map(|(_, after)| after.to_owned());
            address = address.or_else(|| after("listening on "));
            admin = admin.or_else(|| after("on http://"));
            if let Ok(line) = serde_json::from_str::<serde_json::Value>(&line)
                && let (Some(main), Some(metrics)) =
                    (line["main"].as_u64(), line["metrics"].as_u64())
            {
                address = Some(format!("127.0.0.1:{main}"));
                admin = Some(format!("127.0.0.1:{metrics}"));
            }
        }
        Self { child, address: address.unwrap(), admin: admin.unwrap() }
    }

    /// The page that Prometheus scrapes, whole.
    #[track_caller]
    pub(crate) fn page(&self) -> String {
        let response = get(&self.admin, "/metrics");
        assert!(response.starts_with("HTTP/1.1 200"), "{response}");
        response.split_once("\r\n\r\n").unwrap().1.to_owned()
    }

    pub(crate) fn until_ready(&self) {
        self.until(|role| get(&role.admin, "/readyz").starts_with("HTTP/1.1 200"));
    }

    #[track_caller]
    pub(crate) fn until(&self, holds: impl Fn(&Self) -> bool) {
        let since = Instant::now();
        while !holds(self) {
            assert!(since.elapsed() < PATIENCE, "it does not come to hold");
            thread::sleep(BETWEEN_LOOKS);
        }
    }

    pub(crate) fn terminate(&self) {
        let pid = Pid::from_child(&self.child);
        kill_process(pid, Signal::TERM).unwrap();
    }
}

impl Drop for Role {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The whole response to a question.
pub(crate) fn get(address: &str, target: &str) -> String {
    ask(address, "GET", target)
}

/// The whole response; empty when there is none.
pub(crate) fn ask(address: &str, method: &str, target: &str) -> String {
    let Ok(mut stream) = TcpStream::connect(address) else { return String::new() };
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let request = format!("{method} {target} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).unwrap();
    let mut response = Vec::new();
    let _ = stream.read_to_end(&mut response);
    String::from_utf8_lossy(&response).into_owned()
}
