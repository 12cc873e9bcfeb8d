//! `tidegate-kubernetes explain`: what a TrafficScaler's object says, and the decisions behind it.

use kube::Api;
use tidegate_explain::{find, text};
use tidegate_kubernetes::overview::scaler_summary;
use tidegate_kubernetes_objects::TrafficScaler;
use tidegate_words::excerpt;

use super::foreground::{print, wait_for};
use super::reach::{ClusterArgs, ControllerArgs, explained};

/// Most decisions that a controller keeps of one revision.
const LAST_MAX: i64 = tidegate_controller::journal::DECISIONS_MAX as i64;

/// What was typed after `tidegate-kubernetes explain`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The TrafficScaler.
    #[arg(value_name = "NAME")]
    name: String,
    #[command(flatten)]
    cluster: ClusterArgs,
    #[command(flatten)]
    controller: ControllerArgs,
    /// How many of the last decisions to show.
    #[arg(
        long,
        value_name = "N",
        default_value_t = 5,
        value_parser = clap::value_parser!(u32).range(1..=LAST_MAX),
        conflicts_with = "watch"
    )]
    last: u32,
    /// Show decisions as they are made, until interrupted.
    #[arg(long)]
    watch: bool,
    /// Print the decisions as JSON, one object per line, with every number that went into them.
    #[arg(long)]
    json: bool,
}

pub(crate) fn execute(args: Args) -> anyhow::Result<()> {
    wait_for(async {
        let cluster = args.cluster.connect().await?;
        let namespace = cluster.one_namespace().to_owned();
        let scalers: Api<TrafficScaler> = Api::namespaced(cluster.client.clone(), &namespace);
        let found = scalers.get_opt(&args.name).await.map_err(explained)?;
        let Some(scaler) = found else {
            anyhow::bail!(
                "there is no TrafficScaler {} in {namespace}; `status -A` lists all there are",
                excerpt(&args.name)
            )
        };
        if !args.json {
            print(&scaler_summary(&scaler))?;
        }
        let mut reached = args.controller.query(&cluster).await?;
        let query = &mut reached.query;
        let known = query.revisions().await?;
        // Reports of a workload are for the revision of its namespace and name.
        let revision = find(&known, &format!("{namespace}/{}", scaler.spec.target_ref.name))?;
        let tell = if args.json { text::decision_json } else { text::decision };
        if args.watch {
            let mut decisions = query.watch(Some(revision)).await?;
            while let Some(decision) = decisions.next().await? {
                print(&[tell(&decision)])?;
            }
            return Ok(());
        }
        let decisions = query.decisions(revision, args.last).await?;
        print(&match args.json {
            true => decisions.iter().map(text::decision_json).collect(),
            false => text::history(revision, &decisions),
        })
    })
}
