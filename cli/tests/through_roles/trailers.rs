//! Trailers of requests and responses, in every pairing of protocols.

use std::fmt::Write as _;

use crate::apps::{self, App};
use crate::clients::{self, Fields, Got};
use crate::processes::{PATIENCE, Process};

#[derive(Debug, Clone, Copy)]
enum Protocol {
    Http1,
    Http2,
}

const PROTOCOLS: [Protocol; 2] = [Protocol::Http1, Protocol::Http2];

/// A sidecar, alone and behind an activator.
fn chains(app: u16) -> Vec<(&'static str, Vec<Process>)> {
    let alone = Process::sidecar(app, &[]);
    let behind = Process::sidecar(app, &[]);
    let activator = Process::activator(behind.port, &[]);
    vec![("a sidecar", vec![alone]), ("an activator and a sidecar", vec![activator, behind])]
}

fn fields(of: &[(&str, &str)]) -> Fields {
    of.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

fn app(protocol: Protocol, trailers: &[(String, String)]) -> App {
    match protocol {
        Protocol::Http2 => apps::http2(trailers.to_vec()),
        Protocol::Http1 => {
            let mut response = "HTTP/1.1 200 OK\r\nContent-Type: a/b\r\n\
                                Transfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n"
                .to_owned();
            for (name, value) in trailers {
                write!(response, "{name}: {value}\r\n").unwrap();
            }
            apps::http1(response + "\r\n")
        }
    }
}

fn ask(client: Protocol, port: u16, trailers: &[(String, String)]) -> Got {
    match client {
        Protocol::Http1 => clients::http1(port, trailers),
        Protocol::Http2 => clients::http2(port, trailers),
    }
}

/// What may not stand in trailers: it frames, routes or names a host, or it is the platform's.
const FORBIDDEN: [(&str, &str); 12] = [
    ("host", "evil"),
    ("content-length", "9"),
    ("content-encoding", "gzip"),
    ("content-type", "text/html"),
    ("authorization", "evil"),
    ("cache-control", "evil"),
    ("expect", "100-continue"),
    ("k-original-host", "evil"),
    ("k-proxy-request", "evil"),
    ("knative-serving-revision", "evil"),
    ("knative-serving-namespace", "evil"),
    ("tidegate-failure", "evil"),
];

#[test]
fn trailers_pass_in_every_pairing_and_what_may_not_trail_is_dropped() {
    let wanted = [("x-sum", "1"), ("grpc-status", "0"), ("x-two", "a"), ("x-two", "b")];
    let sent = [fields(&wanted), fields(&FORBIDDEN)].concat();
    let mut kept = fields(&wanted);
    kept.sort();
    for at_app in PROTOCOLS {
        let app = app(at_app, &sent);
        for (chain, processes) in chains(app.port) {
            warm_up(&app, at_app, processes[0].port);
            for at_client in PROTOCOLS {
                let scene = format!("{at_client:?} to {chain} to {at_app:?}");
                let got = ask(at_client, processes[0].port, &sent);
                assert_eq!(got, Got::Whole(200, kept.clone()), "{scene}");
                let seen = app.seen.recv_timeout(PATIENCE).expect("the app is asked");
                assert_eq!(seen, kept, "{scene}");
            }
        }
    }
}

/// Teaches the roles which protocol the app speaks: an upload cannot be sent again in the other.
fn warm_up(app: &App, at_app: Protocol, port: u16) {
    if matches!(at_app, Protocol::Http2) {
        let response = clients::talk(port, clients::GET);
        assert!(response.starts_with("HTTP/1.1 200 "), "{response}");
        assert_eq!(app.seen.recv_timeout(PATIENCE).expect("the app is asked"), []);
    }
}

#[test]
fn trailers_beyond_their_bounds_reach_no_app() {
    let many: Fields = (0..300).map(|number| (format!("x-{number}"), "1".to_owned())).collect();
    let long = fields(&[("x-long", &"a".repeat(70_000))]);
    for at_app in PROTOCOLS {
        let app = app(at_app, &fields(&[("x-sum", "1")]));
        for (chain, processes) in chains(app.port) {
            let port = processes[0].port;
            warm_up(&app, at_app, port);
            for trailers in [&many, &long] {
                let got = ask(Protocol::Http1, port, trailers);
                assert!(matches!(got, Got::Whole(400, _)), "{chain} to {at_app:?}: {got:?}");
            }
            // Others are served as before, and theirs is the next whole request.
            let got = ask(Protocol::Http1, port, &fields(&[("x-last", "1")]));
            assert!(matches!(got, Got::Whole(200, _)), "{chain} to {at_app:?}: {got:?}");
            let seen = app.seen.recv_timeout(PATIENCE).expect("the app is asked");
            assert_eq!(seen, fields(&[("x-last", "1")]), "{chain} to {at_app:?}");
        }
    }
}

#[test]
fn trailers_of_an_app_beyond_their_bounds_cut_the_response() {
    let many: Fields = (0..300).map(|number| (format!("x-{number}"), "1".to_owned())).collect();
    let long = fields(&[("x-long", &"a".repeat(70_000))]);
    for trailers in [many, long] {
        let app = app(Protocol::Http1, &trailers);
        for (chain, processes) in chains(app.port) {
            for at_client in PROTOCOLS {
                let got = ask(at_client, processes[0].port, &[]);
                assert!(!matches!(got, Got::Whole(200, _)), "{at_client:?} to {chain}: {got:?}");
            }
        }
    }
}
