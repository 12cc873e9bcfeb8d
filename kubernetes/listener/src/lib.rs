//! Connections that a cluster's own parts open to us, such as API servers and KEDA: a bounded
//! number of them, over TLS where that is wanted, each served by a task of its own.
//!
//! It must never know what is served, or let one connection keep others from being accepted.

use std::sync::Arc;
use std::time::Duration;

use rustls::ServerConfig;
use rustls::pki_types::CertificateDer;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_rustls::TlsAcceptor;

/// Time in which TLS must be agreed on, and in which the head of a request should arrive.
pub const HEAD_TIMEOUT: Duration = Duration::from_secs(5);

/// Pause after an accept that failed, for example for want of file descriptors. Longer than where
/// apps are served: an API server waits ten seconds, and its connections are few.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// A connection, in the clear or within TLS.
pub trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// A connection that can be served.
pub struct Accepted {
    /// What is read and written.
    pub stream: Box<dyn Stream>,
    /// The certificate of whoever opened it, if one was shown.
    pub certificate: Option<CertificateDer<'static>>,
}

/// Why a connection ended early.
pub type Failure = Box<dyn std::error::Error + Send + Sync>;

/// Who is listened to, and how many of their connections are open at a time; more wait to be
/// accepted.
#[derive(Debug, Clone, Copy)]
pub struct Callers {
    /// What they are called in the log.
    pub what: &'static str,
    /// Most connections at a time, whatever they do.
    pub connections_max: usize,
}

/// Accepts connections for as long as it is polled. `prepare`, called for each, gives TLS (`None`
/// for none) and who serves it.
///
/// Cancel safe: connections that are open then end with the runtime.
pub async fn accept<Serve, Served>(
    listener: TcpListener,
    callers: Callers,
    prepare: impl Fn() -> (Option<Arc<ServerConfig>>, Serve),
) where
    Serve: FnOnce(Accepted) -> Served + Send + 'static,
    Served: Future<Output = Result<(), Failure>> + Send + 'static,
{
    let Callers { what, connections_max } = callers;
    let connections = Arc::new(Semaphore::new(connections_max));
    loop {
        let Ok(permit) = Arc::clone(&connections).acquire_owned().await else { return };
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                tracing::warn!(what, %error, "a connection cannot be accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let (tls, serve) = prepare();
        tokio::spawn(async move {
            let served = async { serve(agree(stream, tls).await?).await };
            if let Err(error) = served.await {
                tracing::debug!(what, %error, "a connection failed");
            }
            drop(permit);
        });
    }
}

/// Agrees on TLS, if there is to be any.
async fn agree(stream: TcpStream, tls: Option<Arc<ServerConfig>>) -> Result<Accepted, Failure> {
    let Some(tls) = tls else {
        return Ok(Accepted { stream: Box::new(stream), certificate: None });
    };
    let handshake = TlsAcceptor::from(tls).accept(stream);
    let stream = tokio::time::timeout(HEAD_TIMEOUT, handshake).await??;
    let shown = stream.get_ref().1.peer_certificates().and_then(|chain| chain.first().cloned());
    let certificate = shown.map(CertificateDer::into_owned);
    Ok(Accepted { stream: Box::new(stream), certificate })
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    /// One connection beyond the bound waits until another has ended, and is served then.
    #[tokio::test]
    async fn no_more_connections_are_served_at_a_time_than_are_allowed() {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let (open, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let most_seen = Arc::clone(&most);
        let callers = Callers { what: "tests", connections_max: 2 };
        let accepting = accept(listener, callers, move || {
            let (open, most) = (Arc::clone(&open), Arc::clone(&most));
            let serve = move |mut accepted: Accepted| async move {
                most.fetch_max(open.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                accepted.stream.write_all(b"!").await?;
                accepted.stream.read_u8().await?;
                open.fetch_sub(1, Ordering::SeqCst);
                Ok(())
            };
            (None, serve)
        });
        let clients = async {
            let served = (0..10).map(|_| {
                tokio::spawn(async move {
                    let mut stream = TcpStream::connect(address).await.expect("it is accepted");
                    assert_eq!(stream.read_u8().await.expect("it is served"), b'!');
                    stream.write_all(b"?").await.expect("it listens");
                })
            });
            for client in served.collect::<Vec<_>>() {
                client.await.expect("it was served");
            }
        };
        tokio::select! {
            () = accepting => panic!("it accepts for as long as it is polled"),
            () = clients => {}
        }
        assert_eq!(most_seen.load(Ordering::SeqCst), 2);
    }
}
