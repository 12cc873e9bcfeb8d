//! What outlives a run that is killed: the flags, and whose turn it is.

use anyhow::{Context, bail};
use tidegate_local::keep::{Estate, Outliving};

use crate::terminal::Target;

/// Flags of what outlives a run.
#[derive(Debug, Clone, Copy, Default, clap::Args)]
pub(crate) struct KeepArgs {
    /// Take over what a run that was killed has left, and let instances outlive this one in the
    /// same way: for a minute, in which another run may take them over.
    #[arg(long)]
    adopt: bool,
    /// Wait until the process that serves the same with --adopt has ended, however it ends, and
    /// take over then.
    #[arg(long, requires = "adopt")]
    standby: bool,
}

impl KeepArgs {
    /// What a run before has left of what is called so. That the end of that run is waited for is
    /// told on `told_on`. Cancel safe.
    ///
    /// # Errors
    ///
    /// When another process serves it, or the runtime directory cannot be used.
    pub(crate) async fn estate(
        self,
        called: &str,
        told_on: Target,
    ) -> anyhow::Result<Option<Estate>> {
        if !self.adopt {
            // What cannot be looked at is left to its watchman.
            return Ok(Estate::take_left(called).unwrap_or(None));
        }
        let unusable = "--adopt: cannot use the runtime directory";
        let outliving = Outliving::UntilAdopted;
        if let Some(estate) = Estate::take(called, outliving).context(unusable)? {
            return Ok(Some(estate));
        }
        if !self.standby {
            bail!(
                "--adopt: another process serves this already; `tidegate stop` ends it, --standby \
                 waits for its end"
            );
        }
        let told = "another process serves this, standing by";
        match told_on {
            Target::Stdout => println!("{told}"),
            Target::Stderr => eprintln!("{told}"),
        }
        Estate::take_in_turn(called, outliving).await.context(unusable).map(Some)
    }
}
