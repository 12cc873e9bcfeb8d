//! Access control: what every connection to the controller must present.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Instant, SystemTime};

use http::HeaderMap;
use http::header::AUTHORIZATION;
use tidegate_trust::secret::SECRET_BYTES_MAX;
use tidegate_trust::token::is_token;
use tidegate_trust::{RefusalLog, ServerTls, SharedSecret, TokenError};

use crate::caller::{Authenticate, Caller, TokenRefused};
use crate::clock::Clock;
use crate::metrics::Metrics;

/// What is required on the controller's port, for every call of every service.
#[derive(Debug, Clone)]
pub struct Access {
    /// The secret to present. With `None` every client that reaches the port is admitted.
    pub secret: Option<SharedSecret>,
    /// Who says whose a token is that is not the secret; with `None` only the secret counts.
    pub tokens: Option<Arc<dyn Authenticate>>,
    /// TLS, with or without client certificates; `None` is plaintext.
    pub tls: Option<Arc<ServerTls>>,
    /// Which addresses instances of others may claim.
    pub addresses: Addresses,
}

/// Which addresses an instance of others may claim to take traffic at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Addresses {
    /// The one that its stream is connected from, with any port. A reporter cannot direct requests
    /// to another host.
    Own,
    /// Any. Needed where a mesh, a proxy or NAT is between reporters and the controller.
    Any,
}

impl Access {
    /// Admits every client that reaches the port: for ports that only trusted processes reach.
    #[must_use]
    pub fn anonymous() -> Self {
        Self { secret: None, tokens: None, tls: None, addresses: Addresses::Own }
    }

    /// Whether a client is admitted that presents nothing: neither a secret nor a certificate.
    #[must_use]
    pub fn admits_anybody(&self) -> bool {
        let asks_for_certificates =
            self.tls.as_ref().is_some_and(|tls| tls.requires_client_certificates());
        self.secret.is_none() && self.tokens.is_none() && !asks_for_certificates
    }

    /// Admits every client that presents `secret`.
    #[must_use]
    pub fn by_secret(secret: impl Into<SharedSecret>) -> Self {
        Self { secret: Some(secret.into()), ..Self::anonymous() }
    }
}

/// Why the address that an instance claims is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "address {claimed:?} is not that of the stream, which comes from {}: an instance may only \
     claim its own, unless the controller runs with `--addresses any`",
    peer.map_or_else(|| "nobody knows where".to_owned(), |peer| peer.to_string())
)]
pub(crate) struct ForeignAddress {
    claimed: String,
    peer: Option<IpAddr>,
}

impl Addresses {
    /// Whether an instance whose stream is connected from `peer` may be at `claimed` (`host:port`).
    pub(crate) fn check(
        self,
        claimed: &str,
        peer: Option<SocketAddr>,
    ) -> Result<(), ForeignAddress> {
        if self == Self::Any {
            return Ok(());
        }
        // The same machine has one address in both families' notations.
        let peer = peer.map(|peer| peer.ip().to_canonical());
        let host = claimed.parse::<SocketAddr>().map(|address| address.ip().to_canonical()).ok();
        match host.is_some() && host == peer {
            true => Ok(()),
            false => Err(ForeignAddress { claimed: claimed.chars().take(64).collect(), peer }),
        }
    }
}

/// What a call shows.
pub(crate) enum Shown {
    /// Who calls: the secret, a token of it, or nothing where nothing is required.
    Caller(Caller),
    /// A token whose issuer has to be asked.
    Token(String),
}

/// Why a call is refused that should carry the secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum SecretRefused {
    /// It carries none.
    #[error("no secret was shown: set TIDEGATE_SECRET or TIDEGATE_SECRET_FILE")]
    None,
    /// It carries another.
    #[error(
        "the secret that was shown is not this controller's: set TIDEGATE_SECRET or \
         TIDEGATE_SECRET_FILE"
    )]
    Other,
    /// It carries a token of the secret that is not taken.
    #[error(transparent)]
    Token(#[from] TokenError),
}

/// Admits the calls that present the secret, or a token.
#[derive(Debug, Clone)]
pub(crate) struct Gatekeeper {
    secret: Option<SharedSecret>,
    tokens: Option<Arc<dyn Authenticate>>,
    refusals: Arc<RefusalLog>,
    metrics: Metrics,
    /// By which tokens expire.
    clock: Clock,
}

impl Gatekeeper {
    /// Refused calls are counted in `metrics`.
    pub(crate) fn new(
        secret: Option<SharedSecret>,
        tokens: Option<Arc<dyn Authenticate>>,
        metrics: Metrics,
    ) -> Self {
        let clock = Clock::start();
        Self { secret, tokens, refusals: Arc::default(), metrics, clock }
    }

    /// The secret to be [watched](SharedSecret::watch), if there is one.
    pub(crate) fn secret(&self) -> Option<&SharedSecret> {
        self.secret.as_ref()
    }

    pub(crate) fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    /// Whether a call with these headers may pass.
    pub(crate) fn admit(
        &self,
        headers: &HeaderMap,
        peer: Option<SocketAddr>,
    ) -> Result<Shown, SecretRefused> {
        if self.secret.is_none() && self.tokens.is_none() {
            return Ok(Shown::Caller(Caller::Trusted));
        }
        let refused = match (authorization(headers), &self.secret) {
            (None, _) => SecretRefused::None,
            (Some(shown), Some(secret)) if secret.is_shown_by(shown, Instant::now()) => {
                return Ok(Shown::Caller(Caller::Trusted));
            }
            (Some(shown), secret) => match (bearer(shown), secret) {
                (Some(token), Some(secret)) if is_token(token) => {
                    match scoped(secret, token, self.clock.system_time()) {
                        Ok(caller) => return Ok(Shown::Caller(caller)),
                        Err(refused) => refused.into(),
                    }
                }
                (Some(token), _) if self.tokens.is_some() && is_web_token(token) => {
                    return Ok(Shown::Token(token.to_owned()));
                }
                _ => SecretRefused::Other,
            },
        };
        self.metrics.secrets_refused.increment(1);
        self.log_refusal(peer, &refused);
        Err(refused)
    }

    /// Whose a token is.
    pub(crate) async fn authenticate(
        &self,
        token: &str,
        peer: Option<SocketAddr>,
    ) -> Result<Caller, TokenRefused> {
        let Some(tokens) = &self.tokens else { return Ok(Caller::Trusted) };
        let authenticated = tokens.authenticate(token).await;
        if let Err(refused) = &authenticated {
            self.metrics.secrets_refused.increment(1);
            self.log_refusal(peer, refused);
        }
        authenticated
    }

    /// Logs a refusal, or counts it when one was logged just now.
    pub(crate) fn log_refusal(&self, peer: Option<SocketAddr>, reason: impl fmt::Display) {
        if let Some(others) = self.refusals.count(Instant::now()) {
            tracing::warn!(?peer, others, %reason, "a client was refused");
        }
    }
}

fn authorization(headers: &HeaderMap) -> Option<&[u8]> {
    // An honest client sends one; which of two counts must not be a guess.
    let mut all = headers.get_all(AUTHORIZATION).iter();
    let first = all.next()?;
    if all.next().is_some() { Some(b"") } else { Some(first.as_bytes()) }
}

/// What an `authorization` header shows that may be a token.
fn bearer(authorization: &[u8]) -> Option<&str> {
    let (scheme, token) = authorization.split_at_checked("Bearer ".len())?;
    let token = std::str::from_utf8(token).ok().filter(|token| token.len() <= SECRET_BYTES_MAX)?;
    scheme.eq_ignore_ascii_case(b"Bearer ").then_some(token)
}

/// Whether it has the three parts of a JSON Web Token (RFC 7519). What cannot be one is not worth a
/// question.
fn is_web_token(token: &str) -> bool {
    token.split('.').count() == 3
}

/// Who shows this token of the secret.
fn scoped(secret: &SharedSecret, token: &str, clock: SystemTime) -> Result<Caller, TokenError> {
    let scope = secret.scope_of(token, Instant::now(), clock)?;
    Caller::try_from(scope).map_err(|_| TokenError::Foreign)
}

#[cfg(test)]
mod tests {
    use tidegate_trust::Secret;

    use super::*;

    #[test]
    fn instances_claim_their_own_address_only() {
        let peer = |text: &str| Some(text.parse::<SocketAddr>().expect("an address"));
        for (claimed, from) in [
            ("10.0.0.1:8012", "10.0.0.1:40000"),
            ("127.0.0.1:1", "127.0.0.1:2"),
            ("10.0.0.1:8012", "[::ffff:10.0.0.1]:40000"),
            ("[fd00::1]:8012", "[fd00::1]:40000"),
        ] {
            assert!(Addresses::Own.check(claimed, peer(from)).is_ok(), "{claimed} {from}");
        }
        for (claimed, from) in [
            ("10.0.0.2:8012", "10.0.0.1:40000"),
            ("127.0.0.1:8012", "10.0.0.1:40000"),
            ("169.254.169.254:80", "10.0.0.1:40000"),
            ("some.host:8012", "10.0.0.1:40000"),
            ("", "10.0.0.1:40000"),
        ] {
            let error = Addresses::Own.check(claimed, peer(from)).expect_err(claimed);
            assert!(error.to_string().contains("--addresses any"), "{error}");
            assert!(Addresses::Any.check(claimed, peer(from)).is_ok());
        }
        // A stream without a peer address has no address of its own.
        for claimed in ["10.0.0.1:8012", "", "some.host:8012"] {
            assert!(Addresses::Own.check(claimed, None).is_err(), "{claimed}");
        }
    }

    #[test]
    fn only_the_secret_lets_pass_and_two_are_none() {
        let secret = Secret::new("0123456789abcdef", "test").expect("valid");
        let gatekeeper = Gatekeeper::new(Some(secret.into()), None, Metrics::default());
        let shown = |values: &[&str]| {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append(AUTHORIZATION, value.parse().expect("a value"));
            }
            gatekeeper.admit(&headers, None).map(|_| ())
        };
        let good = "Bearer 0123456789abcdef";
        assert_eq!(shown(&[good]), Ok(()));
        assert_eq!(shown(&[]), Err(SecretRefused::None));
        let bad: [&[&str]; 3] = [&["Bearer x"], &[good, good], &["0123456789abcdef"]];
        for bad in bad {
            assert_eq!(shown(bad), Err(SecretRefused::Other), "{bad:?}");
        }
        let open = Gatekeeper::new(None, None, Metrics::default());
        assert!(open.admit(&HeaderMap::new(), None).is_ok());
    }

    #[derive(Debug)]
    struct Everybody;

    impl Authenticate for Everybody {
        fn authenticate<'a>(&'a self, _: &'a str) -> crate::caller::Authentication<'a> {
            Box::pin(std::future::ready(Ok(Caller::Trusted)))
        }
    }

    #[test]
    fn a_token_is_asked_about_only_where_it_can_be_one() {
        let secret = Secret::new("0123456789abcdef", "test").expect("valid");
        let tokens: Arc<dyn Authenticate> = Arc::new(Everybody);
        let gatekeeper = Gatekeeper::new(Some(secret.into()), Some(tokens), Metrics::default());
        let shown = |value: &str| {
            let mut headers = HeaderMap::new();
            headers.append(AUTHORIZATION, value.parse().expect("a value"));
            gatekeeper.admit(&headers, None)
        };
        assert!(matches!(shown("Bearer 0123456789abcdef"), Ok(Shown::Caller(Caller::Trusted))));
        assert!(matches!(shown("Bearer a.b.c"), Ok(Shown::Token(token)) if token == "a.b.c"));
        let long = format!("Bearer a.b.{}", "c".repeat(SECRET_BYTES_MAX));
        for bad in ["Bearer a.b", "Basic a.b.c", "Bearer another-secret", &long] {
            assert!(matches!(shown(bad), Err(SecretRefused::Other)), "{bad}");
        }
        assert!(gatekeeper.admit(&HeaderMap::new(), None).is_err());
    }
}
