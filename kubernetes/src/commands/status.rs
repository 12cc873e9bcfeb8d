//! `tidegate-kubernetes status`: every TrafficScaler in a line, from what their status says.

use anyhow::Context;
use kube::api::ListParams;
use kube::{Api, Client};
use tidegate_kubernetes::overview::{ScalerRow, scaler_table};
use tidegate_kubernetes_objects::TrafficScaler;

use super::foreground::{print, wait_for};
use super::reach::{ClusterArgs, explained};

/// TrafficScalers that are asked for at a time.
const PAGE: u32 = 500;

/// What was typed after `tidegate-kubernetes status`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    cluster: ClusterArgs,
    /// How to print: `json` is one array of objects.
    #[arg(short, long, value_name = "FORM", default_value = "table")]
    output: Output,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Output {
    Table,
    Json,
}

pub(crate) fn execute(args: Args) -> anyhow::Result<()> {
    wait_for(async {
        let cluster = args.cluster.connect().await?;
        let scalers = list(cluster.client, cluster.namespace.as_deref()).await?;
        let rows: Vec<ScalerRow> = scalers.iter().map(ScalerRow::of).collect();
        match args.output {
            Output::Table => print(&scaler_table(rows)),
            Output::Json => {
                let rows: Vec<_> = rows.iter().map(ScalerRow::json).collect();
                print(&[serde_json::to_string_pretty(&rows)?])
            }
        }
    })
}

/// The TrafficScalers of a namespace, or of all.
async fn list(client: Client, namespace: Option<&str>) -> anyhow::Result<Vec<TrafficScaler>> {
    let api: Api<TrafficScaler> = match namespace {
        Some(namespace) => Api::namespaced(client, namespace),
        None => Api::all(client),
    };
    let mut all = Vec::new();
    let mut page = ListParams::default().limit(PAGE);
    loop {
        let found = api.list(&page).await.map_err(explained).with_context(|| match namespace {
            Some(namespace) => format!("cannot list the TrafficScalers of {namespace}"),
            None => "cannot list the TrafficScalers of all namespaces".to_owned(),
        })?;
        all.extend(found.items);
        match found.metadata.continue_.filter(|more| !more.is_empty()) {
            Some(more) => page = page.continue_token(&more),
            None => return Ok(all),
        }
    }
}
