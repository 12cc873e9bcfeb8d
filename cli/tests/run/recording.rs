//! A recording stamped a request when a sidecar received it: what had waited for a cold start at
//! the front door came in one burst, its wait was lost, and settings had to be typed again.
//!
//! It has now every request as the front door saw it, and its replay needs nothing else.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde_json::Value;

use crate::running::Running;

/// An app that takes its time to start.
const SLOW: &str = r#"exec "$0" demo --app --service-time 20ms --start-up 600ms"#;

/// Requests that come while the first instance starts, and the time between two of them.
const COLD: usize = 4;
const BETWEEN: Duration = Duration::from_millis(80);

/// Requests that come after the first response.
const WARM: usize = 9;

/// How near a recorded arrival is to the moment of sending, for half of them. A machine with much
/// else to do may need several tries.
const NEAR_US: u64 = 1_000;
const TRIES: usize = 5;

/// Sends a request with a body of three bytes. Gives the connection, and when it was sent.
fn send(address: &str) -> (TcpStream, u64) {
    let mut stream = TcpStream::connect(address).expect("it listens");
    stream.set_nodelay(true).expect("a socket");
    let sent = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970");
    let request = "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\nConnection: close\r\n\r\nabc";
    stream.write_all(request.as_bytes()).expect("it reads");
    (stream, u64::try_from(sent.as_micros()).expect("this age"))
}

fn response(mut stream: TcpStream) {
    let mut text = String::new();
    stream.read_to_string(&mut text).expect("a response");
    assert!(text.starts_with("HTTP/1.1 200 "), "{text}");
}

/// Runs a service from zero, records it into `path`, and gives when each request was sent.
fn record(path: &Path) -> Vec<u64> {
    let program = env!("CARGO_BIN_EXE_tidegate");
    let path = path.to_str().expect("text");
    let settings = ["-c", "2", "--initial", "0", "--max", "1", "--window", "8s", "--idle", "30s"];
    let recorded = ["--listen", "0", "--record", path, "--", "sh", "-c", SLOW, program];
    let all = settings.iter().chain(&recorded).map(|word| (*word).to_owned());
    let mut run = Running::start(all.collect());
    let address = run.address();
    let mut sent = Vec::new();
    let mut waiting = Vec::new();
    for _ in 0..COLD {
        let (stream, at) = send(&address);
        waiting.push(stream);
        sent.push(at);
        // The time between arrivals is what is recorded, not waited for.
        std::thread::sleep(BETWEEN);
    }
    waiting.into_iter().for_each(response);
    for _ in 0..WARM {
        let (stream, at) = send(&address);
        response(stream);
        sent.push(at);
    }
    run.signal("INT");
    assert_eq!(run.wait_for_exit(), Some(0));
    sent
}

fn lines(path: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(path).expect("it was written");
    text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
}

/// The lines of requests, by their arrival.
fn requests(lines: &[Value]) -> Vec<Value> {
    let mut found: Vec<Value> =
        lines.iter().filter(|line| line["kind"] == "request").cloned().collect();
    found.sort_by_key(|row| row["arrived_unix_us"].as_u64());
    found
}

/// Simulates `path` with nothing else said. Gives the result, and what was said of it.
fn replay(path: &Path, options: &[&str]) -> (Value, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_tidegate"))
        .args(["sim", "run", "--json", "-", "--trace"])
        .arg(path)
        .args(options)
        .output()
        .expect("the program starts");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{said}");
    (serde_json::from_slice(&output.stdout).expect("JSON"), said)
}

#[test]
fn a_cold_start_is_recorded_at_the_front_door_and_replayed_as_it_was() {
    let folder = tempfile::tempdir().expect("a folder");
    for attempt in 1..=TRIES {
        let path = folder.path().join(format!("{attempt}.jsonl"));
        let sent = record(&path);
        let lines = lines(&path);
        check_lines(&lines);
        let rows = requests(&lines);
        let (result, said) = replay(&path, &[]);
        let cold = rows.iter().filter(|row| row["cold"] == true).count();
        assert_eq!((rows.len(), cold), (COLD + WARM, COLD));
        assert_eq!(result["requests"], rows.len(), "{result}");
        assert_eq!(result["cold_starts"], cold, "{result}");
        assert!(said.contains("as recorded: policy tidegate, concurrency 2"), "{said}");
        assert!(said.contains("begins with 0 instances"), "{said}");
        // Sent in one order and apart, they arrive in that order, each after it was sent.
        let arrived = rows.iter().map(|row| row["arrived_unix_us"].as_u64().expect("a time"));
        let mut late: Vec<u64> =
            arrived.zip(sent).map(|(arrived, sent)| arrived.saturating_sub(sent)).collect();
        late.sort_unstable();
        if late[late.len() / 2] <= NEAR_US {
            return;
        }
        assert!(attempt < TRIES || wakes_late(), "arrivals are {late:?} us behind, {TRIES} times");
    }
}

/// Whether this machine is so busy that a thread which waits for a byte is woken late: then nobody
/// can tell when it came.
fn wakes_late() -> bool {
    let (mut near, mut far) = UnixStream::pair().expect("sockets");
    let echo = std::thread::spawn(move || {
        let mut byte = [0];
        while far.read_exact(&mut byte).is_ok() && far.write_all(&byte).is_ok() {}
    });
    let mut took: Vec<Duration> = (0..21)
        .map(|_| {
            std::thread::sleep(BETWEEN / 10);
            let asked = Instant::now();
            near.write_all(&[1]).expect("it reads");
            near.read_exact(&mut [0]).expect("it writes");
            asked.elapsed()
        })
        .collect();
    drop(near);
    echo.join().expect("it ends");
    took.sort_unstable();
    took[took.len() / 2] > Duration::from_micros(NEAR_US / 4)
}

fn check_lines(lines: &[Value]) {
    let head = &lines[0];
    assert_eq!((&head["kind"], &head["recorded_at"]), (&"head".into(), &"front-door".into()));
    assert_eq!((&head["concurrency"], &head["revision"]), (&2.into(), &"local/sh".into()));
    let scaling = &head["scaling"];
    assert_eq!((&scaling["policy"], &scaling["initial"]), (&"tidegate".into(), &0.into()));
    assert_eq!((&scaling["idle_ms"], &scaling["tick_ms"]), (&30_000.into(), &2_000.into()));
    assert_eq!(scaling["settings"]["stable-window"], "8000ms", "{head}");
    assert_eq!(scaling["settings"]["max-scale"], "1", "{head}");
    let rows = requests(lines);
    for row in &rows {
        assert_eq!((&row["status"], &row["request_bytes"]), (&200.into(), &3.into()), "{row}");
        assert!(row["response_bytes"].as_u64().is_some_and(|bytes| bytes > 0), "{row}");
        assert!(row["service_us"].as_u64().is_some_and(|us| us >= 20_000), "{row}");
        assert_eq!((&row["revision"], &row["instance"]), (&"local/sh".into(), &"sh-1".into()));
    }
    // The first of them waited for the whole start-up: its app slept for 600 ms.
    assert!(rows[0]["wait_us"].as_u64().is_some_and(|us| us >= 600_000), "{}", rows[0]);
    let phases: Vec<&str> = lines
        .iter()
        .filter(|line| line["kind"] == "instance")
        .filter_map(|line| line["phase"].as_str())
        .collect();
    assert_eq!(phases.first(), Some(&"starting"));
    assert_eq!(phases.get(1), Some(&"ready"));
    assert_eq!(phases.last(), Some(&"gone"));
    let last = lines.last().expect("a line");
    assert_eq!((&last["kind"], &last["lost"]), (&"end".into(), &0.into()));
}

#[test]
fn options_override_what_was_recorded() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("r.jsonl");
    record(&path);
    let (plain, _) = replay(&path, &[]);
    let settings = &plain["settings"];
    assert_eq!((&settings["policy"], &settings["concurrency"]), (&"tidegate".into(), &2.into()));
    assert_eq!(settings["set"]["stable-window"], "8000ms", "{settings}");
    assert_eq!(settings["local_idle_s"], 30.0, "{settings}");
    let options = [
        "--policy",
        "kpa",
        "-c",
        "7",
        "--set",
        "autoscaling.knative.dev/max-scale=3",
        "--cold-start",
        "const:9s",
        "--initial",
        "2",
        "--duration",
        "20s",
    ];
    let (other, said) = replay(&path, &options);
    let settings = &other["settings"];
    assert_eq!((&settings["policy"], &settings["concurrency"]), (&"kpa".into(), &7.into()));
    assert_eq!(settings["set"]["autoscaling.knative.dev/max-scale"], "3", "{settings}");
    assert!(settings["set"].get("max-scale").is_none(), "{settings}");
    assert_eq!(settings["cold_start"], "const:9s", "{settings}");
    assert_eq!(settings["duration_s"], 20.0, "{settings}");
    assert_eq!((&other["cold_starts"], &settings["initial"]), (&0.into(), &2.into()));
    assert!(said.contains("policy kpa, concurrency 7"), "{said}");
}

#[test]
fn a_file_that_is_there_is_not_written_over() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("r.jsonl");
    std::fs::write(&path, "mine\n").expect("written");
    let output = Command::new(env!("CARGO_BIN_EXE_tidegate"))
        .args(["run", "--listen", "0", "--record", path.to_str().expect("text"), "--", "true"])
        .output()
        .expect("the program starts");
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.contains("is there already"), "{said}");
    assert_eq!(std::fs::read_to_string(&path).expect("a file"), "mine\n");
}
