//! The admin address of a role, apart from the one that it serves requests on.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use tidegate_admin::{Admin, Listening, Subject};
use tidegate_relay::Handler;
use tidegate_trust::{ServerCertificates, TlsError};
use tokio::net::TcpListener;

use crate::listen::listen_address;

/// Flags of every role with an admin address.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct AdminArgs {
    /// Where to serve /metrics, /healthz and /readyz, without authentication unless
    /// --admin-client-ca asks for it; not served when absent.
    #[arg(
        long = "admin",
        value_name = "ADDR",
        env = "TIDEGATE_ADMIN",
        value_parser = listen_address
    )]
    address: Option<SocketAddr>,
    /// The certificate chain of the admin address, PEM; only TLS is accepted with it.
    #[arg(
        long,
        value_name = "FILE",
        env = "TIDEGATE_ADMIN_CERT",
        requires = "admin_key",
        hide_short_help = true
    )]
    admin_cert: Option<PathBuf>,
    /// The key of that certificate, PEM.
    #[arg(
        long,
        value_name = "FILE",
        env = "TIDEGATE_ADMIN_KEY",
        requires = "admin_cert",
        hide_short_help = true
    )]
    admin_key: Option<PathBuf>,
    /// Authorities of the client certificates that are then required there, PEM.
    #[arg(
        long,
        value_name = "FILE",
        env = "TIDEGATE_ADMIN_CLIENT_CA",
        requires = "admin_cert",
        hide_short_help = true
    )]
    admin_client_ca: Option<PathBuf>,
}

/// Why the admin address cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum AdminError {
    /// Somebody else listens there, or it is no address of this machine.
    #[error("cannot listen on {address} (--admin)")]
    Listen {
        /// Where it was to be.
        address: SocketAddr,
        /// The error of the system.
        source: io::Error,
    },
    /// A certificate or a key cannot be read, or cannot be used.
    #[error(transparent)]
    Tls(#[from] TlsError),
}

impl AdminArgs {
    /// Reads the certificates and binds the address. Called before the role begins to serve, so
    /// that a taken port is an error at start; within a tokio runtime.
    ///
    /// # Errors
    ///
    /// When the address cannot be bound, or a file cannot be used; both are named.
    pub fn bind(&self) -> Result<Option<Listening>, AdminError> {
        let Some(address) = self.address else { return Ok(None) };
        let tls = match (&self.admin_cert, &self.admin_key) {
            (Some(certificate), Some(key)) => {
                let (certificate, key) = (certificate.clone(), key.clone());
                let client_authority = self.admin_client_ca.clone();
                Some(ServerCertificates { certificate, key, client_authority }.load_for_pages()?)
            }
            _ => None,
        };
        let listener = tidegate_relay::listen(address)
            .and_then(TcpListener::from_std)
            .map_err(|source| AdminError::Listen { address, source })?;
        Ok(Some(match tls {
            Some(tls) => Listening::over_tls(listener, Arc::new(tls)),
            None => listener.into(),
        }))
    }
}

/// Serves what is listened on, if anything is, and says where on standard error, in the name of
/// `program`.
///
/// # Errors
///
/// When the listener has no address any more.
pub fn serve(
    program: &str,
    listening: Option<Listening>,
    subject: impl Subject,
) -> io::Result<Option<Admin>> {
    let Some(listening) = listening else { return Ok(None) };
    Ok(Some(told(program, Admin::serve(listening, subject)?)))
}

/// Serves as [`serve`] does, and has `others` respond to requests for every other path.
///
/// # Errors
///
/// When the listener has no address any more.
pub fn serve_beside(
    program: &str,
    listening: Listening,
    subject: impl Subject,
    others: impl Handler,
) -> io::Result<Admin> {
    Ok(told(program, Admin::serve_beside(listening, subject, others)?))
}

fn told(program: &str, admin: Admin) -> Admin {
    let scheme = admin.scheme().as_str();
    eprintln!("{program}: metrics and health on {scheme}://{}", admin.address());
    admin
}
