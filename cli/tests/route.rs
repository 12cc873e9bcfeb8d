//! Routes through the roles: a file that is followed, a controller that is asked and ordered, and
//! what it keeps over a restart.

#![expect(clippy::unwrap_used, reason = "what cannot be run fails the test")]

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

/// The time between two checks of a condition that is waited for.
const POLL_PERIOD: Duration = Duration::from_millis(50);

/// How long a change may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

const TIDEGATE: &str = env!("CARGO_BIN_EXE_tidegate");

/// A role that runs, and where it listens. Killed when dropped.
struct Role {
    child: Child,
    address: String,
}

impl Role {
    fn start(args: &[&str]) -> Self {
        let mut child = Command::new(TIDEGATE)
            .args(args)
            .args(["--listen", "127.0.0.1:0", "--log", "off"])
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let address = lines
            .by_ref()
            .map(|line| line.unwrap())
            .find_map(|line| line.split_once("listening on ").map(|(_, at)| at.to_owned()))
            .unwrap();
        // Its output must be read on, or it would block.
        std::thread::spawn(move || lines.for_each(drop));
        Self { child, address }
    }
}

impl Drop for Role {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// An app that says its name.
fn app(name: &'static str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            let mut request = [0; 4_096];
            if stream.read(&mut request).is_ok_and(|bytes| bytes > 0) {
                let head = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\n";
                let _ = stream.write_all(format!("{head}{name}").as_bytes());
            }
        }
    });
    address
}

fn get(address: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").unwrap();
    let mut response = String::new();
    stream.read_to_string(&mut response).unwrap();
    response
}

/// Waits until something is said.
fn until(what: &str, mut say: impl FnMut() -> String) -> String {
    let begun = Instant::now();
    loop {
        let said = say();
        if said.contains(what) {
            return said;
        }
        assert!(begun.elapsed() < PATIENCE, "it never said {what:?}, but: {said}");
        std::thread::sleep(POLL_PERIOD);
    }
}

#[test]
fn an_activator_follows_its_file() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("routes.toml");
    fs::write(&file, "[route.a]\nto = 'v1'\n").unwrap();
    let endpoints = [app("v1"), app("v2")];
    let [one, two] = [1, 2].map(|n| format!("default/v{n}={}", endpoints[n - 1]));
    let path = file.to_str().unwrap();
    let activator =
        Role::start(&["activator", "--routes", path, "--endpoint", &one, "--endpoint", &two]);
    assert!(get(&activator.address).ends_with("v1"));
    fs::write(&file, "[route.a]\nsplit = { v1 = 0, v2 = 99 } # a mistake\n").unwrap();
    fs::write(&file, "[route.a]\nsplit = { v1 = 0, v2 = 100 } # mended\n").unwrap();
    until("v2", || get(&activator.address));
    // One that is no routes is a mistake at the start.
    fs::write(&file, "[route.a]\nrollout = { from = 'v1', to = 'v2', over = '1m' }\n").unwrap();
    let output = tidegate(&["activator", "--routes", path, "--endpoint", &one]);
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("tidegate controller --routes"), "{}", stderr(&output));
}

fn tidegate(args: &[&str]) -> Output {
    Command::new(TIDEGATE).args(args).stdin(Stdio::null()).output().unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn controller(file: &Path, state: &Path) -> Role {
    let (file, state) = (file.to_str().unwrap(), state.to_str().unwrap());
    Role::start(&[
        "controller",
        "--routes",
        file,
        "--rollout-state",
        state,
        "--revision",
        "default/v1",
        "--revision",
        "default/v2",
    ])
}

#[test]
fn a_rollout_is_shown_ordered_and_kept_over_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let (file, state) = (folder.path().join("routes.toml"), folder.path().join("state"));
    let text = "[route.shop]\nhosts = ['shop.example.com']\n\
                [route.shop.rollout]\nfrom = 'v1'\nto = 'v2'\n\
                steps = [{ percent = 10, hold = '5m' }]\n\
                [route.health]\nexact = '/health'\nanswer = { body = 'ok' }\n";
    fs::write(&file, text).unwrap();
    let running = controller(&file, &state);
    let route = |args: &[&str]| {
        let controller = ["--controller", running.address.as_str()];
        tidegate(&[&["route"], args, &controller].concat())
    };
    let told = |args: &[&str]| {
        let output = route(args);
        assert!(output.status.success(), "{}", stderr(&output));
        String::from_utf8(output.stdout).unwrap()
    };
    let shown = until("Progressing", || told(&[]));
    assert!(shown.contains("shop  shop.example.com  /*"), "{shown}");
    assert!(shown.contains("default/v2      10 %"), "{shown}");
    assert!(shown.contains("health  *  /health\n  answered with 200"), "{shown}");
    assert!(told(&["pause", "shop"]).contains("Paused: Paused at 10 %"));
    assert!(told(&["promote", "shop"]).contains("default/v2     100 %"));
    assert!(told(&["abort", "shop", "--json"]).contains(r#""phase":"aborted""#));
    for (args, code, part) in [
        (&["resume", "shop"][..], 1, "has ended: it can be begun anew by `restart`"),
        (&["abort", "shpo"], 1, "there is no route \"shpo\" here: the routes are health, shop"),
        (&["show", "shpo"], 1, "did you mean `shop`?"),
        (&["abort", "health"], 1, "has no rollout"),
        (&["abort"], 2, "say which route"),
        (&["set", "shop"], 2, "say the shares"),
        (&["set", "shop", "v1=99"], 1, "add up to 99 %, expected 100 %"),
        (&["set", "shop", "v1=0.05"], 2, "in steps of 0.1"),
        (&["abort", "shop", "v1=100"], 2, "shares are given to `set` only"),
    ] {
        let output = route(args);
        assert_eq!(output.status.code(), Some(code), "{args:?}: {}", stderr(&output));
        assert!(stderr(&output).contains(part), "{args:?}: {}", stderr(&output));
    }
    assert!(told(&["set", "shop", "v1=99.9", "v2=0.1"]).contains("default/v2     0.1 %"));
    until("aborted", || fs::read_to_string(&state).unwrap_or_default());
    drop(running);
    let again = controller(&file, &state);
    let asked = ["route", "--controller", again.address.as_str()];
    until("Aborted: All requests go to the stable revision", || {
        String::from_utf8(tidegate(&asked).stdout).unwrap()
    });
}

/// SIGHUP ended an activator and a controller, where it has other servers read their files again.
#[test]
fn a_hangup_ends_no_role() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("routes.toml");
    let says = |text: &str| format!("[route.a]\nanswer = {{ body = \"{text}\" }}\n");
    fs::write(&file, says("before")).unwrap();
    let routes = file.to_str().unwrap();
    let mut controller = Role::start(&["controller", "--routes", routes]);
    let endpoint = "default/web=127.0.0.1:1";
    let mut activator = Role::start(&["activator", "--routes", routes, "--endpoint", endpoint]);
    assert!(get(&activator.address).ends_with("before"));
    fs::write(&file, says("after")).unwrap();
    for role in [&mut controller, &mut activator] {
        let id = rustix::process::Pid::from_raw(role.child.id().cast_signed()).unwrap();
        for _ in 0..3 {
            rustix::process::kill_process(id, rustix::process::Signal::HUP).unwrap();
        }
    }
    until("after", || get(&activator.address));
    for role in [&mut controller, &mut activator] {
        assert_eq!(role.child.try_wait().unwrap(), None, "it runs");
    }
}
