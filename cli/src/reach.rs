//! Which controller is asked: one that is named, or that of what runs on this machine.

use tidegate_explain::{Query, QueryError};
use tidegate_flags::CredentialArgs;
use tidegate_knative::environment;
use tidegate_local::presence::{self, Presence};
use tidegate_trust::{Credentials, Secret};
use tidegate_words::{did_you_mean, excerpt};

use crate::typed::authorities;

/// The flags of verbs that ask a controller.
#[derive(Debug, clap::Args)]
pub(crate) struct ControllerArgs {
    /// Where the controller listens; shards of one have semicolons between [default: that of the
    /// `tidegate run` on this machine].
    #[arg(
        long,
        value_name = "HOST:PORT",
        env = environment::TIDEGATE_CONTROLLER,
        value_parser = authorities
    )]
    controller: Option<String>,
    #[command(flatten)]
    credentials: CredentialArgs,
}

impl ControllerArgs {
    /// Connects to the controller that is named, or to that of the service on this machine which
    /// has the revision.
    pub(crate) async fn connect(&self, revision: Option<&str>) -> anyhow::Result<Query> {
        let mut credentials = self.credentials.credentials()?;
        let running = presence::running();
        let controller = match &self.controller {
            Some(controller) => {
                let ours = running.iter().find(|presence| presence.controller == *controller);
                if let Some(ours) = ours {
                    credentials = of_run(ours)?;
                }
                controller
            }
            None => {
                let only = choose(&running, revision)?;
                credentials = of_run(only)?;
                only.controller.as_str()
            }
        };
        ask(controller, &credentials).await
    }
}

/// Connects to the controller at an address, with what a run on this machine left where it is that.
pub(crate) async fn ask_at(controller: &str, args: &CredentialArgs) -> anyhow::Result<Query> {
    let running = presence::running();
    let credentials = match running.iter().find(|presence| presence.controller == *controller) {
        Some(ours) => of_run(ours)?,
        None => args.credentials()?,
    };
    ask(controller, &credentials).await
}

async fn ask(controller: &str, credentials: &Credentials) -> anyhow::Result<Query> {
    let query = Query::connect(controller, credentials).await.map_err(|error| match error {
        QueryError::Unreachable { .. } => {
            anyhow::anyhow!("{error}; `tidegate run` prints where its own listens")
        }
        other => other.into(),
    })?;
    query.missing().iter().for_each(|shard| eprintln!("tidegate: {shard}"));
    Ok(query)
}

/// The credentials for a run on this machine, whatever is set for other controllers.
fn of_run(presence: &Presence) -> anyhow::Result<Credentials> {
    let secret = Secret::new(&presence.secret, "what the run left for us")?;
    Ok(Credentials { secret: Some(secret.into()), certificates: None })
}

/// The service on this machine to query when no controller was named.
fn choose<'a>(running: &'a [Presence], asked: Option<&str>) -> anyhow::Result<&'a Presence> {
    let meant = |presence: &&Presence| asked.is_none_or(|asked| presence.serves(asked));
    let found: Vec<&Presence> = running.iter().filter(meant).collect();
    let list = |all: &mut dyn Iterator<Item = &Presence>| {
        let shown: Vec<String> =
            all.map(|p| format!("{} (--controller {})", p.revision, p.controller)).collect();
        shown.join(", ")
    };
    match (found.as_slice(), running) {
        ([only], _) => Ok(only),
        ([], []) => anyhow::bail!(
            "no `tidegate run` of this user runs on this machine; say where the controller \
             listens with --controller HOST:PORT"
        ),
        ([], some) => {
            let asked = asked.unwrap_or_default();
            let names = some.iter().flat_map(|p| p.revision.rsplit('/').next());
            anyhow::bail!(
                "no service \"{}\" runs here; running are: {}{}",
                excerpt(asked),
                list(&mut some.iter()),
                did_you_mean(asked, names)
            )
        }
        (several, _) => anyhow::bail!(
            "several services run here, say which: {}",
            list(&mut several.iter().copied())
        ),
    }
}
