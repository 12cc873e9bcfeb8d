//! `tidegate-kubernetes top`: what is scaled, live, the busiest first.

use std::io::{IsTerminal, Write};
use std::time::Duration;

use tidegate_explain::text::status_json;
use tidegate_kubernetes::overview::{SortKey, live_rows, live_table};

use super::foreground::{print, wait_for};
use super::reach::{ClusterArgs, ControllerArgs};

/// Time between two looks on a terminal: decisions are made every two seconds, and at once when
/// requests wait.
const PERIOD: Duration = Duration::from_secs(1);

/// Puts a terminal's cursor at the top, and wipes what is below.
const REDRAW: &str = "\x1b[H\x1b[2J";

/// What was typed after `tidegate-kubernetes top`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    cluster: ClusterArgs,
    #[command(flatten)]
    controller: ControllerArgs,
    /// By what to sort.
    #[arg(long, value_name = "COLUMN", default_value = "in-flight")]
    sort: Sort,
    /// Print once, as is done where the output is no terminal.
    #[arg(long)]
    once: bool,
    /// Print JSON, one object per line, once.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Sort {
    InFlight,
    Waiting,
    Wanted,
    Ready,
    Name,
}

impl From<Sort> for SortKey {
    fn from(sort: Sort) -> Self {
        match sort {
            Sort::InFlight => Self::InFlight,
            Sort::Waiting => Self::Waiting,
            Sort::Wanted => Self::Wanted,
            Sort::Ready => Self::Ready,
            Sort::Name => Self::Name,
        }
    }
}

pub(crate) fn execute(args: Args) -> anyhow::Result<()> {
    wait_for(async {
        let cluster = args.cluster.connect().await?;
        let mut reached = args.controller.query(&cluster).await?;
        let query = &mut reached.query;
        let (namespace, sort) = (cluster.namespace.as_deref(), args.sort.into());
        if args.json {
            let revisions = query.revisions().await?;
            let rows = live_rows(&revisions, namespace, sort);
            return print(&rows.into_iter().map(status_json).collect::<Vec<_>>());
        }
        let is_live = !args.once && std::io::stdout().is_terminal();
        loop {
            let table = live_table(&query.revisions().await?, namespace, sort);
            if !is_live {
                return print(&table);
            }
            std::io::stdout().lock().write_all(REDRAW.as_bytes())?;
            print(&table)?;
            tokio::time::sleep(PERIOD).await;
        }
    })
}
