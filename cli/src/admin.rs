//! The admin address of a role, apart from the one that it serves requests on.

use std::net::SocketAddr;

use anyhow::Context;
use tidegate_admin::{Admin, Subject};
use tokio::net::TcpListener;

use crate::typed::listen_address;

/// Options of every role with an admin address.
#[derive(Debug, clap::Args)]
pub(crate) struct AdminArgs {
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

impl AdminArgs {
    /// Binds the address. Called before the role begins to serve, so that a taken port is an error
    /// at start.
    pub(crate) async fn bind(&self) -> anyhow::Result<Option<TcpListener>> {
        let Some(address) = self.address else { return Ok(None) };
        let listener = tidegate_relay::listen(address).and_then(TcpListener::from_std);
        listener.map(Some).with_context(|| format!("cannot listen on {address} (--admin)"))
    }
}

/// Serves `listener`, if there is one, and logs its address.
pub(crate) fn serve(
    role: &str,
    listener: Option<TcpListener>,
    subject: impl Subject,
) -> anyhow::Result<Option<Admin>> {
    let Some(listener) = listener else { return Ok(None) };
    let admin = Admin::serve(listener, subject)?;
    eprintln!("tidegate {role}: metrics and health on http://{}", admin.address());
    Ok(Some(admin))
}
