//! What a role says of itself in numbers.

use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// What all series of a metric count together, by the page at `admin`; `None` where there is none.
///
/// # Errors
/// When there is no page.
pub async fn counted(admin: SocketAddr, metric: &str) -> std::io::Result<Option<u64>> {
    let mut stream = TcpStream::connect(admin).await?;
    let ask = b"GET /metrics HTTP/1.1\r\nHost: bench\r\nConnection: close\r\n\r\n";
    stream.write_all(ask).await?;
    let mut page = String::new();
    stream.read_to_string(&mut page).await?;
    let of_metric =
        |line: &&str| line.strip_prefix(metric).is_some_and(|rest| rest.starts_with(['{', ' ']));
    let series = page.lines().filter(of_metric);
    let counts: Vec<u64> =
        series.filter_map(|line| line.rsplit(' ').next()?.parse().ok()).collect();
    Ok((!counts.is_empty()).then(|| counts.iter().sum()))
}
