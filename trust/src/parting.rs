//! How a connection is closed whose other end does not fit.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// How long the other end may take to hear why.
const PARTING_TIMEOUT: Duration = Duration::from_secs(1);

/// Sends a parting message and drains what the other end still sends, up to `drained_bytes_max`: a
/// connection closed while there is something to read is reset, and a reset overtakes what was
/// sent. Takes a second at most. Cancel safe: dropping the future closes the connection at once.
pub async fn close_after(mut stream: TcpStream, message: &[u8], drained_bytes_max: u64) {
    let parting = async {
        stream.write_all(message).await?;
        stream.shutdown().await?;
        let mut rest = (&mut stream).take(drained_bytes_max);
        tokio::io::copy(&mut rest, &mut tokio::io::sink()).await
    };
    // The other end may have gone.
    let _ = timeout(PARTING_TIMEOUT, parting).await;
}
