//! Clients of everything that is not a small HTTP/1 exchange: unary calls over HTTP/2,
//! WebSocket echoes, long bodies.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use bytes::Bytes;
use http::{HeaderValue, Method, Request};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

/// Makes gRPC-shaped unary calls, `streams` at a time on each of `connections`.
/// Gives back how many were answered with status zero.
///
/// # Errors
/// When a call fails.
pub async fn unary_calls(
    address: SocketAddr,
    connections: usize,
    streams: usize,
    time: Duration,
) -> anyhow::Result<u64> {
    let until = Instant::now() + time;
    let mut callers = JoinSet::new();
    for _ in 0..connections {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        let (requests, connection) = h2::client::Builder::new()
            .initial_window_size(1 << 20)
            .initial_connection_window_size(1 << 24)
            .handshake::<_, Bytes>(stream)
            .await?;
        tokio::spawn(async move {
            let _ = connection.await;
        });
        for _ in 0..streams {
            let requests = requests.clone();
            callers.spawn(async move {
                let mut calls = 0;
                while Instant::now() < until {
                    unary(requests.clone()).await?;
                    calls += 1;
                }
                anyhow::Ok(calls)
            });
        }
    }
    let mut total = 0;
    while let Some(calls) = callers.join_next().await {
        total += calls??;
    }
    Ok(total)
}

async fn unary(requests: h2::client::SendRequest<Bytes>) -> anyhow::Result<()> {
    let mut requests = requests.ready().await?;
    let request = Request::builder()
        .method(Method::POST)
        .uri("http://bench/pkg.Service/Call")
        .header("content-type", HeaderValue::from_static("application/grpc"))
        .header("te", HeaderValue::from_static("trailers"))
        .body(())?;
    let (response, mut sending) = requests.send_request(request, false)?;
    sending.send_data(Bytes::from_static(&[0, 0, 0, 0, 16, 1, 2, 3, 4, 5, 6, 7, 8]), true)?;
    let mut body = response.await?.into_body();
    while let Some(piece) = body.data().await {
        let piece = piece?;
        body.flow_control().release_capacity(piece.len())?;
    }
    let trailers = body.trailers().await?.context("a response without trailers")?;
    if trailers.get("grpc-status") != Some(&HeaderValue::from_static("0")) {
        bail!("a call failed: {trailers:?}");
    }
    Ok(())
}

/// Plays ping-pong with messages of `size` bytes on upgraded connections.
/// Gives back how many came home.
///
/// # Errors
/// When a tunnel breaks.
pub async fn echoes(
    address: SocketAddr,
    connections: usize,
    size: usize,
    time: Duration,
) -> anyhow::Result<u64> {
    let until = Instant::now() + time;
    let mut players = JoinSet::new();
    for _ in 0..connections {
        players.spawn(async move {
            let mut stream = TcpStream::connect(address).await?;
            stream.set_nodelay(true)?;
            stream
                .write_all(
                    b"GET /echo HTTP/1.1\r\nHost: bench\r\nConnection: Upgrade\r\n\
                      Upgrade: websocket\r\n\r\n",
                )
                .await?;
            read_head(&mut stream, b"HTTP/1.1 101").await?;
            let message = frame(size);
            let mut heard = vec![0; size];
            let mut count = 0;
            while Instant::now() < until {
                stream.write_all(&message).await?;
                stream.read_exact(&mut heard).await?;
                count += 1;
            }
            anyhow::Ok(count)
        });
    }
    let mut total = 0;
    while let Some(count) = players.join_next().await {
        total += count??;
    }
    Ok(total)
}

/// One masked binary frame of `size` bytes in all: a proxy may follow frames.
fn frame(size: usize) -> Vec<u8> {
    const MASK: [u8; 4] = [1, 2, 3, 4];
    let mut frame = vec![0x82];
    match size - 6 {
        short @ ..=125 => frame.push(0x80 | short as u8),
        _ => {
            frame.push(0x80 | 126);
            frame.extend_from_slice(&((size - 8) as u16).to_be_bytes());
        }
    }
    frame.extend_from_slice(&MASK);
    frame.resize(size, 7);
    frame
}

/// Fetches a body of `size` bytes.
///
/// # Errors
/// When it is not all there.
pub async fn download(address: SocketAddr, size: u64) -> anyhow::Result<()> {
    let mut stream = TcpStream::connect(address).await?;
    let request = format!("GET /bytes/{size} HTTP/1.1\r\nHost: bench\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    read_head(&mut stream, b"HTTP/1.1 200").await?;
    let mut buffer = vec![0; 256 * 1024];
    let mut left = size;
    while left > 0 {
        let count = stream.read(&mut buffer).await? as u64;
        if count == 0 {
            bail!("{left} of {size} bytes are missing");
        }
        left = left.checked_sub(count).context("more came than was asked for")?;
    }
    Ok(())
}

/// Sends a body of `size` bytes.
///
/// # Errors
/// When it is not accepted.
pub async fn upload(address: SocketAddr, size: u64) -> anyhow::Result<()> {
    let mut stream = TcpStream::connect(address).await?;
    let request = format!("POST / HTTP/1.1\r\nHost: bench\r\nContent-Length: {size}\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let piece = vec![b'x'; 256 * 1024];
    let mut left = size;
    while left > 0 {
        let count = left.min(piece.len() as u64);
        stream.write_all(&piece[..count as usize]).await?;
        left -= count;
    }
    read_head(&mut stream, b"HTTP/1.1 200").await
}

/// Reads exactly a head, byte by byte, so that nothing behind it is lost.
async fn read_head(stream: &mut TcpStream, start: &[u8]) -> anyhow::Result<()> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.context("no response")?);
    }
    if !head.starts_with(start) {
        bail!("unexpected response: {}", String::from_utf8_lossy(&head));
    }
    Ok(())
}
