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
use std::time::Duration;

use parking_lot::Mutex;
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};

/// Time after which the next address of a host is tried beside one that has not answered: the
/// recommended delay of RFC 8305. What is gone without a word answers nothing for minutes.
const ATTEMPT_DELAY: Duration = Duration::from_millis(250);

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

    /// Connects to the first of its addresses that accepts. They are tried in their order, and one
    /// that does not answer delays the others by no more than a quarter of a second each. Must be
    /// called within a tokio runtime.
    ///
    /// # Errors
    /// When the name is not known, or no address accepts: the error of the last one.
    ///
    /// # Cancel safety
    /// Dropping the future drops the connection. A lookup goes on, for whoever asks next.
    pub async fn connect(&self, port: u16) -> io::Result<TcpStream> {
        let addresses = self.addresses().await?;
        let attempt = |ip: &IpAddr| TcpStream::connect(SocketAddr::new(*ip, port));
        first_of(addresses.iter().map(attempt).collect()).await
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

/// What comes of the first attempt that succeeds. Each begins when the one before has failed, or
/// has had [`ATTEMPT_DELAY`]; those that are left are dropped.
async fn first_of<T, F>(attempts: Vec<F>) -> io::Result<T>
where
    T: Send + 'static,
    F: Future<Output = io::Result<T>> + Send + 'static,
{
    let mut refusal = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    let mut attempts = attempts.into_iter();
    let mut under_way = JoinSet::new();
    loop {
        let ended = match attempts.next() {
            None => under_way.join_next().await,
            Some(attempt) => {
                under_way.spawn(attempt);
                match timeout(ATTEMPT_DELAY, under_way.join_next()).await {
                    Ok(ended) => ended,
                    Err(_) => continue,
                }
            }
        };
        match ended {
            Some(Ok(Ok(connected))) => return Ok(connected),
            Some(Ok(Err(error))) => refusal = error,
            // It ends without an outcome only with the runtime.
            Some(Err(_)) => refusal = io::Error::other("the attempt was given up"),
            None => return Err(refusal),
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

    use tokio::net::TcpListener;
    use tokio::sync::oneshot;

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

    /// A node that was gone without a word took its controller's address with it: who tried that
    /// one first waited for it until it was given up, and then tried it first again.
    #[tokio::test(start_paused = true)]
    async fn an_address_that_does_not_answer_delays_the_next_ones_little() {
        async fn attempt(after: Option<Duration>, outcome: io::Result<u32>) -> io::Result<u32> {
            match after {
                Some(after) => tokio::time::sleep(after).await,
                None => std::future::pending().await,
            }
            outcome
        }
        let refused = || Err(io::ErrorKind::ConnectionRefused.into());
        let at_once = Some(Duration::ZERO);
        let begin = Instant::now();
        let silent = vec![attempt(None, Ok(1)), attempt(None, Ok(2)), attempt(at_once, Ok(3))];
        assert_eq!(first_of(silent).await.expect("one answers"), 3);
        assert_eq!(begin.elapsed(), 2 * ATTEMPT_DELAY);
        let begin = Instant::now();
        let late = Some(2 * ATTEMPT_DELAY);
        let refusing =
            vec![attempt(late, Ok(1)), attempt(at_once, refused()), attempt(None, Ok(3))];
        assert_eq!(first_of(refusing).await.expect("the slow one answers"), 1);
        assert_eq!(begin.elapsed(), 2 * ATTEMPT_DELAY);
        let begin = Instant::now();
        let none = vec![attempt(at_once, refused()), attempt(at_once, refused())];
        let refusal = first_of(none).await.expect_err("none accepts");
        assert_eq!(refusal.kind(), io::ErrorKind::ConnectionRefused);
        assert!(begin.elapsed() < ATTEMPT_DELAY, "who refuses is not waited for");
    }

    #[tokio::test]
    async fn addresses_are_connected_to_without_a_lookup() {
        let address = tidegate_reserved_port::reserve().expect("a port is free");
        let listener = TcpListener::bind(address).await.expect("it is ours");
        let port = address.port();
        for name in ["127.0.0.1", "localhost"] {
            assert!(Host::new(name).connect(port).await.is_ok(), "{name}");
        }
        drop(listener);
        let refused = Host::new("127.0.0.1").connect(port).await.expect_err("nobody listens");
        assert_eq!(refused.kind(), io::ErrorKind::ConnectionRefused);
        assert_eq!(Host::new("[::1]").name(), "::1");
    }
}
