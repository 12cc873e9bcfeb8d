//! `tidegate init`: a first file of services, made of what is found.

use std::fs::OpenOptions;
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, anyhow};
use tidegate_services::init::{Found, draft};

use crate::explain::print;
use crate::services_file::USUAL;
use tidegate_flags::ending::mistyped;
use tidegate_flags::files::text_of;

/// Names of Compose's file, the first of them wins.
const COMPOSE: [&str; 4] =
    ["compose.yaml", "compose.yml", "docker-compose.yaml", "docker-compose.yml"];

/// Names under which manifests with Knative's Services are looked for.
const KNATIVE: [&str; 4] = ["service.yaml", "service.yml", "knative.yaml", "ksvc.yaml"];

/// What was typed after `tidegate init`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The file to write; one that is there is left alone.
    #[arg(value_name = "FILE", default_value = USUAL)]
    file: PathBuf,
}

/// Runs the verb.
pub(crate) fn execute(args: &Args) -> anyhow::Result<ExitCode> {
    let parent = args.file.parent().filter(|folder| !folder.as_os_str().is_empty());
    let folder = parent.unwrap_or(Path::new("."));
    let text = |names: &[&str]| names.iter().find_map(|name| text_of(&folder.join(name)).ok());
    let (procfile, compose) = (text(&["Procfile"]), text(&COMPOSE));
    let (knative, package) = (text(&KNATIVE), text(&["package.json"]));
    let (text, names) = draft(Found {
        procfile: procfile.as_deref(),
        compose: compose.as_deref(),
        knative: knative.as_deref(),
        package: package.as_deref(),
    });
    let shown = args.file.display();
    let file = OpenOptions::new().write(true).create_new(true).open(&args.file);
    let mut file = match file {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {
            return Err(mistyped(anyhow!("{shown} is there already, and stays as it is")));
        }
        other => other.with_context(|| format!("cannot write {shown}"))?,
    };
    file.write_all(text.as_bytes()).with_context(|| format!("cannot write {shown}"))?;
    let found = match names.as_slice() {
        [] => "an example: say in it how to start your own".to_owned(),
        names => names.join(", "),
    };
    print(&[
        format!("{shown} has {found}"),
        format!("next: tidegate check {shown}, then tidegate up -f {shown}"),
    ])?;
    Ok(ExitCode::SUCCESS)
}
