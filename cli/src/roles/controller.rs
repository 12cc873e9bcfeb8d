//! `tidegate controller`: the autoscaler as a process of its own. It decides and explains; whoever
//! runs the instances asks it what it wants.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::str::FromStr;

use anyhow::Context;
use tidegate_autoscaler::Improvements;
use tidegate_autoscaler::settings::files::{FileFormat, read_data};
use tidegate_autoscaler::settings::{Config, Strictness};
use tidegate_controller::{NoActuator, RevisionId, Strangers, Template};
use tokio::net::TcpListener;

use crate::run::settings::sort_settings;
use crate::run::{Stops, parse_setting};

/// What was typed after `tidegate controller`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Where to listen for reports and questions.
    #[arg(long, value_name = "ADDR", default_value = "0.0.0.0:9400", env = "TIDEGATE_LISTEN")]
    listen: SocketAddr,
    /// Settings of config-autoscaler: a ConfigMap manifest, or flat YAML or TOML.
    #[arg(long, value_name = "FILE")]
    settings: Option<PathBuf>,
    /// A key of config-autoscaler or an annotation of autoscaling.knative.dev, for every revision;
    /// may be repeated.
    #[arg(long = "set", value_name = "KEY=VALUE", value_parser = parse_setting)]
    set: Vec<(String, String)>,
    /// A revision known from the start, with the requests that an instance takes at a time (0 or
    /// none: unlimited); may be repeated.
    #[arg(long = "revision", value_name = "NAMESPACE/NAME[,CONCURRENCY]")]
    revisions: Vec<Declared>,
    /// What to do about reporters of other revisions.
    #[arg(long, value_enum, default_value = "adopt")]
    strangers: StrangersName,
    /// Decide exactly as Knative does.
    #[arg(long)]
    like_knative: bool,
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum StrangersName {
    /// Decide for them as for any other.
    Adopt,
    /// Send them away.
    Refuse,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Declared {
    revision: RevisionId,
    concurrency: u32,
}

impl FromStr for Declared {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (name, concurrency) = text.split_once(',').unwrap_or((text, "0"));
        let (namespace, name) =
            name.split_once('/').ok_or("expected NAMESPACE/NAME or NAMESPACE/NAME,CONCURRENCY")?;
        let concurrency =
            concurrency.parse().map_err(|_| format!("concurrency {concurrency:?} is no number"))?;
        let revision = RevisionId::new(namespace, name).map_err(|error| error.to_string())?;
        Ok(Self { revision, concurrency })
    }
}

/// Decides until told to stop.
pub(crate) fn execute(args: Args) -> anyhow::Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(serve(args))
}

async fn serve(args: Args) -> anyhow::Result<ExitCode> {
    let mut stops = Stops::new()?;
    let template = template(&args)?;
    let declarations: Vec<_> = args
        .revisions
        .iter()
        .map(|declared| {
            let Declared { revision, concurrency } = declared;
            template.declare(revision.clone(), *concurrency)
        })
        .collect::<Result<_, _>>()?;
    let strangers = match args.strangers {
        StrangersName::Adopt => Strangers::Adopt(Box::new(template)),
        StrangersName::Refuse => Strangers::Refuse,
    };
    let listener = TcpListener::bind(args.listen)
        .await
        .with_context(|| format!("cannot listen on {}", args.listen))?;
    eprintln!("tidegate controller: listening on {}", listener.local_addr()?);
    let (handle, controller) = tidegate_controller::controller(strangers);
    tokio::spawn(controller.run(NoActuator));
    for declaration in declarations {
        handle.declare(declaration).await?;
    }
    tidegate_controller::serve(handle, listener, stops.next()).await?;
    Ok(ExitCode::SUCCESS)
}

fn template(args: &Args) -> anyhow::Result<Template> {
    let mut config = match &args.settings {
        Some(path) => {
            read_settings(path).with_context(|| format!("cannot use {}", path.display()))?
        }
        None => BTreeMap::new(),
    };
    let annotations = sort_settings(&mut config, &args.set)?;
    let improvements = if args.like_knative { Improvements::none() } else { Improvements::all() };
    let config = Config::from_map(&config, Strictness::Strict)?;
    let template = Template { config, annotations, improvements };
    // Annotations are checked with a revision; a mistake is to be found before there is one.
    template.declare(RevisionId::new("check", "check")?, 0)?;
    Ok(template)
}

fn read_settings(path: &Path) -> anyhow::Result<BTreeMap<String, String>> {
    let extension = path.extension().and_then(|extension| extension.to_str()).unwrap_or_default();
    let format = FileFormat::of_extension(extension)
        .context("its name must end in .yaml, .yml, .json or .toml")?;
    Ok(read_data(&std::fs::read_to_string(path)?, format)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn revisions_are_read_with_and_without_a_concurrency() {
        let declared: Declared = "prod/web,5".parse().expect("valid");
        assert_eq!((declared.revision.name(), declared.concurrency), ("web", 5));
        let declared: Declared = "prod/web".parse().expect("valid");
        assert_eq!(declared.concurrency, 0);
        for bad in ["", "web", "/web", "prod/", "prod/web,x", "prod/web,-1", "a b/c"] {
            assert!(bad.parse::<Declared>().is_err(), "{bad}");
        }
    }
}
