//! `tidegate view`: several sites in one view. It dials those that can be reached, takes the calls
//! of those that cannot, and answers about all of them what a controller answers about itself.

mod shelf;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use tidegate_admin::{Readiness, Subject};
use tidegate_call::{Calls, Expected};
use tidegate_controller::{Access, Addresses};
use tidegate_flags::log::ROLE_DEFAULT;
use tidegate_flags::{AccessArgs, AdminArgs, LISTEN_VARIABLE, LogArgs, listen_address};
use tidegate_page::{Access as PageAccess, Anonymous, NoPage, Orders, Page, Settings};
use tidegate_shutdown_signals::ShutdownSignals;
use tidegate_sites::file::read;
use tidegate_sites::{Metrics, Office, Reach, Site, Sites};
use tidegate_telemetry::{Family, Registry};
use tokio::net::TcpListener;

use self::shelf::Shelf;
use crate::page::serve_admin;
use crate::typed::time_within;
use tidegate_flags::ending::mistyped;

/// How messages name this program.
const US: &str = "tidegate view";

/// What was typed after `tidegate view`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The file of sites: which are dialled, and which may call.
    #[arg(long, value_name = "FILE")]
    sites: PathBuf,
    /// Where to listen for questions, such as those of `tidegate top --controller`. Beyond this
    /// machine only with a secret or client certificates.
    #[arg(
        long,
        value_name = "ADDR",
        default_value = "127.0.0.1:9500",
        env = LISTEN_VARIABLE,
        value_parser = listen_address
    )]
    listen: SocketAddr,
    /// Where to take the calls of sites, which their controllers are given as --call; needed when a
    /// site of the file calls. Over TLS with --tls-cert.
    #[arg(long, value_name = "ADDR", value_parser = listen_address)]
    calls: Option<SocketAddr>,
    /// Authorities of the client certificates that calling sites must show as well, PEM.
    #[arg(long, value_name = "FILE", requires_all = ["calls", "tls_cert"])]
    calls_client_ca: Option<PathBuf>,
    /// Time between two looks at a site. One with thousands of revisions is looked at more rarely.
    #[arg(long, value_name = "TIME", default_value = "1s", value_parser = interval)]
    interval: Duration,
    #[command(flatten)]
    access: AccessArgs,
    #[command(flatten)]
    admin: AdminArgs,
    /// A name of this host under which browsers may open the page, beside localhost; may be
    /// repeated.
    #[arg(long = "page-host", value_name = "NAME", requires = "address")]
    page_hosts: Vec<String>,
    #[command(flatten)]
    log: LogArgs,
}

fn interval(text: &str) -> Result<Duration, String> {
    time_within(Duration::from_millis(100), Duration::from_secs(60))(text)
}

/// Shows the sites until a signal to stop.
pub(crate) fn execute(args: Args) -> anyhow::Result<ExitCode> {
    args.log.install(ROLE_DEFAULT);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(serve(args))
}

async fn serve(args: Args) -> anyhow::Result<ExitCode> {
    let mut signals = ShutdownSignals::of_role().context("cannot wait for signals")?;
    let access = args.access.access(Addresses::Own).map_err(mistyped)?;
    if access.admits_anybody() && !args.listen.ip().to_canonical().is_loopback() {
        let problem =
            format!("{} is open to others: give --secret-file or --tls-client-ca", args.listen);
        return Err(mistyped(anyhow::anyhow!(problem)));
    }
    let sites = read(&args.sites).map_err(mistyped)?;
    let expected = expected(&sites);
    if args.calls.is_none() && !expected.is_empty() {
        let problem = format!(
            "{} has sites that call ({}): give --calls ADDR, where their calls are taken",
            args.sites.display(),
            expected.iter().map(|of| of.site.as_str()).collect::<Vec<_>>().join(", ")
        );
        return Err(mistyped(anyhow::anyhow!(problem)));
    }
    let calls_tls = args.access.tls_of(args.calls_client_ca.clone()).map_err(mistyped)?;
    let admin = args.admin.bind()?;
    let listener = listen(args.listen)?;
    eprintln!("{US}: listening on {}", listener.local_addr()?);
    let (calls, arriving) = Calls::new(expected)?;
    if let Some(address) = args.calls {
        let listener = listen(address)?;
        eprintln!("{US}: taking calls on {}", listener.local_addr()?);
        tokio::spawn(calls.clone().serve(listener, calls_tls.map(Arc::new)));
    }
    let sites = Sites::start(sites, arriving, args.interval);
    let registry = Registry::new();
    let metrics = Metrics::new(&registry);
    let observed = Observed { registry, metrics, sites: sites.clone(), calls };
    let _admin = match admin {
        Some(listener) => {
            let shelf = Shelf { sites: sites.clone(), office: Office::new(sites.clone()) };
            let page = page(shelf, &access, args.page_hosts, listener.local_addr()?)?;
            serve_admin(US, listener, observed, page)?
        }
        None => None,
    };
    let stopped = async {
        signals.next().await;
    };
    tidegate_controller::serve_questions(Office::new(sites), listener, access, stopped).await?;
    Ok(ExitCode::SUCCESS)
}

fn listen(address: SocketAddr) -> anyhow::Result<TcpListener> {
    let listener = tidegate_relay::listen(address).and_then(TcpListener::from_std);
    listener.with_context(|| format!("cannot listen on {address}"))
}

/// The sites that may call.
fn expected(sites: &[Site]) -> Vec<Expected> {
    let expected = |site: &Site| match &site.reach {
        Reach::Calls { secret } => {
            Some(Expected { site: site.name.clone(), secret: secret.clone() })
        }
        Reach::Dialled { .. } => None,
    };
    sites.iter().filter_map(expected).collect()
}

/// The page of all sites, which changes nothing; or why there is none.
fn page(
    shelf: Shelf,
    access: &Access,
    hosts: Vec<String>,
    address: SocketAddr,
) -> anyhow::Result<Result<Page, NoPage>> {
    let access = match PageAccess::of_controller(access, address, Anonymous::Refused) {
        Ok(access) => access,
        Err(none) => return Ok(Err(none)),
    };
    let settings = Settings {
        access,
        orders: Orders::Refused,
        hosts,
        listen: Some(address.ip()),
        title: "view".to_owned(),
        what_if: None,
    };
    Ok(Ok(Page::start(shelf, settings)?))
}

/// A view's metrics and readiness.
struct Observed {
    registry: Registry,
    metrics: Metrics,
    sites: Sites,
    calls: Calls,
}

impl Subject for Observed {
    async fn gather(&self) -> Vec<Family> {
        self.metrics.show(&self.sites.snapshot(), self.calls.refused());
        self.registry.gather()
    }

    /// A view whose sites are all cut still says so, and is ready.
    async fn readiness(&self) -> Readiness {
        Readiness::Ready
    }
}
