//! `tidegate token`: what is given out in place of a controller's secret.

use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, SystemTime};

use anyhow::{Context, anyhow};
use tidegate_controller::Caller;
use tidegate_flags::access::secret_variable;
use tidegate_trust::secret::SECRET_FILE_VARIABLE;
use tidegate_trust::{Scope, Secret, SharedSecret, token};

use crate::typed::wait;
use tidegate_flags::ending::mistyped;

/// What was typed after `tidegate token`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// What its holder may do: `revision:NAMESPACE/NAME` reports as instances of that revision,
    /// `namespace:NAME` of any in it, `activator` is one, `questions` asks and changes nothing.
    #[arg(value_name = "SCOPE")]
    scope: Scope,
    /// The file with the controller's secret; or set TIDEGATE_SECRET to it.
    #[arg(long, value_name = "FILE", env = SECRET_FILE_VARIABLE)]
    secret_file: Option<PathBuf>,
    /// For how long it is good; as long as the secret when absent.
    #[arg(long, value_name = "TIME", value_parser = wait)]
    expires_in: Option<Duration>,
}

/// Prints a token, alone on its line.
pub(crate) fn execute(args: &Args) -> anyhow::Result<ExitCode> {
    // What the controller would take for nobody's name is told now and not then.
    Caller::try_from(args.scope.clone()).map_err(mistyped)?;
    let secret = secret(args).map_err(mistyped)?;
    let until = args.expires_in.map(|time| SystemTime::now() + time);
    let token = token::issue(&secret, &args.scope, until)?;
    let mut out = io::stdout().lock();
    writeln!(out, "{}", token.reveal()).and_then(|()| out.flush()).context("cannot print it")?;
    Ok(ExitCode::SUCCESS)
}

fn secret(args: &Args) -> anyhow::Result<Secret> {
    let (file, variable) = (args.secret_file.as_deref(), secret_variable());
    let secret = SharedSecret::configured(file, variable.as_deref())?
        .context("a token is of a secret: give --secret-file FILE")?
        .current();
    match token::is_token(secret.reveal()) {
        true => Err(anyhow!("a token is no secret to make others of: give the controller's own")),
        false => Ok(secret),
    }
}
