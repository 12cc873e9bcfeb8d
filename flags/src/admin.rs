//! The admin address of a role, apart from the one that it serves requests on.

use std::io;
use std::net::SocketAddr;

use tidegate_admin::{Admin, Subject};
use tidegate_relay::Handler;
use tokio::net::TcpListener;

use crate::listen::listen_address;

/// Flags of every role with an admin address.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct AdminArgs {
    /// Where to serve /metrics, /healthz and /readyz, in plain HTTP and without authentication;
    /// not served when absent.
    #[arg(
        long = "admin",
        value_name = "ADDR",
        env = "TIDEGATE_ADMIN",
        value_parser = listen_address
    )]
    address: Option<SocketAddr>,
}

/// Why the admin address cannot be served.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {address} (--admin)")]
pub struct AdminError {
    address: SocketAddr,
    source: io::Error,
}

impl AdminArgs {
    /// Binds the address. Called before the role begins to serve, so that a taken port is an error
    /// at start; within a tokio runtime.
    ///
    /// # Errors
    ///
    /// When the address cannot be bound.
    pub fn bind(&self) -> Result<Option<TcpListener>, AdminError> {
        let Some(address) = self.address else { return Ok(None) };
        let listener = tidegate_relay::listen(address).and_then(TcpListener::from_std);
        listener.map(Some).map_err(|source| AdminError { address, source })
    }
}

/// Serves `listener`, if there is one, and says where on standard error, in the name of `program`.
///
/// # Errors
///
/// When the listener has no address any more.
pub fn serve(
    program: &str,
    listener: Option<TcpListener>,
    subject: impl Subject,
) -> io::Result<Option<Admin>> {
    let Some(listener) = listener else { return Ok(None) };
    Ok(Some(told(program, Admin::serve(listener, subject)?)))
}

/// Serves `listener` as [`serve`] does, and has `others` respond to requests for every other path.
///
/// # Errors
///
/// When the listener has no address any more.
pub fn serve_beside(
    program: &str,
    listener: TcpListener,
    subject: impl Subject,
    others: impl Handler,
) -> io::Result<Admin> {
    Ok(told(program, Admin::serve_beside(listener, subject, others)?))
}

fn told(program: &str, admin: Admin) -> Admin {
    eprintln!("{program}: metrics and health on http://{}", admin.address());
    admin
}
