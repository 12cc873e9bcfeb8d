//! The page in a browser of whichever controller decides: what `tidegate controller` has, on the
//! admin address.

use std::net::SocketAddr;

use parking_lot::Mutex;
use tidegate_controller::{Access, Handle};
use tidegate_page::{self as page, Anonymous, NoPage, Orders, Page, Settings};
use tidegate_relay::http::StatusCode;
use tidegate_relay::{Exchange, Handler, Reply};
use tokio::sync::watch;

/// Flags of the page.
#[derive(Debug, Clone, Default, clap::Args)]
pub(super) struct PageArgs {
    /// Serve a page in a browser on the admin address, at /page, while we decide. Who looks signs
    /// in with the secret.
    #[arg(long)]
    page: bool,
    /// Let the page order about rollouts: pause, resume, promote, abort, restart. Without it the
    /// page changes nothing.
    #[arg(long, requires = "page")]
    page_orders: bool,
    /// A name under which browsers may open the page, beside localhost; may be repeated.
    #[arg(long = "page-host", value_name = "NAME", requires = "page")]
    page_hosts: Vec<String>,
}

impl PageArgs {
    /// Whether there is to be a page.
    pub(super) fn is_wanted(&self) -> bool {
        self.page
    }

    /// The page on this admin address, if there is to be one.
    ///
    /// # Errors
    ///
    /// Why nobody could look at it.
    pub(super) fn on(
        &self,
        address: SocketAddr,
        access: &Access,
        decides: watch::Receiver<Option<Handle>>,
    ) -> Result<Option<DecidersPage>, NoPage> {
        if !self.page {
            return Ok(None);
        }
        let settings = Settings {
            access: page::Access::of_controller(access, address, Anonymous::Refused)?,
            orders: if self.page_orders { Orders::Taken } else { Orders::Refused },
            hosts: self.page_hosts.clone(),
            listen: Some(address.ip()),
            title: "cluster".to_owned(),
            // The simulator is no part of this program.
            what_if: None,
        };
        Ok(Some(DecidersPage { settings, decides, page: Mutex::new(None) }))
    }
}

/// The page of a controller that decides, or is about to.
pub(super) struct DecidersPage {
    settings: Settings,
    /// The decision library, once we decide.
    decides: watch::Receiver<Option<Handle>>,
    page: Mutex<Option<Page>>,
}

impl DecidersPage {
    /// The page, once we decide. It looks at the controller from the first request on.
    fn page(&self) -> Option<Page> {
        let mut page = self.page.lock();
        if page.is_none()
            && let Some(handle) = self.decides.borrow().clone()
        {
            // Without randomness there is none: the next request tries again.
            *page = Page::start(handle, self.settings.clone()).ok();
        }
        page.clone()
    }
}

impl Handler for DecidersPage {
    async fn handle(&self, exchange: &mut Exchange) {
        if let Some(page) = self.page() {
            return page.handle(exchange).await;
        }
        let told = "Another controller decides, and this one has nothing to show.\n";
        let reply = Reply::text(StatusCode::SERVICE_UNAVAILABLE, told);
        // This fails only when the client has gone.
        let _ = exchange.respond(reply).await;
    }
}
