//! Descriptors: a part of them is kept for connections that clients cannot open themselves.
//!
//! Clients that only connect could take every descriptor of the process, and those whose requests
//! are being served would then find none for the connection to their app. So the last ones are no
//! client's: who comes when only those are left is refused at once, and told so where that is
//! possible.

use std::os::fd::{AsFd, AsRawFd};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use rustix::process::{Resource, getrlimit};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// The part of all descriptors that is kept.
const KEPT_PART: u64 = 32;
/// At least so many: connections to apps, and files that are read again.
const KEPT_MIN: u64 = 16;
/// At most so many: that is enough for what is in flight at a moment, however many there are.
const KEPT_MAX: u64 = 256;

/// How long a client that is refused may take to read that. It holds one of those that are kept.
const FAREWELL_TIME_MAX: Duration = Duration::from_millis(200);

/// Clients that are told at a time why they are refused; others are only closed.
const FAREWELLS_MAX: usize = 4;

/// What a client of HTTP is told for whom there is no descriptor.
const REFUSED: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\n\
    Content-Type: text/plain; charset=utf-8\r\n\
    X-Content-Type-Options: nosniff\r\n\
    Retry-After: 1\r\n\
    Connection: close\r\n\
    Content-Length: 25\r\n\r\n\
    too many connections now\n";

/// How a client is refused that there is no descriptor for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// With a response of HTTP/1.1.
    Http,
    /// By the end of its connection: it speaks something else, or something else first.
    Close,
    /// Not at all.
    Never,
}

/// Whether a descriptor is one of the last. The system gives the lowest number that is free, so
/// the number says how many are in use at least.
pub(crate) fn is_one_of_the_last(descriptor: impl AsFd) -> bool {
    static FOR_CLIENTS: OnceLock<u64> = OnceLock::new();
    let for_clients = *FOR_CLIENTS
        .get_or_init(|| for_clients(getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX)));
    u64::try_from(descriptor.as_fd().as_raw_fd()).is_ok_and(|number| number >= for_clients)
}

/// Of so many descriptors in all, those that clients may take.
fn for_clients(all: u64) -> u64 {
    all - (all / KEPT_PART).clamp(KEPT_MIN, KEPT_MAX).min(all / 2)
}

/// Refuses a client. Returns at once.
pub(crate) fn refuse(client: TcpStream, refusal: Refusal) {
    static FAREWELLS: AtomicUsize = AtomicUsize::new(0);
    if refusal != Refusal::Http {
        return;
    }
    if FAREWELLS.fetch_add(1, Ordering::Relaxed) < FAREWELLS_MAX {
        tokio::spawn(async move {
            // It has gone, or takes its time: there is nothing left to do for it.
            let _ = timeout(FAREWELL_TIME_MAX, say_farewell(client)).await;
            FAREWELLS.fetch_sub(1, Ordering::Relaxed);
        });
    } else {
        FAREWELLS.fetch_sub(1, Ordering::Relaxed);
    }
}

/// What a client has sent by then is read: a connection that is closed over it is reset, and the
/// response lost.
async fn say_farewell(mut client: TcpStream) -> std::io::Result<()> {
    client.write_all(REFUSED).await?;
    client.shutdown().await?;
    let mut ignored = [0; 1024];
    while client.read(&mut ignored).await? > 0 {}
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_is_kept_between_a_few_and_a_few_hundred() {
        for (all, clients) in
            [(0, 0), (10, 5), (64, 48), (1_024, 992), (4_096, 3_968), (1 << 20, (1 << 20) - 256)]
        {
            assert_eq!(for_clients(all), clients, "{all}");
        }
    }

    #[test]
    fn the_refusal_is_a_whole_response() {
        let text = std::str::from_utf8(REFUSED).expect("text");
        let (head, body) = text.split_once("\r\n\r\n").expect("a head");
        assert!(head.contains(&format!("Content-Length: {}", body.len())), "{head}");
    }
}
