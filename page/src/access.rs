//! Who may look: whoever shows the controller's secret, or came by a link that was good once.
//!
//! What a browser shows is not a cookie: browsers send those to every port of a host, also to
//! servers of others. It is a field that only the page itself can set, and that no page of another
//! origin can make a browser send.

use std::collections::VecDeque;
use std::fmt;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tidegate_trust::{Secret, SecretError, SharedSecret};

/// Browsers that are signed in at a time; one more signs out the oldest.
pub(crate) const SESSIONS_MAX: usize = 64;

/// How long a browser stays signed in: a day at work.
pub(crate) const SESSION_TIME: Duration = Duration::from_secs(12 * 3_600);

/// Links that are good at a time; one more makes the oldest useless.
pub(crate) const LINKS_MAX: usize = 8;

/// How long a link that was not followed is good.
pub(crate) const LINK_TIME: Duration = Duration::from_secs(600);

/// Who may look at a controller's page.
#[derive(Clone)]
pub enum Access {
    /// Everybody who reaches its address: for addresses of this machine whose controller asks for
    /// no secret either.
    Open,
    /// Whoever shows this secret, and whoever was given a link by somebody who may look.
    Secret(SharedSecret),
}

impl fmt::Debug for Access {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Open => "Open",
            Self::Secret(_) => "Secret(…)",
        })
    }
}

/// Why a controller has no page.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NoPage {
    /// Everybody could look at it.
    #[error("the admin address is open to others and there is no secret: give --secret-file")]
    Open,
    /// It cannot ask for what the controller asks for.
    #[error("a page asks for a secret and not for client certificates: give --secret-file as well")]
    CertificatesOnly,
}

/// Whether every peer that reaches a port is admitted, because that was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Anonymous {
    /// It is.
    Allowed,
    /// It is not.
    Refused,
}

impl Access {
    /// Who may look at the page of a controller on this address: whoever may ask the controller
    /// itself, and no one else.
    ///
    /// # Errors
    ///
    /// Why nobody may.
    pub fn of_controller(
        access: &tidegate_controller::Access,
        address: SocketAddr,
        anonymous: Anonymous,
    ) -> Result<Self, NoPage> {
        let is_ours = address.ip().to_canonical().is_loopback();
        match &access.secret {
            Some(secret) => Ok(Self::Secret(secret.clone())),
            None if !access.admits_anybody() => Err(NoPage::CertificatesOnly),
            None if is_ours || anonymous == Anonymous::Allowed => Ok(Self::Open),
            None => Err(NoPage::Open),
        }
    }
}

/// Keeps who is signed in.
#[derive(Debug)]
pub(crate) struct Gate {
    access: Access,
    sessions: Mutex<Given>,
    links: Mutex<Given>,
}

/// Secrets that were made here, each with its time, the oldest first.
#[derive(Debug, Default)]
struct Given {
    all: VecDeque<(Secret, Instant)>,
}

impl Given {
    fn give(&mut self, now: Instant, most: usize) -> Result<String, SecretError> {
        let secret = Secret::random()?;
        let text = secret.reveal().to_owned();
        if self.all.len() == most {
            self.all.pop_front();
        }
        self.all.push_back((secret, now));
        Ok(text)
    }

    /// Where the one is that is shown, of those that are still good.
    fn place(&mut self, shown: &[u8], now: Instant, good_for: Duration) -> Option<usize> {
        self.all.retain(|(_, since)| now.saturating_duration_since(*since) < good_for);
        // All are compared, so that the time that takes says nothing of which it was.
        let mut found = None;
        for (place, (secret, _)) in self.all.iter().enumerate() {
            if secret.is_shown_by(shown) {
                found = Some(place);
            }
        }
        found
    }
}

impl Gate {
    pub(crate) fn new(access: Access) -> Self {
        Self { access, sessions: Mutex::default(), links: Mutex::default() }
    }

    /// Whether everybody may look.
    pub(crate) fn is_open(&self) -> bool {
        matches!(self.access, Access::Open)
    }

    /// Whether a request with this `authorization` field may look.
    pub(crate) fn admits(&self, authorization: Option<&[u8]>, now: Instant) -> bool {
        let Access::Secret(secret) = &self.access else { return true };
        let Some(shown) = authorization else { return false };
        let is_signed_in = self.sessions.lock().place(shown, now, SESSION_TIME).is_some();
        is_signed_in || secret.is_shown_by(shown, now)
    }

    /// Signs a browser in that shows the secret or a link, which is used up by it. `None` for one
    /// that shows neither.
    pub(crate) fn sign_in(
        &self,
        authorization: Option<&[u8]>,
        now: Instant,
    ) -> Result<Option<String>, SecretError> {
        let Some(shown) = authorization else { return Ok(None) };
        if !self.admits(Some(shown), now) {
            let mut links = self.links.lock();
            let Some(place) = links.place(shown, now, LINK_TIME) else { return Ok(None) };
            links.all.remove(place);
        }
        self.sessions.lock().give(now, SESSIONS_MAX).map(Some)
    }

    /// What a link carries that signs in the first browser that follows it.
    pub(crate) fn link(&self, now: Instant) -> Result<String, SecretError> {
        self.links.lock().give(now, LINKS_MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_may_ask_the_controller_may_look_and_no_one_else() {
        let anybody = tidegate_controller::Access::anonymous();
        let secret = Secret::new("0123456789abcdef", "a test").expect("valid");
        let known = tidegate_controller::Access::by_secret(secret);
        let (ours, open): (SocketAddr, SocketAddr) =
            ("127.0.0.1:1".parse().expect("valid"), "0.0.0.0:1".parse().expect("valid"));
        let refused = Anonymous::Refused;
        let looks = Access::of_controller;
        assert!(matches!(looks(&anybody, ours, refused), Ok(Access::Open)));
        assert!(matches!(looks(&anybody, open, refused), Err(NoPage::Open)));
        assert!(matches!(looks(&anybody, open, Anonymous::Allowed), Ok(Access::Open)));
        for address in [ours, open] {
            assert!(matches!(looks(&known, address, Anonymous::Allowed), Ok(Access::Secret(_))));
        }
    }

    const SECRET: &str = "0123456789abcdef";

    fn gate() -> Gate {
        Gate::new(Access::Secret(Secret::new(SECRET, "a test").expect("valid").into()))
    }

    fn bearer(text: &str) -> Vec<u8> {
        format!("Bearer {text}").into_bytes()
    }

    #[test]
    fn only_the_secret_and_what_is_given_for_it_admit() {
        let (gate, now) = (gate(), Instant::now());
        assert!(!gate.is_open());
        for nothing in [None, Some(&b""[..]), Some(b"Bearer "), Some(b"Bearer 0123456789abcdeX")] {
            assert!(!gate.admits(nothing, now));
            assert_eq!(gate.sign_in(nothing, now).expect("random"), None);
        }
        assert!(gate.admits(Some(&bearer(SECRET)), now));
        let session = gate.sign_in(Some(&bearer(SECRET)), now).expect("random").expect("known");
        assert_ne!(session, SECRET, "a browser keeps no secret of the controller");
        assert!(gate.admits(Some(&bearer(&session)), now));
        assert!(!gate.admits(Some(&bearer(&session)), now + SESSION_TIME), "it ends");
    }

    #[test]
    fn a_link_signs_in_once_and_for_a_while() {
        let (gate, now) = (gate(), Instant::now());
        let link = gate.link(now).expect("random");
        assert!(!gate.admits(Some(&bearer(&link)), now), "it shows nothing by itself");
        let session = gate.sign_in(Some(&bearer(&link)), now).expect("random").expect("good");
        assert!(gate.admits(Some(&bearer(&session)), now));
        assert_eq!(gate.sign_in(Some(&bearer(&link)), now).expect("random"), None, "used up");
        let late = gate.link(now).expect("random");
        assert_eq!(gate.sign_in(Some(&bearer(&late)), now + LINK_TIME).expect("random"), None);
    }

    #[test]
    fn sessions_and_links_are_bounded_and_the_oldest_go() {
        let (gate, now) = (gate(), Instant::now());
        let sign_in = || gate.sign_in(Some(&bearer(SECRET)), now).expect("random").expect("known");
        let sessions: Vec<String> = (0..=SESSIONS_MAX).map(|_| sign_in()).collect();
        assert!(!gate.admits(Some(&bearer(&sessions[0])), now));
        assert!(sessions[1..].iter().all(|session| gate.admits(Some(&bearer(session)), now)));
        let links: Vec<String> = (0..=LINKS_MAX).map(|_| gate.link(now).expect("random")).collect();
        assert_eq!(gate.sign_in(Some(&bearer(&links[0])), now).expect("random"), None);
        assert!(gate.sign_in(Some(&bearer(&links[1])), now).expect("random").is_some());
    }

    #[test]
    fn what_is_open_asks_for_nothing() {
        let gate = Gate::new(Access::Open);
        assert!(gate.is_open() && gate.admits(None, Instant::now()));
    }

    #[test]
    fn no_secret_is_printed() {
        let gate = gate();
        let link = gate.link(Instant::now()).expect("random");
        let printed = format!("{gate:?}");
        assert!(!printed.contains(SECRET) && !printed.contains(&link), "{printed}");
    }
}
