//! Clients that write raw bytes, without an HTTP library between a test and the socket.

use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// A response, or as much of one as arrived before the connection closed.
#[derive(Debug)]
pub(crate) struct Response {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: String,
}

impl Response {
    pub(crate) fn parse(bytes: &[u8]) -> Option<Self> {
        let text = String::from_utf8_lossy(bytes);
        let (head, body) = text.split_once("\r\n\r\n")?;
        let status = head.split(' ').nth(1)?.parse().ok()?;
        Some(Self { status, head: head.to_ascii_lowercase(), body: body.to_owned() })
    }

    pub(crate) fn has(&self, line: &str) -> bool {
        self.head.lines().any(|known| known == line)
    }
}

/// Sends a request with these extra lines and reads to the end.
pub(crate) async fn get(address: SocketAddr, path: &str, lines: &[&str]) -> Option<Response> {
    let mut request = format!("GET {path} HTTP/1.1\r\nConnection: close\r\n");
    if !lines.iter().any(|line| line.starts_with("Host:")) {
        request.push_str("Host: app.example\r\n");
    }
    for line in lines {
        request.push_str(line);
        request.push_str("\r\n");
    }
    request.push_str("\r\n");
    Response::parse(&exchange(address, request.as_bytes()).await)
}

/// Sends bytes and returns all that is received until the other side closes.
pub(crate) async fn exchange(address: SocketAddr, bytes: &[u8]) -> Vec<u8> {
    let mut response = Vec::new();
    let Ok(mut stream) = TcpStream::connect(address).await else { return response };
    // The other side may refuse before it has read everything.
    let (mut read, mut write) = stream.split();
    let (_, _) = tokio::join!(write.write_all(bytes), read.read_to_end(&mut response));
    response
}
