//! Tells the sidecar in this pod that the pod ends: a command for its own hook.
//!
//! The kubelet starts the hooks of all containers of a pod that ends at once, and sends a native
//! sidecar its signal only after the app has gone. This is how the sidecar knows before.

use std::io::{self, Read as _, Write as _};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream};
use std::process::ExitCode;
use std::time::Duration;

use crate::environment::{Environment, ProcessEnvironment, keys};
use crate::settings::ADMIN_PORT;

/// What is asked for, answered to this pod alone.
pub const PATH: &str = "/drain";

/// The sidecar answers at once, or not at all.
const PATIENCE: Duration = Duration::from_secs(2);

/// Most bytes of the response that are looked at: its first line has some twenty.
const RESPONSE_BYTES_MAX: usize = 64;

/// Begins the drain, at the port and the address that the environment names.
///
/// The exit code is failure, with a message on standard error, when no sidecar answers.
pub fn begin_drain() -> ExitCode {
    let variable = |key| ProcessEnvironment.get(key).filter(|value| !value.is_empty());
    let port = variable(keys::TIDEGATE_ADMIN_PORT).and_then(|port| port.parse().ok());
    let host = variable(keys::TIDEGATE_LISTEN_HOST).and_then(|host| host.parse::<IpAddr>().ok());
    let host = host.filter(IpAddr::is_loopback).unwrap_or(Ipv4Addr::LOCALHOST.into());
    let address = SocketAddr::new(host, port.unwrap_or(ADMIN_PORT));
    match ask(address) {
        Ok(answer) if answer.starts_with("HTTP/1.1 200 ") => ExitCode::SUCCESS,
        Ok(answer) => {
            let answer = tidegate_words::excerpt(answer.lines().next().unwrap_or_default());
            eprintln!("queue-proxy drain: {address} answered '{answer}', expected 200");
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
