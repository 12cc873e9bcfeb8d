//! What the service manager that started this process has for it: listeners that are open already
//! (socket activation), and a socket to say how things stand.

use std::collections::BTreeMap;
use std::io;
use std::net::{SocketAddr, TcpListener};
#[cfg(target_os = "linux")]
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr as UnixAddress, UnixDatagram};

use listenfd::ListenFd;
use tidegate_services::Services;

/// Where a service manager wants to be told, as systemd names it.
const NOTIFY_SOCKET: &str = "NOTIFY_SOCKET";

/// Listeners that were open before this process began.
#[derive(Debug, Default)]
pub(super) struct Inherited {
    listeners: Vec<(SocketAddr, TcpListener)>,
}

impl Inherited {
    /// Takes those that are meant for this process.
    ///
    /// # Errors
    ///
    /// When one of them is no TCP listener.
    pub(super) fn take() -> io::Result<Self> {
        let mut given = ListenFd::from_env();
        let mut listeners = Vec::new();
        for number in 0..given.len() {
            if let Some(listener) = given.take_tcp_listener(number)? {
                // Apps are not to have it.
                rustix::io::fcntl_setfd(&listener, rustix::io::FdFlags::CLOEXEC)?;
                listeners.push((listener.local_addr()?, listener));
            }
        }
        Ok(Self { listeners })
    }

    /// Those at addresses that services want of their own.
    pub(super) fn of_services(&mut self, services: &Services) -> BTreeMap<String, TcpListener> {
        let mut found = BTreeMap::new();
        for (name, service) in &services.services {
            let is_its = |(at, _): &(SocketAddr, TcpListener)| Some(*at) == service.entrance.listen;
            if let Some(place) = self.listeners.iter().position(is_its) {
                found.insert(name.clone(), self.listeners.remove(place).1);
            }
        }
        found
    }

    /// The first of the others.
    pub(super) fn front_door(&mut self) -> Option<TcpListener> {
        (!self.listeners.is_empty()).then(|| self.listeners.remove(0).1)
    }

    /// Where those listen that nobody wants.
    pub(super) fn left(&self) -> Vec<SocketAddr> {
        self.listeners.iter().map(|(at, _)| *at).collect()
    }
}

/// What a service manager is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    /// Clients can connect.
    Ready,
    /// Another file is being followed, since this many microseconds of the monotonic clock.
    Reloading(u64),
    /// The end has begun.
    Stopping,
}

impl State {
    fn message(self) -> String {
        match self {
            Self::Ready => "READY=1".to_owned(),
            Self::Reloading(at) => format!("RELOADING=1\nMONOTONIC_USEC={at}"),
            Self::Stopping => "STOPPING=1".to_owned(),
        }
    }
}

/// Tells the service manager, if there is one that wants to know. That it does not listen is no
/// reason not to serve.
pub(super) fn notify(state: State) {
    let Some(name) = std::env::var_os(NOTIFY_SOCKET) else { return };
    if let Err(error) = send(name.as_bytes(), &state.message()) {
        tracing::warn!(%error, "the service manager cannot be told");
    }
}

fn send(name: &[u8], message: &str) -> io::Result<()> {
    let address = match name.strip_prefix(b"@") {
        #[cfg(target_os = "linux")]
        Some(name) => UnixAddress::from_abstract_name(name)?,
        #[cfg(not(target_os = "linux"))]
        Some(_) => return Err(io::ErrorKind::Unsupported.into()),
        None => UnixAddress::from_pathname(std::ffi::OsStr::from_bytes(name))?,
    };
    UnixDatagram::unbound()?.send_to_addr(message.as_bytes(), &address).map(drop)
}

/// The monotonic clock, in microseconds.
pub(super) fn monotonic_us() -> u64 {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    let seconds = u64::try_from(now.tv_sec).unwrap_or(0);
    seconds * 1_000_000 + u64::try_from(now.tv_nsec / 1_000).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_service_manager_is_told_by_a_path_and_by_a_name() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("notify");
        let by_path = UnixDatagram::bind(&path).expect("bound");
        send(path.as_os_str().as_bytes(), &State::Ready.message()).expect("sent");
        let name = format!("tidegate-test-{}", std::process::id());
        let address = UnixAddress::from_abstract_name(&name).expect("a name");
        let by_name = UnixDatagram::bind_addr(&address).expect("bound");
        send(format!("@{name}").as_bytes(), &State::Reloading(5).message()).expect("sent");
        let mut buffer = [0; 100];
        let length = by_path.recv(&mut buffer).expect("received");
        assert_eq!(&buffer[..length], b"READY=1");
        let length = by_name.recv(&mut buffer).expect("received");
        assert_eq!(&buffer[..length], b"RELOADING=1\nMONOTONIC_USEC=5");
    }
}
