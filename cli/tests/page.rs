//! The page of a controller and of a run: where it is, who is told, and what is said of it.

#![expect(clippy::unwrap_used, reason = "what cannot be had fails the test")]

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

/// How long anything may take that has to happen on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

const SECRET: &str = "S3CRET-0123456789abcdef";

/// The program, and what it says on both outputs.
struct Running {
    child: Child,
    lines: Receiver<String>,
    said: Vec<String>,
}

impl Running {
    fn start(arguments: &[&str], environment: &[(&str, &str)]) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_tidegate"))
            .args(arguments)
            .envs(environment.iter().copied())
            .env_remove("TIDEGATE_LOG")
            .env_remove("TIDEGATE_ADMIN")
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let (say, lines) = channel();
        let (stdout, stderr) = (child.stdout.take().unwrap(), child.stderr.take().unwrap());
        let outputs: [Box<dyn std::io::Read + Send>; 2] = [Box::new(stdout), Box::new(stderr)];
        for output in outputs {
            let say = say.clone();
            std::thread::spawn(move || {
                for line in BufReader::new(output).lines().map_while(Result::ok) {
                    let _ = say.send(line);
                }
            });
        }
        Self { child, lines, said: Vec::new() }
    }

    /// What stands behind `text` in the first line that has it.
    #[track_caller]
    fn after(&mut self, text: &str) -> String {
        loop {
            let line = self.lines.recv_timeout(PATIENCE).expect(text);
            self.said.push(line.clone());
            if let Some((_, after)) = line.split_once(text) {
                return after.to_owned();
            }
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The whole response.
fn ask(address: &str, request: &str, fields: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let host = format!("Host: {address}\r\nOrigin: http://{address}\r\nConnection: close\r\n");
    stream.write_all(format!("{request} HTTP/1.1\r\n{host}{fields}\r\n").as_bytes()).unwrap();
    let mut response = Vec::new();
    let _ = stream.read_to_end(&mut response);
    String::from_utf8_lossy(&response).into_owned()
}

const CONTROLLER: [&str; 5] = ["controller", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"];

#[test]
fn a_controller_has_it_on_its_admin_address() {
    let mut controller = Running::start(&CONTROLLER, &[]);
    let url = controller.after("a page in a browser at http://");
    let address = url.strip_suffix("/page").unwrap();
    assert!(ask(address, "GET /page", "").starts_with("HTTP/1.1 200"));
    let about = ask(address, "GET /page/about", "");
    assert!(about.contains("\"signed_in\":true") && about.contains("\"orders\":null"), "{about}");
    assert!(ask(address, "GET /metrics", "").contains("tidegate_controller_revisions"));
    assert!(ask(address, "GET /healthz", "").ends_with("ok\n"));
}

#[test]
fn with_a_secret_nothing_is_told_without_it() {
    let mut controller = Running::start(&CONTROLLER, &[("TIDEGATE_SECRET", SECRET)]);
    let url = controller.after("a page in a browser at http://");
    let address = url.strip_suffix("/page").unwrap();
    assert!(ask(address, "GET /page/events", "").starts_with("HTTP/1.1 401"));
    let shown = format!("Authorization: Bearer {SECRET}\r\n");
    let signed_in = ask(address, "POST /page/sign-in", &shown);
    assert!(signed_in.contains("\"session\""), "{signed_in}");
    assert!(!controller.said.iter().any(|line| line.contains(SECRET)));
}

#[test]
fn on_an_address_that_is_open_there_is_none_without_a_secret() {
    let arguments = ["controller", "--listen", "127.0.0.1:0", "--admin", "0.0.0.0:0"];
    let mut controller = Running::start(&arguments, &[]);
    let admin = controller.after("metrics and health on http://");
    assert!(controller.after("no page: ").contains("--secret-file"));
    let address = admin.replace("0.0.0.0", "127.0.0.1");
    assert!(ask(&address, "GET /page", "").starts_with("HTTP/1.1 404"));
    let mut known = Running::start(&arguments, &[("TIDEGATE_SECRET", SECRET)]);
    known.after("a page in a browser at http://");
}

#[test]
fn orders_are_taken_where_they_are_switched_on() {
    let arguments = [&CONTROLLER[..], &["--page-orders", "--page-host", "page.example"]].concat();
    let mut controller = Running::start(&arguments, &[]);
    let url = controller.after("a page in a browser at http://");
    let address = url.strip_suffix("/page").unwrap();
    let about = ask(address, "GET /page/about", "");
    assert!(about.contains("\"orders\":\""), "{about}");
    let without = Command::new(env!("CARGO_BIN_EXE_tidegate"))
        .args(["controller", "--page-orders"])
        .env_remove("TIDEGATE_ADMIN")
        .output()
        .unwrap();
    assert_eq!(without.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&without.stderr).contains("--admin"));
}

#[test]
fn a_run_prints_a_link_that_is_good_once() {
    let app = env!("CARGO_BIN_EXE_tidegate");
    let arguments = ["run", "--listen", "0", "--page", "0", "--name", "web", "--", app, "demo"];
    let arguments = [&arguments[..], &["--app", "--start-up", "0ms"]].concat();
    let mut run = Running::start(&arguments, &[]);
    let link = run.after("good once: http://");
    let (address, link) = link.split_once("/page#link=").unwrap();
    assert!(ask(address, "GET /page/events", "").starts_with("HTTP/1.1 401"));
    let shown = format!("Authorization: Bearer {link}\r\n");
    assert!(ask(address, "POST /page/sign-in", &shown).starts_with("HTTP/1.1 200"));
    assert!(ask(address, "POST /page/sign-in", &shown).starts_with("HTTP/1.1 401"));
}

#[test]
fn services_of_a_file_have_one_page_with_their_routes() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("tidegate.toml");
    let app = env!("CARGO_BIN_EXE_tidegate");
    let command = format!("command = [\"{app}\", \"demo\", \"--app\", \"--start-up\", \"0ms\"]");
    let text = format!("[service.web]\n{command}\n[service.api]\n{command}\npath = \"/api\"\n");
    std::fs::write(&file, text).unwrap();
    let file = file.display().to_string();
    let mut up = Running::start(&["up", "-f", &file, "--listen", "0", "--page", "0"], &[]);
    let link = up.after("good once: http://");
    let (address, link) = link.split_once("/page#link=").unwrap();
    assert!(ask(address, "GET /page/events", "").starts_with("HTTP/1.1 401"));
    let shown = format!("Authorization: Bearer {link}\r\n");
    let signed_in = ask(address, "POST /page/sign-in", &shown);
    let session = signed_in.split("\"session\":\"").nth(1).unwrap().split('"').next().unwrap();
    let shown = format!("Authorization: Bearer {session}\r\n");
    assert!(ask(address, "GET /page/about", &shown).contains("tidegate.toml"));
    for (view, expected) in [("fleet", "web-00001"), ("routes", "web.localhost")] {
        let told = first_event(address, &format!("/page/events?view={view}"), &shown);
        assert!(told.contains(expected), "{view}: {told}");
        assert!(told.contains("api-00001"), "{view}: {told}");
    }
}

/// What is told first, of a stream that has no end.
fn first_event(address: &str, path: &str, fields: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let host = format!("Host: {address}\r\nOrigin: http://{address}\r\n");
    stream.write_all(format!("GET {path} HTTP/1.1\r\n{host}{fields}\r\n").as_bytes()).unwrap();
    let mut told = Vec::new();
    let mut buffer = [0; 4_096];
    while !String::from_utf8_lossy(&told).contains("api-00001") {
        match stream.read(&mut buffer).unwrap() {
            0 => break,
            read => told.extend_from_slice(&buffer[..read]),
        }
    }
    String::from_utf8_lossy(&told).into_owned()
}

#[test]
fn a_run_whose_output_nobody_reads_has_none_unless_asked() {
    let app = env!("CARGO_BIN_EXE_tidegate");
    let arguments = ["run", "--listen", "0", "--", app, "demo", "--app", "--start-up", "0ms"];
    let mut run = Running::start(&arguments, &[]);
    run.after("is ready");
    assert!(!run.said.iter().any(|line| line.contains("in a browser")), "{:?}", run.said);
}
