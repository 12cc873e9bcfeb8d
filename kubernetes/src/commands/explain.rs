//! `tidegate-kubernetes explain`: what a TrafficScaler's object says, and the decisions behind it;
//! or why a HorizontalPodAutoscaler did or did not scale.

use anyhow::Context;
use kube::Api;
use kube::api::{ApiResource, DynamicObject, GroupVersionKind};
use tidegate_explain::{find, text};
use tidegate_flags::ToleranceArgs;
use tidegate_kubernetes::overview::scaler_summary;
use tidegate_kubernetes_hpa::{Hpa, replay};
use tidegate_kubernetes_objects::TrafficScaler;
use tidegate_words::excerpt;

use super::foreground::{print, wait_for};
use super::reach::{Cluster, ClusterArgs, ControllerArgs, explained};

/// Most decisions that a controller keeps of one revision.
const LAST_MAX: i64 = tidegate_controller::journal::DECISIONS_MAX as i64;

/// What was typed after `tidegate-kubernetes explain`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The TrafficScaler.
    #[arg(value_name = "NAME", required_unless_present = "hpa")]
    name: Option<String>,
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
    /// Explain a HorizontalPodAutoscaler instead: its formula, replayed on its status. No
    /// controller is asked.
    #[arg(long, value_name = "NAME", conflicts_with_all = ["name", "watch", "last"])]
    hpa: Option<String>,
    #[command(flatten)]
    tolerance: ToleranceArgs,
    /// Print the decisions as JSON, one object per line, with every number that went into them.
    #[arg(long)]
    json: bool,
}

pub(crate) fn execute(args: Args) -> anyhow::Result<()> {
    wait_for(async {
        let cluster = args.cluster.connect().await?;
        if let Some(name) = &args.hpa {
            return explain_hpa(&cluster, name, &args).await;
        }
        let name = args.name.unwrap_or_default();
        let namespace = cluster.one_namespace().to_owned();
        let scalers: Api<TrafficScaler> = Api::namespaced(cluster.client.clone(), &namespace);
        let found = scalers.get_opt(&name).await.map_err(explained)?;
        let Some(scaler) = found else {
            anyhow::bail!(
                "there is no TrafficScaler {} in {namespace}; `status -A` lists all there are",
                excerpt(&name)
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
        let past = query.past(revision, args.last).await?;
        print(&match args.json {
            true => past.decisions.iter().map(text::decision_json).collect(),
            false => text::history(revision, &past),
        })
    })
}

/// Prints why a HorizontalPodAutoscaler did or did not scale.
async fn explain_hpa(cluster: &Cluster, name: &str, args: &Args) -> anyhow::Result<()> {
    let namespace = cluster.one_namespace();
    let kind = GroupVersionKind::gvk("autoscaling", "v2", "HorizontalPodAutoscaler");
    let kind = ApiResource::from_gvk(&kind);
    let objects: Api<DynamicObject> =
        Api::namespaced_with(cluster.client.clone(), namespace, &kind);
    let Some(object) = objects.get_opt(name).await? else {
        anyhow::bail!(
            "there is no HorizontalPodAutoscaler {} in {namespace}; `kubectl get hpa -A` lists \
             all there are",
            excerpt(name)
        )
    };
    let hpa = Hpa::read(&serde_json::to_value(object)?)
        .with_context(|| format!("--hpa {}", excerpt(name)))?;
    let replay = replay(&hpa, args.tolerance.tolerance);
    print(&[match args.json {
        true => serde_json::to_string(&replay)?,
        false => replay.to_string().trim_end().to_owned(),
    }])
}
