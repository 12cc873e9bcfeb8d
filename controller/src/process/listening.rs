//! Where processes listen, and why an instance is not ready: the diagnosis that a person would
//! make.

use std::collections::{BTreeSet, HashSet};
use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use rustix::process::Pid;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::declaration::Readiness;

/// How long a connection to this machine, and the first bytes of a response, may take.
const RESPONSE_TIMEOUT: Duration = Duration::from_secs(1);

/// The most addresses in a message.
const ADDRESSES_MAX: usize = 4;

/// The bytes of a response that hold its status.
const STATUS_BYTES_MAX: usize = 64;

/// What the kernel calls a TCP socket that listens in its tables.
const LISTENING: &str = "0A";

/// The flag of a Unix socket that accepts connections (`__SO_ACCEPTCON`), as the table has it.
const UNIX_LISTENING: &str = "00010000";

/// Why an app that should be ready on `port` is not: what was tried, the result and, where nothing
/// listens there, where `processes` do listen. `None` when it responds as it should.
pub(super) async fn why_not_ready(
    port: u16,
    readiness: &Readiness,
    processes: impl Fn() -> Vec<Pid> + Send + 'static,
) -> Option<String> {
    let loopback = [IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)];
    let mut refusal = String::new();
    for host in loopback {
        let address = SocketAddr::new(host, port);
        match (connect(address).await, readiness) {
            // What a command or a line is to prove, whoever proves it knows.
            (Ok(_), Readiness::Tcp | Readiness::Exec(_) | Readiness::LogLine(_)) => return None,
            (Ok(stream), Readiness::Http(path)) => {
                return request_status(stream, address, path).await;
            }
            (Ok(_), Readiness::Grpc(service)) => return Some(not_serving(address, service)),
            // An error over IPv6 matters only where IPv6 exists.
            (Err(why), _) if refusal.is_empty() => refusal = format!("{address} {why}"),
            (Err(_), _) => {}
        }
    }
    let lookup = tokio::task::spawn_blocking(move || listening(&processes()));
    let found = lookup.await.unwrap_or_default();
    Some(format!("{refusal}; {}", elsewhere(&found, port)))
}

/// What an app that ended has left running, if anything: it has put itself into the background,
/// where its end cannot be seen.
pub(super) async fn left_running(
    processes: impl Fn() -> Vec<Pid> + Send + 'static,
) -> Option<String> {
    let lookup = tokio::task::spawn_blocking(move || {
        let processes = processes();
        let found = listening(&processes);
        (processes.len(), found)
    });
    let (count, found) = lookup.await.unwrap_or_default();
    let what = match count {
        0 => return None,
        1 => "a process in the background".to_owned(),
        _ => format!("{count} processes in the background"),
    };
    let place = match found.addresses() {
        addresses if addresses.is_empty() => String::new(),
        addresses => format!(" (listening on {addresses})"),
    };
    Some(format!("and left {what}{place}: run it in the foreground"))
}

/// The health service is asked by the queue-proxy, which has no better answer than no.
fn not_serving(address: SocketAddr, service: &str) -> String {
    let of = match service {
        "" => String::new(),
        service => format!(" of {service:?}"),
    };
    format!("the gRPC health service at {address} does not say SERVING{of}")
}

async fn connect(address: SocketAddr) -> Result<TcpStream, String> {
    match timeout(RESPONSE_TIMEOUT, TcpStream::connect(address)).await {
        Ok(Ok(stream)) => Ok(stream),
        Ok(Err(error)) if error.kind() == std::io::ErrorKind::ConnectionRefused => {
            Err("refuses connections".to_owned())
        }
        Ok(Err(error)) => Err(format!("cannot be reached ({error})")),
        Err(_) => Err("does not accept connections".to_owned()),
    }
}

/// Requests a path, and reads no more than the status.
async fn request_status(mut stream: TcpStream, address: SocketAddr, path: &str) -> Option<String> {
    let exchange = async {
        let request =
            format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await?;
        let mut response = Vec::new();
        while !response.contains(&b'\n') && response.len() < STATUS_BYTES_MAX {
            if stream.read_buf(&mut response).await? == 0 {
                break;
            }
        }
        std::io::Result::Ok(response)
    };
    let asked = format!("GET http://{address}{path}");
    let expected = "expected a status of 200 to 399";
    match timeout(RESPONSE_TIMEOUT, exchange).await {
        Err(_) => Some(format!("{asked} was not answered within {RESPONSE_TIMEOUT:?}, {expected}")),
        Ok(Err(error)) => Some(format!("{asked} was not answered ({error}), {expected}")),
        Ok(Ok(response)) => match status(&response) {
            Some(200..=399) => None,
            Some(status) => Some(format!("{asked} answered {status}, {expected}")),
            None => Some(format!("{asked} was not answered with HTTP, {expected}")),
        },
    }
}

fn status(response: &[u8]) -> Option<u16> {
    let line = std::str::from_utf8(response.split(|byte| *byte == b'\r').next()?).ok()?;
    let mut words = line.split_whitespace();
    words.next().filter(|version| version.starts_with("HTTP/"))?;
    words.next()?.parse().ok()
}

/// What to make of where it does listen.
fn elsewhere(found: &Listeners, port: u16) -> String {
    if found.is_empty() {
        return "it does not listen on any port so far".to_owned();
    }
    let addresses = found.addresses();
    if found.tcp.is_empty() {
        return format!("it listens on {addresses} only: let it listen on 127.0.0.1:{port}");
    }
    let advice = match found.tcp.iter().any(|address| address.port() == port) {
        true => "let it listen on 127.0.0.1",
        false => "use {PORT} or $PORT",
    };
    format!("it listens on {addresses}, not on 127.0.0.1:{port}: {advice}")
}

/// Where some processes listen.
#[derive(Debug, Default)]
struct Listeners {
    tcp: BTreeSet<SocketAddr>,
    /// Paths of Unix sockets; those of the abstract namespace begin with `@`.
    unix: BTreeSet<String>,
}

impl Listeners {
    fn is_empty(&self) -> bool {
        self.tcp.is_empty() && self.unix.is_empty()
    }

    /// The addresses as text. Unix sockets, which many a server has besides its port, are named
    /// only where there is no port.
    fn addresses(&self) -> String {
        let mut all: Vec<String> = match self.tcp.is_empty() {
            true => self.unix.iter().map(|path| format!("the Unix socket {path}")).collect(),
            false => self.tcp.iter().map(ToString::to_string).collect(),
        };
        if let Some(more @ 1..) = all.len().checked_sub(ADDRESSES_MAX) {
            all.truncate(ADDRESSES_MAX);
            all.push(format!("{more} more"));
        }
        all.join(" and ")
    }
}

/// Everything that one of these processes listens on. Reads `/proc`: nothing without it.
fn listening(processes: &[Pid]) -> Listeners {
    let mut sockets = HashSet::new();
    for process in processes {
        let folder = format!("/proc/{}/fd", process.as_raw_pid());
        // A process may have ended meanwhile.
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            let Ok(target) = fs::read_link(entry.path()) else { continue };
            let target = target.to_string_lossy();
            let inode = target.strip_prefix("socket:[").and_then(|rest| rest.strip_suffix(']'));
            sockets.extend(inode.and_then(|inode| inode.parse::<u64>().ok()));
        }
    }
    let ports = ["/proc/net/tcp", "/proc/net/tcp6"].map(fs::read_to_string);
    let tcp = ports
        .iter()
        .flatten()
        .flat_map(|table| table.lines().filter_map(entry))
        .filter_map(|(address, inode)| sockets.contains(&inode).then_some(address))
        .collect();
    let paths = fs::read("/proc/net/unix").unwrap_or_default();
    let unix = String::from_utf8_lossy(&paths)
        .lines()
        .filter_map(unix_entry)
        .filter(|(_, inode)| sockets.contains(inode))
        .map(|(path, _)| path.to_owned())
        .collect();
    Listeners { tcp, unix }
}

/// Path and inode of a Unix socket that accepts connections, from a line of `/proc/net/unix`.
fn unix_entry(line: &str) -> Option<(&str, u64)> {
    let mut rest = line;
    let mut fields = [""; 7];
    for field in &mut fields {
        // Inodes are padded with blanks; what a path begins with is its own.
        (*field, rest) = rest.trim_start().split_once(' ')?;
    }
    let [_, _, _, flags, _, _, inode] = fields;
    (flags == UNIX_LISTENING).then_some((rest, inode.parse().ok()?))
}

/// Address and inode of a listening socket, from a line of `/proc/net/tcp` or `tcp6`.
fn entry(line: &str) -> Option<(SocketAddr, u64)> {
    let mut fields = line.split_whitespace();
    let (address, port) = fields.nth(1)?.split_once(':')?;
    let state = fields.nth(1)?;
    let inode = fields.nth(5)?.parse().ok()?;
    let port = u16::from_str_radix(port, 16).ok()?;
    // Words of 32 bits in the machine's order, whose bytes are in network order.
    let words: Option<Vec<[u8; 4]>> = (0..address.len() / 8)
        .map(|word| address.get(word * 8..word * 8 + 8))
        .map(|word| Some(u32::from_str_radix(word?, 16).ok()?.to_ne_bytes()))
        .collect();
    let ip = match words?.concat().as_slice() {
        bytes @ [_, _, _, _] => IpAddr::from(<[u8; 4]>::try_from(bytes).ok()?),
        bytes => IpAddr::from(<[u8; 16]>::try_from(bytes).ok()?),
    };
    (state == LISTENING).then_some((SocketAddr::new(ip, port), inode))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ourselves() -> Vec<Pid> {
        vec![rustix::process::getpid()]
    }

    #[tokio::test]
    async fn an_app_that_listens_elsewhere_is_reported() {
        let elsewhere = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let port = tidegate_reserved_port::reserve().expect("a port").port();
        let why = why_not_ready(port, &Readiness::Tcp, ourselves).await.expect("not ready");
        let listens = elsewhere.local_addr().expect("an address").to_string();
        assert!(why.starts_with(&format!("127.0.0.1:{port} refuses connections; ")), "{why}");
        // Other tests of this process listen on ports of theirs, and a few are named.
        assert!(why.contains(&listens) || why.contains(" more, not on "), "{why}");
        assert!(why.ends_with("use {PORT} or $PORT"), "{why}");
        let port = elsewhere.local_addr().expect("an address").port();
        assert_eq!(why_not_ready(port, &Readiness::Tcp, ourselves).await, None);
        let nobody = why_not_ready(1, &Readiness::Tcp, Vec::new).await.expect("not ready");
        assert!(nobody.ends_with("it does not listen on any port so far"), "{nobody}");
    }

    #[test]
    fn a_unix_socket_is_reported_where_there_is_no_port() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("app s.sock");
        let _listener = std::os::unix::net::UnixListener::bind(&path).expect("bound");
        let mut found = listening(&ourselves());
        let path = path.to_str().expect("text");
        assert!(found.unix.contains(path), "{found:?}");
        // Other tests of this process listen on ports and sockets of theirs.
        found.tcp.clear();
        found.unix.retain(|other| other == path);
        assert_eq!(
            elsewhere(&found, 80),
            format!("it listens on the Unix socket {path} only: let it listen on 127.0.0.1:80")
        );
        found.tcp.insert("127.0.0.1:81".parse().expect("valid"));
        assert!(elsewhere(&found, 80).starts_with("it listens on 127.0.0.1:81, not on"));
    }

    #[tokio::test]
    async fn the_status_of_a_path_is_reported() {
        for (response, expected) in [
            (&b"HTTP/1.1 404 Not Found\r\n\r\n"[..], "answered 404"),
            (b"SSH-2.0-x\r\n", "was not answered with HTTP"),
            (b"", "was not answered"),
        ] {
            let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
            let port = listener.local_addr().expect("an address").port();
            tokio::spawn(async move {
                let (mut stream, _) = listener.accept().await.expect("a connection");
                let mut request = [0; 64];
                assert_ne!(stream.read(&mut request).await.expect("a request"), 0);
                stream.write_all(response).await.expect("written");
            });
            let readiness = Readiness::Http("/healthz".into());
            let why = why_not_ready(port, &readiness, Vec::new).await.expect("not ready");
            assert!(why.contains(&format!("GET http://127.0.0.1:{port}/healthz")), "{why}");
            assert!(why.contains(expected), "{why}");
        }
    }

    #[test]
    fn the_tables_of_the_kernel_are_read() {
        let line = "   0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000  \
                    1000        0 31337 1 0000000000000000 100 0 0 10 0";
        assert_eq!(entry(line), Some(("127.0.0.1:8080".parse().expect("valid"), 31_337)));
        let line = "   0: 00000000000000000000000001000000:1F90 \
                    00000000000000000000000000000000:0000 0A 00000000:00000000 00:00000000 \
                    00000000  1000        0 31338 1 0000000000000000 100 0 0 10 0";
        assert_eq!(entry(line), Some(("[::1]:8080".parse().expect("valid"), 31_338)));
        assert_eq!(entry(&line.replace(" 0A ", " 01 ")), None);
        assert_eq!(entry("  sl  local_address rem_address   st"), None);
        let line = "ffff8881: 00000002 00000000 00010000 0001 01 31339 @abstract";
        assert_eq!(unix_entry(line), Some(("@abstract", 31_339)));
        assert_eq!(unix_entry(&line.replace("00010000 0001 01", "00000000 0001 03")), None);
        assert_eq!(unix_entry("ffff8881: 00000002 00000000 00010000 0001 01 31339"), None);
    }
}
