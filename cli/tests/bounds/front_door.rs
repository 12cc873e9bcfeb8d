//! The story: what came to the activator later had bounds of its own, and no attack ever tried
//! them as a sum.
//!
//! Half handshakes of TLS, load balancers that never say whose a connection is, copies of requests
//! that nobody answers, requests held by their weight, connections without HTTP, WebSockets on
//! streams of HTTP/2, clients that stop in the middle of an upload, routes that change under load.
//! Three of them did not hold. Ten thousand connections that are passed on could hold 320 MiB, and
//! 256 copies with long heads took all that requests had; neither was charged to the budget. And
//! clients that only connect took every descriptor, for want of which healthy instances were given
//! up.
//!
//! In each, whoever asks the revision `web` is to be served meanwhile.

use std::fs;
use std::io::Write;
use std::net::{Ipv4Addr, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use crate::ACTIVATOR_MEGABYTES;
use crate::app::{self, App};
use crate::attacks::{self, Kept};
use crate::handshakes;
use crate::stage::Stage;

/// An app for those who ask properly.
const WEB: &str = "web.d.svc";

/// Flags by which requests that name `web` reach this app.
fn web(app: &App) -> String {
    format!("--endpoint=d/web=127.0.0.1:{}", app.port())
}

/// Flags by which the revision `w`, which takes the rest, is at this port.
fn rest(port: u16, limit: u32) -> [String; 2] {
    ["--default-revision=d/w".to_owned(), format!("--endpoint=d/w=127.0.0.1:{port},{limit}")]
}

/// Does it to an activator. It must live, stay within its bound, and serve others meanwhile.
fn survives(stage: &Stage, attack: impl FnOnce(&Stage) -> Kept) {
    assert!(stage.serves(WEB), "before it begins");
    let idle = stage.resident_megabytes();
    let kept = attack(stage);
    assert!(stage.serves(WEB), "others are served meanwhile");
    let peak = stage.settled_peak_megabytes();
    println!("{idle} MB idle, {peak} MB at the worst");
    assert!(peak <= idle + ACTIVATOR_MEGABYTES, "{idle} MB idle, {peak} MB at the worst");
    drop(kept);
    stage.until_served();
    assert!(stage.serves(WEB), "once it is over");
}

#[test]
fn tls_handshakes_that_are_not_finished() {
    const EACH: usize = 500;
    let app = App::start(app::answers);
    let folder = tempfile::tempdir().unwrap();
    let trusting = handshakes::certificate(folder.path());
    let certificate = format!("--certificate={}", folder.path().display());
    let flags = [&web(&app), &certificate, "--tls-listen=127.0.0.1:0"];
    let stage = Stage::start_activator(&flags, 1);
    let port = stage.other_port(0);
    survives(&stage, |_| {
        let hello = handshakes::hello(&trusting);
        let half = attacks::everywhere(port, EACH, &hello[..hello.len() / 2]);
        let long = attacks::everywhere(port, EACH, &handshakes::long_record());
        let slow = attacks::everywhere(port, EACH, &hello);
        assert!(handshakes::is_served_over_tls(port, &trusting, WEB), "others finish theirs");
        Kept([half, long, slow].into_iter().flat_map(Kept::into_streams).collect())
    });
    assert!(handshakes::is_served_over_tls(port, &trusting, WEB));
}

/// Peers that are believed, and do not say whose their connections are, or lie.
#[test]
fn headers_of_balancers_that_never_end_or_lie() {
    const BALANCER: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);
    const EACH: usize = 100;
    let app = App::start(app::answers);
    let flags = [&web(&app), "--proxy-protocol-from=127.0.0.2", "--tcp-port=0=d/web"];
    let stage = Stage::start_activator(&flags, 1);
    survives(&stage, |stage| {
        let mut all = Vec::new();
        for (what, bytes) in handshakes::proxy_headers() {
            for port in [stage.port(), stage.other_port(0)] {
                all.extend(handshakes::from(BALANCER, port, EACH, &bytes).into_streams());
            }
            let mut last = all.pop().unwrap();
            assert!(!attacks::begins_with_a_response(&mut last), "{what} is believed");
        }
        Kept(all)
    });
}

/// Nobody waits for a copy, and none of them takes what requests need.
#[test]
fn copies_that_nobody_answers() {
    const COUNT: usize = 400;
    let (app, silent) = (App::start(app::answers), App::start(app::is_silent));
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("routes.toml");
    let text = "[route.a]\nhosts = [\"a\"]\nto = \"d/web\"\nmirror = { to = \"d/shadow\" }\n";
    fs::write(&path, text).unwrap();
    let shadow = format!("--endpoint=d/shadow=127.0.0.1:{},2", silent.port());
    let routes = format!("--routes={}", path.display());
    let stage = Stage::start_activator(&[&web(&app), &shadow, &routes], 0);
    survives(&stage, |stage| {
        let kept = attacks::http1_heads(stage.port(), COUNT, 15_000, "\r\n\r\n");
        let mut streams = kept.into_streams();
        for stream in &mut streams {
            let response = attacks::read_head(stream);
            assert!(response.starts_with("HTTP/1.1 200"), "{response}");
        }
        Kept(streams)
    });
}

#[test]
fn requests_that_are_held_by_their_weight() {
    const COUNT: usize = 300;
    const HEAD_BYTES: usize = 100_000;
    // Twice its length each, so some forty wait.
    const WAITING: usize = 45;
    let (app, held) = (App::start(app::answers), App::start_held());
    let [default, endpoint] = rest(held.port(), 1);
    let flags = [&web(&app), &default, &endpoint, "--max-waiting-bytes=8Mi"];
    let stage = Stage::start_activator(&flags, 0);
    survives(&stage, |stage| {
        let first = attacks::http1_requests(stage.port(), 1);
        held.until_asked(1);
        let kept = attacks::http1_heads(stage.port(), COUNT, HEAD_BYTES, "\r\n\r\n");
        let mut streams = kept.into_streams();
        let refused = streams.iter_mut().filter_map(attacks::response_that_is_there).count();
        assert!(refused >= COUNT - WAITING, "{refused} of {COUNT} were refused");
        streams.extend(first.into_streams());
        held.tell();
        Kept(streams)
    });
}

#[test]
fn connections_that_are_passed_on_and_not_taken() {
    const COUNT: usize = 1_000;
    let app = App::start(app::answers);
    for other in [App::start(app::is_silent), App::start(app::pours)] {
        crate::stage::exchanges_max();
        let [_, endpoint] = rest(other.port(), 0);
        let stage = Stage::start_activator(&[&web(&app), &endpoint, "--tcp-port=0=d/w"], 1);
        survives(&stage, |stage| {
            attacks::everywhere(stage.other_port(0), COUNT, &vec![b'x'; 1 << 20])
        });
    }
}

#[test]
fn websockets_on_streams_that_nobody_reads() {
    let (app, other) = (App::start(app::answers), App::start(app::opens_websockets));
    let [default, endpoint] = rest(other.port(), 0);
    let stage = Stage::start_activator(&[&web(&app), &default, &endpoint], 0);
    survives(&stage, |stage| attacks::websockets_over_http2(stage.port(), 10, 200));
}

/// Their places come back when their time is over, and others of the revision get them.
#[test]
fn uploads_that_stop_and_wait_for_the_response() {
    const COUNT: usize = 100;
    let (app, other) = (App::start(app::answers), App::start(app::reads_and_says_nothing));
    let [default, endpoint] = rest(other.port(), 5);
    let flags = [&web(&app), &default, &endpoint, "--request-timeout=1s", "--abandoned=release"];
    let stage = Stage::start_activator(&flags, 0);
    survives(&stage, |stage| {
        let head = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n";
        let half = [head.as_bytes(), &[b'x'; 50_000]].concat();
        let mut streams = attacks::everywhere(stage.port(), COUNT, &half).into_streams();
        for stream in &mut streams {
            let response = attacks::read_head(stream);
            assert!(response.starts_with("HTTP/1.1 504"), "{response}");
        }
        Kept(streams)
    });
}

/// A page for each of many browsers, while nothing can be reached.
#[test]
fn pages_for_many_who_wait() {
    const COUNT: usize = 500;
    let app = App::start(app::answers);
    // Nobody listens at the first port.
    let [default, endpoint] = rest(1, 1);
    let page = ["--placeholder=default", "--placeholder-after=0s"];
    let flags = [&web(&app), &default, &endpoint, page[0], page[1]];
    let stage = Stage::start_activator(&flags, 0);
    survives(&stage, |stage| {
        let ask = "GET / HTTP/1.1\r\nHost: a\r\nAccept: text/html\r\n\r\n";
        let mut streams = attacks::everywhere(stage.port(), COUNT, ask.as_bytes()).into_streams();
        for stream in &mut streams {
            let response = attacks::read_head(stream).to_ascii_lowercase();
            assert!(response.starts_with("http/1.1 503"), "{response}");
            assert!(response.contains("content-type: text/html"), "{response}");
        }
        Kept(streams)
    });
}

/// Eight clients that never pause, while the file says something else, then nothing that can be
/// followed, then something else again.
#[test]
fn routes_that_change_under_load() {
    const CLIENTS: usize = 8;
    let (app, other) = (App::start(app::answers), App::start(app::answers));
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("routes.toml");
    let say = |text: &str| {
        let new = folder.path().join("new");
        fs::write(&new, text).unwrap();
        fs::rename(&new, &path).unwrap();
    };
    let table = |marker: &str| {
        let all = "[route.all]\nto = \"d/web\"\n[route.mark]\nexact = \"/mark\"\n";
        format!("{all}answer = {{ body = \"{marker}\" }}\n")
    };
    say(&table("one"));
    let [_, endpoint] = rest(other.port(), 0);
    let routes = format!("--routes={}", path.display());
    let stage = Stage::start_activator(&[&web(&app), &endpoint, &routes], 0);
    let (over, asked) = (AtomicBool::new(false), AtomicUsize::new(0));
    let idle = stage.resident_megabytes();
    thread::scope(|scope| {
        for _ in 0..CLIENTS {
            scope.spawn(|| {
                while !over.load(Ordering::Relaxed) {
                    let response = attacks::ask(stage.port(), 200);
                    asked.fetch_add(1, Ordering::Relaxed);
                    assert!(response.starts_with("HTTP/1.1 200"), "{response}");
                }
            });
        }
        let _end = OnDrop(&over);
        for (text, marker) in
            [(table("two"), "two"), ("[route".to_owned(), "two"), (table("three"), "three")]
        {
            say(&text);
            stage.until_body("/mark", marker);
        }
    });
    let peak = stage.settled_peak_megabytes();
    assert!(peak <= idle + ACTIVATOR_MEGABYTES, "{idle} MB idle, {peak} MB at the worst");
    assert!(asked.load(Ordering::Relaxed) > CLIENTS, "they asked");
}

/// Sets a flag when this is dropped, also when an assertion fails.
struct OnDrop<'a>(&'a AtomicBool);

impl Drop for OnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Clients that only connect take what descriptors there are, and no more than that. Who comes
/// then is told so; who was there before is served, and needs a connection to the app for it.
#[test]
fn descriptors_that_run_out() {
    const DESCRIPTORS: u64 = 200;
    const COUNT: usize = 300;
    /// Four are told at a time, and no longer.
    const TURNED_AWAY: Duration = Duration::from_millis(200);
    let app = App::start(app::answers);
    let stage = Stage::start_activator_within(DESCRIPTORS, &[&web(&app)]);
    assert!(stage.serves(WEB));
    let idle = stage.resident_megabytes();
    let request = format!("GET / HTTP/1.1\r\nHost: {WEB}\r\n\r\n");
    let mut before = attacks::connect(stage.port());
    let is_served = |stream: &mut TcpStream| {
        stream.write_all(request.as_bytes()).unwrap();
        attacks::read_whole(stream).starts_with("HTTP/1.1 200")
    };
    assert!(is_served(&mut before));
    let mut waiting = attacks::everywhere(stage.port(), COUNT, b"").into_streams();
    thread::sleep(TURNED_AWAY);
    let told: Vec<String> =
        waiting.iter_mut().filter_map(attacks::response_that_is_there).collect();
    assert!(told.iter().any(|response| response.starts_with("HTTP/1.1 503")), "{told:?}");
    assert!(told.iter().all(|response| !response.starts_with("HTTP/1.1 4")), "{told:?}");
    for _ in 0..20 {
        assert!(is_served(&mut before), "who was there before needs a descriptor for the app");
    }
    let peak = stage.settled_peak_megabytes();
    assert!(peak <= idle + ACTIVATOR_MEGABYTES, "{idle} MB idle, {peak} MB at the worst");
    drop(waiting);
    stage.until_served();
    assert!(stage.serves(WEB), "it recovers");
}
