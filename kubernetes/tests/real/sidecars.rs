//! The apps and sidecars of many pods, as one process: where a thousand pods do not fit, their
//! objects still do.
//!
//! It is told of pods at [`ORDERS_PORT`], a line each: `begin REVISION POD PORT`, and `end POD`.
//! For each it reports to the controller as a queue-proxy does, over a connection of its own, and
//! answers the pod's requests at `PORT` at once. So it is never busy, and says so.

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tidegate_proto::stats::v1::{Hello, Revision, Role, Stat};
use tidegate_reporter::{Credentials, Reporter};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use crate::app::micros;

/// Where it is told of pods.
pub(crate) const ORDERS_PORT: u16 = 9_000;

/// Time between two reports, as sidecars have it.
const PERIOD: Duration = Duration::from_secs(1);

/// Time between two attempts to take the port of a pod that has not let go of it yet.
const BIND_AGAIN: Duration = Duration::from_millis(10);

/// Requests that a pod takes at a time.
const LIMIT: u32 = 10;

/// The tasks of each pod; they end with it.
type Pods = Arc<Mutex<BTreeMap<String, JoinSet<()>>>>;

/// Runs it until it is ended.
pub(crate) fn run() -> ExitCode {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let pods = Pods::default();
        let listener = TcpListener::bind(("0.0.0.0", ORDERS_PORT)).await.unwrap();
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            tokio::spawn(obey(stream, Arc::clone(&pods)));
        }
    })
}

async fn obey(stream: TcpStream, pods: Pods) {
    let mut lines = BufReader::new(stream).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        match line.split(' ').collect::<Vec<&str>>()[..] {
            ["begin", revision, pod, port] => {
                let mut tasks = JoinSet::new();
                tasks.spawn(be(revision.to_owned(), pod.to_owned(), port.parse().unwrap()));
                pods.lock().insert(pod.to_owned(), tasks);
            }
            ["end", pod] => drop(pods.lock().remove(pod)),
            _ => panic!("not understood: {line}"),
        }
    }
}

/// One pod, until it is dropped.
async fn be(revision: String, pod: String, port: u16) {
    let listener = loop {
        match TcpListener::bind(("0.0.0.0", port)).await {
            Ok(listener) => break listener,
            Err(_) => tokio::time::sleep(BIND_AGAIN).await,
        }
    };
    let variable = |name: &str| std::env::var(name).ok();
    let namespace = variable("NAMESPACE").unwrap();
    let hello = Hello {
        role: Role::QueueProxy.into(),
        revision: Some(Revision { namespace, name: revision }),
        instance: pod,
        address: format!("{}:{port}", variable("POD_IP").unwrap()),
        container_concurrency: LIMIT,
        start_unix_ms: unix_ms(),
        ..Hello::default()
    };
    let credentials = Credentials::configured(variable).unwrap();
    let controller = variable("TIDEGATE_CONTROLLER").unwrap();
    let config = tidegate_reporter::Config::new(&controller, &credentials, hello).unwrap();
    let (reporter, _inbox, driver) = tidegate_reporter::start(config);
    let mut parts = JoinSet::new();
    parts.spawn(driver.run());
    let mut answered = 0;
    let mut ticks = tokio::time::interval(PERIOD);
    loop {
        tokio::select! {
            _ = ticks.tick() => report(&reporter, std::mem::take(&mut answered)),
            accepted = listener.accept() => {
                answered += 1;
                parts.spawn(answer(accepted.unwrap().0));
            }
            Some(_) = parts.join_next() => {}
        }
    }
}

fn report(reporter: &Reporter, request_count: u64) {
    let period_length_ms = u32::try_from(PERIOD.as_millis()).unwrap();
    reporter.report(Stat {
        period_start_unix_ms: unix_ms() - i64::from(period_length_ms),
        period_length_ms,
        request_count,
        proxied_request_count: request_count,
        limit: LIMIT,
        ready: true,
        finished_count: request_count,
        ..Stat::default()
    });
}

/// Answers every request of a connection.
async fn answer(mut stream: TcpStream) {
    let mut head: Vec<u8> = Vec::new();
    while let Ok(1..) = stream.read_buf(&mut head).await {
        while let Some(end) = head.windows(4).position(|four| four == b"\r\n\r\n") {
            head.drain(..end + 4);
            let body = format!("{0} {0}\n", micros());
            let response = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len());
            if stream.write_all((response + &body).as_bytes()).await.is_err() {
                return;
            }
        }
    }
}

fn unix_ms() -> i64 {
    i64::try_from(micros() / 1_000).unwrap()
}
