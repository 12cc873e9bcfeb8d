//! Each cause of a response that a role made up: its status, its text, its name and its counter.

use std::io::{Read, Write};
use std::net::TcpStream;

use crate::apps::{self, App};
use crate::clients::{GET, talk};
use crate::processes::Process;

const FAILED: &str = "tidegate_activator_requests_failed_total";

/// What an app says to a request before it closes, the cause, and the last words that the sidecar
/// and the activator have for it. Theirs name no address and repeat nothing of the app's.
const SCENES: &[(&str, &str, &str, &str)] = &[
    ("", "app_closed", "EOF\n", "the app closed the connection before it answered\n"),
    (
        "junk\r\n\r\n",
        "malformed_response",
        "malformed HTTP response \"junk\"\n",
        "the instance did not answer properly\n",
    ),
    (
        "HTTP/1.1 200 OK\r\nConte",
        "malformed_response",
        "transport connection broken: unexpected EOF\n",
        "the instance did not answer properly\n",
    ),
    (
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        "malformed_response_body",
        "malformed response body: invalid byte in chunk length\n",
        "the body of the app's response is malformed\n",
    ),
    (
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n",
        "cut_short",
        "unexpected EOF\n",
        "the app closed the connection within its response\n",
    ),
];

/// The response is made up for this cause, and says so.
#[track_caller]
fn told(response: &str, status: &str, cause: &str, text: &str) {
    assert!(response.starts_with(&format!("HTTP/1.1 {status} ")), "{response}");
    assert!(response.contains(&format!("\r\nTidegate-Error: {cause}\r\n")), "{response}");
    assert!(response.ends_with(text), "{response}");
}

fn failed(activator: &Process, cause: &str) -> f64 {
    activator.counted(FAILED, &format!("cause=\"{cause}\""))
}

fn says(said: &'static str) -> App {
    apps::start(move |mut stream, _| {
        let _ = stream.read(&mut [0; 4096]);
        let _ = stream.write_all(said.as_bytes());
    })
}

/// Reads until its peer closes, and answers nobody.
fn silent() -> App {
    apps::start(|mut stream: TcpStream, _| while matches!(stream.read(&mut [0; 4096]), Ok(1..)) {})
}

#[test]
fn what_an_app_did_is_told_by_either_role() {
    for (said, cause, at_sidecar, at_activator) in SCENES {
        let app = says(said);
        let sidecar = Process::sidecar(app.port, &[]);
        told(&talk(sidecar.port, GET), "502", cause, at_sidecar);
        let counted = sidecar.counted(
            "http_server_request_duration_seconds_count",
            "http_response_status_code=\"502\"",
        );
        assert!((counted - 1.0).abs() < 0.1, "{said:?}: {counted}");
        let activator = Process::activator(app.port, &[]);
        told(&talk(activator.port, GET), "502", cause, at_activator);
        assert!((failed(&activator, cause) - 1.0).abs() < 0.1, "{said:?}");
        // Behind an activator that is not paired with it, the sidecar's own words stay.
        let behind = Process::activator(sidecar.port, &[]);
        told(&talk(behind.port, GET), "502", cause, at_sidecar);
    }
}

#[test]
fn an_app_that_does_not_listen_is_told_by_either_role() {
    let port = tidegate_reserved_port::reserve().unwrap().port();
    let sidecar = Process::sidecar(port, &[]);
    let refused = format!("dial tcp 127.0.0.1:{port}: connect: connection refused\n");
    told(&talk(sidecar.port, GET), "502", "unreachable", &refused);
    let activator = Process::activator(port, &["--longest-wait", "1s"]);
    let nobody = "no instance became free in time\n";
    told(&talk(activator.port, GET), "503", "waited_too_long", nobody);
    assert!((failed(&activator, "waited_too_long") - 1.0).abs() < 0.1);
}

#[test]
fn time_that_ran_out_is_told_by_either_role() {
    let app = silent();
    let sidecar = Process::sidecar(app.port, &[("REVISION_RESPONSE_START_TIMEOUT_SECONDS", "1")]);
    told(&talk(sidecar.port, GET), "504", "timeout", "request timeout");
    let activator = Process::activator(app.port, &["--request-timeout", "500ms"]);
    told(&talk(activator.port, GET), "504", "timeout", "activator request timeout\n");
    assert!((failed(&activator, "timeout") - 1.0).abs() < 0.1);
}

#[test]
fn a_queue_that_is_full_is_told_by_either_role() {
    let app = silent();
    let sidecar = Process::sidecar(app.port, &[("TIDEGATE_QUEUE_DEPTH", "1")]);
    let activator = Process::activator(app.port, &["--max-waiting", "1"]);
    for (process, text) in
        [(&sidecar, "pending request queue full\n"), (&activator, "pending request queue full\n")]
    {
        // One is in the app and one waits; of those that come then each is refused, whichever of
        // them is the third.
        let kept: Vec<TcpStream> = (0..3)
            .map(|_| {
                let mut stream = TcpStream::connect(("127.0.0.1", process.port)).unwrap();
                stream.write_all(GET.as_bytes()).unwrap();
                stream
            })
            .collect();
        let mut refused = kept.iter().map(|stream| stream.try_clone().unwrap());
        let (sender, receiver) = std::sync::mpsc::channel();
        for mut stream in refused.by_ref() {
            let sender = sender.clone();
            std::thread::spawn(move || {
                let mut response = String::new();
                let _ = stream.read_to_string(&mut response);
                let _ = sender.send(response);
            });
        }
        told(&receiver.recv().unwrap(), "503", "queue_full", text);
        drop(kept);
    }
    assert!((failed(&activator, "queue_full") - 1.0).abs() < 0.1);
    let counted = sidecar.counted("tidegate_requests_refused_total", "queue_full");
    assert!((counted - 1.0).abs() < 0.1, "{counted}");
}

#[test]
fn what_a_client_did_is_told_by_either_role() {
    let app = silent();
    let sidecar = Process::sidecar(app.port, &[]);
    let activator = Process::activator(app.port, &[]);
    let twice = GET.replace("\r\n\r\n", "\r\nK-Original-Host: a\r\nK-Original-Host: b\r\n\r\n");
    let text = "malformed k-original-host header: expected one host with an optional port\n";
    told(&talk(sidecar.port, &twice), "400", "malformed_request", text);
    let text = "malformed routing headers\n";
    told(&talk(activator.port, &twice), "400", "malformed_request", text);
    let elsewhere = "\r\nKnative-Serving-Namespace: x\r\nKnative-Serving-Revision: y\r\n\r\n";
    let elsewhere = GET.replace("\r\n\r\n", elsewhere);
    told(&talk(activator.port, &elsewhere), "404", "unknown_revision", "unknown revision\n");
    for cause in ["malformed_request", "unknown_revision"] {
        assert!((failed(&activator, cause) - 1.0).abs() < 0.1, "{cause}");
    }
    let chunk = "POST / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\
                 Transfer-Encoding: chunked\r\n\r\nzz\r\n";
    for process in [Process::sidecar(app.port, &[]), Process::activator(app.port, &[])] {
        let response = talk(process.port, chunk);
        told(&response, "400", "malformed_request", "\n");
        assert!(response.contains("malformed"), "{response}");
    }
}
