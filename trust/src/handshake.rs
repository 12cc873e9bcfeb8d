//! What is logged when TLS fails between two ends: which end is wrong, what was expected, and
//! what mends it. Each end logs its own view.

use std::path::Path;

use rustls::{AlertDescription as Alert, CertificateError as Bad, Error, InvalidMessage};

use crate::certificates::{
    AUTHORITY_VARIABLE, CERTIFICATE_VARIABLE, ClientCertificates, KEY_VARIABLE, ServerCertificates,
};

/// Why TLS fails between two ends: what is wrong, and what mends it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{fault}; {remedy}")]
pub struct TlsMismatch {
    fault: String,
    remedy: String,
}

impl TlsMismatch {
    fn new(fault: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { fault: fault.into(), remedy: remedy.into() }
    }

    /// Which end is wrong, and how.
    #[must_use]
    pub fn fault(&self) -> &str {
        &self.fault
    }

    /// What was expected, and what to do.
    #[must_use]
    pub fn remedy(&self) -> &str {
        &self.remedy
    }

    /// For a plaintext client whose controller speaks TLS.
    #[must_use]
    pub fn controller_speaks_tls() -> Self {
        Self::new(
            "what answers there speaks TLS, and we were not told to",
            format!(
                "name it with https://, or set {AUTHORITY_VARIABLE} to the file of who vouches for \
                 its certificate"
            ),
        )
    }

    /// For a TLS client whose controller speaks plaintext.
    fn controller_speaks_no_tls() -> Self {
        Self::new(
            "what answers there does not speak TLS, and we were told to",
            format!(
                "have the controller given --tls-cert and --tls-key, or name it with http:// and \
                 leave {AUTHORITY_VARIABLE} and {CERTIFICATE_VARIABLE} away"
            ),
        )
    }

    /// For a plaintext controller whose client speaks TLS.
    #[must_use]
    pub fn client_speaks_tls() -> Self {
        Self::new(
            "the client speaks TLS and this port does not",
            format!(
                "give --tls-cert and --tls-key, or have the client name it with http:// and leave \
                 {AUTHORITY_VARIABLE} and {CERTIFICATE_VARIABLE} away"
            ),
        )
    }

    /// For a TLS controller whose client speaks plaintext.
    #[must_use]
    pub fn client_speaks_no_tls() -> Self {
        Self::new(
            "the client does not speak TLS and this port does",
            format!(
                "have it name us with https://, or set {AUTHORITY_VARIABLE} to the file of who \
                 vouches for our certificate"
            ),
        )
    }
}

/// The failure of a handshake as the client sees it.
pub(crate) fn at_client(error: &Error, ours: &ClientCertificates) -> TlsMismatch {
    match error {
        Error::InvalidCertificate(bad) => of_controller(bad, ours.authority.as_deref()),
        Error::AlertReceived(alert) => match &ours.identity {
            Some((certificate, _)) => of_our_client_certificate(*alert, certificate),
            None => without_client_certificate(*alert),
        },
        Error::InvalidMessage(InvalidMessage::InvalidContentType) => {
            TlsMismatch::controller_speaks_no_tls()
        }
        other => TlsMismatch::new(
            format!("TLS with the controller failed: {other}"),
            "look into its log, which says why",
        ),
    }
}

fn of_controller(bad: &Bad, authority: Option<&Path>) -> TlsMismatch {
    match bad {
        Bad::UnknownIssuer => {
            let nobody = match authority {
                Some(path) => format!("nobody in {}", path.display()),
                None => "nobody whom this system trusts".to_owned(),
            };
            TlsMismatch::new(
                format!("{nobody} vouches for the controller's certificate"),
                format!("set {AUTHORITY_VARIABLE} to the file of the authority that signed it"),
            )
        }
        Bad::Expired | Bad::ExpiredContext { .. } => TlsMismatch::new(
            format!("the controller's certificate has expired{}", when(bad)),
            "renew what its --tls-cert names, or set the clock of this machine",
        ),
        Bad::NotValidYet | Bad::NotValidYetContext { .. } => TlsMismatch::new(
            format!("the controller's certificate is not valid yet{}", when(bad)),
            "set the clock of this machine, or renew what the controller's --tls-cert names",
        ),
        Bad::NotValidForNameContext { expected, presented } => TlsMismatch::new(
            format!(
                "the controller's certificate is for {}, not for {}",
                list(presented),
                expected.to_str()
            ),
            "name the controller as its certificate does, or have it show one for this name",
        ),
        other => TlsMismatch::new(
            format!("the controller's certificate cannot be trusted: {other}"),
            "have its --tls-cert name one that is for servers",
        ),
    }
}

fn without_client_certificate(alert: Alert) -> TlsMismatch {
    match alert {
        // The alerts of TLS 1.3 and TLS 1.2 for a missing certificate.
        Alert::CertificateRequired | Alert::HandshakeFailure => TlsMismatch::new(
            "the controller asks for a client certificate and none was shown",
            format!("set {CERTIFICATE_VARIABLE} and {KEY_VARIABLE}"),
        ),
        other => TlsMismatch::new(
            format!("the controller ended the TLS handshake ({other:?})"),
            "look into its log, which says why",
        ),
    }
}

fn of_our_client_certificate(alert: Alert, certificate: &Path) -> TlsMismatch {
    let certificate = certificate.display();
    match alert {
        Alert::UnknownCA => TlsMismatch::new(
            format!("the controller does not know who vouches for our certificate {certificate}"),
            format!(
                "have {CERTIFICATE_VARIABLE} name one that the controller's --tls-client-ca \
                 vouches for"
            ),
        ),
        Alert::CertificateExpired => TlsMismatch::new(
            format!("the controller says that our certificate {certificate} has expired"),
            "renew it, or set the clocks of both machines",
        ),
        other => TlsMismatch::new(
            format!("the controller refuses our certificate {certificate} ({other:?})"),
            "look into its log, which says why",
        ),
    }
}

/// The failure of a handshake as the controller sees it.
pub(crate) fn at_server(error: &Error, ours: &ServerCertificates) -> TlsMismatch {
    let authority = ours.client_authority.as_deref().unwrap_or(Path::new("nobody")).display();
    match error {
        Error::NoCertificatesPresented => TlsMismatch::new(
            "no client certificate was shown",
            format!(
                "have the client set {CERTIFICATE_VARIABLE} and {KEY_VARIABLE} to one that \
                 {authority} vouches for"
            ),
        ),
        Error::InvalidCertificate(Bad::UnknownIssuer) => TlsMismatch::new(
            format!("nobody in {authority} vouches for the client's certificate"),
            format!("have the client's {CERTIFICATE_VARIABLE} name one that they signed"),
        ),
        Error::InvalidCertificate(bad @ (Bad::Expired | Bad::ExpiredContext { .. })) => {
            TlsMismatch::new(
                format!("the client's certificate has expired{}", when(bad)),
                "have the client renew it, or set the clock of this machine",
            )
        }
        Error::InvalidCertificate(other) => TlsMismatch::new(
            format!("the client's certificate cannot be trusted: {other}"),
            format!("have the client show one for clients that {authority} vouches for"),
        ),
        Error::AlertReceived(alert) => of_our_certificate(*alert, &ours.certificate),
        other => TlsMismatch::new(
            format!("TLS with the client failed: {other}"),
            "expected TLS 1.2 or 1.3, as every client of ours speaks",
        ),
    }
}

fn of_our_certificate(alert: Alert, certificate: &Path) -> TlsMismatch {
    let certificate = certificate.display();
    match alert {
        Alert::UnknownCA => TlsMismatch::new(
            format!("the client does not know who vouches for our certificate {certificate}"),
            format!("have its {AUTHORITY_VARIABLE} name who does"),
        ),
        Alert::CertificateExpired => TlsMismatch::new(
            format!(
                "the client says that our certificate {certificate} has expired or is not valid yet"
            ),
            "renew it, or set the clocks of both machines",
        ),
        Alert::BadCertificate => TlsMismatch::new(
            format!("the client refuses our certificate {certificate}"),
            "it may be for another host name: have the client name us as the certificate does",
        ),
        other => TlsMismatch::new(
            format!("the client ended the TLS handshake ({other:?}) over {certificate}"),
            "look into its log, which says why",
        ),
    }
}

/// How long ago, or how far in the future.
fn when(bad: &Bad) -> String {
    match bad {
        Bad::ExpiredContext { time, not_after } => {
            format!(" {} s ago", time.as_secs().saturating_sub(not_after.as_secs()))
        }
        Bad::NotValidYetContext { time, not_before } => {
            format!(", for another {} s", not_before.as_secs().saturating_sub(time.as_secs()))
        }
        _ => String::new(),
    }
}

/// Names of a certificate, of which it may have thousands.
fn list(names: &[String]) -> String {
    const SHOWN: usize = 5;
    match names.len() {
        0 => "no name at all".to_owned(),
        count @ 0..=SHOWN => names[..count].join(", "),
        count => format!("{} and {} more", names[..SHOWN].join(", "), count - SHOWN),
    }
}
