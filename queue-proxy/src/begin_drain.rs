//! Begins the drain of the sidecar in this pod: a command for the sidecar's own `preStop` hook.
//!
//! The kubelet starts the hooks of all containers of a pod that ends at once, and sends a native
//! sidecar its signal only after the app has gone. This command starts the drain before that.

use std::io::{self, Read as _, Write as _};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream};
use std::process::ExitCode;
use std::time::Duration;

use crate::environment::{Environment, ProcessEnvironment, keys};
use crate::settings::ADMIN_PORT;

/// The request's target; the sidecar accepts it from this pod only.
pub const PATH: &str = "/drain";

/// A sidecar that runs responds at once.
const PATIENCE: Duration = Duration::from_secs(2);

/// Most bytes of the response that are read: its first line has some twenty.
const RESPONSE_BYTES_MAX: usize = 64;

/// Begins the drain, at the port and the address that the environment names.
///
/// The exit code is failure, with a message on standard error, when no sidecar responds.
pub fn begin_drain() -> ExitCode {
    let variable = |key| ProcessEnvironment.get(key).filter(|value| !value.is_empty());
    let port = variable(keys::TIDEGATE_ADMIN_PORT).and_then(|port| port.parse().ok());
    let host = variable(keys::TIDEGATE_LISTEN_HOST).and_then(|host| host.parse::<IpAddr>().ok());
    let host = host.filter(IpAddr::is_loopback).unwrap_or(Ipv4Addr::LOCALHOST.into());
    let address = SocketAddr::new(host, port.unwrap_or(ADMIN_PORT));
    match ask(address) {
        Ok(response) if response.starts_with("HTTP/1.1 200 ") => ExitCode::SUCCESS,
        Ok(response) => {
            let line = tidegate_words::excerpt(response.lines().next().unwrap_or_default());
            eprintln!("queue-proxy drain: {address} answered '{line}', expected 200");
            ExitCode::FAILURE
        }
        Err(error) => {
            eprintln!("queue-proxy drain: no sidecar answers at {address}: {error}");
            ExitCode::FAILURE
        }
    }
}

fn ask(address: SocketAddr) -> io::Result<String> {
    let mut stream = TcpStream::connect_timeout(&address, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    write!(stream, "POST {PATH} HTTP/1.1\r\nHost: {address}\r\nContent-Length: 0\r\n\r\n")?;
    let mut bytes = [0; RESPONSE_BYTES_MAX];
    let length = stream.read(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes[..length]).into_owned())
}
