//! TCP connections to hosts that may be names.
//!
//! The system's resolver cannot be told to stop: a lookup that nobody waits for any more goes on in
//! a thread of its own, for half a minute where a name server does not answer. Whoever tries again
//! every few milliseconds would have hundreds of them. A [`Host`] has one lookup in flight at most,
//! shared by all who wait for it, and says with [`Host::pending`] that it is what they wait for.
//!
//! It must never keep an answer after those who waited for it have it: a name may lead elsewhere
//! the next time.

use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::Instant;

/// A host to connect to: an address, or a name that is looked up for each connection. Clones share
/// one lookup.
#[derive(Clone)]
pub struct Host {
    shared: Arc<HostState>,
}

struct HostState {
    name: String,
    /// The lookup that is under way, if any.
    flight: Mutex<Option<Flight>>,
}

struct Flight {
    began: Instant,
    answer: watch::Receiver<Option<Answer>>,
}

/// What every waiter gets. An `io::Error` cannot be shared, its kind and text can.
type Answer = Result<Arc<[IpAddr]>, (io::ErrorKind, Arc<str>)>;

/// A lookup that has not ended yet.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("no answer yet to the lookup of {host:?}, which began {seconds} s ago")]
pub struct Pending {
    host: String,
    seconds: u64,
}

impl Host {
    /// A host as an address has it: a name, an IPv4 address, or an IPv6 address with or without
    /// brackets.
    #[must_use]
    pub fn new(name: &str) -> Self {
        let name = name.trim_matches(['[', ']']).to_owned();
        Self { shared: Arc::new(HostState { name, flight: Mutex::new(None) }) }
    }

    /// The name or address, without brackets.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.shared.name
    }

    /// The lookup that is under way, if any: what a caller that gave up has waited for.
    #[must_use]
    pub fn pending(&self) -> Option<Pending> {
        let flight = self.shared.flight.lock();
        let seconds = flight.as_ref()?.began.elapsed().as_secs();
        Some(Pending { host: self.shared.name.clone(), seconds })
    }

    /// Connects to the first of its addresses that accepts. Must be called within a tokio runtime.
    ///
    /// # Errors
    /// When the name is not known, or no address accepts: the error of the last one.
    ///
    /// # Cancel safety
    /// Dropping the future drops the connection. A lookup goes on, for whoever asks next.
    pub async fn connect(&self, port: u16) -> io::Result<TcpStream> {
        let mut refusal = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
        for address in self.addresses().await?.iter() {
            match TcpStream::connect(SocketAddr::new(*address, port)).await {
                Ok(stream) => return Ok(stream),
                Err(error) => refusal = error,
            }
        }
        Err(refusal)
    }

    async fn addresses(&self) -> io::Result<Arc<[IpAddr]>> {
        if let Ok(address) = self.shared.name.parse::<IpAddr>() {
            return Ok(Arc::new([address]));
        }
        self.looked_up(system_lookup).await
    }

    /// Joins the lookup that is under way, or begins one with `look_up`.
    async fn looked_up<F>(&self, look_up: impl FnOnce(String) -> F) -> io::Result<Arc<[IpAddr]>>
    where
        F: Future<Output = io::Result<Vec<IpAddr>>> + Send + 'static,
    {
        let mut answer = {
            let mut flight = self.shared.flight.lock();
            match &*flight {
                Some(flight) => flight.answer.clone(),
                None => {
                    let (sender, answer) = watch::channel(None);
                    *flight = Some(Flight { began: Instant::now(), answer: answer.clone() });
                    let looking = look_up(self.shared.name.clone());
                    let shared = Arc::clone(&self.shared);
                    tokio::spawn(async move {
                        let found = looking.await;
                        *shared.flight.lock() = None;
                        sender.send_replace(Some(
                            found
                                .map(Arc::from)
                                .map_err(|error| (error.kind(), error.to_string().into())),
                        ));
                    });
                    answer
                }
            }
        };
        // It ends without an answer only with the runtime.
        let ended = |_| io::Error::other("the lookup was given up");
        let answer = answer.wait_for(Option::is_some).await.map_err(ended)?.clone();
        match answer {
            Some(Ok(addresses)) => Ok(addresses),
            Some(Err((kind, text))) => Err(io::Error::new(kind, text.to_string())),
            None => Err(io::Error::other("the lookup has no answer")),
        }
    }
}

/// The system's resolver, in a thread of the runtime.
async fn system_lookup(name: String) -> io::Result<Vec<IpAddr>> {
    let found = tokio::net::lookup_host((name, 0)).await?;
    Ok(found.map(|address| address.ip()).collect())
}

impl fmt::Debug for Host {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_tuple("Host").field(&self.shared.name).finish()
    }
}

impl PartialEq for Host {
    fn eq(&self, other: &Self) -> bool {
        self.shared.name == other.shared.name
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Duration;

    use tokio::net::TcpListener;
    use tokio::sync::oneshot;
    use tokio::time::timeout;

    use super::*;

    const HERE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

    /// A name server that hangs had a thread for each attempt, 512 of them after two seconds.
    #[tokio::test(start_paused = true)]
    async fn a_thousand_attempts_share_one_lookup_and_say_what_they_wait_for() {
        let host = Host::new("app.example");
        let begun = Arc::new(AtomicUsize::new(0));
        let (resolve, resolved) = oneshot::channel();
        let mut resolved = Some(resolved);
        let look_up = |_| {
            begun.fetch_add(1, Ordering::SeqCst);
            let resolved = resolved.take().expect("one lookup");
            async move { resolved.await.map_err(io::Error::other) }
        };
        let limit = Duration::from_millis(10);
        assert!(timeout(limit, host.looked_up(look_up)).await.is_err());
        for _ in 0..1_000 {
            let again = |_| async { panic!("a second lookup") };
            assert!(timeout(limit, host.looked_up(again)).await.is_err());
        }
        assert_eq!(begun.load(Ordering::SeqCst), 1);
        let pending = host.pending().expect("it hangs").to_string();
        let told = r#"no answer yet to the lookup of "app.example", which began 10 s ago"#;
        assert_eq!(pending, told);
        // Whoever comes while it hangs gets what it finds, and then it is over.
        let joined = tokio::spawn({
            let host = host.clone();
            async move { host.looked_up(|_| async { panic!("a second lookup") }).await }
        });
        tokio::task::yield_now().await;
        resolve.send(vec![HERE]).expect("it is awaited");
        assert_eq!(*joined.await.expect("it ends").expect("it is found"), [HERE]);
        assert_eq!(host.pending(), None);
        let fresh = host.looked_up(|_| async { Err(io::ErrorKind::NotFound.into()) }).await;
        assert_eq!(fresh.expect_err("looked up anew").kind(), io::ErrorKind::NotFound);
    }

    #[tokio::test]
    async fn addresses_are_connected_to_without_a_lookup() {
        let listener = TcpListener::bind((HERE, 0)).await.expect("a port is free");
        let port = listener.local_addr().expect("it is bound").port();
        for name in ["127.0.0.1", "localhost"] {
            assert!(Host::new(name).connect(port).await.is_ok(), "{name}");
        }
        drop(listener);
        let refused = Host::new("127.0.0.1").connect(port).await.expect_err("nobody listens");
        assert_eq!(refused.kind(), io::ErrorKind::ConnectionRefused);
        assert_eq!(Host::new("[::1]").name(), "::1");
    }
}
