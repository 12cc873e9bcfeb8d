//! The story: the corpus of requests that two parsers may read differently was sent to the relay
//! alone, where there is one app behind it and nothing to choose.
//!
//! At the activator's own listener it matters more: a request that is hidden in another one would
//! pass the rule that keeps its path from strangers. So here each of the corpus carries a request
//! for such a path, and the app behind that rule must never hear of it. What is answered goes to
//! the revision of the request that was really sent, whoever else a request names.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tidegate_activator::{Config, Table};
use tidegate_reporter::{Endpoint, RevisionName};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::client::{Response, exchange};
use crate::stage::{close_whole, config, open};

/// A head that never comes to its end is refused after this time.
const HEAD_TIMEOUT: Duration = Duration::from_millis(300);

/// An app that takes framing to the letter, and keeps the head of each request it got.
#[derive(Clone, Default)]
struct Strict {
    heads: Arc<Mutex<Vec<String>>>,
}

impl Strict {
    async fn start(&self) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let app = self.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(app.clone().serve(stream));
            }
        });
        address
    }

    async fn serve(self, mut stream: TcpStream) {
        let mut bytes = Vec::new();
        while let Some(head) = take(&mut stream, &mut bytes, b"\r\n\r\n").await {
            let lower = head.to_ascii_lowercase();
            self.heads.lock().unwrap().push(head);
            let field = |name: &str| lower.lines().find_map(|line| line.strip_prefix(name));
            if field("transfer-encoding:").is_some() {
                assert!(field("content-length:").is_none(), "ambiguous framing: {lower}");
                if take(&mut stream, &mut bytes, b"0\r\n\r\n").await.is_none() {
                    return;
                }
            } else if let Some(length) = field("content-length:") {
                let length: usize = length.trim().parse().unwrap();
                while bytes.len() < length {
                    if !matches!(stream.read_buf(&mut bytes).await, Ok(1..)) {
                        return;
                    }
                }
                bytes.drain(..length);
            }
            let response = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
            if stream.write_all(response).await.is_err() {
                return;
            }
        }
    }

    fn heads(&self) -> Vec<String> {
        std::mem::take(&mut *self.heads.lock().unwrap())
    }
}

/// What comes up to these bytes and with them.
async fn take(stream: &mut TcpStream, bytes: &mut Vec<u8>, end: &[u8]) -> Option<String> {
    loop {
        if let Some(at) = bytes.windows(end.len()).position(|window| window == end) {
            let head: Vec<u8> = bytes.drain(..at + end.len()).collect();
            return Some(String::from_utf8_lossy(&head).into_owned());
        }
        if !matches!(stream.read_buf(bytes).await, Ok(1..)) {
            return None;
        }
    }
}

fn routed(public: SocketAddr, secret: SocketAddr) -> Config {
    let text = r#"
        [route.public]
        hosts = ["h"]
        to = "public"
        [route.secret]
        hosts = ["h"]
        path = "/secret"
        to = "secret"
        [route.others]
        hosts = ["other"]
        to = "secret"
    "#;
    let endpoint = |name: &str, address: SocketAddr| {
        let revision = RevisionName { namespace: "default".into(), name: name.into() };
        (revision, Endpoint { instance: name.into(), address: address.to_string(), limit: 0 })
    };
    let mut config = Config {
        endpoints: vec![endpoint("public", public), endpoint("secret", secret)],
        default_revision: None,
        routes: Some(Table::parse(text).unwrap()),
        ..config(None)
    };
    config.server.head_timeout = HEAD_TIMEOUT;
    config
}

/// What is hidden behind each of the corpus.
const HIDDEN: &str = "GET /secret HTTP/1.1\r\nHost: h\r\n\r\n";

/// Heads whose length, or whose end, depends on who reads them.
fn ambiguous() -> Vec<String> {
    let fields = [
        "Content-Length: 5\r\nContent-Length: 33",
        "Content-Length: 5, 5",
        "Content-Length: +0",
        "Content-Length: -1",
        "Content-Length: 0x0",
        "Content-Length: 0 0",
        "Content-Length:",
        "Content-Length: 99999999999999999999",
        "Content-Length : 0",
        "Transfer-Encoding: gzip",
        "Transfer-Encoding: gzip, chunked",
        "Transfer-Encoding: chunked, chunked",
        "Transfer-Encoding: xchunked",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity",
        "Transfer-Encoding: \x0bchunked",
        "Transfer-Encoding : chunked",
        "X-A: 1\r\n Transfer-Encoding: chunked",
        "X-A: 1\r\n\tContent-Length: 0",
        " Content-Length: 0",
        "Content Length: 0",
        "Content-Length\0: 0",
        "X-A: a\rContent-Length: 0",
        "X-A: a\0b",
        "nocolon",
        ": 0",
        "Host: other",
    ];
    let lines = [
        "POST / HTTP/1.1\r\nHost: h other\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: h/secret\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: u@h\r\n\r\n",
        "POST / HTTP/1.1\r\n\r\n",
        "POST  / HTTP/1.1\r\nHost: h\r\n\r\n",
        "POST /a /secret HTTP/1.1\r\nHost: h\r\n\r\n",
        "POST /\tHTTP/1.1\r\nHost: h\r\n\r\n",
        "POST / HTTP/1.1 \r\nHost: h\r\n\r\n",
        "POST http:///secret HTTP/1.1\r\nHost: h\r\n\r\n",
        "POST http://u@h/ HTTP/1.1\r\nHost: h\r\n\r\n",
        "POST secret HTTP/1.1\r\nHost: h\r\n\r\n",
        "POST / HTTP/1.0\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "POST /\r\n\r\n",
    ];
    let with = |fields: &str| format!("POST / HTTP/1.1\r\nHost: h\r\n{fields}\r\n\r\nabcde");
    let heads = fields.iter().map(|fields| with(fields));
    heads.chain(lines.iter().map(|line| (*line).to_owned())).collect()
}

/// Chunks whose end depends on who reads them.
const CHUNKS: [&str; 12] = [
    "3\nabc\r\n0\r\n\r\n",
    "3\r\nabcd\r\n0\r\n\r\n",
    "3\r\nab\r\n0\r\n\r\n",
    "+3\r\nabc\r\n0\r\n\r\n",
    "0x3\r\nabc\r\n0\r\n\r\n",
    " 3\r\nabc\r\n0\r\n\r\n",
    "\r\n3\r\nabc\r\n0\r\n\r\n",
    "g\r\nabc\r\n0\r\n\r\n",
    "3;a\nb\r\nabc\r\n0\r\n\r\n",
    "11111111111111111\r\nabc\r\n0\r\n\r\n",
    "-0\r\n\r\n",
    "3\r\nabc\r\n0\r\nX\r\n\r\n",
];

#[tokio::test]
async fn no_request_is_hidden_in_another_one() {
    let (public, secret) = (Strict::default(), Strict::default());
    let (running, address) = open(routed(public.start().await, secret.start().await));
    let chunked = |chunks: &str| {
        format!("POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n{chunks}")
    };
    let corpus = ambiguous().into_iter().chain(CHUNKS.iter().map(|chunks| chunked(chunks)));
    for request in corpus {
        let response = exchange(address, format!("{request}{HIDDEN}").as_bytes()).await;
        let shown = String::from_utf8_lossy(&response);
        assert_eq!(shown.matches("HTTP/1.1 ").count(), 1, "{request:?}: {shown}");
        let status = Response::parse(&response).unwrap().status;
        assert!((400..500).contains(&status) || status == 501, "{request:?}: {shown}");
        assert!(secret.heads().is_empty(), "{request:?} hides a request");
    }
    // Of chunks that break, the app has got the head at most, and never a second one.
    assert!(public.heads().iter().all(|head| head.starts_with("POST / ")));
    // Two framings: the chunks count, and the connection ends behind them.
    let both = "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\
                \r\n3\r\nabc\r\n0\r\n\r\n";
    let response = exchange(address, format!("{both}{HIDDEN}").as_bytes()).await;
    let response = String::from_utf8(response).unwrap();
    assert_eq!(response.matches("HTTP/1.1 200").count(), 1, "{response}");
    assert!(secret.heads().is_empty());
    // One that is sent in the open goes where its route leads.
    let whole = "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nabcde";
    let last = "GET /secret HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n";
    let response = exchange(address, format!("{whole}{last}").as_bytes()).await;
    assert_eq!(String::from_utf8(response).unwrap().matches("HTTP/1.1 200").count(), 2);
    assert_eq!(secret.heads().len(), 1);
    close_whole(running).await;
}

/// Who names two hosts, in whatever way, gets the route of the one that counts, or none; and the
/// app hears of no other host than the route was chosen by.
#[tokio::test]
async fn a_request_has_one_host() {
    let (public, secret) = (Strict::default(), Strict::default());
    let (running, address) = open(routed(public.start().await, secret.start().await));
    for (request, expected) in [
        // An absolute target counts, as RFC 9112 has it; the field does not.
        ("GET http://h/ HTTP/1.1\r\nHost: other\r\n", Some("h")),
        ("GET / HTTP/1.1\r\nHost: h\r\nX-Forwarded-Host: other\r\n", Some("h")),
        ("GET / HTTP/1.1\r\nHost: h\r\nForwarded: host=other\r\n", Some("h")),
        ("GET / HTTP/1.1\r\nHost: h\r\nX-Original-URL: /secret\r\n", Some("h")),
        ("GET / HTTP/1.1\r\nHost: h\r\nX-Rewrite-URL: /secret\r\n", Some("h")),
        ("GET / HTTP/1.1\r\nHost: h\r\nX-HTTP-Method-Override: PUT\r\n", Some("h")),
        ("GET / HTTP/1.1\r\nHost: H:80\r\n", Some("H:80")),
        ("GET / HTTP/1.1\r\nHost: h.\r\n", Some("h.")),
        ("GET / HTTP/1.1\r\nHost: h\r\nK-Original-Host: a b\r\n", None),
        ("GET / HTTP/1.1\r\nHost: h\r\nhost: other\r\n", None),
        ("GET / HTTP/1.1\r\nHost: h, other\r\n", None),
        ("GET / HTTP/1.1\r\nHost: h#other\r\n", None),
        ("GET / HTTP/1.1\r\nHost: h\\other\r\n", None),
        ("GET / HTTP/1.1\r\nHost: h\tother\r\n", None),
        ("GET http://h\\@other/ HTTP/1.1\r\nHost: h\r\n", None),
        ("GET //other/ HTTP/1.1\r\nHost: h\r\n", Some("h")),
    ] {
        let request = format!("{request}Connection: close\r\n\r\n");
        let response = exchange(address, request.as_bytes()).await;
        let response = Response::parse(&response).unwrap();
        assert!(secret.heads().is_empty(), "{request:?} comes to another host's app");
        let heads = public.heads();
        match expected {
            Some(host) => {
                assert_eq!((response.status, heads.len()), (200, 1), "{request:?}");
                let line = format!("\r\nHost: {host}\r\n");
                assert!(heads[0].contains(&line), "{request:?}: {}", heads[0]);
            }
            None => assert_eq!((response.status, heads.len()), (400, 0), "{request:?}"),
        }
    }
    close_whole(running).await;
}

/// A value of a request that an answer of the routes repeats, or that is set in a header because of
/// it, brings no further header and no further answer.
#[tokio::test]
async fn no_request_writes_a_header_of_the_response() {
    let (public, secret) = (Strict::default(), Strict::default());
    let mut config = routed(public.start().await, secret.start().await);
    let text = r#"
        [route.away]
        path = "/away"
        redirect = { to = "https://new.example", keep_path = true }
        [route.sticky]
        sticky = "visitor"
        split = { public = 50, secret = 50 }
        tags = { next = "secret" }
    "#;
    config.routes = Some(Table::parse(text).unwrap());
    let (running, address) = open(config);
    for value in ["%0d%0aSet-Cookie:%20a=b", "%E5%98%8A%E5%98%8DSet-Cookie:a=b", "\u{85}a", "a%00b"]
    {
        for request in [
            format!("GET /away/{value} HTTP/1.1\r\nHost: h\r\n"),
            format!("GET /away?{value} HTTP/1.1\r\nHost: h\r\n"),
            format!("GET / HTTP/1.1\r\nHost: h\r\nCookie: tidegate-visitor={value}\r\n"),
            format!("GET / HTTP/1.1\r\nHost: h\r\nKnative-Serving-Tag: {value}\r\n"),
        ] {
            let bytes = format!("{request}Connection: close\r\n\r\n");
            let response = exchange(address, bytes.as_bytes()).await;
            let text = String::from_utf8_lossy(&response).to_ascii_lowercase();
            assert_eq!(text.matches("http/1.1 ").count(), 1, "{request:?}: {text}");
            let cookies = text.lines().filter(|line| line.starts_with("set-cookie:"));
            for cookie in cookies {
                let ours = cookie.strip_prefix("set-cookie: tidegate-visitor=").expect(cookie);
                let number = ours.split(';').next().unwrap();
                assert!(number.bytes().all(|byte| byte.is_ascii_digit()), "{request:?}: {cookie}");
            }
            if let Some(location) = text.lines().find(|line| line.starts_with("location:")) {
                assert!(location.starts_with("location: https://new.example/"), "{location}");
                assert!(location.is_ascii(), "{location}");
            }
        }
    }
    close_whole(running).await;
}
