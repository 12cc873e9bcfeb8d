//! The page in a browser: who may look at it, and where it is.

mod simulator;

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use anyhow::Context;
use tidegate_admin::{Admin, Listening, Subject};
use tidegate_controller::Handle;
use tidegate_flags::{admin, listen_address};
use tidegate_page::{Access, Anonymous, NoPage, Orders, Page, Serving, Settings};
use tidegate_trust::Secret;
use tokio::net::TcpListener;

use self::simulator::Simulator;
use crate::terminal::Surface;

/// A free port of loopback.
const ANY_PORT: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

/// Flags of a controller's page, which is on its admin address.
#[derive(Debug, Clone, Default, clap::Args)]
pub(crate) struct PageArgs {
    /// Let the page on the admin address order about rollouts: pause, resume, promote, abort,
    /// restart. Without it the page changes nothing.
    #[arg(long, requires = "address")]
    page_orders: bool,
    /// A name of this host under which browsers may open the page, beside localhost; may be
    /// repeated.
    #[arg(long = "page-host", value_name = "NAME", requires = "address")]
    page_hosts: Vec<String>,
}

impl PageArgs {
    /// The page of a controller whose admin address is `address`; or why there is none.
    pub(crate) fn of_controller(
        &self,
        handle: Handle,
        (access, anonymous): (&tidegate_controller::Access, Anonymous),
        address: SocketAddr,
    ) -> anyhow::Result<Result<Page, NoPage>> {
        let access = match Access::of_controller(access, address, anonymous) {
            Ok(access) => access,
            Err(none) => return Ok(Err(none)),
        };
        let settings = Settings {
            access,
            orders: if self.page_orders { Orders::Taken } else { Orders::Refused },
            hosts: self.page_hosts.clone(),
            listen: Some(address.ip()),
            title: "controller".to_owned(),
            what_if: Some(Arc::new(Simulator)),
        };
        Ok(Ok(Page::start(handle, settings)?))
    }
}

/// Serves an admin address: metrics and health, and the page where somebody may look at it. Says on
/// standard error where both are, in the name of `program`.
pub(crate) fn serve_admin(
    program: &str,
    listening: Listening,
    subject: impl Subject,
    page: Result<Page, NoPage>,
) -> anyhow::Result<Option<Admin>> {
    let (address, scheme) = (listening.local_addr()?, listening.scheme().as_str());
    match page {
        Ok(page) => {
            let admin = admin::serve_beside(program, listening, subject, page)?;
            eprintln!("{program}: a page in a browser at {scheme}://{address}/page");
            Ok(Some(admin))
        }
        Err(none) => {
            let admin = admin::serve(program, Some(listening), subject)?;
            eprintln!("{program}: no page: {none}");
            Ok(admin)
        }
    }
}

/// Where the page of a run is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PageChoice {
    Off,
    At(SocketAddr),
}

/// Reads what was typed after `--page`.
pub(crate) fn page_choice(text: &str) -> Result<PageChoice, String> {
    if text == "off" {
        return Ok(PageChoice::Off);
    }
    let address = listen_address(text).map_err(|expected| format!("{expected}, or `off`"))?;
    match address.ip().is_loopback() {
        true => Ok(PageChoice::At(address)),
        false => Err("expected an address of this machine's loopback, or `off`".to_owned()),
    }
}

/// Serves the page of a run, or of several services, if it is to have one, and returns the link
/// that signs in the browser that follows it first. Without being asked for, there is one where a
/// person reads the link.
pub(crate) fn of_run(
    choice: Option<PageChoice>,
    surface: Surface,
    handle: &Handle,
    title: &str,
) -> anyhow::Result<Option<(Serving, String)>> {
    let address = match (choice, surface) {
        (Some(PageChoice::Off), _) | (None, Surface::Lines | Surface::Silent) => return Ok(None),
        (Some(PageChoice::At(address)), _) => address,
        (None, Surface::Terminal(_)) => ANY_PORT,
    };
    let listener = tidegate_relay::listen(address)
        .and_then(TcpListener::from_std)
        .with_context(|| format!("--page: cannot listen on {address}"))?;
    let settings = Settings {
        access: Access::Secret(Secret::random()?.into()),
        orders: Orders::Refused,
        hosts: Vec::new(),
        listen: Some(address.ip()),
        title: title.to_owned(),
        what_if: Some(Arc::new(Simulator)),
    };
    let page = Page::start(handle.clone(), settings)?;
    let link = page.link()?;
    let serving = page.serve(listener)?;
    let link = format!("http://{}{link}", serving.address());
    Ok(Some((serving, link)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_of_a_run_is_on_loopback_or_nowhere() {
        assert_eq!(page_choice("off"), Ok(PageChoice::Off));
        assert!(matches!(page_choice("0"), Ok(PageChoice::At(at)) if at.ip().is_loopback()));
        assert!(page_choice("0.0.0.0:1").is_err() && page_choice("somewhere").is_err());
    }
}
