//! The recipe that runs the fuzz targets, one after another.
//!
//! The targets are a workspace of their own and need a nightly toolchain and cargo-fuzz. Where one
//! of them is missing the recipe says so and is skipped, as `deny` is.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, bail};
use clap::{Args, ValueEnum};

/// Memory that a target may take before it counts as having grown without bound.
const MEMORY_MB: u32 = 2048;
/// Time that one input may take before it counts as hanging.
const INPUT_SECONDS: u32 = 10;

/// Which targets, for how long, and what watches them.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub struct Fuzz {
    /// Targets to run; all of them when none is named.
    targets: Vec<String>,
    /// Time for each target.
    #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u32).range(1..))]
    seconds: u32,
    /// What watches memory: the address sanitizer sees into dependencies, at half the speed.
    #[arg(long, value_enum, default_value = "address")]
    sanitizer: Sanitizer,
}

/// What watches memory while a target runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Sanitizer {
    Address,
    None,
}

impl Sanitizer {
    fn name(self) -> &'static str {
        match self {
            Self::Address => "address",
            Self::None => "none",
        }
    }
}

/// Runs the targets. Stops at the first that fails, with the input that made it.
///
/// # Errors
///
/// A target is unknown, cannot be built or fails.
pub fn run(fuzz: &Fuzz, workspace: &Path) -> anyhow::Result<()> {
    let folder = workspace.join("fuzz");
    let known = targets(&folder)?;
    if let Some(unknown) = fuzz.targets.iter().find(|name| !known.contains(name)) {
        bail!("there is no fuzz target `{unknown}`, only {}", known.join(", "));
    }
    if let Some(missing) = missing() {
        eprintln!("xtask: {missing}; skipped");
        return Ok(());
    }
    let chosen = if fuzz.targets.is_empty() { &known } else { &fuzz.targets };
    chosen.iter().try_for_each(|target| run_one(fuzz, &folder, target))
}

/// The names of all targets, sorted.
fn targets(folder: &Path) -> anyhow::Result<Vec<String>> {
    let folder = folder.join("fuzz_targets");
    let entries = folder.read_dir().with_context(|| format!("cannot list {}", folder.display()))?;
    let mut names = Vec::new();
    for entry in entries {
        let path = entry?.path();
        if let (Some("rs"), Some(name)) =
            (path.extension().and_then(|ext| ext.to_str()), path.file_stem())
        {
            names.push(name.to_string_lossy().into_owned());
        }
    }
    names.sort();
    Ok(names)
}

/// What has to be installed first, if anything.
fn missing() -> Option<&'static str> {
    let runs = |program: &str, arguments: &[&str]| {
        let output = Command::new(program).args(arguments).output();
        output.is_ok_and(|output| output.status.success())
    };
    if !runs("rustup", &["run", "nightly", "rustc", "--version"]) {
        return Some("no nightly toolchain (rustup toolchain install nightly --profile minimal)");
    }
    if !runs("cargo", &["fuzz", "--version"]) {
        return Some("cargo-fuzz is not installed (cargo install --locked cargo-fuzz)");
    }
    None
}

fn run_one(fuzz: &Fuzz, folder: &Path, target: &str) -> anyhow::Result<()> {
    let corpus = folder.join("corpus").join(target);
    std::fs::create_dir_all(&corpus)
        .with_context(|| format!("cannot make {}", corpus.display()))?;
    let seeds = folder.join("seeds").join(target);
    let mut command = Command::new("rustup");
    command.args(["run", "nightly", "cargo", "fuzz", "run", "--sanitizer", fuzz.sanitizer.name()]);
    command.arg(target).arg(&corpus);
    if seeds.is_dir() {
        command.arg(&seeds);
    }
    command.args([
        "--".to_owned(),
        format!("-max_total_time={}", fuzz.seconds),
        format!("-timeout={INPUT_SECONDS}"),
        format!("-rss_limit_mb={MEMORY_MB}"),
        "-print_final_stats=1".to_owned(),
    ]);
    eprintln!("xtask: fuzz {target} for {} s ({})", fuzz.seconds, fuzz.sanitizer.name());
    // The nightly toolchain is for the targets alone: what this recipe runs in is pinned.
    command.env_remove("RUSTUP_TOOLCHAIN").env_remove("CARGO").env_remove("RUSTC");
    let status = command.current_dir(folder).status().context("cannot start `rustup`")?;
    if !status.success() {
        bail!("fuzz target `{target}` failed ({status}); its input is in fuzz/artifacts/{target}");
    }
    Ok(())
}
