//! `tidegate route`: asks a running controller where its routes lead, and orders their rollouts.

use std::process::ExitCode;
use std::str::FromStr;

use anyhow::{Context, bail};
use tidegate_explain::route_text;
use tidegate_proto::routes::v1::{RevisionShare, RolloutOrder, RouteStatus};
use tidegate_words::did_you_mean;

use crate::explain::print;
use crate::reach::ControllerArgs;
use tidegate_flags::ending::mistyped;

/// What was typed after `tidegate route`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// What to do.
    #[arg(value_enum, default_value = "show")]
    what: What,
    /// The route; all of them are shown when none is named.
    #[arg(value_name = "ROUTE")]
    route: Option<String>,
    /// For `set`: the revisions of the route with their shares in percent, together 100. One that
    /// is not named gets none.
    #[arg(value_name = "REVISION=PERCENT")]
    shares: Vec<Share>,
    #[command(flatten)]
    controller: ControllerArgs,
    /// Print JSON, one object per line for each route.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum What {
    /// Where requests go, and how rollouts do.
    Show,
    /// Let the rollout stay where it is; a revision that fails is still returned.
    Pause,
    /// Let it go on after a pause.
    Resume,
    /// Send everything to the new revision at once.
    Promote,
    /// Send everything back to the stable revision at once, also after a promotion.
    Abort,
    /// Begin the rollout anew, whatever it has ended with.
    Restart,
    /// Divide the requests of a route that no rollout leads.
    Set,
}

/// A revision and its share.
#[derive(Debug, Clone, PartialEq)]
struct Share(RevisionShare);

impl FromStr for Share {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let expected = "expected REVISION=PERCENT in steps of 0.1, such as web-v1=70";
        let (revision, percent) = text.split_once('=').ok_or(expected)?;
        let (namespace, name) = revision.split_once('/').unwrap_or(("default", revision));
        let share = percent.parse().ok().and_then(tidegate_routes::Share::from_percent);
        let millionths = share.ok_or(expected)?.millionths();
        if namespace.is_empty() || name.is_empty() {
            return Err(expected.to_owned());
        }
        let (namespace, name) = (namespace.to_owned(), name.to_owned());
        Ok(Self(RevisionShare { namespace, name, millionths }))
    }
}

impl What {
    fn order(self) -> Option<RolloutOrder> {
        match self {
            Self::Show | Self::Set => None,
            Self::Pause => Some(RolloutOrder::Pause),
            Self::Resume => Some(RolloutOrder::Resume),
            Self::Promote => Some(RolloutOrder::Promote),
            Self::Abort => Some(RolloutOrder::Abort),
            Self::Restart => Some(RolloutOrder::Restart),
        }
    }
}

/// Asks the controller, and prints what it says.
pub(crate) fn execute(args: Args) -> anyhow::Result<ExitCode> {
    check(&args).map_err(mistyped)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot start the asynchronous runtime")?;
    runtime.block_on(ask(args)).map(|()| ExitCode::SUCCESS)
}

fn check(args: &Args) -> anyhow::Result<()> {
    let needs_route = args.what != What::Show;
    if needs_route && args.route.is_none() {
        bail!("say which route, such as: tidegate route pause shop");
    }
    match (args.what, args.shares.is_empty()) {
        (What::Set, true) => bail!("say the shares, such as: tidegate route set shop v1=70 v2=30"),
        (What::Set, false) | (_, true) => Ok(()),
        (_, false) => bail!("shares are given to `set` only"),
    }
}

async fn ask(args: Args) -> anyhow::Result<()> {
    let mut query = args.controller.connect(None).await?;
    let shown: Vec<RouteStatus> = match (&args.route, args.what.order()) {
        (Some(route), Some(order)) => {
            query.order_rollout(route, order).await?.into_iter().collect()
        }
        (Some(route), None) if args.what == What::Set => {
            let shares = args.shares.iter().map(|share| share.0.clone()).collect();
            query.set_shares(route, shares).await?.into_iter().collect()
        }
        (Some(route), _) => {
            let all = query.routes().await?;
            let names: Vec<String> = all.iter().map(|status| status.name.clone()).collect();
            let found: Vec<_> = all.into_iter().filter(|status| status.name == *route).collect();
            if found.is_empty() {
                let near = did_you_mean(route, names.iter().map(String::as_str));
                bail!("the controller has no route \"{}\"{near}", route.escape_debug());
            }
            found
        }
        (None, _) => query.routes().await?,
    };
    match args.json {
        true => print(&shown.iter().map(route_text::route_json).collect::<Vec<_>>()),
        false => print(&route_text::table(&shown)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_typed_in_percent() {
        let typed = |text: &str| text.parse::<Share>().map(|share| share.0);
        let share = typed("shop/v1=70").expect("it is one");
        assert_eq!((share.namespace.as_str(), share.millionths), ("shop", 700_000));
        assert_eq!(typed("v1=0.1").map(|share| share.millionths), Ok(1_000));
        for bad in ["v1", "v1=", "=5", "v1=x", "v1=-1", "v1=101", "v1=0.05", "/v1=5", "v1=nan"] {
            assert!(typed(bad).is_err(), "{bad}");
        }
    }
}
