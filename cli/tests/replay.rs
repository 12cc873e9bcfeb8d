//! `tidegate replay` against a real server: everything of a trace is sent, each revision's requests
//! go where they should, and what comes of them decides the exit code.

#![expect(clippy::unwrap_used, reason = "what cannot be run fails the test")]

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Command, Output, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::Value;

/// The time between two looks at what is waited for.
const POLL_PERIOD: Duration = Duration::from_millis(10);

const TIDEGATE: &str = env!("CARGO_BIN_EXE_tidegate");

/// How often each path was asked for.
type Asked = Arc<Mutex<BTreeMap<String, usize>>>;

/// A server that answers 503 below `/broken` and 200 elsewhere, and counts.
fn serve() -> (SocketAddr, Asked) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let (address, asked) = (listener.local_addr().unwrap(), Asked::default());
    let counted = Arc::clone(&asked);
    std::thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let counted = Arc::clone(&counted);
            std::thread::spawn(move || answer(stream, &counted));
        }
    });
    (address, asked)
}

/// Answers the requests of one connection; they have no bodies.
fn answer(mut stream: TcpStream, asked: &Asked) {
    let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
    while let Some(Ok(first)) = lines.next() {
        while lines.next().is_some_and(|line| line.is_ok_and(|line| !line.is_empty())) {}
        let path = first.split(' ').nth(1).unwrap_or_default().to_owned();
        let status = if path.starts_with("/broken") { "503 Sorry" } else { "200 OK" };
        *asked.lock().unwrap().entry(path).or_default() += 1;
        if write!(stream, "HTTP/1.1 {status}\r\ncontent-length: 2\r\n\r\nok").is_err() {
            return;
        }
    }
}

fn replay(args: &[&str]) -> Output {
    Command::new(TIDEGATE).arg("replay").args(args).output().unwrap()
}

fn figures(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|_| panic!("{}", String::from_utf8_lossy(&output.stderr)))
}

/// Rows of two revisions: `web` with 30 requests and `api` with 10, within 400 ms.
fn trace(folder: &tempfile::TempDir) -> String {
    let rows = (0..40).map(|at| {
        let revision = if at % 4 == 0 { "api" } else { "web" };
        format!("{:.3},0.010,{revision}\n", f64::from(at) * 0.01)
    });
    let path = folder.path().join("trace.csv");
    let text: String =
        std::iter::once("arrival_s,service_s,revision\n".to_owned()).chain(rows).collect();
    fs::write(&path, text).unwrap();
    path.display().to_string()
}

#[test]
fn each_revision_goes_where_it_should_and_is_told_apart() {
    let folder = tempfile::tempdir().unwrap();
    let (address, asked) = serve();
    let (web, api) = (format!("http://{address}/web"), format!("api=http://{address}/broken"));
    let trace = trace(&folder);
    let hgrm = folder.path().join("latency.hgrm");
    let curve = hgrm.display().to_string();
    let args =
        [&trace, "--to", &web, "--to", &api, "--speed", "4x", "--json", "-", "--hgrm", &curve];
    let output = replay(&args);
    let seen = figures(&output);
    assert_eq!(output.status.code(), Some(0), "no share of failures was bounded");
    let expected = BTreeMap::from([("/broken".to_owned(), 10), ("/web".to_owned(), 30)]);
    assert_eq!(*asked.lock().unwrap(), expected);
    assert_eq!(seen["statuses"], serde_json::json!({ "200": 30, "503": 10 }));
    assert_eq!((&seen["sent"], &seen["failed"]), (&40.into(), &10.into()));
    assert_eq!(seen["targets"][1]["revision"], "api");
    assert_eq!(seen["targets"][1]["failed"], 10);
    assert_eq!(seen["latency_ms"]["count"], 40);
    let curve = fs::read_to_string(hgrm).unwrap();
    assert!(curve.contains("Total count    =           40]"), "{curve}");
}

#[test]
fn too_many_failures_are_a_failure() {
    let (address, _) = serve();
    let broken = format!("http://{address}/broken");
    let play = |most| {
        let made = ["--arrivals", "times:0,10ms", "--to", &broken, "--fail-above", most];
        replay(&made).status.code()
    };
    assert_eq!(play("99%"), Some(1));
    assert_eq!(play("100%"), Some(0));
}

#[test]
fn what_cannot_be_sent_is_told_before_anything_is() {
    let folder = tempfile::tempdir().unwrap();
    let (address, asked) = serve();
    let (good, trace) = (format!("http://{address}/"), trace(&folder));
    let only_web = format!("web={good}");
    let cases: [(&[&str], &str); 7] = [
        (&[&trace], "--to"),
        (&[&trace, "--to", "127.0.0.1:80"], "expected a URL such as"),
        (&["--to", &good], "expected traffic"),
        (&[&trace, "--to", &good, "--to", &good], "expected one URL for what no other is for"),
        (&[&trace, "--to", &good, "--method", "G T"], "expected a method"),
        (&[&trace, "--to", &good, "-H", "nothing"], "expected a header"),
        (&[&trace, "--to", &only_web], "requests of \"api\", and no --to says where they go"),
    ];
    for (args, why) in cases {
        let output = replay(args);
        let told = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{args:?}: {told}");
        assert!(told.contains(why), "{args:?}: {told}");
    }
    assert!(asked.lock().unwrap().values().sum::<usize>() <= 1, "only what came before was sent");
}

#[test]
fn what_is_interrupted_says_what_it_had() {
    let (address, asked) = serve();
    let url = format!("http://{address}/");
    let child = Command::new(TIDEGATE)
        .args([
            "replay",
            "--arrivals",
            "times:0,1h",
            "--duration",
            "2h",
            "--to",
            &url,
            "--json",
            "-",
        ])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    while asked.lock().unwrap().is_empty() {
        std::thread::sleep(POLL_PERIOD);
    }
    let id = child.id().to_string();
    assert!(Command::new("kill").args(["-INT", &id]).status().unwrap().success());
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(130));
    assert_eq!(figures(&output)["sent"], 1);
}
