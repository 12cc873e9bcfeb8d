//! The story: a message that was begun and never finished was kept for as long as its stream lived.
//!
//! Five connections with 200 streams each, every one of them a kilobyte short of a message, made
//! the controller hold 270 MB; there was no end to it but that of the memory. Now what is
//! unfinished is charged to one budget and has to be finished in time, and whoever reports in one
//! piece, as everybody does, does not notice.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on says so at once")]

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use bytes::Bytes;
use h2::SendStream;
use h2::client::{ResponseFuture, SendRequest};
use tokio::net::TcpStream;

/// The budget of 64 MiB; and for each of the connections a window of 64 KiB, for each of its
/// streams one piece of 16 KiB and what the stream itself takes.
const MEGABYTES_MAX: u64 = 64 + CONNECTIONS as u64 * 3;

const CONNECTIONS: usize = 20;
const STREAMS: usize = 100;

/// The longest message that is read.
const MESSAGE_BYTES: usize = 256 * 1024;

/// How long anything may take that has to happen.
const PATIENCE: Duration = Duration::from_secs(60);

struct Controller {
    child: Child,
    address: String,
}

impl Controller {
    fn start() -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_tidegate"))
            .args(["controller", "--listen", "127.0.0.1:0", "--log", "off"])
            .stdin(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stderr.take().unwrap()).read_line(&mut line).unwrap();
        let address = line.trim().rsplit(' ').next().unwrap().to_owned();
        Self { child, address }
    }

    /// What a line of its status says, without the pages of the program itself: they come in as
    /// its parts are run for the first time.
    fn megabytes(&self, key: &str) -> u64 {
        self.status(key) - self.status("RssFile:")
    }

    fn status(&self, key: &str) -> u64 {
        let path = format!("/proc/{}/status", self.child.id());
        let status = std::fs::read_to_string(path).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix(key)).expect("it is alive");
        line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() / 1024
    }
}

impl Drop for Controller {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

async fn connect(address: &str) -> SendRequest<Bytes> {
    let stream = TcpStream::connect(address).await.unwrap();
    let (sender, connection) = h2::client::handshake(stream).await.unwrap();
    tokio::spawn(connection);
    sender.ready().await.unwrap()
}

fn report(sender: &mut SendRequest<Bytes>) -> (ResponseFuture, SendStream<Bytes>) {
    let request = hyper::Request::post("http://a/tidegate.stats.v1.StatsService/Report")
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .body(())
        .unwrap();
    sender.send_request(request, false).unwrap()
}

/// Sends as much as it may, as soon as it may, until the stream ends.
async fn send(mut stream: SendStream<Bytes>, mut bytes: Bytes) -> SendStream<Bytes> {
    while !bytes.is_empty() {
        stream.reserve_capacity(bytes.len());
        let Some(Ok(capacity)) = std::future::poll_fn(|cx| stream.poll_capacity(cx)).await else {
            break;
        };
        if stream.send_data(bytes.split_to(capacity.min(bytes.len())), false).is_err() {
            break;
        }
    }
    stream
}

/// All but the last kilobyte of the longest message.
fn unfinished() -> Bytes {
    let mut bytes = vec![0; MESSAGE_BYTES - 1024];
    bytes[1..5].copy_from_slice(&(MESSAGE_BYTES as u32 - 5).to_be_bytes());
    bytes.into()
}

/// The status of a call that ended, as gRPC counts them.
async fn status(response: ResponseFuture) -> String {
    let mut body = response.await.unwrap().into_body();
    while let Some(piece) = body.data().await {
        let length = piece.unwrap().len();
        body.flow_control().release_capacity(length).unwrap();
    }
    let trailers = body.trailers().await.unwrap().expect("a call of gRPC ends with trailers");
    trailers["grpc-status"].to_str().unwrap().to_owned()
}

#[tokio::test]
async fn unfinished_messages_have_one_budget_and_an_end() {
    const DEADLINE_EXCEEDED: &str = "4";
    let controller = Controller::start();
    let idle = controller.megabytes("VmRSS:");
    let mut connections = Vec::new();
    let (mut responses, mut sending) = (Vec::new(), Vec::new());
    for _ in 0..CONNECTIONS {
        let mut connection = connect(&controller.address).await;
        for _ in 0..STREAMS {
            let (response, stream) = report(&mut connection);
            responses.push(response);
            sending.push(tokio::spawn(send(stream, unfinished())));
        }
        connections.push(connection);
    }
    // Whoever speaks in whole messages is heard meanwhile.
    let explained = tokio::process::Command::new(env!("CARGO_BIN_EXE_tidegate"))
        .args(["explain", "--controller", &controller.address])
        .output()
        .await
        .unwrap();
    assert!(explained.status.success(), "{}", String::from_utf8_lossy(&explained.stderr));
    let ended = async {
        let mut ended = Vec::new();
        for response in responses {
            ended.push(status(response).await);
        }
        ended
    };
    let ended = tokio::time::timeout(PATIENCE, ended).await.expect("none of them is kept");
    assert!(ended.iter().all(|status| status == DEADLINE_EXCEEDED), "{ended:?}");
    let peak = controller.megabytes("VmHWM:");
    assert!(peak <= idle + MEGABYTES_MAX, "{idle} MB idle, {peak} MB at the worst");
    drop((connections, sending));
}
