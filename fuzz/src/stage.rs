//! One connection to a server, from its first byte to its last.

use std::net::SocketAddr;

use tidegate_relay::http::Version;
use tidegate_relay::{Handler, RequestHead, Server, host, memory};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// What a thread may keep reserved of the memory budget when nothing is held: twice its step.
const RESERVED_BYTES_MAX: usize = 256 << 10;

/// The most fields of a head, and the most bytes of its target and values together: the bounds of
/// the settings' default, with their slack.
const FIELDS_MAX: usize = 16_384;
const HEAD_BYTES_MAX: usize = (1 << 20) + 4096;

/// Which way a client comes. Only over TCP can one that has ended its direction be told from one
/// that has gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Road {
    Pipe,
    Tcp,
}

/// Runs `scene` in a runtime whose clock goes on when everybody waits, and checks that nothing
/// that was charged to the memory budget stays so.
pub fn play<T>(scene: impl Future<Output = T>) -> T {
    let outcome = {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .start_paused(true)
            .build()
            .expect("a runtime");
        runtime.block_on(scene)
    };
    let charged = memory::usage().charged_bytes;
    assert!(charged <= RESERVED_BYTES_MAX, "{charged} bytes are charged for nothing");
    outcome
}

/// Has a client send `asked` and end its direction, and gives back all that it reads.
pub async fn talk<H: Handler>(server: &Server<H>, asked: &[u8], road: Road) -> Vec<u8> {
    match road {
        Road::Pipe => {
            let (client, stream) = tokio::io::duplex(1 << 16);
            tokio::join!(server.serve_stream(stream, None), say(client, asked)).1
        }
        Road::Tcp => {
            let (client, stream, peer) = connect().await;
            tokio::join!(server.serve_tcp(stream, peer), say(client, asked)).1
        }
    }
}

async fn say<S: AsyncRead + AsyncWrite>(stream: S, asked: &[u8]) -> Vec<u8> {
    let (mut read, mut write) = tokio::io::split(stream);
    let mut answers = Vec::new();
    let saying = async {
        // The server may have had enough before all of it is said.
        let _ = write.write_all(asked).await;
        let _ = write.shutdown().await;
    };
    let _ = tokio::join!(saying, read.read_to_end(&mut answers));
    answers
}

async fn connect() -> (TcpStream, TcpStream, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port is free");
    let address = listener.local_addr().expect("it is bound");
    let client = TcpStream::connect(address).await.expect("it listens");
    let (stream, peer) = listener.accept().await.expect("somebody comes");
    // A port is free again at once: there are many rounds, and few ports.
    client.set_zero_linger().expect("it is a socket");
    (client, stream, peer)
}

/// Panics unless a head is one that HTTP/1 can carry without it becoming another, whichever way it
/// came: what is refused by one way in must be refused by all.
pub fn assert_sound(head: &RequestHead) {
    let is_plain = |bytes: &[u8]| bytes.iter().all(|byte| *byte > b' ' && *byte != 0x7f);
    assert!(!head.target.is_empty() && is_plain(&head.target), "{:?}", head.target);
    let is_connect = head.method == "CONNECT";
    let has_form = head.target.starts_with(b"/") || is_connect;
    assert!(has_form, "{} {:?}", head.method, head.target);
    if is_connect && !head.target.starts_with(b"/") {
        assert!(host::is_valid(&head.target), "{:?}", head.target);
    }
    if let Some(host) = &head.host {
        assert!(host::is_valid(host.as_bytes()), "{host:?}");
    }
    assert!(head.host.is_some() || head.version != Version::HTTP_2, "no host");
    let mut bytes = head.target.len();
    for (name, value) in &head.headers {
        bytes += name.as_str().len() + value.len();
        assert!(!name.as_str().starts_with(':'), "{name}");
        assert!(!value.as_bytes().iter().any(|byte| matches!(byte, b'\r' | b'\n' | 0)), "{name}");
        assert!(!FRAMING.contains(&name.as_str()), "{name}");
    }
    assert!(head.headers.len() <= FIELDS_MAX && bytes <= HEAD_BYTES_MAX);
}

/// Fields that are not left to be passed on as they came.
const FRAMING: [&str; 5] = ["host", "content-length", "transfer-encoding", "connection", "upgrade"];
