//! The socket that this user's commands connect to.

use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use rustix::process::{Uid, getuid};
use tidegate_proto::operate::v1::operate_service_server::OperateServiceServer;
use tidegate_proto::{PING_INTERVAL, PING_TIMEOUT};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, watch};
use tokio::task::JoinHandle;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::Server;
use tonic::transport::server::Connected;

use super::closing::closed;
use super::office::Office;
use super::roster::Roster;

/// Only the user may connect.
const MODE: u32 = 0o600;

/// Connections at a time: a person has a few commands open.
const CONNECTIONS_MAX: usize = 256;

/// Accepted connections that may wait to be served.
const ACCEPTED_DEPTH: usize = 16;

/// How long accepting pauses when the system has no descriptors left.
const NO_DESCRIPTORS_PAUSE: Duration = Duration::from_millis(50);

/// Calls of one connection: a command makes a few.
const STREAMS_MAX: u32 = 16;

/// Longest request that is read: a name and a few numbers.
const REQUEST_BYTES_MAX: usize = 16 * 1_024;

/// How long answers may take to be sent when the socket closes.
const LAST_ANSWERS_TIMEOUT: Duration = Duration::from_secs(1);

/// A served socket; dropping it closes it and removes its file.
#[derive(Debug)]
pub struct Socket {
    path: PathBuf,
    /// Dropped when the socket closes: what is followed ends then.
    open: Option<watch::Sender<()>>,
    serving: JoinHandle<()>,
}

impl Socket {
    /// Serves `roster` at `path`, in a folder that nobody else may enter. What has that name is
    /// replaced: it is of a process that was killed. Must be called within a runtime.
    ///
    /// # Errors
    ///
    /// When there can be no socket there.
    pub fn open(roster: &Roster, path: &Path) -> io::Result<Self> {
        let _ = std::fs::remove_file(path);
        let listener = UnixListener::bind(path)?;
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(MODE))?;
        let (open, closing) = watch::channel(());
        let office = Office::new(roster.clone(), closing.clone());
        let service =
            OperateServiceServer::new(office).max_decoding_message_size(REQUEST_BYTES_MAX);
        let (accepted, incoming) = mpsc::channel(ACCEPTED_DEPTH);
        let accepting = accept(listener, accepted);
        let serving = Server::builder()
            .http2_keepalive_interval(Some(PING_INTERVAL))
            .http2_keepalive_timeout(Some(PING_TIMEOUT))
            .max_concurrent_streams(STREAMS_MAX)
            .add_service(service)
            .serve_with_incoming_shutdown(ReceiverStream::new(incoming), closed(closing.clone()));
        let serving = tokio::spawn(async move {
            let accepting = async {
                tokio::select! {
                    () = accepting => {}
                    () = closed(closing) => {}
                }
            };
            let (served, ()) = tokio::join!(serving, accepting);
            if let Err(error) = served {
                tracing::warn!(%error, "the socket for commands is not served any more");
            }
        });
        Ok(Self { path: path.to_owned(), open: Some(open), serving })
    }

    /// Lets answers that are on their way be sent, and closes.
    pub async fn close(mut self) {
        self.open = None;
        let _ = tokio::time::timeout(LAST_ANSWERS_TIMEOUT, &mut self.serving).await;
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        self.serving.abort();
        // A file that cannot be removed here is removed at the next discovery.
        let _ = std::fs::remove_file(&self.path);
    }
}

/// Accepts connections of our own user.
async fn accept(listener: UnixListener, accepted: mpsc::Sender<io::Result<Connection>>) {
    let permits = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let ours = getuid();
    loop {
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(NO_DESCRIPTORS_PAUSE).await;
                continue;
            }
        };
        if !is_of(&stream, ours) {
            tracing::warn!("a process of another user was refused at the socket for commands");
            continue;
        }
        let Ok(permit) = Arc::clone(&permits).try_acquire_owned() else { continue };
        if accepted.send(Ok(Connection { stream, _permit: permit })).await.is_err() {
            return;
        }
    }
}

/// Whether the process at the other end belongs to this user. The modes of the socket and of its
/// folder say so already; this holds where they are changed.
fn is_of(stream: &UnixStream, user: Uid) -> bool {
    stream.peer_cred().is_ok_and(|peer| peer.uid() == user.as_raw())
}

/// One accepted connection. Its permit is returned when it is dropped.
struct Connection {
    stream: UnixStream,
    _permit: OwnedSemaphorePermit,
}

impl Connected for Connection {
    type ConnectInfo = ();

    fn connect_info(&self) {}
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
