//! One recipe per check, so that a person and CI run the very same commands.
//!
//! A recipe is a list of command lines; this program runs them in order, prints each before it
//! runs, and stops at the first that fails. It must never hold a check of its own: rules about the
//! code are tests (`xtask/tests`), and everything else is a well-kept tool.

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use anyhow::{Context, bail};
use clap::{Parser, Subcommand};
use xtask::fuzz::{self, Fuzz};
use xtask::images::{self, Images};
use xtask::packages::{self, Packages};

/// Runs a check of this project by its name.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", version, arg_required_else_help = true)]
struct Cli {
    /// What to run.
    #[command(subcommand)]
    recipe: Recipe,
}

#[derive(Debug, Clone, PartialEq, Eq, Subcommand)]
enum Recipe {
    /// The sources are formatted.
    Fmt,
    /// No lint warns.
    Clippy,
    /// The reference documentation builds without a warning.
    Doc,
    /// Every test passes: the README's second command.
    Test,
    /// Licences, bans and sources of dependencies; skipped where cargo-deny is absent.
    Deny,
    /// Known vulnerabilities of dependencies; needs the network for the advisory database.
    Advisories,
    /// The sidecar's queue is correct under every interleaving that loom explores.
    Loom,
    /// The fuzz targets, each for a while; skipped where nightly or cargo-fuzz is absent.
    Fuzz(Fuzz),
    /// The images of all roles, without a container engine; skipped where buildah is absent.
    Images(Images),
    /// What people install: a Debian package, a static tarball, and the bill of materials.
    Packages(Packages),
    /// Every crate can be packed as it would be published.
    Crates,
    /// Rewrites what is generated and committed: the protobuf code from the `.proto` files, the
    /// definition of `TrafficScaler` from its types.
    Codegen,
    /// Draws the book's picture of the packages from their manifests.
    Picture,
    /// The simulator as one page for a browser, at target/tidegate-simulator.html; needs rustup's
    /// target wasm32-unknown-unknown.
    Browser,
    /// The small sidecar, linked statically as in the image; needs rustup's musl target and a
    /// C compiler for it (musl-tools).
    Slim,
    /// Everything that CI runs, in its order.
    Ci,
}

/// The parts of `ci`, cheapest first, so that a mistake is found early.
const CI: [Recipe; 5] = [Recipe::Fmt, Recipe::Clippy, Recipe::Doc, Recipe::Deny, Recipe::Test];

/// A command line and the variables that it is given.
struct Step {
    line: &'static str,
    variables: &'static [(&'static str, &'static str)],
}

const fn step(line: &'static str) -> Step {
    Step { line, variables: &[] }
}

fn main() -> ExitCode {
    match run(&Cli::parse().recipe) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(recipe: &Recipe) -> anyhow::Result<()> {
    match recipe {
        Recipe::Ci => return CI.iter().try_for_each(run),
        Recipe::Images(asked) => return images::run(asked, &workspace_root()),
        Recipe::Packages(asked) => return packages::run(asked, &workspace_root()),
        Recipe::Fuzz(fuzz) => return fuzz::run(fuzz, &workspace_root()),
        _ => {}
    }
    if *recipe == Recipe::Deny && !has_cargo_deny() {
        eprintln!(
            "xtask: cargo-deny is not installed; skipped (cargo install --locked cargo-deny)"
        );
        return Ok(());
    }
    steps(recipe).into_iter().try_for_each(|step| execute(&step))
}

fn steps(recipe: &Recipe) -> Vec<Step> {
    match recipe {
        Recipe::Fmt => vec![step("cargo fmt --all --check")],
        Recipe::Clippy => {
            vec![step("cargo clippy --workspace --all-targets --all-features -- -D warnings")]
        }
        Recipe::Doc => vec![Step {
            line: "cargo doc --workspace --no-deps --all-features",
            variables: &[("RUSTDOCFLAGS", "-D warnings")],
        }],
        Recipe::Test => vec![step("cargo test --workspace")],
        Recipe::Deny => vec![step("cargo deny --workspace check bans licenses sources")],
        Recipe::Advisories => vec![step("cargo deny --workspace check advisories")],
        Recipe::Loom => vec![step("cargo test --package tidegate-queue-proxy --lib gate::model")],
        Recipe::Codegen => [
            "cargo test --package tidegate-proto --test codegen",
            "cargo test --package tidegate-kubernetes-objects --test definition",
        ]
        .map(|line| Step { line, variables: &[("TIDEGATE_CODEGEN", "write")] })
        .into(),
        Recipe::Picture => vec![Step {
            line: "cargo test --package xtask --test picture",
            variables: &[("TIDEGATE_PICTURE", "write")],
        }],
        Recipe::Browser => vec![
            step(
                "cargo build --profile browser --package tidegate-sim-browser --lib \
                 --target wasm32-unknown-unknown",
            ),
            step(
                "cargo run --package tidegate-sim-browser --features page --bin browser-page -- \
                 target/wasm32-unknown-unknown/browser/tidegate_sim_browser.wasm \
                 target/tidegate-simulator.html",
            ),
        ],
        Recipe::Crates => vec![step("cargo package --workspace --no-verify --allow-dirty")],
        Recipe::Slim => vec![step(
            "cargo build --profile slim --package tidegate-queue-proxy --bin queue-proxy \
             --target x86_64-unknown-linux-musl",
        )],
        Recipe::Ci | Recipe::Fuzz(_) | Recipe::Images(_) | Recipe::Packages(_) => Vec::new(),
    }
}

fn execute(step: &Step) -> anyhow::Result<()> {
    eprintln!("xtask: {}", step.line);
    let mut words = step.line.split_whitespace();
    let program = words.next().context("a step names a program")?;
    let status = Command::new(program)
        .args(words)
        .envs(step.variables.iter().copied())
        .current_dir(workspace_root())
        .status()
        .with_context(|| format!("cannot start `{program}`"))?;
    if !status.success() {
        bail!("`{}` failed ({status})", step.line);
    }
    Ok(())
}

fn has_cargo_deny() -> bool {
    Command::new("cargo").args(["deny", "--version"]).output().is_ok_and(|out| out.status.success())
}

fn workspace_root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().map(Path::to_path_buf).unwrap_or_default()
}
