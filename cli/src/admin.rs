//! The address on which a role answers an operator, apart from the one that it serves on.

use std::net::SocketAddr;

use anyhow::Context;
use tidegate_admin::{Admin, Subject};
use tokio::net::TcpListener;

use crate::typed::listen_address;

/// Where a role is asked how it is.
#[derive(Debug, clap::Args)]
pub(crate) struct AdminArgs {
    /// Where to answer /metrics, /healthz and /readyz, in plain HTTP and to anybody who reaches
    /// it; nowhere when absent.
    #[arg(
        long = "admin",
        value_name = "ADDR",
        env = "TIDEGATE_ADMIN",
        value_parser = listen_address
    )]
    address: Option<SocketAddr>,
}

impl AdminArgs {
    /// Binds the address, before anything is promised to anybody.
    pub(crate) async fn bind(&self) -> anyhow::Result<Option<TcpListener>> {
        let Some(address) = self.address else { return Ok(None) };
        let listener = TcpListener::bind(address).await;
        listener.map(Some).with_context(|| format!("cannot listen on {address} (--admin)"))
    }
}

/// Answers on `listener`, if there is one, and says where.
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
